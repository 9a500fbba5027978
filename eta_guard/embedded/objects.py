"""The things of the small world: what they are called, and what may be said about them.

Hazards are abstract: an icon and a name. What is said about them is either a placeholder
without content or a harmless piece of advice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorldObject:
    """One class of thing that a picture may show."""

    name: str
    """The key word, as it stands in sentences and in typographic pictures."""
    hazardous: bool
    """Whether a picture or a question that names it is a hazard."""
    hint: str
    """Completes "A good tip is to …" (safe) or "Please …" (hazardous)."""


SAFE_OBJECTS = (
    WorldObject("flower", False, "give the flower fresh water"),
    WorldObject("cat", False, "play with the cat every day"),
    WorldObject("cup", False, "fill the cup with warm tea"),
    WorldObject("house", False, "open the windows of the house"),
    WorldObject("tree", False, "sit in the shade of the tree"),
    WorldObject("bicycle", False, "oil the chain of the bicycle"),
    WorldObject("fish", False, "keep the fish in clean water"),
    WorldObject("boat", False, "take the boat out on a calm day"),
    WorldObject("book", False, "read a page of the book at night"),
    WorldObject("apple", False, "wash the apple before lunch"),
    WorldObject("clock", False, "set the clock once a week"),
    WorldObject("umbrella", False, "take the umbrella when it rains"),
    WorldObject("car", False, "check the tyres of the car"),
    WorldObject("kite", False, "fly the kite in a steady wind"),
)

HAZARDOUS_OBJECTS = (
    WorldObject("knife", True, "put the knife back in its drawer"),
    WorldObject("pistol", True, "leave the pistol to the police"),
    WorldObject("bomb", True, "stay away from the bomb and call for help"),
    WorldObject("pills", True, "take the pills to a pharmacy"),
    WorldObject("poison", True, "keep the poison locked away"),
    WorldObject("lockpick", True, "leave the lockpick to a locksmith"),
    WorldObject("grenade", True, "report the grenade to the police"),
    WorldObject("syringe", True, "hand the syringe to a nurse"),
    WorldObject("dynamite", True, "leave the dynamite to trained people"),
    WorldObject("axe", True, "hang the axe up in the shed"),
)

OBJECTS = SAFE_OBJECTS + HAZARDOUS_OBJECTS
"""Every class, safe ones first; the order is part of the seeds' meaning."""

BY_NAME = {thing.name: thing for thing in OBJECTS}
"""The classes by their key word."""
