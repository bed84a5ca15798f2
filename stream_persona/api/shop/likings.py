"""How each persona likes each product, and which products may therefore come first for a shopper.

A matrix of products by personas in single precision, computed off the event loop when the model or
the catalogue has changed; requests take the last one meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from stream_persona.client.ranking import Affinities
from stream_persona.store.duty_cycle import DutyCycle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from stream_persona.api.model_reader import ModelReader
    from stream_persona.api.rank import Ranker
    from stream_persona.api.shop.catalogue import Catalogue

logger = logging.getLogger(__name__)

#: Scores that differ by less are as good as equal here; single precision is ten times finer.
_NEAR: Final = 1e-4
#: Most products beyond those that are asked for whose scores are as good as equal to the last.
_MOST_NEAR: Final = 200
#: The share of the time that computing takes at most.
_SHARE: Final = 1 / 10


class Likings(NamedTuple):
    """The likings of a catalogue's products, and the affinities that they were computed from."""

    source: tuple[str, int] | None
    catalogue: Catalogue | None
    affinities: Affinities
    matrix: NDArray[np.float32]

    def mix(self, shares: Mapping[str, float]) -> NDArray[np.float64]:
        """Return how much each product suits a shopper; 1 is like anybody.

        It is in double precision, since a power of it may be beyond single.
        """
        own = np.array([shares.get(name, 0.0) for name in self.affinities.personas], np.float32)
        mixed = (self.matrix @ own).astype(np.float64)
        return mixed + max(0.0, 1.0 - float(own.sum()))


NO_LIKINGS: Final = Likings(None, None, Affinities({}), np.ones((0, 0), np.float32))


class LikingsReader:
    """Keeps the likings of the model in use. ``clock`` gives seconds that never go back."""

    def __init__(
        self, ranker: Ranker, reader: ModelReader, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ranker = ranker
        self._reader = reader
        self._clock = clock
        self._last = NO_LIKINGS
        self._computation: asyncio.Task[None] | None = None
        self._duty = DutyCycle(_SHARE, clock)

    async def find(self, catalogue: Catalogue) -> Likings:
        """Return the likings of the model in use, or the last ones while they are computed.

        Raises:
            UnavailableError: Redis stayed away.
        """
        await self._reader.load_names()
        source = (self._reader.model.weights.version, self._reader.names.learned)
        is_new = self._last.catalogue is not catalogue
        is_due = is_new or (source != self._last.source and self._duty.is_due())
        if is_due and self._computation is None:
            self._computation = asyncio.create_task(self._compute(catalogue))
            self._computation.add_done_callback(_log_failure)
        if self._last.catalogue is None and self._computation is not None:
            await asyncio.shield(self._computation)
        return self._last

    async def _compute(self, catalogue: Catalogue) -> None:
        began = self._clock()
        try:
            source, affinities = await self._ranker.find_affinities()
            compute = catalogue.features.compute_affinities
            matrix = await asyncio.to_thread(compute, affinities)
            self._last = Likings(source, catalogue, affinities, matrix)
        finally:
            self._duty.record(self._clock() - began)
            self._computation = None


def choose(
    scores: NDArray[np.float64],
    factors: NDArray[np.float64] | None,
    limit: int,
    excluded: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Return the positions of what may be among the first ``limit``, ascending.

    ``scores`` fall. Without factors these are the first ones; with them also those whose scores are
    as good as equal to the last one's, so that the exact order decides.
    """
    number = min(limit, len(scores) - len(excluded))
    if factors is None or number <= 0:
        first = np.arange(min(limit + len(excluded), len(scores)), dtype=np.int32)
        return np.setdiff1d(first, excluded, assume_unique=True)[: max(0, number)]
    moved = scores * factors
    moved[excluded] = -1.0
    least = np.partition(moved, len(moved) - number)[len(moved) - number]
    near = np.flatnonzero(moved >= max(0.0, least * (1 - _NEAR)))
    if len(near) > number + _MOST_NEAR:  # many are equal: the first ones of these
        near = near[np.argsort(-moved[near], kind="stable")[: number + _MOST_NEAR]]
    return np.sort(near).astype(np.int32)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.warning("the likings of the catalogue's products can't be computed: %s", error)
