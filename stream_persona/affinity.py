"""How much likelier each feature is under a persona than in general: what rankers read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stream_persona.domain.features import SCALE

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.weights import Weights


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
