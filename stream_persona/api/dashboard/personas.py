"""What defines each persona: the features that tell its shoppers from all others.

A lift alone tells little: the greatest ones are of features that three shoppers have. What a
feature does to set a persona's events apart from everybody's is its part of the log-likelihood
ratio of the two (Dunning, "Accurate methods for the statistics of surprise and coincidence", 1993):
with its share s of the persona's events and the lift l, that is s * (log l - 1 + 1 / l). Lifts are
those of the model in use, shares those of the labelled customers and the seeds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.model.classifier import seeds
from stream_persona.model.explain import split
from stream_persona.model.shard import merged
from stream_persona.model.statistics import E

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stream_persona.api.model_reader import Reader
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor as Weights
    from stream_persona.model.shard import Part
    from stream_persona.model.statistics import Stacked, Sums

#: Features shown of each persona, at most, and the least lift that is one to the eye.
MOST: Final = 8
_LEAST_LIFT: Final = 1.1
#: When somebody shops says who they are only where the lift is great.
_TIMES: Final = frozenset({"hour", "weekday"})
_LEAST_OF_TIMES: Final = 2.0

#: Feature, value and lift; of each persona those that define it most, first.
Defining = dict[str, list[tuple[str, str, float]]]


def defining(weights: Weights, sums: Stacked, named: Callable[[int], str | None]) -> Defining:
    """What defines each of the weights' classes, by sums of the same classes.

    ``named`` gives a slot's token, or None for one that can't be told, which is left out.
    """
    weighted = np.isin(sums.slots, weights.weighted_slots)
    slots = sums.slots[weighted]
    log_lifts = weights.share_log_ratios(slots).T
    events = sums.events.sum(axis=0) / SCALE
    shares = sums.moments[E].sum(axis=0)[:, weighted] / SCALE / np.maximum(events, 1.0)[:, None]
    worth = shares * (log_lifts - 1.0 + np.exp(-log_lifts))
    return {
        persona: _best(slots, log_lifts[row], worth[row], named)
        for row, persona in enumerate(weights.classes)
    }


def _best(
    slots: NDArray[np.int64],
    log_lifts: NDArray[np.float64],
    worth: NDArray[np.float64],
    named: Callable[[int], str | None],
) -> list[tuple[str, str, float]]:
    found: list[tuple[str, str, float]] = []
    for at in np.argsort(-worth, kind="stable").tolist():
        lift = float(np.exp(log_lifts[at]))
        if len(found) == MOST or worth[at] <= 0:
            break
        token = named(int(slots[at])) if lift >= _LEAST_LIFT else None
        if token is not None:
            feature, value = split(token)
            if lift >= _LEAST_OF_TIMES or feature not in _TIMES:
                found.append((feature, value, round(lift, 4)))
    return found


class Portraits:
    """What defines each persona by the model in use, derived anew when it has moved."""

    def __init__(self, taxonomy: Taxonomy, reader: Reader) -> None:
        self._reader = reader
        self._seeds: Sums = seeds(taxonomy)
        self._of: tuple[str, int] | None = None
        self._found: Defining = {}
        self._deriving = asyncio.Lock()

    async def lifts(self) -> Defining:
        """By persona; without names that Redis would have told, while it is away."""
        with contextlib.suppress(UnavailableError, ConfigError):
            await self._reader.name_all()
        async with self._deriving:
            reader = self._reader
            of = (reader.model.weights.version, reader.names.learned)
            if self._of != of:  # a large model takes a fraction of a second: off the event loop
                parts, weights = reader.parts, reader.model.weights
                self._found = await asyncio.to_thread(self._derive, parts, weights)
                self._of = of
        return self._found

    def _derive(self, parts: Sequence[Part], weights: Weights) -> Defining:
        total, _ = merged(parts)
        total.merge(self._seeds)
        return defining(weights, total.stacked(weights.classes), self._named)

    def _named(self, slot: int) -> str | None:
        """The token of a slot; of two that share it nobody knows which one it is."""
        tokens = self._reader.names.tokens.get(slot, ())
        return tokens[0] if len(tokens) == 1 else None


def reliability(bins: Sequence[Any]) -> list[dict[str, Any]]:
    """How often a persona was right when it was named with a confidence; bins without trials: none.

    Each bin holds trials, those that were right, and their confidence summed, in millionths.
    """
    return [
        {"confidence": summed / 1e6 / trials, "accuracy": right / trials, "trials": trials}
        for trials, right, summed in bins
        if trials
    ]
