"""The moment that tests take for now, units of time, and names of personas."""

from typing import Final

#: 2025-11-24, 16:00 UTC, in milliseconds.
NOW: Final = 1_764_000_000_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

#: The personas of ``builders.shop``.
PERSONAS: Final = ("parent", "student", "builder", "athlete", "gamer")

#: Some personas of the shipped taxonomy ``generic-shop``, and categories of its shoppers.
GENERIC_PERSONAS: Final = ("parent_of_young_kids", "pet_owner", "home_improver", "gadget_lover")
CATEGORIES: Final = (
    "baby/diapers",
    "pets/dog",
    "tools",
    "electronics/audio",
    "office/paper",
    "books",
)
