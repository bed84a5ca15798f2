"""The clocks of a process: whatever reads the time is given one.

They are asked here alone, but for the time of an event loop, by which deadlines are counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final


def epoch_ms() -> int:
    """Read the machine's clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def utc_now() -> datetime:
    """Read the machine's clock, as a time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clocks:
    """``monotonic`` gives seconds that never go back, ``epoch_ms`` milliseconds since 1970."""

    monotonic: Callable[[], float]
    epoch_ms: Callable[[], int]


#: Those of the machine.
MACHINE_CLOCKS: Final = Clocks(time.monotonic, epoch_ms)
