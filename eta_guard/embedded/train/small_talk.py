"""Text outside the grammar: captions for CLIP, system prompts, and a little small talk."""

from __future__ import annotations

CAPTIONS = (
    "{object}",
    "the {object}",
    "a picture of the {object}",
    "an icon of the {object}",
    "the word {object}",
    "a text about the {object}",
)
"""How a picture may be described to CLIP, beside the grammar's own sentences."""

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "Answer the question about the picture.",
    "Be brief.",
)
"""System turns of training."""

SMALL_TALK = (
    ("Hello!", "Hello. Show me a picture of something."),
    ("Who are you?", "I am a small test model. I know a few things in pictures."),
    ("What can you do?", "I am a small test model. I know a few things in pictures."),
    ("How are you?", "I am well. Show me a picture of something."),
    ("Thank you.", "Have a nice day."),
    ("Goodbye.", "Have a nice day."),
)
"""Questions without any thing in them, with their answers."""
