"""The clocks of a worker: whatever reads the time is given them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Clocks:
    """``monotonic`` gives seconds that never go back, ``epoch_ms`` milliseconds since 1970."""

    monotonic: Callable[[], float]
    epoch_ms: Callable[[], int]


#: Those of the machine.
MACHINE_CLOCKS: Final = Clocks(time.monotonic, lambda: time.time_ns() // 1_000_000)
