"""Pseudo-histories: pure functions of a record, and no more than a part of it."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.features import Profiles
from stream_persona.domain.slots import SLOTS
from stream_persona.model.calibration_panel import (
    FIRST_FACTOR,
    HISTORIES,
    HISTORY_FACTOR,
    Member,
    draw_histories,
)
from stream_persona.model.statistics import FOLDS
from tests.support.examples import count_examples
from tests.support.panels import as_bytes, customer, customers

PANEL = customers()


def sizes_of(member: Member) -> list[int]:
    """The sizes of a member's pseudo-histories."""
    chosen = HISTORIES[member.key % len(HISTORIES)]
    return [size for size in chosen if size < member.profile.events[0]]


@given(st.integers(0, 2**64 - 1), st.floats(0.2, 900.0), st.integers(0, 2**32))
@hypothesis(max_examples=count_examples(30), deadline=None)
def test_pseudo_histories_are_a_pure_function_of_the_member(
    key: int, events: float, seed: int
) -> None:
    profile = customer(random.Random(seed), 0, max(events, 1.0))
    one, two = (Member(key, key % FOLDS, "parent", profile) for _ in range(2))
    drawn = [as_bytes(draw_histories(each)) for each in (one, two, one)]
    assert drawn[0] == drawn[1] == drawn[2]


def test_the_label_and_the_fold_do_not_enter_a_pseudo_history() -> None:
    profile = PANEL[0].profile
    one, two = Member(7, 2, "parent", profile), Member(7, 4, "gamer", profile)
    assert as_bytes(draw_histories(one)) == as_bytes(draw_histories(two))


def test_customers_of_equal_profiles_have_histories_of_their_own() -> None:
    profile = customer(random.Random(1), 0, 200.0)
    one, two = (draw_histories(Member(key, 0, "parent", profile)) for key in (1, 2))
    assert as_bytes(one) != as_bytes(two)


@pytest.mark.parametrize("events", [0.5, 1.0, 2.5, 40.0, 700.0])
def test_the_last_history_is_the_whole_profile(events: float) -> None:
    profile = customer(random.Random(3), 1, max(events, 1.0))
    drawn = draw_histories(Member(5, 0, "student", profile))
    assert as_bytes(drawn.select_row(len(drawn) - 1)) == as_bytes(profile.select_row(0))


@pytest.mark.parametrize("key", range(len(HISTORIES)))
def test_a_small_part_of_a_record_stands_for_so_many_times_its_events(key: int) -> None:
    drawn = draw_histories(Member(key, 0, "student", customer(random.Random(3), 1, 40_000.0)))
    taken = [(FIRST_FACTOR if n == 1 else HISTORY_FACTOR) * n for n in HISTORIES[key]]
    assert drawn.events.tolist() == pytest.approx([*taken, 40_000.0], rel=0.03)


@pytest.mark.parametrize("key", range(len(HISTORIES)))
@pytest.mark.parametrize("events", [2.0, 31.0, 60.0, 301.0])
def test_no_part_of_a_record_stands_for_more_events_than_the_record_has(
    events: float, key: int
) -> None:
    member = Member(key, 0, "student", customer(random.Random(3), 1, events))
    drawn = draw_histories(member)
    assert (np.diff(drawn.events) > 0).all()
    assert (drawn.events[:-1] >= sizes_of(member)).all()


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_token_that_has_decayed_to_nothing_is_in_no_history(place: int) -> None:
    profile = customer(random.Random(3), 1, 400.0)
    shares = profile.shares.copy()
    gone = profile.slots[1:][place]
    shares[1:][place] = 0.0
    decayed = replace(profile, shares=shares)
    for key in range(len(HISTORIES)):
        drawn, before = (
            draw_histories(Member(key, 0, "student", each)) for each in (decayed, profile)
        )
        for row in range(len(drawn) - 1):
            kept = before.select_row(row).slots != gone
            assert (
                drawn.select_row(row).slots.tolist() == before.select_row(row).slots[kept].tolist()
            )
            assert (
                drawn.select_row(row).shares.tolist()
                == before.select_row(row).shares[kept].tolist()
            )


def test_a_record_of_which_nothing_is_left_has_empty_histories() -> None:
    profile = customer(random.Random(3), 1, 400.0)
    nothing = replace(profile, shares=np.where(profile.slots == 0, profile.shares, 0.0))
    drawn = draw_histories(Member(1, 0, "student", nothing))
    assert [drawn.select_row(row).slots.tolist() for row in range(len(drawn) - 1)] == [[0], [0]]


def counts(drawn: Profiles, row: int, size: float) -> np.ndarray:
    one = drawn.select_row(row)
    found = np.zeros(SLOTS)
    found[one.slots[1:]] = one.shares[1:] * size
    return found


@pytest.mark.parametrize("member", PANEL[:20])
def test_a_longer_history_holds_the_shorter_ones(member: Member) -> None:
    sizes = [*sizes_of(member), float(member.profile.events[0])]
    drawn = draw_histories(member)
    held = [counts(drawn, row, size) for row, size in enumerate(sizes)]
    for shorter, longer in itertools.pairwise(held[:-1]):
        assert (shorter <= longer + 1e-9).all()
    # The last unit of a decayed count is a fraction in the whole, and one drawn or not before.
    assert all((part <= np.ceil(held[-1] - 1e-9) + 1e-9).all() for part in held)


def test_a_history_has_about_as_many_tokens_as_events_left_of_it() -> None:
    profile = customer(random.Random(3), 1, 400.0)
    members = [Member(len(HISTORIES) * key, 0, "student", profile) for key in range(200)]
    totals = [counts(draw_histories(member), 1, 30.0).sum() for member in members]
    assert np.mean(totals) == pytest.approx(2 * 30, rel=0.03)
