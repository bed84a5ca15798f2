"""Probabilities become whole parts by the largest remainder, and all parts are given."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.record import MILLION
from stream_persona.pipeline.decision import to_millionths

TINY = [0.0, 5e-324, 1e-300, 1e-12, 4.9e-7, 5e-7, 1e-6]
SHARES = st.one_of(st.floats(0, 1), st.sampled_from([*TINY, 1 / 3, 0.5, np.nextafter(0.5, 1), 1.0]))


@st.composite
def rows(draw: st.DrawFn) -> np.ndarray:
    """A row of 2 to 24 probabilities that sum to 1 within 1e-12, of any shape."""
    shares = np.array(draw(st.lists(SHARES, min_size=2, max_size=24)))
    shares[draw(st.integers(0, len(shares) - 1))] += draw(st.sampled_from([1e-3, 1.0, 1e9]))
    row = shares / shares.sum() * (1 + draw(st.floats(-9e-13, 9e-13)))
    near = draw(st.lists(st.integers(0, len(row) - 2), max_size=8))
    for at in near:  # its neighbour is the very next float
        row[at], row[at + 1] = (row[at] + row[at + 1]) / 2, (row[at] + row[at + 1]) / 2
        row[at + 1] = np.nextafter(row[at], 1)
    return row


@given(rows())
def test_every_part_is_given_and_none_is_off_by_one(row: np.ndarray) -> None:
    (shares,) = to_millionths(row[None])
    assert sum(shares) == MILLION
    for share, probability in zip(shares, row.tolist(), strict=True):
        assert abs(share - Fraction(probability) * MILLION) < 1
        assert probability or not share


@given(rows())
def test_no_probability_gets_less_than_a_smaller_one(row: np.ndarray) -> None:
    (shares,) = to_millionths(row[None])
    ascending = np.lexsort((-np.arange(len(row)), row))  # of equal ones the last comes first
    found = [shares[at] for at in ascending]
    assert found == sorted(found)


@given(rows())
def test_those_that_lost_most_are_rounded_up(row: np.ndarray) -> None:
    shares, exact = to_millionths(row[None])[0], [Fraction(p) * MILLION for p in row.tolist()]
    lost = [number - int(number) for number in exact]
    raised = [share > number for share, number in zip(shares, exact, strict=True)]
    up = [loss for loss, is_up in zip(lost, raised, strict=True) if is_up]
    down = [loss for loss, is_up in zip(lost, raised, strict=True) if not is_up]
    assert min(up, default=1) >= max(down, default=0) - Fraction(1, 10**8)


@given(st.lists(rows(), min_size=1, max_size=4))
def test_a_row_does_not_depend_on_the_others(several: list[np.ndarray]) -> None:
    columns = min(map(len, several))
    together = np.array([row[:columns] / row[:columns].sum() for row in several if row[0]] or [])
    if len(together):
        assert to_millionths(together) == [to_millionths(row[None])[0] for row in together]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.5, 0.5], (500_000, 500_000)),
        ([1.0, 0.0], (1_000_000, 0)),
        ([1 / 3] * 3, (333_334, 333_333, 333_333)),
        ([1 / 7] * 7, (142_858,) + (142_857,) * 6),
        ([1 / 24] * 24, (41_667,) * 16 + (41_666,) * 8),
        ([1 - 2e-7, 1e-7, 1e-7], (1_000_000, 0, 0)),
    ],
)
def test_the_first_of_equal_remainders_is_rounded_up(
    row: list[float], expected: tuple[int, ...]
) -> None:
    assert to_millionths(np.array([row])) == [expected]


def test_the_greater_of_two_probabilities_with_one_product_is_rounded_up() -> None:
    near = [0.3000004]
    while near[-1] * MILLION != near[-2:][0] * MILLION or len(near) == 1:
        near.append(float(np.nextafter(near[-1], 1)))
    low, high = near[-2:]
    row = [low, high, 1 - low - high]
    assert low < high
    assert to_millionths(np.array([row])) == [(300_000, 300_001, 399_999)]


def test_no_rows_are_none() -> None:
    assert to_millionths(np.empty((0, 5))) == []
