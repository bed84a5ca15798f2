"""Gains: one convex fit, which no start, no scale of a view and no heavy account can mislead."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_persona.model.cross_fitting import CrossFit
from stream_persona.model.gain_fitting import fit_gains
from stream_persona.model.gains import Gains
from tests.support.examples import count_examples

Floats = NDArray[np.float64]
CLASSES = 3
UNIFORM = np.log(np.full(CLASSES, 1 / CLASSES))


def scores_of(rng: np.random.Generator, rows: int = 90, strength: float = 1.0) -> CrossFit:
    """Scores of three views, of which the first tells the persona and the others are noise."""
    labels = np.arange(rows) % CLASSES
    views = rng.normal(size=(3, rows, CLASSES))
    views[0, np.arange(rows), labels] += strength
    events = rng.choice([1.0, 10.0, 300.0], rows)
    return CrossFit(views, events, labels, np.ones(rows, bool), np.ones(rows))


def loss(scores: CrossFit, gains: Gains) -> float:
    logits = UNIFORM + gains.compute_bias(scores.events)
    logits = logits + (gains.compute(scores.events) * scores.views).sum(axis=0)
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    each = np.arange(len(scores.labels))
    return float(-(scores.weights * logs[each, scores.labels]).sum() / scores.weights.sum())


def test_no_gain_is_below_nought_and_none_falls_as_events_come() -> None:
    gains = fit_gains(scores_of(np.random.default_rng(1)), UNIFORM)
    grown = gains.compute(np.array([0.0, 1.0, 5.0, 50.0, 5_000.0]))
    assert (grown >= 0).all()
    assert (np.diff(grown, axis=1) >= 0).all()
    assert not grown[:, 0].any()


@given(st.integers(0, 2**32), st.lists(st.floats(0, 1e6), min_size=2, max_size=5))
def test_gains_of_one_number_of_events_have_the_bits_that_they_have_among_others(
    seed: int, events: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    heights = tuple(tuple(map(tuple, view)) for view in rng.gamma(1, 1, (3, 3, CLASSES)).tolist())
    gains = Gains(heights, tuple(rng.normal(size=CLASSES).tolist()))
    at, bias = gains.compute(np.array(events)), gains.compute_bias(np.array(events))
    for row, number in enumerate(events):
        assert gains.compute_for_one(number).tobytes() == at[:, row].tobytes()
        assert gains.compute_bias_for_one(number).tobytes() == bias[row].tobytes()


def test_a_view_that_tells_counts_more_than_one_of_noise() -> None:
    gains = fit_gains(scores_of(np.random.default_rng(2), 300, strength=2.0), UNIFORM)
    telling, *noise = gains.compute(np.array([300.0])).mean(axis=2).ravel().tolist()
    assert telling > 0.5
    assert all(each < telling / 3 for each in noise)


@given(st.integers(0, 2**32), st.integers(0, 2), st.floats(1e-9, 1e9))
@hypothesis(max_examples=count_examples(30), deadline=None)
def test_the_scale_of_a_view_does_not_change_what_is_fitted(
    seed: int, view: int, factor: float
) -> None:
    scores = scores_of(np.random.default_rng(seed))
    scaled = replace(scores, views=scores.views.copy())
    scaled.views[view] *= factor
    expected, found = (loss(each, fit_gains(each, UNIFORM)) for each in (scores, scaled))
    assert found == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 2**32), st.floats(0.0, 1e6))
@hypothesis(max_examples=count_examples(30), deadline=None)
def test_a_fit_is_never_worse_than_the_prior_on_its_own_scores(seed: int, strength: float) -> None:
    scores = scores_of(np.random.default_rng(seed), 30, strength)
    nothing = loss(scores, replace(Gains.default(CLASSES), heights=(((0.0,) * 3,) * 3,) * 3))
    assert loss(scores, fit_gains(scores, UNIFORM)) <= nothing + 1e-9


def test_scores_that_are_all_alike_leave_the_prior() -> None:
    scores = scores_of(np.random.default_rng(3))
    scores.views[:] = 7.0
    gains = fit_gains(scores, UNIFORM)
    assert loss(scores, gains) == pytest.approx(np.log(CLASSES), abs=1e-6)


def test_an_account_of_many_histories_counts_as_one() -> None:
    scores = scores_of(np.random.default_rng(4))
    rows = np.concatenate([np.repeat(0, 7), np.arange(1, 90)])
    weights = np.concatenate([np.full(7, 1 / 7), np.ones(89)])
    several = CrossFit(
        scores.views[:, rows], scores.events[rows], scores.labels[rows], np.ones(96, bool), weights
    )
    found, expected = fit_gains(several, UNIFORM), fit_gains(scores, UNIFORM)
    assert np.array(found.heights) == pytest.approx(np.array(expected.heights), abs=2e-3)


def test_a_rows_gains_do_not_depend_on_the_rows_around_it() -> None:
    gains = fit_gains(scores_of(np.random.default_rng(5)), UNIFORM)
    events = np.random.default_rng(6).uniform(0.1, 900.0, 257)
    together = gains.compute(events)
    for row in (0, 100, 256):
        assert together[:, row].tobytes() == gains.compute(events[[row]])[:, 0].tobytes()
