"""The moments that tests take for now, units of time, and names of personas."""

import time
from typing import Final

#: 2025-11-24, 16:00 UTC, in milliseconds.
NOW: Final = 1_764_000_000_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
#: ``NOW`` some weeks later, about 40 days ago: for events of real workers. Their clocks are the
#: machine's, and by these the evidence of longer ago has faded.
RECENT: Final = NOW + (time.time_ns() // 1_000_000 - 40 * DAY - NOW) // (7 * DAY) * 7 * DAY

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
