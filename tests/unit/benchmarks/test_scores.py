"""Scores of the benchmarks: bins of confidence, their worst gap, and what is listed of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.scores import (
    BINS,
    Floats,
    Sheet,
    calibration_error,
    list_reliability,
    score,
    worst_gap,
)

CONFIDENCES = st.lists(st.floats(0.5, 1.0), min_size=1, max_size=60)


def binary(confidences: list[float]) -> Floats:
    first = np.array(confidences)
    return np.stack([first, 1.0 - first], axis=1)


def filled(*rows: tuple[int, float, float]) -> Floats:
    """Bins of (how many, mean confidence, share right), the others empty."""
    bins = np.zeros((3, BINS))
    for i, (number, said, right) in enumerate(rows):
        bins[:, i] = number, number * said, number * right
    return bins


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 1)), min_size=1, max_size=60))
def test_the_bins_of_a_score_hold_every_prediction_once(rows: list[tuple[float, int]]) -> None:
    p, labels = binary([first for first, _ in rows]), np.array([label for _, label in rows])
    found = score(p, labels)
    assert found.bins[0].sum() == len(rows)
    assert found.bins[1].sum() == pytest.approx(p.max(axis=1).sum())
    assert found.bins[2].sum() == pytest.approx(found.accuracy * len(rows))


def test_full_confidence_falls_in_the_last_bin() -> None:
    assert score(binary([1.0]), np.array([0])).bins[0, -1] == 1


def test_the_worst_gap_is_that_of_the_worst_bin_with_enough_predictions() -> None:
    bins = filled((150, 0.25, 0.31), (1_000, 0.35, 0.36), (149, 0.45, 0.99))
    assert worst_gap(bins) == pytest.approx(0.06)
    assert worst_gap(bins, least=100) == pytest.approx(0.54)


def test_a_gap_counts_whether_too_much_was_said_or_too_little() -> None:
    assert worst_gap(filled((200, 0.9, 0.8))) == pytest.approx(0.1)
    assert worst_gap(filled((200, 0.8, 0.9))) == pytest.approx(0.1)


def test_the_worst_gap_of_bins_that_are_all_too_empty_is_not_a_number() -> None:
    assert math.isnan(worst_gap(filled((149, 0.5, 0.9))))


@given(CONFIDENCES, st.integers(0, 1))
def test_no_calibration_error_is_above_the_worst_gap(confidences: list[float], label: int) -> None:
    bins = score(binary(confidences), np.full(len(confidences), label)).bins
    assert calibration_error(bins) <= worst_gap(bins, least=1) + 1e-9


def test_reliability_lists_the_bins_that_hold_any() -> None:
    bins = filled((10, 0.1, 0.2), (0, 0.0, 0.0), (30, 0.25, 0.2))
    assert [row["number"] for row in list_reliability(bins)] == [10, 30]
    assert list_reliability(bins)[1]["said"] == pytest.approx(0.25)
    assert list_reliability(bins)[1]["right"] == pytest.approx(0.2)


def test_the_bins_of_a_sheet_are_those_of_all_splits_together() -> None:
    sheet = Sheet()
    for label in (0, 1):
        sheet.add("end", score(binary([0.75]), np.array([label])))
    assert sheet.bins()[:, 7].tolist() == [2, 1.5, 1]
    assert sheet.mean("ece", "end") == pytest.approx(0.25)
