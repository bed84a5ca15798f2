"""Targets of the model: which side of a figure is the right one, and what is reported."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import pytest

from tests.benchmarks.targets import Target, of_poison, of_shops, of_study

Figures = Mapping[str, Any]


def study(loss: float, gap: float, names: float, inexact: list[str]) -> Figures:
    return {
        "ours": {"log_loss": loss, "ece": gap, "worst_gap": gap},
        "names": {"precision": names, "least_precision": names, "share": names},
        "inexact": inexact,
    }


def shops(share: float, excess: float) -> Figures:
    good = {"least_share": 1.0, "excess_over_prior": -1.0}
    bad = {"least_share": share, "excess_over_prior": excess}
    return {"grid": [good, bad], "odd": [good, bad]}


def poison(moved: float) -> Figures:
    return {"threshold_moved": moved, "persona_threshold_moved": moved}


@pytest.mark.parametrize(
    ("direction", "better", "worse"), [("least", 0.9, 0.7), ("most", 0.7, 0.9)]
)
def test_a_target_is_met_on_its_own_side_and_at_the_figure_itself(
    direction: Literal["least", "most"], better: float, worse: float
) -> None:
    assert Target("x", better, 0.8, direction=direction).report()["met"]
    assert Target("x", 0.8, 0.8, direction=direction).report()["met"]
    assert not Target("x", worse, 0.8, direction=direction).report()["met"]


@pytest.mark.parametrize("direction", ["least", "most"])
def test_what_is_not_a_number_meets_nothing(direction: Literal["least", "most"]) -> None:
    row = Target("x", math.nan, 0.8, 0.9, direction).report()
    assert (row["met"], row["stretch_met"]) == (False, False)


def test_a_target_without_stretch_says_so() -> None:
    assert Target("x", 1.0, 0.8).report()["stretch_met"] is None


def test_a_row_of_the_report_holds_the_figure_both_targets_and_the_side() -> None:
    assert Target("x", 0.85, 0.8, 0.9).report() == {
        "name": "x", "measured": 0.85, "must": 0.8, "stretch": 0.9, "direction": "least",
        "met": True, "stretch_met": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("targets", "good", "bad"),
    [
        (of_study, study(1.0, 0.0, 1.0, []), study(2.0, 0.2, 0.1, ["merged"])),
        (of_shops, shops(1.0, -1.0), shops(0.2, 0.1)),
        (of_poison, poison(0.0), poison(0.5)),
    ],
)
def test_the_best_figures_meet_every_target_and_the_worst_none(
    targets: Callable[[Figures], Iterator[Target]], good: Figures, bad: Figures
) -> None:
    assert [row.report()["met"] for row in targets(good)] == [True] * len(list(targets(good)))
    assert not any(row.report()["met"] for row in targets(bad))
    assert not any(row.report()["stretch_met"] for row in targets(bad))
