"""Trains the small models: `python -m eta_guard.embedded.train --help`."""
