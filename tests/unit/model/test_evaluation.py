"""Prequential figures: River's, calibration as counts, and alarms only when a model gets worse."""

import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics

from stream_persona.model.evaluation import (
    ALARMS,
    BINS,
    WINDOW,
    Bin,
    Prequential,
    compute_calibration_error,
    pool_bins,
)
from tests.support.trials import NAMES, Trials, shoppers


def judge(trials: Trials, names: Sequence[str] = NAMES) -> Prequential:
    quality = Prequential(names)
    for persona, row in trials:
        quality.judge(persona, row)
    return quality


def alarms(trials: Trials) -> Iterator[int]:
    """Trials, counted from 1, that raised an alarm."""
    quality = Prequential(NAMES)
    for number, (persona, row) in enumerate(trials, 1):
        if quality.judge(persona, row):
            assert quality.snapshot().last_alarm_at_trial == number
            yield number


def test_nothing_is_claimed_before_the_first_trial() -> None:
    figures = Prequential(NAMES).snapshot()
    assert (figures.trials, figures.alarms, figures.last_alarm_at_trial) == (0, 0, 0)
    for figure in (figures.log_loss, figures.accuracy, figures.ece, figures.prior_log_loss):
        assert math.isnan(figure)


def test_the_figures_are_rivers() -> None:
    trials = shoppers(1, 300)
    loss, right, macro = metrics.CrossEntropy(), metrics.Accuracy(), metrics.MacroF1()
    for persona, row in trials:
        named = NAMES[row.index(max(row))]
        loss.update(persona, dict(zip(NAMES, row, strict=True)))
        right.update(persona, named)
        macro.update(persona, named)
    figures = judge(trials).snapshot()
    assert figures.trials == 300
    assert (figures.log_loss, figures.accuracy) == (loss.get(), right.get())
    assert figures.macro_f1 == macro.get()


def test_recent_figures_forget_what_is_long_ago() -> None:
    bad, good = ("a", [0.1, *[0.15] * 6]), ("a", [0.94, *[0.01] * 6])
    figures = judge([bad] * WINDOW + [good] * WINDOW).snapshot()
    assert figures.accuracy == pytest.approx(0.5)
    assert figures.recent_accuracy == pytest.approx(1.0)
    assert figures.recent_log_loss == pytest.approx(-math.log(0.94))
    assert figures.log_loss == pytest.approx(-(math.log(0.94) + math.log(0.1)) / 2)


def test_the_prior_beside_it_knows_only_the_shares_seen_before() -> None:
    figures = judge([("a", [0.5, 0.5]), ("a", [0.5, 0.5]), ("b", [0.5, 0.5])], "ab").snapshot()
    expected = -(math.log(1 / 2) + math.log(2 / 3) + math.log(1 / 4)) / 3
    assert figures.prior_log_loss == pytest.approx(expected)


def test_a_calibrated_model_has_a_smaller_calibration_error_than_an_overconfident_one() -> None:
    trials = shoppers(2, 3_000)
    overconfident = [(p, [0.94 if x == max(row) else 0.01 for x in row]) for p, row in trials]
    assert judge(trials).snapshot().ece < 0.03
    assert judge(overconfident).snapshot().ece > 0.2


def test_reliability_is_kept_as_counts() -> None:
    figures = judge([("a", [0.75, 0.25]), ("b", [0.7, 0.3]), ("b", [0.0, 1.0])], "ab").snapshot()
    assert len(figures.bins) == BINS
    assert figures.bins[7] == Bin(trials=2, right=1, confidence=1_450_000)
    assert figures.bins[9] == Bin(trials=1, right=1, confidence=1_000_000)
    assert figures.ece == pytest.approx(0.45 / 3)


@given(st.permutations(range(12)))
def test_calibration_does_not_depend_on_the_order_of_trials(order: list[int]) -> None:
    trials = shoppers(3, 12)
    mixed = judge([trials[i] for i in order]).snapshot()
    assert mixed.bins == judge(trials).snapshot().bins


def test_no_bins_have_no_error() -> None:
    assert math.isnan(compute_calibration_error([]))


def test_a_certain_mistake_costs_much_but_a_number() -> None:
    figures = judge([("a", [0.0, 1.0])], "ab").snapshot()
    assert figures.log_loss == pytest.approx(-math.log(1e-15))


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_stays_good_raises_no_alarm(seed: int) -> None:
    assert not list(alarms(shoppers(seed, 2_000)))


@pytest.mark.parametrize("seed", range(5))
def test_a_model_whose_shoppers_change_raises_one_within_a_hundred_trials(seed: int) -> None:
    first = next(alarms(shoppers(seed, 1_200, until=1_000)))
    assert 1_000 < first <= 1_100


def test_a_model_that_learns_raises_no_alarm() -> None:
    blind = [(persona, [1 / 7] * 7) for persona, _ in shoppers(4, 800)]
    assert not list(alarms(blind + shoppers(5, 800, sharpness=3.0)))


# --- counts and sums ---


def test_all_counts_are_zero_before_the_first_trial() -> None:
    counts = Prequential("ab").get_counts()
    assert (counts.trials, counts.loss, counts.recent, counts.recent_right) == (0, 0, 0, 0)
    assert (counts.confusion, counts.alarms) == ([[0, 0], [0, 0]], [])
    assert counts.reliability == [[Bin()] * BINS] * 2


def test_figures_are_made_of_the_counts() -> None:
    quality = judge(shoppers(6, WINDOW + 200))
    counts, figures = quality.get_counts(), quality.snapshot()
    assert (counts.trials, counts.recent) == (WINDOW + 200, WINDOW)
    assert counts.loss / counts.trials == pytest.approx(figures.log_loss)
    assert counts.prior_loss / counts.trials == pytest.approx(figures.prior_log_loss)
    assert counts.recent_loss / counts.recent == pytest.approx(figures.recent_log_loss)
    assert counts.recent_right / counts.recent == pytest.approx(figures.recent_accuracy)
    right = sum(row[at] for at, row in enumerate(counts.confusion))
    assert right / counts.trials == pytest.approx(figures.accuracy)
    assert pool_bins(counts.reliability) == list(figures.bins)


def test_confusion_counts_by_the_named_persona_and_then_by_the_assigned_one() -> None:
    trials: Trials = [("a", [0.9, 0.1]), ("b", [0.9, 0.1]), ("b", [0.8, 0.2]), ("b", [0.1, 0.9])]
    assert judge(trials, "ab").get_counts().confusion == [[1, 2], [0, 1]]


def test_reliability_is_kept_for_each_persona_that_was_named() -> None:
    named = judge(
        [("a", [0.95, 0.05]), ("a", [0.05, 0.95]), ("b", [0.02, 0.98])], "ab"
    ).get_counts()
    assert named.reliability[0][9] == Bin(trials=1, right=1, confidence=950_000)
    assert named.reliability[1][9] == Bin(trials=2, right=1, confidence=1_930_000)


def test_the_last_alarms_are_kept_with_their_times() -> None:
    quality, good, bad = Prequential("ab"), [0.99, 0.01], [0.01, 0.99]
    raised = []
    for turn in range(30):
        for number in range(600):
            at = 1_000 * turn + number
            if quality.judge("a", good if number < 400 else bad, at):
                raised.append((at, quality.trials))
    assert len(raised) > ALARMS
    assert quality.get_counts().alarms == raised[-ALARMS:]
    assert quality.snapshot().alarms == len(raised)
