"""Whom a model's weights name: by one threshold, or by each persona's own."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from stream_persona.model.weights import Weights
from tests.benchmarks.quality.customers import named, naming_thresholds

ROWS = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.2, 0.3, 0.5], [0.3, 0.3, 0.4]])


def weights(*own: float | None) -> Weights:
    """What is read of weights to name customers."""
    return cast("Weights", SimpleNamespace(classes=("a", "b", "c"), thresholds=own))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (weights(0.7, 0.7, 0.7), [True, True, False, False]),
        (weights(2.0, 2.0, 2.0), [False] * 4),
        (weights(None, None, None), [True, True, True, False]),
        (weights(0.8, 0.7, 0.4), [False, True, True, True]),
        (weights(0.8, None, None), [False, True, True, False]),
    ],
)
def test_a_persona_is_named_from_its_threshold_on(known: Weights, expected: list[bool]) -> None:
    assert named(known, ROWS).tolist() == expected


def test_a_persona_without_a_measured_threshold_is_named_from_one_half_on() -> None:
    assert naming_thresholds(weights(None, 0.7, 2.0)).tolist() == [0.5, 0.7, 2.0]
