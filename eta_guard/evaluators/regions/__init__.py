"""Evidence by region: tiles of a picture against wordings of unsafe categories."""
