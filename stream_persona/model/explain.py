"""Why: the factors of a prediction, from the same arithmetic as the prediction itself.

The posterior is log-linear in the tokens, so it is a product: the prior, one factor for each
token, and what makes the probabilities of all personas sum to 1. A token's *lift* is its factor
for this persona against its prior-weighted mean over all personas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.domain.features import SCALE
from stream_persona.domain.record import MILLION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from stream_persona.domain.features import Profiles
    from stream_persona.model.weights import Weights

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

#: Feature, value and lift in millionths of each reason, the strongest first.
Reasons = tuple[tuple[str, str, int], ...]

#: Bound of the sum of all log-lifts in a tree: their product stays a number.
_MOST_LOG: Final = 300.0
#: Bound of a published log-lift: a million says enough.
_MOST_LIFT: Final = 13.8


def log_lifts(weights: Weights, profiles: Profiles) -> tuple[Ints, Ints, Floats]:
    """Row and slot of each token of profiles, and its log-lift (tokens, classes)."""
    rows, slots, added = weights.evidence(profiles)
    prior = np.exp(weights.log_prior)
    # So that no exponential overflows; numpy is quickest down long columns.
    most = np.ascontiguousarray(added.T).max(axis=0, initial=-np.inf)
    # Not a matrix product, whose last bits may depend on the rows around.
    odds = np.exp(added - most[:, None]) * (prior / prior.sum())
    mean = most + np.log(odds.sum(axis=1))
    return rows, slots, added - mean[:, None]


def split(token: str) -> tuple[str, str]:
    """Feature and value of a token's name."""
    feature, _, value = token.partition(":")
    return feature, value


def reasons(
    weights: Weights,
    profiles: Profiles,
    personas: Sequence[str],
    name: Callable[[int], str],
    count: int,
) -> list[Reasons]:
    """Of each row the strongest ``(feature, value, lift in millionths)`` that speak for a persona.

    ``personas`` has one for each row of ``profiles``.
    """
    found: list[list[tuple[str, str, int]]] = [[] for _ in personas]
    columns = np.array([weights.classes.index(p) if p in weights.classes else -1 for p in personas])
    if not count or not len(personas):
        return [() for _ in personas]
    rows, slots, lifts = log_lifts(weights, profiles)
    column = columns[rows]
    lift = lifts[np.arange(len(rows)), column]
    speaking = np.flatnonzero((lift > 0) & (column >= 0))
    rows, slots, lift = rows[speaking], slots[speaking], lift[speaking]
    order = np.lexsort((-lift, rows))
    first = np.searchsorted(rows, rows)  # rows ascend, so this is where each token's row begins
    order = order[np.arange(len(order)) - first < count]
    shown = np.rint(np.exp(np.minimum(lift[order], _MOST_LIFT)) * MILLION).astype(np.int64)
    slots = slots[order]
    named = {slot: split(name(slot)) for slot in np.unique(slots).tolist()}
    for row, slot, value in zip(rows[order].tolist(), slots.tolist(), shown.tolist(), strict=True):
        found[row].append((*named[slot], value))
    return [tuple(each) for each in found]


def tree(
    weights: Weights, profile: Profiles, persona: str, name: Callable[[int], str]
) -> dict[str, Any]:
    """``$why``: the product of the values of all factors is the persona's probability.

    Factors are ordered from the one that speaks most for the persona to the one most against.
    """
    column = weights.classes.index(persona)
    probability = float(weights.probabilities(profile)[0, column])
    prior = float(np.exp(weights.log_prior[column]))
    _, slots, lifts = log_lifts(weights, profile)
    logs = lifts[:, column]
    # The product of all must be a number; overwhelming lifts are shown in proportion.
    logs = logs * min(1.0, _MOST_LOG / max(float(np.abs(logs).sum()), 1e-9))
    lift = np.exp(logs)
    factors = [
        {
            "type": "relatedPropositionLift",
            "proposition": {(pair := split(name(int(slots[i]))))[0]: {"$has": pair[1]}},
            "value": float(lift[i]),
        }
        for i in np.argsort(-lift, kind="stable")
    ]
    rest = probability / (prior * float(np.prod(lift)))
    return {
        "type": "product",
        "factors": [
            {"type": "baseP", "value": prior, "proposition": {"persona": {"$has": persona}}},
            {"type": "normalizer", "name": "allPersonas", "value": rest},
            *factors,
        ],
    }


def affinities(weights: Weights, name: Callable[[int], str]) -> dict[str, dict[str, float]]:
    """Per persona, the lift of every token that the model has learned to tell it by."""
    slots = np.flatnonzero(weights.index >= 0)
    lifts = np.exp(weights.shares_w[weights.index[slots]] / SCALE)
    return {
        persona: {
            name(int(slots[i])): round(float(lifts[i, column]), 6)
            for i in np.flatnonzero(weights.shares_w[weights.index[slots], column])
        }
        for column, persona in enumerate(weights.classes)
    }
