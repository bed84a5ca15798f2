"""The last step of calibration: it keeps the order, the sum, and what is right already."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_persona.model.confidence import MOST, ConfidenceStep, fit_confidence
from tests.support.examples import count_examples

Floats = NDArray[np.float64]

steps = st.builds(
    ConfidenceStep,
    st.floats(-3, 3),
    st.floats(-2, 2),
    st.tuples(*[st.floats(0, 3)] * 4),
)


def rows_of(seed: int, rows: int = 40, classes: int = 4) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, rng.uniform(0.05, 3.0)), rows)


def drawn(seed: int, rows: int, boast: float) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities whose log-odds are so many times too great, and the true personas."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet(np.full(4, 0.5), rows)
    labels = np.array([rng.choice(4, p=row) for row in honest])
    said = honest**boast
    return said / said.sum(axis=1, keepdims=True), labels


@given(steps, st.integers(0, 2**32), st.floats(0.1, 1e4))
@hypothesis(max_examples=count_examples(100), deadline=None)
def test_rows_sum_to_one_and_their_order_stays(
    step: ConfidenceStep, seed: int, events: float
) -> None:
    before = rows_of(seed)
    after = step.apply(before, np.full(len(before), events))
    each = np.arange(len(before))
    assert after.sum(axis=1) == pytest.approx(1.0)
    assert (after >= 0).all()
    assert after[each, before.argmax(axis=1)] == pytest.approx(after.max(axis=1))
    others = np.argsort(before, axis=1)[:, :-1]
    assert (np.diff(np.take_along_axis(after, others, axis=1), axis=1) >= -1e-12).all()


@given(steps, st.integers(0, 2**32), st.integers(2, 12), st.floats(0, 1e4))
@hypothesis(max_examples=100, deadline=None)
def test_a_row_by_itself_has_the_bits_that_it_has_among_others(
    step: ConfidenceStep, seed: int, classes: int, events: float
) -> None:
    step = replace(step, slopes=(step.slopes * 3)[:classes])
    rows = np.vstack([rows_of(seed, 8, classes), np.eye(classes)[:1]])
    together = step.apply(rows, np.full(len(rows), events))
    for row, expected in zip(rows, together, strict=True):
        assert step.apply_to_one(row, events).tobytes() == expected.tobytes()


@given(steps, st.floats(0.1, 1e4))
@hypothesis(max_examples=count_examples(100), deadline=None)
def test_more_confidence_never_comes_out_as_less(step: ConfidenceStep, events: float) -> None:
    top = np.linspace(0.3, 1.0, 200)
    before = np.column_stack([top, *[(1.0 - top) / 3] * 3])
    after = step.apply(before, np.full(200, events))
    assert (np.diff(after[:, 0]) >= -1e-9).all()
    assert after[:, 0].max() <= MOST
    assert after.sum(axis=1) == pytest.approx(1.0)


def test_confidence_that_is_right_stays_as_it_is() -> None:
    said, labels = drawn(1, 4_000, boast=1.0)
    events = np.full(4_000, 100.0)
    step = fit_confidence(said, events, labels, np.ones(4_000))
    moved = step.apply(said, events).max(axis=1) - said.max(axis=1)
    assert np.abs(moved).mean() < 0.02


@pytest.mark.parametrize("boast", [0.5, 2.0])
def test_confidence_that_is_wrong_is_mended(boast: float) -> None:
    said, labels = drawn(2, 4_000, boast)
    events = np.full(4_000, 100.0)
    after = fit_confidence(said, events, labels, np.ones(4_000)).apply(said, events)
    right = said.argmax(axis=1) == labels
    sure = after.max(axis=1)
    for low in (0.5, 0.6, 0.7, 0.8):
        chosen = (sure > low) & (sure <= low + 0.1)
        assert sure[chosen].mean() == pytest.approx(right[chosen].mean(), abs=0.06)
    assert abs(said.max(axis=1).mean() - right.mean()) > 0.05


def test_a_persona_whose_names_are_wrong_more_often_is_said_with_less_confidence() -> None:
    said, labels = drawn(3, 4_000, boast=1.0)
    blurred = (said.argmax(axis=1) == 0) & (np.random.default_rng(4).random(4_000) < 0.5)
    labels[blurred] = 1
    step = fit_confidence(said, np.full(4_000, 100.0), labels, np.ones(4_000))
    assert step.slopes[0] < min(step.slopes[1:])
    assert (np.array(step.slopes) >= 0).all()


def test_few_events_and_many_have_confidence_of_their_own() -> None:
    honest, labels = drawn(5, 4_000, boast=1.0)
    events = np.where(np.arange(4_000) % 2, 1.0, 300.0)
    wrong = (events == 1.0) & (np.random.default_rng(6).random(4_000) < 0.4)
    labels[wrong] = (labels[wrong] + 1) % 4
    step = fit_confidence(honest, events, labels, np.ones(4_000))
    few, many = (step.apply(honest[:100], np.full(100, n)).max(axis=1).mean() for n in (1, 300))
    assert few < many
