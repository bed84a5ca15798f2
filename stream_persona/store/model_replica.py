"""Keeps the weights up to date with the model's parts, without holding up the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from stream_persona.model.fitting import ModelFitter
from stream_persona.model.river_adapter import ADDITIVE
from stream_persona.model.river_model import fit
from stream_persona.model.shard import merged
from stream_persona.store import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.river_model import ForeignWeights
    from stream_persona.model.shard import Part
    from stream_persona.model.weights import Weights
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables

#: One part in so many of the time is spent on new weights while labelled customers move, and on
#: calibrations then; and on these once the customers are at rest.
DERIVE: Final = 40.0
CALIBRATE: Final = 80.0
SETTLE: Final = 8.0


class Follower:
    """The weights in use. Once the parts are at rest, the calibration is theirs as well."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._learned = ModelFitter(taxonomy)
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


#: A fold may take this share of the time at most: one of 10 s is followed by 90 s of rest.
_MOST_SHARE: Final = 0.1


class Pace:
    """When a costly fold may be made again: not within ``seconds``, nor most of the time."""

    def __init__(self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._began = self._next = clock()

    def due(self) -> bool:
        """Whether enough time has passed since the last fold."""
        return self._clock() >= self._next

    def begin(self) -> None:
        """A fold begins."""
        self._began = self._clock()

    def end(self) -> None:
        """It has ended; the next one has to wait."""
        now = self._clock()
        self._next = now + max(self._seconds, (now - self._began) * (1 / _MOST_SHARE - 1))


class ForeignFollower:
    """The weights of the River classifier in ``settings.model``; used as a ``Follower`` is.

    The parts go on being summed and published: they tell everybody when a labelled customer has
    moved, and only then is there anything to fold again.
    """

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, tables: Tables, pace: Pace | None = None
    ) -> None:
        """Refuse a wrong setting at once.

        Raises:
            SettingsError: there is no such classifier.
        """
        self._specification = settings.model
        self._partitions = settings.partitions
        self._taxonomy = taxonomy
        self._tables = tables
        self._pace = pace or Pace()
        self._moved = False
        self.weights: ForeignWeights = fit(self._specification, (), taxonomy.names)
        self.labelled: dict[str, int] = {}

    async def follow(self, parts: Sequence[Part], *, changed: bool) -> bool:  # noqa: ARG002
        """Fold again if the parts have changed and it is time; whether the weights are new.

        What is folded is at least as new as the parts that the caller has looked at, so once
        nothing moves any more everybody has folded the same.

        Raises:
            UnavailableError: Redis stayed away.
            SettingsError: the classifier can't learn these customers.
        """
        self._moved |= changed
        if not self._moved or not self._pace.due():
            return False
        self._pace.begin()
        known = await examples.read(self._tables, self._partitions, self._taxonomy)
        before, names = self.weights.version, self._taxonomy.names
        self.weights = await asyncio.to_thread(fit, self._specification, known, names)
        self.labelled = dict(sorted(Counter(example.persona for example in known).items()))
        self._moved = False
        self._pace.end()
        return self.weights.version != before


def following(settings: Settings, taxonomy: Taxonomy, tables: Tables) -> Follower | ForeignFollower:
    """What keeps the weights of the model in the settings up to date.

    Raises:
        SettingsError: there is no such model.
    """
    if settings.model == ADDITIVE:
        return Follower(taxonomy)
    return ForeignFollower(settings, taxonomy, tables)
