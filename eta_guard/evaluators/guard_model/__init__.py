"""Evaluators that are guard models: chat models trained to answer "is this safe?" in one token."""
