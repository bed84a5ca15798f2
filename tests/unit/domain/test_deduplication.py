from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.deduplication import (
    KNOWN_HOURS,
    MAX_RECENT,
    count_ids,
    from_former,
    hash_id,
    knows_id,
    with_id,
)
from tests.support.constants import DAY, HOUR, NOW

WEEK = KNOWN_HOURS * HOUR


def ids(*arrivals: tuple[str, int | None]) -> bytes:
    recent = b""
    for name, arrived_at in arrivals:
        recent = with_id(recent, hash_id(name), arrived_at)
    return recent


def test_event_ids_are_hashed_alike_everywhere() -> None:
    assert hash_id("e-1") == hash_id("e-1") != hash_id("e-2")
    assert len(hash_id("")) == 4


def test_an_id_is_known_for_seven_days_of_arrival() -> None:
    recent = ids(("a", NOW), ("b", NOW + 6 * DAY))
    assert knows_id(recent, hash_id("a"), NOW + WEEK)
    assert not knows_id(recent, hash_id("a"), NOW + WEEK + HOUR)
    assert knows_id(recent, hash_id("b"), NOW + WEEK + HOUR)


def test_an_id_is_forgotten_with_the_next_one_that_comes_after_seven_days() -> None:
    recent = ids(("a", NOW), ("b", NOW + DAY), ("c", NOW + WEEK + HOUR))
    assert recent == ids(("b", NOW + DAY), ("c", NOW + WEEK + HOUR))


def test_an_id_without_an_arrival_is_known_until_the_number_is_reached() -> None:
    recent = ids(("a", None), ("b", NOW), ("c", NOW + 100 * DAY))
    assert knows_id(recent, hash_id("a"), NOW + 200 * DAY)
    assert knows_id(recent, hash_id("b"), None)


def test_the_oldest_id_makes_room_for_a_new_one() -> None:
    recent = ids(*((str(i), NOW + i * HOUR // 3) for i in range(MAX_RECENT + 1)))
    known = [knows_id(recent, hash_id(str(i)), NOW + DAY) for i in range(MAX_RECENT + 1)]
    assert known == [False] + [True] * MAX_RECENT


def test_an_id_is_not_found_across_two_others() -> None:
    first, second = hash_id("a"), hash_id("b")
    recent = with_id(with_id(b"", first, NOW), second, NOW)
    assert not knows_id(recent, first[2:] + second[:2], NOW)
    assert not knows_id(recent, recent[-4:], NOW)


@given(
    st.integers(0, MAX_RECENT + 2),
    st.integers(1, 5 * HOUR),
    st.lists(st.tuples(st.integers(0, 200), st.none() | st.integers(0, 12 * DAY)), max_size=300),
)
def test_ids_are_known_as_a_list_of_the_last_ones_would_know_them(
    begun: int, step: int, arrivals: list[tuple[int, int | None]]
) -> None:
    recent, plain = b"", list[tuple[int, int | None]]()
    # Some come first at a steady pace: with any others hardly a run would reach the number.
    for number, arrived_at in [*((n, n * step) for n in range(begun)), *arrivals]:
        if arrived_at is not None:
            oldest = arrived_at // HOUR - KNOWN_HOURS
            while plain and plain[0][1] is not None and plain[0][1] // HOUR < oldest:
                plain.pop(0)
        known = number in [each for each, _ in plain]
        assert knows_id(recent, hash_id(str(number)), arrived_at) == known
        if not known:
            plain = [*plain, (number, arrived_at)][-MAX_RECENT:]
            recent = with_id(recent, hash_id(str(number)), arrived_at)
        assert count_ids(recent) == len(plain)


def test_ids_of_earlier_records_are_known() -> None:
    former = int.from_bytes(hash_id("a"), "little"), -5, int.from_bytes(hash_id("b"), "little"), NOW
    recent = from_former(former)
    assert knows_id(recent, hash_id("b"), NOW + DAY)
    assert not knows_id(recent, hash_id("a"), NOW + DAY)
