import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.features import Profiles
from stream_persona.domain.slots import COARSE_SLOTS, SLOTS
from stream_persona.model.calibration import MIN_PANEL, Trial, calibrated, posterior, trial
from stream_persona.model.calibration_panel import HISTORIES, HISTORY_FACTORS, Member, histories
from stream_persona.model.classifier import profile_of
from stream_persona.model.estimator import derive_from
from stream_persona.model.statistics import FOLDS, Stacked, Sums, contribution
from stream_persona.model.weights import DEFAULT_GAINS
from tests.support.builders import PERSONAS

CUSTOMERS = 160
#: Coarse slots, and fine ones, of which each persona has its favourites.
COARSE = range(1, 61)
FINE = range(COARSE_SLOTS, COARSE_SLOTS + 200)


def customer(rng: random.Random, persona: int, events: float | None = None) -> Profiles:
    """A profile of one coarse and one fine token an event, a third of them the persona's own."""
    number = events or float(round(10 ** rng.uniform(0.3, 2.7)))
    x: dict[object, float] = {"events": number}
    for _, slots in itertools.product(range(round(number)), (COARSE, FINE)):
        own = slots[persona :: len(PERSONAS)]
        slot = rng.choice(own if rng.random() < 0.3 else slots)
        x[slot] = x.get(slot, 0.0) + number / round(number)
    return profile_of(x)


def customers(count: int = CUSTOMERS, seed: int = 1) -> list[Member]:
    rng = random.Random(seed)
    made = []
    for i in range(count):
        key, persona = rng.getrandbits(64), i % len(PERSONAS)
        profile = customer(rng, persona)
        made.append(Member(key, key % FOLDS, PERSONAS[persona], profile))
    return made


def anew(members: Sequence[Member]) -> list[Member]:
    """The same members, with nothing drawn yet."""
    return [Member(m.key, m.fold, m.label, m.profile) for m in members]


def summed(members: Sequence[Member]) -> Sums:
    sums = Sums()
    for member in members:
        sums.add(contribution(member.profile, member.fold), member.label)
    return sums


def stacked(members: Sequence[Member]) -> Stacked:
    return summed(members).stacked(PERSONAS)


def as_bytes(profiles: Profiles) -> tuple[bytes, ...]:
    arrays = (profiles.starts, profiles.middles, profiles.slots, profiles.shares, profiles.events)
    return tuple(array.tobytes() for array in arrays)


PANEL = customers()


# --- pseudo-histories ---


@given(st.integers(0, 2**64 - 1), st.floats(0.2, 900.0), st.integers(0, 2**32))
@hypothesis(max_examples=30, deadline=None)
def test_pseudo_histories_are_a_pure_function_of_the_member(
    key: int, events: float, seed: int
) -> None:
    profile = customer(random.Random(seed), 0, max(events, 1.0))
    one, two = (Member(key, key % FOLDS, "parent", profile) for _ in range(2))
    assert as_bytes(histories(one)) == as_bytes(histories(two)) == as_bytes(histories(one))


def test_the_label_and_the_fold_do_not_enter_a_pseudo_history() -> None:
    profile = PANEL[0].profile
    one, two = Member(7, 2, "parent", profile), Member(7, 4, "gamer", profile)
    assert as_bytes(histories(one)) == as_bytes(histories(two))


def test_customers_of_equal_profiles_have_histories_of_their_own() -> None:
    profile = customer(random.Random(1), 0, 200.0)
    one, two = (histories(Member(key, 0, "parent", profile)) for key in (1, 2))
    assert as_bytes(one) != as_bytes(two)


@pytest.mark.parametrize("events", [0.5, 1.0, 2.5, 40.0, 700.0])
def test_the_last_history_is_the_whole_profile(events: float) -> None:
    profile = customer(random.Random(3), 1, max(events, 1.0))
    drawn = histories(Member(5, 0, "student", profile))
    assert as_bytes(drawn.row(len(drawn) - 1)) == as_bytes(profile.row(0))


def test_a_small_part_of_a_record_stands_for_so_many_times_its_events() -> None:
    drawn = histories(Member(5, 0, "student", customer(random.Random(3), 1, 40_000.0)))
    taken = [f * size for f, size in zip(HISTORY_FACTORS, HISTORIES, strict=True)]
    assert drawn.events.tolist() == pytest.approx([*taken, 40_000.0], rel=0.03)


@pytest.mark.parametrize("events", [2.0, 31.0, 60.0, 301.0])
def test_no_part_of_a_record_stands_for_more_events_than_the_record_has(events: float) -> None:
    drawn = histories(Member(5, 0, "student", customer(random.Random(3), 1, events)))
    sizes = [size for size in HISTORIES if size < events]
    assert (np.diff(drawn.events) > 0).all()
    assert (drawn.events[:-1] >= sizes).all()


def counts(drawn: Profiles, row: int, size: float) -> np.ndarray:
    one = drawn.row(row)
    found = np.zeros(SLOTS)
    found[one.slots[1:]] = one.shares[1:] * size
    return found


@pytest.mark.parametrize("member", PANEL[:20])
def test_a_longer_history_holds_the_shorter_ones(member: Member) -> None:
    events = float(member.profile.events[0])
    sizes = [*(size for size in HISTORIES if size < events), events]
    drawn = histories(member)
    held = [counts(drawn, row, size) for row, size in enumerate(sizes)]
    for shorter, longer in itertools.pairwise(held[:-1]):
        assert (shorter <= longer + 1e-9).all()
    # The last unit of a decayed count is a fraction in the whole, and one drawn or not before.
    assert all((part <= np.ceil(held[-1] - 1e-9) + 1e-9).all() for part in held)


def test_a_history_has_about_as_many_tokens_as_events_left_of_it() -> None:
    profile = customer(random.Random(3), 1, 400.0)
    totals = [
        counts(histories(Member(key, 0, "student", profile)), 3, 30.0).sum() for key in range(200)
    ]
    assert np.mean(totals) == pytest.approx(2 * 30, rel=0.03)


# --- the fit ---


def test_calibration_does_not_depend_on_the_panels_order() -> None:
    sums, rng = stacked(PANEL), random.Random(1)
    expected = calibrated(PANEL, sums, PERSONAS)
    for _ in range(3):
        shuffled = anew(rng.sample(PANEL, len(PANEL)))
        assert calibrated(shuffled, sums, PERSONAS) == expected


def test_calibration_does_not_depend_on_the_split_of_the_sums() -> None:
    expected, rng = calibrated(PANEL, stacked(PANEL), PERSONAS), random.Random(2)
    for _ in range(3):
        shares: list[list[Member]] = [[], [], []]
        for member in rng.sample(PANEL, len(PANEL)):
            rng.choice(shares).append(member)
        total = Sums()
        for share in shares:
            total.merge(Sums.from_bytes(summed(share).to_bytes()))
        assert calibrated(anew(PANEL), total.stacked(PERSONAS), PERSONAS) == expected


def test_who_was_learned_and_unlearned_leaves_no_trace_in_the_calibration() -> None:
    sums = summed(PANEL)
    for guest in customers(40, seed=9):
        part = contribution(guest.profile, guest.fold)
        sums.add(part, guest.label)
        sums.add(part, guest.label, -1)
    found = calibrated(anew(PANEL), sums.stacked(PERSONAS), PERSONAS)
    assert found == calibrated(PANEL, stacked(PANEL), PERSONAS)


def test_a_panel_too_small_keeps_the_default_gains() -> None:
    few = PANEL[: MIN_PANEL - 1]
    assert calibrated(few, stacked(few), PERSONAS).gains == DEFAULT_GAINS
    assert calibrated([], stacked([]), PERSONAS).gains == DEFAULT_GAINS


def shuffled_labels(members: Sequence[Member], seed: int) -> list[Member]:
    labels = [member.label for member in members]
    random.Random(seed).shuffle(labels)
    pairs = zip(members, labels, strict=True)
    return [Member(m.key, m.fold, label, m.profile) for m, label in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_labels_that_mean_nothing_are_hardly_believed(seed: int) -> None:
    noise = shuffled_labels(PANEL, seed)
    assert (calibrated(noise, stacked(noise), PERSONAS).loudness or 0.0) < 0.5
    assert (calibrated(PANEL, stacked(PANEL), PERSONAS).loudness or 0.0) > 0.9


def test_a_few_labelled_customers_are_hardly_believed_without_a_calibration() -> None:
    few = PANEL[: MIN_PANEL - 1]
    assert calibrated(few, stacked(few), PERSONAS).weights(stacked(few), PERSONAS).loudness < 0.05


def test_a_panel_of_one_persona_keeps_the_default_gains() -> None:
    alike = [member for member in customers(5 * MIN_PANEL) if member.label == "parent"]
    assert len(alike) >= MIN_PANEL
    assert calibrated(alike, stacked(alike), PERSONAS).gains == DEFAULT_GAINS


def test_members_of_unknown_personas_do_not_count() -> None:
    strangers = [Member(m.key + 1, m.fold, "stranger", m.profile) for m in PANEL]
    sums = stacked(PANEL)
    assert calibrated(strangers, sums, PERSONAS).gains == DEFAULT_GAINS
    assert calibrated([*PANEL, *strangers], sums, PERSONAS) == calibrated(PANEL, sums, PERSONAS)


def views_of_fold(members: Sequence[Member], sums: Stacked, fold: int) -> bytes:
    own = [member for member in members if member.fold == fold]
    return trial(anew(own), sums, PERSONAS).views.tobytes()


@pytest.mark.parametrize("fold", range(FOLDS))
def test_own_labels_do_not_enter_the_trial_that_scores_their_customers(fold: int) -> None:
    relabelled = [
        Member(m.key, m.fold, "gamer" if m.fold == fold else m.label, m.profile) for m in PANEL
    ]
    before, after = stacked(PANEL), stacked(relabelled)
    assert views_of_fold(PANEL, before, fold) == views_of_fold(PANEL, after, fold)
    other = (fold + 1) % FOLDS
    assert views_of_fold(PANEL, before, other) != views_of_fold(PANEL, after, other)


def loss(scores: Trial, gains: Sequence[tuple[float, float]], log_prior: np.ndarray) -> float:
    p = posterior(scores, tuple(gains), log_prior)
    return float(-np.log(p[np.arange(len(scores.labels)), scores.labels]).mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fitted_gains_are_no_worse_than_the_default_ones_on_the_panel(seed: int) -> None:
    panel = customers(seed=seed)
    sums = stacked(panel)
    scores, log_prior = trial(panel, sums, PERSONAS), derive_from(sums, PERSONAS).log_prior
    fitted = calibrated(panel, sums, PERSONAS).gains
    assert loss(scores, fitted, log_prior) <= loss(scores, DEFAULT_GAINS, log_prior) + 1e-3


def test_cross_fitted_confidence_means_what_it_says() -> None:
    panel = customers(400)
    sums = stacked(panel)
    scores, log_prior = trial(panel, sums, PERSONAS), derive_from(sums, PERSONAS).log_prior
    p = posterior(scores, calibrated(panel, sums, PERSONAS).gains, log_prior)
    right = (p.argmax(axis=1) == scores.labels).mean()
    assert p.max(axis=1).mean() == pytest.approx(right, abs=0.04)
