"""Persona profiles: the features that distinguish each persona's shoppers from all others.

A lift alone does not say how often its feature comes: a great one may be of a rare one. How much a
feature distinguishes a persona's events from all events is its part of the log-likelihood ratio of
the two (Dunning, "Accurate methods for the statistics of surprise and coincidence", 1993): with its
share s of the persona's events and the lift l, that is s * (log l - 1 + 1 / l). Lifts are those of
the model in use, shares those of the labelled customers and the seeds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.errors import ConfigError, UnavailableError
from stream_persona.model.classifier import make_seed_sums
from stream_persona.model.explain import split_token
from stream_persona.model.shard import merge_shards
from stream_persona.model.statistics import E

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from stream_persona.api.model_reader import ModelReader
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor
    from stream_persona.model.shard import Shard
    from stream_persona.model.statistics import Stacked, Sums

#: Features of a persona, at most, and the least lift of one: a smaller one is no difference.
MOST: Final = 8
_LEAST_LIFT: Final = 1.1
#: Times of the day and the week distinguish a persona only where the lift is great.
_TIMES: Final = frozenset({"hour", "weekday"})
_LEAST_LIFT_OF_TIMES: Final = 2.0

#: By persona: feature, value and lift of its features, the most distinctive first.
DefiningFeatures = dict[str, list[tuple[str, str, float]]]


def find_defining_features(
    weights: Predictor, sums: Stacked, name: Callable[[int], str | None]
) -> DefiningFeatures:
    """Find the features that define each of the weights' classes, by sums of the same classes.

    ``name`` returns a slot's token, or None for a slot whose token is unknown: it is left out.
    """
    weighted = np.isin(sums.slots, weights.weighted_slots)
    slots = sums.slots[weighted]
    log_lifts = weights.compute_share_log_ratios(slots).T
    events = sums.events.sum(axis=0) / SCALE
    shares = sums.moments[E].sum(axis=0)[:, weighted] / SCALE / np.maximum(events, 1.0)[:, None]
    worth = shares * (log_lifts - 1.0 + np.exp(-log_lifts))
    return {
        persona: _select_best(slots, log_lifts[row], worth[row], name)
        for row, persona in enumerate(weights.classes)
    }


def _select_best(
    slots: NDArray[np.int64],
    log_lifts: NDArray[np.float64],
    worth: NDArray[np.float64],
    name: Callable[[int], str | None],
) -> list[tuple[str, str, float]]:
    best: list[tuple[str, str, float]] = []
    for at in np.argsort(-worth, kind="stable").tolist():
        lift = float(np.exp(log_lifts[at]))
        if len(best) == MOST or worth[at] <= 0:
            break
        token = name(int(slots[at])) if lift >= _LEAST_LIFT else None
        if token is not None:
            feature, value = split_token(token)
            if lift >= _LEAST_LIFT_OF_TIMES or feature not in _TIMES:
                best.append((feature, value, round(lift, 4)))
    return best


class PersonaProfiles:
    """The defining features by the model in use, derived anew when weights or names have changed.

    The sums of labelled customers are a third input. New ones are followed by new weights, so that
    the weights' version covers them too.
    """

    def __init__(self, taxonomy: Taxonomy, reader: ModelReader) -> None:
        self._reader = reader
        self._seeds: Sums = make_seed_sums(taxonomy)
        self._derived_from: tuple[str, int] | None = None
        self._features: DefiningFeatures = {}
        self._deriving = asyncio.Lock()

    async def derive_if_stale(self) -> DefiningFeatures:
        """Return them by persona; names that are not known yet are missing while Redis is away."""
        with contextlib.suppress(UnavailableError, ConfigError):
            await self._reader.load_names()
        async with self._deriving:
            reader = self._reader
            version = (reader.model.weights.version, reader.names.learned)
            if self._derived_from != version:
                # A large model takes a fraction of a second: off the event loop.
                shards, weights = reader.shards, reader.model.weights
                # Other names may be shown while the thread runs, which would move what it reads.
                names = {slot: reader.names.find_sole_name(slot) for slot in reader.names.tokens}
                self._features = await asyncio.to_thread(self._derive, shards, weights, names)
                self._derived_from = version
        return self._features

    def _derive(
        self, shards: Sequence[Shard], weights: Predictor, names: Mapping[int, str | None]
    ) -> DefiningFeatures:
        total, _ = merge_shards(shards)
        total.merge(self._seeds)
        return find_defining_features(weights, total.stack(weights.classes), names.get)


def list_reliability(bins: Sequence[Any]) -> list[dict[str, Any]]:
    """Return how often a persona was right when named with a confidence, by bins with trials.

    Each bin holds trials, those that were right, and their confidence summed, in millionths.
    """
    return [
        {"confidence": summed / 1e6 / trials, "accuracy": right / trials, "trials": trials}
        for trials, right, summed in bins
        if trials
    ]
