"""Why: the factors of a prediction, from the same arithmetic as the prediction itself.

The posterior is log-linear in the tokens, so it is a product: the prior, one factor for each
token, and what makes the probabilities of all personas sum to 1. A token's *lift* is its factor
for this persona against its prior-weighted mean over all personas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stream_persona.confidence import MILLION

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stream_persona.features import Profiles
    from stream_persona.weights import Weights

    Floats = NDArray[np.float64]


#: Bound of the sum of all log-lifts in a tree: their product stays a number.
_MOST_LOG: Final = 300.0
#: Bound of a published log-lift: a million says enough.
_MOST_LIFT: Final = 13.8


def log_lifts(weights: Weights, profile: Profiles) -> tuple[NDArray[np.int64], Floats]:
    """Slots of a profile of one row, and each token's log-lift (tokens, classes)."""
    slots, added = weights.evidence(profile)
    prior = np.exp(weights.log_prior)
    most = added.max(axis=1, keepdims=True)  # so that no exponential overflows
    mean = most + np.log((np.exp(added - most) * (prior / prior.sum())).sum(axis=1, keepdims=True))
    return slots, added - mean


def split(token: str) -> tuple[str, str]:
    """Feature and value of a token's name."""
    feature, _, value = token.partition(":")
    return feature, value


def reasons(
    weights: Weights, profile: Profiles, persona: str, name: Callable[[int], str], count: int
) -> tuple[tuple[str, str, int], ...]:
    """The strongest ``(feature, value, lift in millionths)`` that speak for ``persona``."""
    if persona not in weights.classes or not count:
        return ()
    slots, lifts = log_lifts(weights, profile)
    column = lifts[:, weights.classes.index(persona)]
    order = np.argsort(-column, kind="stable")[:count]
    return tuple(
        (*split(name(int(slots[i]))), round(float(np.exp(min(column[i], _MOST_LIFT))) * MILLION))
        for i in order
        if column[i] > 0
    )


def tree(
    weights: Weights, profile: Profiles, persona: str, name: Callable[[int], str]
) -> dict[str, Any]:
    """``$why``: the product of the values of all factors is the persona's probability.

    Factors are ordered from the one that speaks most for the persona to the one most against.
    """
    column = weights.classes.index(persona)
    probability = float(weights.probabilities(profile)[0, column])
    prior = float(np.exp(weights.log_prior[column]))
    slots, lifts = log_lifts(weights, profile)
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
