"""Keeps the weights up to date with the model's parts, without holding up the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final

from stream_persona.learned import Learned, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.learned import Part
    from stream_persona.taxonomy import Taxonomy
    from stream_persona.weights import Weights

#: A calibration may take one part in so many of the time while the model keeps moving.
_REST: Final = 8.0


class Follower:
    """The weights in use. Once the parts are at rest, the calibration is theirs as well."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._learned = Learned(taxonomy)
        self._next_calibration = -math.inf

    @property
    def weights(self) -> Weights:
        """The weights of the parts last followed."""
        return self._learned.weights

    @property
    def labelled(self) -> dict[str, int]:
        """Labelled customers of each persona."""
        return self._learned.labelled

    async def follow(self, parts: Sequence[Part], *, changed: bool) -> bool:
        """Derive new weights if the parts have changed, or a calibration is due; whether it did."""
        began = time.monotonic()
        due = (changed or not self._learned.settled) and began >= self._next_calibration
        if not (changed or due):
            return False
        total, panel = merged(parts)
        await asyncio.to_thread(self._learned.update, total, panel, calibrate=due)
        if due:
            ended = time.monotonic()
            self._next_calibration = ended + _REST * (ended - began)
        return True
