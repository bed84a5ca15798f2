"""Keeps a foreign model's weights up to date: folded again when the labelled customers moved."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from stream_persona import examples
from stream_persona.foreign import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_persona.foreign import ForeignWeights
    from stream_persona.settings import Settings
    from stream_persona.tables import Tables
    from stream_persona.taxonomy import Taxonomy

logger = logging.getLogger(__name__)

#: A fold may take this share of the time at most: one of 10 s is followed by 90 s of rest.
_MOST_SHARE: Final = 0.1


class Pace:
    """When a costly fold may be made again, so that it takes a bounded share of the time."""

    def __init__(self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._started = 0.0
        self._next = 0.0

    def due(self) -> bool:
        """Whether enough time has passed since the last fold."""
        return self._clock() >= self._next

    def start(self) -> None:
        """A fold begins."""
        self._started = self._clock()

    def end(self) -> float:
        """It has ended; the seconds that it took."""
        took = self._clock() - self._started
        self._next = self._clock() + max(self._seconds, took * (1 / _MOST_SHARE - 1))
        return took


class ForeignModel:
    """The weights of the River classifier in ``settings.model``, for a worker or the API.

    Workers go on summing and publishing their parts: the parts' stamps say when somebody's
    contribution has changed, and only then is there anything to fold again.
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
        self._stamps: dict[int, bytes] = {}
        self.weights: ForeignWeights = fit(self._specification, (), taxonomy.names)

    async def refresh(self, stamps: Mapping[int, bytes]) -> bool:
        """Fold again if the parts' stamps have moved and it is time; whether weights are new.

        ``stamps`` must have been read before this call: what is folded is then at least as new, and
        once nothing moves any more everybody has folded the same.

        Raises:
            UnavailableError: Redis stayed away.
            SettingsError: the classifier can't learn these customers.
        """
        if dict(stamps) == self._stamps or not self._pace.due():
            return False
        self._pace.start()
        known = await examples.read(self._tables, self._partitions, self._taxonomy)
        names = self._taxonomy.names
        weights = await asyncio.to_thread(fit, self._specification, known, names)
        logger.debug("%s folded %d customers anew", self._specification, len(known))
        self._pace.end()
        self._stamps = dict(stamps)
        moved = weights.version != self.weights.version
        self.weights = weights
        return moved
