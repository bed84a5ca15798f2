"""Keeps the weights up to date with the model's parts, without holding up the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final

from stream_persona.model.fitting import Learned
from stream_persona.model.shard import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.shard import Part
    from stream_persona.model.weights import Weights

#: One part in so many of the time is spent on new weights while labelled customers move, and on
#: calibrations then; and on these once the customers are at rest.
DERIVE: Final = 40.0
CALIBRATE: Final = 80.0
SETTLE: Final = 8.0


class Follower:
    """The weights in use. Once the parts are at rest, the calibration is theirs as well."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._learned = Learned(taxonomy)
        self._moved = False
        self._next_derivation = self._next_calibration = self._next_settling = -math.inf

    @property
    def weights(self) -> Weights:
        """The weights of the parts last followed."""
        return self._learned.weights

    @property
    def labelled(self) -> dict[str, int]:
        """Labelled customers of each persona."""
        return self._learned.labelled

    @property
    def settled(self) -> bool:
        """Whether the weights and their calibration are those of the parts last seen."""
        return not self._moved and self._learned.settled

    async def follow(self, parts: Sequence[Part], *, changed: bool) -> bool:
        """Derive new weights if the parts have changed and it is time; whether it did.

        ``changed`` tells whether the parts have since the last call.
        """
        began = time.monotonic()
        self._moved |= changed
        calibrate = (self._moved or not self._learned.settled) and began >= (
            self._next_calibration if changed else self._next_settling
        )
        derive = self._moved and (not changed or began >= self._next_derivation)
        if not (derive or calibrate):
            return False
        self._moved = False
        total, panel = merged(parts)
        await asyncio.to_thread(self._learned.update, total, panel, calibrate=calibrate)
        ended = time.monotonic()
        took = ended - began
        self._next_derivation = ended + DERIVE * took
        if calibrate:
            self._next_calibration = ended + CALIBRATE * took
            self._next_settling = ended + SETTLE * took
        return True
