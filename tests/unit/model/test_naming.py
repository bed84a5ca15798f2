"""Naming: the promise of precision, for all and for each persona, and what may not move it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_persona.model.naming import (
    LEAST_CONFIDENCE,
    MIN_NAMED,
    MIN_NAMED_SURELY,
    NEVER,
    SURE,
    find_naming_threshold,
    find_persona_thresholds,
)
from tests.support.examples import count_examples

Floats = NDArray[np.float64]


def spread(rng: np.random.Generator, rows: int) -> Floats:
    """Confidences as a calibrated model has them."""
    return rng.beta(3.0, 2.0, rows)


@given(st.integers(0, 2**32), st.floats(0.55, 0.95))
@hypothesis(max_examples=count_examples(50), deadline=None)
def test_the_mean_confidence_from_the_threshold_on_reaches_the_target(
    seed: int, precision: float
) -> None:
    confidence = spread(np.random.default_rng(seed), 400)
    threshold = find_naming_threshold(confidence, precision)
    named = confidence[confidence >= threshold]
    assert threshold == NEVER or (len(named) >= MIN_NAMED and named.mean() >= precision)


def test_nobody_is_named_who_is_likelier_of_another_persona() -> None:
    confidence = np.concatenate([np.full(900, 0.99), np.full(100, 0.3)])
    assert find_naming_threshold(confidence, 0.8) == 0.99
    assert find_naming_threshold(np.linspace(0.2, 1.0, 2_000), 0.6) >= LEAST_CONFIDENCE


@given(st.integers(0, 2**32), st.floats(0.0, 1.0))
@hypothesis(max_examples=count_examples(50), deadline=None)
def test_one_account_moves_the_threshold_by_little(seed: int, confidence: float) -> None:
    known = spread(np.random.default_rng(seed), 1_000)
    poisoned = known.copy()
    poisoned[0] = confidence
    moved = find_naming_threshold(poisoned, 0.8) - find_naming_threshold(known, 0.8)
    assert abs(moved) <= 0.02


def thresholds(confidence: Floats, top: list[int], right: list[bool]) -> tuple[float, ...]:
    """Those of two personas, of customers with these confidences, likeliest personas and truths."""
    rows = np.empty((len(top), 2))
    each = np.arange(len(top))
    rows[each, top], rows[each, 1 - np.array(top)] = confidence, 1.0 - confidence
    labels = np.where(right, top, 1 - np.array(top))
    return find_persona_thresholds(rows, labels, 0.8, 0.6)


def test_a_persona_that_keeps_the_promise_has_the_threshold_of_all() -> None:
    confidence = np.tile(np.linspace(0.6, 1.0, 50), 2)
    top = [0] * 50 + [1] * 50
    assert thresholds(confidence, top, [i % 10 != 0 for i in range(100)]) == (0.6, 0.6)


def test_a_persona_that_is_right_too_seldom_needs_more_confidence() -> None:
    confidence = np.tile(np.linspace(0.6, 1.0, 100), 2)
    top = [0] * 100 + [1] * 100
    right = [*[share > 0.8 for share in confidence[:100].tolist()], *[True] * 100]
    raised, kept = thresholds(confidence, top, right)
    assert 0.7 < raised < 0.9
    assert kept == 0.6


def test_a_persona_that_is_wrong_half_of_the_time_is_never_named() -> None:
    confidence = np.tile(np.linspace(0.6, 1.0, 60), 2)
    top = [0] * 60 + [1] * 60
    right = [*[i % 2 == 0 for i in range(60)], *[True] * 60]
    assert thresholds(confidence, top, right) == (NEVER, 0.6)


@pytest.mark.parametrize(
    ("number", "confidence", "named"),
    [
        (0, 0.9, False),
        (MIN_NAMED - 1, SURE - 0.01, False),
        (MIN_NAMED, SURE - 0.01, True),
        (MIN_NAMED_SURELY - 1, SURE, False),
        (MIN_NAMED_SURELY, SURE, True),
    ],
)
def test_a_persona_of_too_few_names_is_never_named(
    number: int, confidence: float, named: bool
) -> None:
    confidences = np.array([0.95] * 30 + [confidence] * number)
    found = thresholds(confidences, [0] * 30 + [1] * number, [True] * (30 + number))
    assert found == (0.6, 0.6 if named else NEVER)


def test_no_persona_is_named_where_nobody_can_be() -> None:
    confidence = np.full(60, 0.7)
    rows = np.column_stack([confidence, 1.0 - confidence])
    assert find_persona_thresholds(rows, np.zeros(60, int), 0.8, NEVER) == (NEVER, NEVER)
