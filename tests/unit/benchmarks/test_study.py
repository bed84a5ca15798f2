"""The demo's setting over many splits: what is summed up, and what is kept of the baskets."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.events import Item, Purchase
from tests.benchmarks.quality.study import LEAST_NAMED, Reservoir, Trial, summarise_names
from tests.benchmarks.scores import score

NAMES = ("a", "b", "c")


def trial(named: Sequence[int], right: Sequence[int]) -> Trial:
    scored = score(np.full((1, 3), 1 / 3), np.array([0]))
    each = np.full(3, 100)
    return Trial(scored, scored, each, np.array(named), np.array(right), [0.5] * 3)


def test_names_of_all_splits_count_together() -> None:
    found = summarise_names(
        [trial([20, 10, 0], [20, 5, 0]), trial([40, 30, 0], [30, 15, 0])], NAMES
    )
    assert found["share"] == pytest.approx(100 / 600)
    assert found["precision"] == pytest.approx(0.7)
    assert found["by_persona"]["b"] == {"shoppers": 200, "named": 40, "right": 20, "precision": 0.5}


def test_the_least_share_right_leaves_out_personas_that_are_hardly_named() -> None:
    few = LEAST_NAMED - 1
    found = summarise_names([trial([few, 100, 100], [0, 80, 90])], NAMES)
    assert found["least_precision"] == pytest.approx(0.8)


def test_the_share_right_of_no_names_is_not_a_number() -> None:
    found = summarise_names([trial([0, 0, 0], [0, 0, 0])], NAMES)
    assert found["share"] == 0.0
    assert math.isnan(found["precision"])
    assert math.isnan(found["least_precision"])


@given(st.integers(0, 40), st.integers(1, 20))
def test_a_reservoir_keeps_as_many_different_baskets_as_it_holds(number: int, size: int) -> None:
    reservoir = Reservoir(size)
    for i in range(number):
        reservoir.add("a", Purchase(f"{i}", "c", 0, (Item("p"),)))
    kept = {basket.event_id for basket in reservoir.kept.get("a", [])}
    assert len(kept) == min(number, size)
