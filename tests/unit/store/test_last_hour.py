"""The last hours of several workers add up."""

from hypothesis import given
from hypothesis import strategies as st

from stream_persona.store.last_hour import HEAVIEST, LastHour, merge_hours

numbers = st.integers(1, 1_000)
named = st.dictionaries(st.sampled_from("abcd"), numbers)
hours = st.builds(
    LastHour,
    numbers, named, named,
    named.map(lambda found: list(found.items())),
    st.lists(st.tuples(numbers, numbers), max_size=3),
)  # fmt: skip


@given(st.lists(hours, max_size=4), st.randoms())
def test_the_order_of_workers_makes_no_difference(found: list[LastHour], rng: object) -> None:
    shuffled = found.copy()
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge_hours(shuffled) == merge_hours(found)


def test_counts_add_up_by_reason_and_customer() -> None:
    one = LastHour(10, {"retry": 2}, {"not_json": 1}, [("c", 7)], [(5, 3)])
    other = LastHour(5, {"retry": 1, "faded": 4}, {}, [("d", 8), ("c", 2)], [(1, 9)])
    assert merge_hours([one, other]) == LastHour(
        15, {"retry": 3, "faded": 4}, {"not_json": 1}, [("c", 9), ("d", 8)], [(1, 9), (5, 3)]
    )


def test_only_the_heaviest_of_all_are_kept() -> None:
    each = [LastHour(heaviest=[(f"{w}{n}", 10 * n + w) for n in range(HEAVIEST)]) for w in (0, 1)]
    kept = merge_hours(each).heaviest
    assert [name for name, _ in kept[:3]] == ["19", "09", "18"]
    assert len(kept) == HEAVIEST


def test_no_worker_has_read_nothing() -> None:
    assert merge_hours([]) == LastHour()
