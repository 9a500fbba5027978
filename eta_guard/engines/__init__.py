"""Engines run the chat model: one file a backend behind ``eta_guard.protocols.Engine``."""
