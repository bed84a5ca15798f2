"""The demo's results: counts of shoppers, and how right the held-back ones are."""

from typing import Any

import pytest

from stream_persona.demo.results import HoldoutScore
from tests.support.demo_results import change, posterior, results_of


def test_the_latest_change_of_each_held_back_shopper_is_evaluated() -> None:
    results = results_of(
        change("HH-4", posterior(0.2)),
        change("HH-4", posterior(0.8, persona="a")),
        change("HH-5", posterior(0.6)),
    )
    score = results.score_holdout()
    assert (score.evaluated, score.accuracy, score.majority_accuracy) == (2, 0.5, 0.5)
    assert (score.named, score.named_accuracy) == (1, 1.0)


def test_the_log_loss_stands_beside_that_of_the_assigned_shares() -> None:
    score = results_of(change("HH-5", posterior(0.25))).score_holdout()
    assert score.log_loss == pytest.approx(0.28768207)
    assert score.prior_log_loss == pytest.approx(1.09861229)


def test_a_score_without_shoppers_has_no_figures() -> None:
    assert results_of(change("HH-1", posterior(0.9, persona="a"))).score_holdout() == HoldoutScore(
        evaluated=0,
        accuracy=None,
        majority_accuracy=None,
        log_loss=None,
        prior_log_loss=None,
        named=0,
        named_accuracy=None,
    )


def test_synthetic_shoppers_are_counted_apart() -> None:
    results = results_of(
        change("SIM-00001", posterior(0.9, persona="a")), change("HH-9", posterior(0.5))
    )
    assert (results.shoppers, results.synthetic, results.named, results.ambiguous) == (1, 1, 0, 1)
    assert results.changes == {"synthetic": 1, "behaviour": 1}


def test_a_record_replaces_the_changes_before() -> None:
    results = results_of(change("HH-4", posterior(0.2)))
    results.add_record("HH-4", posterior(0.8, persona="a"))
    assert results.score_holdout().accuracy == 1.0


def test_a_deleted_shopper_is_forgotten() -> None:
    results = results_of(change("HH-4", posterior(0.2)), {"customer_id": "HH-4", "deleted": True})
    assert results.shoppers == 0


def test_a_shift_has_its_reasons() -> None:
    before, after = posterior(0.5), posterior(0.8, persona="a")
    results = results_of(change("HH-4", after, before))
    (shift,) = results.recent
    assert (shift.before, shift.after) == ("ambiguous", "a")
    assert shift.reasons == "grocery/cat-food ×5.1"


@pytest.mark.parametrize(
    "quiet",
    [
        change("HH-4", posterior(0.6), None),
        change("HH-4", posterior(0.6), posterior(0.5)),
        change("HH-1", posterior(0.5, persona="a"), None, cause="assignment"),
    ],
)
def test_a_change_without_a_new_name_is_no_shift(quiet: dict[str, Any]) -> None:
    assert not results_of(quiet).recent
