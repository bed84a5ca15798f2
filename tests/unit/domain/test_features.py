import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.features import (
    EPOCH_BITS,
    GRANULES,
    Counts,
    compute_granule_weights,
    compute_profiles,
    find_granules,
    fold,
)
from stream_persona.domain.log_share import compute_log_share
from tests.support.constants import DAY, NOW
from tests.support.events import observation, quick_shop, shop
from tests.support.examples import count_examples

FEATURES = quick_shop().features
HALF_LIFE = FEATURES.half_life_ms
EPOCH = 16 * HALF_LIFE


def folded(*observed: tuple[int, list[tuple[int, int]]], start: Counts | None = None) -> Counts:
    observations = [observation(0, at, tokens) for at, tokens in observed]
    return fold([start or Counts.empty()], observations, FEATURES)[0]


def same(one: Counts, two: Counts) -> bool:
    return (
        (one.epoch, one.clock) == (two.epoch, two.clock)
        and one.keys.tobytes() == two.keys.tobytes()
        and one.values.tobytes() == two.values.tobytes()
    )


def share(counts: Counts, slot: int) -> float:
    seen = compute_profiles([counts], FEATURES)
    return float(seen.shares[seen.slots.tolist().index(slot)])


def test_granules_double_each_half_life_to_the_tables_precision() -> None:
    weights = compute_granule_weights().astype(object)
    assert len(weights) == 16 * GRANULES
    assert all(weights[GRANULES:] == 2 * weights[:-GRANULES])
    exact = 8 * np.exp2(np.arange(GRANULES) / GRANULES)
    assert np.abs(compute_granule_weights()[:GRANULES] - exact).max() <= 0.5
    assert weights[0] == 8


@given(st.integers(0, 200 * GRANULES))
def test_an_event_of_one_half_life_ago_weighs_half(ago: int) -> None:
    at = NOW - ago * HALF_LIFE // GRANULES
    counts = folded((at, [(0, 4), (7, 4)]), (at - HALF_LIFE, [(0, 4), (9, 4)]))
    if len(counts.keys) == 3:  # neither event has left the two epochs that are kept
        seen = compute_profiles([counts], FEATURES)
        assert float(seen.events[0]) == pytest.approx(1.5, rel=0.1)
        assert share(counts, 9) == pytest.approx(share(counts, 7) / 2, rel=0.12)


def test_an_event_weighs_one_at_its_own_time() -> None:
    for at in range(NOW, NOW + EPOCH, EPOCH // 50):
        seen = compute_profiles([folded((at, [(0, 4), (7, 4)]))], FEATURES)
        assert seen.events.tolist() == [1.0]
        assert seen.shares.tolist() == [1.0, 1.0]


def test_decay_composes() -> None:
    one = folded((NOW, [(0, 4), (7, 4)]), (NOW + HALF_LIFE, [(0, 4)]), (NOW + EPOCH, [(0, 4)]))
    two = folded((NOW, [(0, 4), (7, 4)]), (NOW + EPOCH, [(0, 4)]))
    ratio = Fraction(share(one, 7)) * Fraction(float(compute_profiles([one], FEATURES).events[0]))
    other = Fraction(share(two, 7)) * Fraction(float(compute_profiles([two], FEATURES).events[0]))
    assert float(ratio) == pytest.approx(float(other), rel=1e-12)


def test_recent_behaviour_counts_more() -> None:
    counts = folded((NOW, [(0, 4), (7, 4)]), (NOW + 3 * HALF_LIFE, [(0, 4), (9, 4)]))
    assert share(counts, 9) == pytest.approx(8 * share(counts, 7), rel=0.05)


def test_a_late_event_is_discounted_to_its_own_age_and_does_not_move_the_clock() -> None:
    early, late = (NOW - 2 * HALF_LIFE, [(0, 4), (7, 4)]), (NOW, [(0, 4), (9, 4)])
    counts = folded(early, start=folded(late))
    assert counts.clock == NOW
    assert same(counts, folded(late, start=folded(early)))


@pytest.mark.parametrize("epochs", [2, 3, 1_000])
def test_an_event_two_epochs_old_is_dropped_whenever_it_arrives(epochs: int) -> None:
    old, new = (NOW, [(0, 4), (7, 4)]), (NOW + epochs * EPOCH, [(0, 4), (9, 4)])
    assert same(folded(old, new), folded(new))
    assert same(folded(old, start=folded(new)), folded(new))
    assert same(folded(new, start=folded(old)), folded(new))


def test_an_epoch_boundary_is_crossed_without_a_jump() -> None:
    boundary = (
        int(find_granules(np.array(NOW), FEATURES) >> EPOCH_BITS) * EPOCH + FEATURES.origin_ms
    )
    before, after = boundary - 1, boundary + 1
    counts = folded((before, [(0, 4), (7, 4)]), (after, [(0, 4), (9, 4)]))
    assert share(counts, 7) == pytest.approx(share(counts, 9), rel=0.05)
    assert set((counts.keys >> 16).tolist()) == {0, 1}


TOKENS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 512)), max_size=6)
OBSERVED = st.lists(
    st.tuples(st.integers(NOW - 3 * EPOCH, NOW + EPOCH), TOKENS.map(lambda t: [(0, 4), *t])),
    max_size=12,
)


@given(OBSERVED, st.randoms(use_true_random=False))
def test_order_and_split_do_not_matter(
    observed: list[tuple[int, list[tuple[int, int]]]], rng: random.Random
) -> None:
    whole, rest = folded(*observed), rng.sample(observed, len(observed))
    counts, cut = Counts.empty(), rng.randint(0, len(rest))
    for part in (rest[:cut], rest[cut:]):
        counts = folded(*part, start=counts) if part else counts
    assert same(counts, whole) or not observed


@given(st.lists(OBSERVED.filter(bool), min_size=1, max_size=4))
def test_customers_of_one_batch_do_not_touch_each_other(
    many: list[list[tuple[int, list[tuple[int, int]]]]],
) -> None:
    observations = [observation(row, *o) for row, own in enumerate(many) for o in own]
    random.Random(1).shuffle(observations)
    together = fold([Counts.empty()] * len(many), observations, FEATURES)
    assert all(same(counts, folded(*own)) for counts, own in zip(together, many, strict=True))


def test_folding_leaves_its_input_as_it_was() -> None:
    counts = folded((NOW, [(0, 4), (7, 4)]))
    before = counts.values.tobytes(), counts.keys.tobytes(), counts.epoch, counts.clock
    folded((NOW + EPOCH, [(0, 4)]), (NOW, [(7, 4)]), start=counts)
    assert before == (counts.values.tobytes(), counts.keys.tobytes(), counts.epoch, counts.clock)


@pytest.mark.parametrize("at", [0, 1, 253_402_300_799_999])
@pytest.mark.parametrize("days", [0.0011, 3_650.0])
def test_any_time_fits_any_half_life(at: int, days: float) -> None:
    features = shop(features={"half_life_days": days}).features
    (counts,) = fold([Counts.empty()], [observation(0, at, [(0, 4), (3, 4)])], features)
    assert compute_profiles([counts], features).shares.tolist() == [1.0, 1.0]


def test_sums_stay_exact_for_a_million_baskets_of_a_thousand_items() -> None:
    at, weight = NOW // EPOCH * EPOCH + EPOCH - 1, 64 * 8 * 1_000
    one = folded((at, [(0, weight), (7, weight)]))
    assert int(one.values[0]) * 1_000_000 < 2**63


@given(st.floats(0, 64))
@hypothesis(max_examples=count_examples(300))
def test_log_share_is_the_logarithm(q: float) -> None:
    assert float(compute_log_share(np.array([q]))[0]) == pytest.approx(np.log1p(200 * q), abs=1e-6)


def test_log_share_is_monotone_and_the_same_alone_and_in_company() -> None:
    shares = np.linspace(0, 2, 100_001)
    logs = compute_log_share(shares)
    assert (np.diff(logs) >= 0).all()
    assert logs[0] == 0
    alone = [compute_log_share(shares[i : i + 1])[0] for i in range(0, len(shares), 997)]
    assert alone == logs[::997].tolist()


def test_no_customers_have_no_profiles() -> None:
    assert len(compute_profiles([], FEATURES)) == 0


def test_a_customer_without_events_has_an_empty_profile() -> None:
    counts = [Counts.empty(), folded((NOW, [(0, 4), (7, 4)])), Counts.empty()]
    seen = compute_profiles(counts, FEATURES)
    assert seen.events.tolist() == [0.0, 1.0, 0.0]
    assert seen.select_row(1).slots.tolist() == [0, 7]
    assert len(seen.select_row(2).slots) == 0


def test_a_far_event_ages_the_rest() -> None:
    counts = folded((NOW, [(0, 4), (7, 4)]), (NOW + 400 * DAY, [(0, 4), (9, 4)]))
    assert compute_profiles([counts], FEATURES).slots.tolist() == [0, 9]
