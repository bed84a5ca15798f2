"""The wrongly labelled account: as many lines as asked for, and movements without their sign."""

from dataclasses import replace

import numpy as np
import pytest

from stream_persona.domain.events import Item, Purchase
from stream_persona.domain.features import Profiles
from stream_persona.model.calibration_panel import concatenate
from stream_persona.model.estimator import derive_from
from stream_persona.model.naming import NEVER
from stream_persona.model.statistics import Sums
from tests.benchmarks.quality.customers import Customers
from tests.benchmarks.quality.poison import compare, make_account
from tests.benchmarks.tasks import TAXONOMY

NAMES = TAXONOMY.names
BASKETS = [
    Purchase(f"B{i}", "household", 1_500_000_000_000, (Item("x", "DOG FOOD"), Item("y", "TOYS")))
    for i in range(10)
]


def account(lines: int) -> Profiles:
    return make_account(BASKETS, lines, "account")


@pytest.mark.parametrize("lines", [1, 5, 20])
def test_an_account_has_as_many_lines_as_asked_for(lines: int) -> None:
    assert account(lines).events == pytest.approx([lines], rel=1e-3)


def test_an_account_moves_thresholds_up_and_down_alike() -> None:
    test = Customers(["a", "b"], list(NAMES[:2]), concatenate([account(3), account(9)]))
    plain = derive_from(Sums().stack(NAMES), NAMES)
    low, high = replace(plain, threshold=0.75), replace(plain, threshold=0.875)
    for before, after in ((low, high), (high, low)):
        assert compare(before, after, test)["threshold"] == 0.125
        assert compare(before, after, test)["log_loss"] == 0.0
    assert compare(high, high, test)["threshold"] == 0.0


def test_a_threshold_that_no_confidence_reaches_counts_as_one() -> None:
    test = Customers(["a"], [NAMES[0]], account(3))
    plain = derive_from(Sums().stack(NAMES), NAMES)
    before, after = (
        replace(plain, threshold=each, thresholds=(each,) * len(NAMES)) for each in (0.75, NEVER)
    )
    moved = compare(before, after, test)
    assert np.isclose(moved["threshold"], 0.25)
    assert np.isclose(moved["persona_threshold"], 0.25)
