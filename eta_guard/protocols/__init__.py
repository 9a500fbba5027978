"""The seams."""
