"""Calibration: a function of the sums and of the panel's set, fair to what was not learned."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from stream_persona.model.calibration import (
    MIN_PANEL,
    Calibration,
    compute_posterior,
    fit_calibration,
)
from stream_persona.model.calibration_panel import Member
from stream_persona.model.cross_fitting import CrossFit, cross_fit
from stream_persona.model.estimator import derive_from
from stream_persona.model.gains import Gains
from stream_persona.model.statistics import FOLDS, Stacked, Sums, make_contribution
from tests.support.constants import PERSONAS
from tests.support.panels import anew, customers, stacked, summed

PANEL = customers()


def test_calibration_does_not_depend_on_the_panels_order() -> None:
    sums, rng = stacked(PANEL), random.Random(1)
    expected = fit_calibration(PANEL, sums, PERSONAS)
    for _ in range(3):
        shuffled = anew(rng.sample(PANEL, len(PANEL)))
        assert fit_calibration(shuffled, sums, PERSONAS) == expected


def test_calibration_does_not_depend_on_the_split_of_the_sums() -> None:
    expected, rng = fit_calibration(PANEL, stacked(PANEL), PERSONAS), random.Random(2)
    for _ in range(3):
        shares: list[list[Member]] = [[], [], []]
        for member in rng.sample(PANEL, len(PANEL)):
            rng.choice(shares).append(member)
        total = Sums()
        for share in shares:
            total.merge(Sums.from_bytes(summed(share).to_bytes()))
        assert fit_calibration(anew(PANEL), total.stack(PERSONAS), PERSONAS) == expected


def test_customers_learned_and_unlearned_leave_no_trace_in_the_calibration() -> None:
    sums = summed(PANEL)
    for guest in customers(40, seed=9):
        part = make_contribution(guest.profile, guest.fold)
        sums.add(part, guest.label)
        sums.add(part, guest.label, -1)
    found = fit_calibration(anew(PANEL), sums.stack(PERSONAS), PERSONAS)
    assert found == fit_calibration(PANEL, stacked(PANEL), PERSONAS)


def test_a_panel_too_small_keeps_the_default_gains() -> None:
    few = PANEL[: MIN_PANEL - 1]
    assert fit_calibration(few, stacked(few), PERSONAS) == Calibration()
    assert fit_calibration([], stacked([]), PERSONAS) == Calibration()
    weights = Calibration().derive_weights(stacked(few), PERSONAS)
    assert weights.gains == Gains.default(len(PERSONAS))


def shuffled_labels(members: Sequence[Member], seed: int) -> list[Member]:
    labels = [member.label for member in members]
    random.Random(seed).shuffle(labels)
    pairs = zip(members, labels, strict=True)
    return [Member(m.key, m.fold, label, m.profile) for m, label in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_evidence_of_random_labels_is_scaled_down(seed: int) -> None:
    noise = shuffled_labels(PANEL, seed)
    assert (fit_calibration(noise, stacked(noise), PERSONAS).evidence_scale or 0.0) < 0.5
    assert (fit_calibration(PANEL, stacked(PANEL), PERSONAS).evidence_scale or 0.0) > 0.9


def test_evidence_of_few_labels_is_scaled_down_without_a_calibration() -> None:
    few = PANEL[: MIN_PANEL - 1]
    sums = stacked(few)
    assert fit_calibration(few, sums, PERSONAS).derive_weights(sums, PERSONAS).evidence_scale < 0.05


def test_a_panel_of_one_persona_keeps_the_default_gains() -> None:
    alike = [member for member in customers(5 * MIN_PANEL) if member.label == "parent"]
    assert len(alike) >= MIN_PANEL
    assert fit_calibration(alike, stacked(alike), PERSONAS) == Calibration()


def test_members_of_unknown_personas_do_not_count() -> None:
    strangers = [Member(m.key + 1, m.fold, "stranger", m.profile) for m in PANEL]
    sums = stacked(PANEL)
    assert fit_calibration(strangers, sums, PERSONAS) == Calibration()
    both = fit_calibration([*PANEL, *strangers], sums, PERSONAS)
    assert both == fit_calibration(PANEL, sums, PERSONAS)


def views_of_fold(members: Sequence[Member], sums: Stacked, fold: int) -> bytes:
    own = [member for member in members if member.fold == fold]
    return cross_fit(anew(own), sums, PERSONAS).views.tobytes()


@pytest.mark.parametrize("fold", range(FOLDS))
def test_own_labels_do_not_enter_the_scores_of_their_customers(fold: int) -> None:
    relabelled = [
        Member(m.key, m.fold, "gamer" if m.fold == fold else m.label, m.profile) for m in PANEL
    ]
    before, after = stacked(PANEL), stacked(relabelled)
    assert views_of_fold(PANEL, before, fold) == views_of_fold(PANEL, after, fold)
    other = (fold + 1) % FOLDS
    assert views_of_fold(PANEL, before, other) != views_of_fold(PANEL, after, other)


def loss(scores: CrossFit, gains: Gains, log_prior: np.ndarray) -> float:
    p = compute_posterior(scores, gains, log_prior)
    return float(-(scores.weights * np.log(p[np.arange(len(p)), scores.labels])).sum())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fitted_gains_are_no_worse_than_the_default_ones_on_the_panel(seed: int) -> None:
    panel = customers(seed=seed)
    sums = stacked(panel)
    scores, log_prior = cross_fit(panel, sums, PERSONAS), derive_from(sums, PERSONAS).log_prior
    fitted = fit_calibration(panel, sums, PERSONAS).gains
    assert fitted is not None
    assert (
        loss(scores, fitted, log_prior)
        <= loss(scores, Gains.default(len(PERSONAS)), log_prior) + 1e-3
    )


def test_cross_fitted_confidence_means_what_it_says() -> None:
    panel = customers(400)
    sums = stacked(panel)
    scores, log_prior = cross_fit(panel, sums, PERSONAS), derive_from(sums, PERSONAS).log_prior
    found = fit_calibration(panel, sums, PERSONAS)
    assert found.gains is not None
    assert found.confidence is not None
    p = compute_posterior(scores, found.gains, log_prior, found.evidence_scale or 0.0)
    said = found.confidence.apply(p, scores.events).max(axis=1)
    right = p.argmax(axis=1) == scores.labels
    assert said.mean() == pytest.approx(right.mean(), abs=0.04)
