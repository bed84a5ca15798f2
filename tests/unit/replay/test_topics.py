"""A range of topics is resolved, for each partition, to the offsets that are read."""

import pytest
from aiokafka import TopicPartition

from stream_persona.replay.topics import Range, resolve

ONE, TWO = TopicPartition("browses", 0), TopicPartition("purchases", 3)
BEGINNINGS, ENDS = {ONE: 5, TWO: 0}, {ONE: 20, TWO: 8}


def resolved(
    span: Range, by_time: dict[int, dict[TopicPartition, int]] | None = None
) -> list[range]:
    """The offsets of both partitions."""
    found = resolve(span, BEGINNINGS, ENDS, by_time or {})
    return [found[ONE], found[TWO]]


def test_a_range_without_bounds_is_all_that_the_logs_hold() -> None:
    assert resolved(Range()) == [range(5, 20), range(8)]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Range(from_offset=7), [range(7, 20), range(7, 8)]),
        (Range(from_offset=2), [range(5, 20), range(2, 8)]),
        (Range(to_offset=7), [range(5, 7), range(7)]),
        (Range(to_offset=100), [range(5, 20), range(8)]),
        (Range(from_offset=6, to_offset=7), [range(6, 7), range(6, 7)]),
    ],
)
def test_offsets_bound_each_partition_within_what_its_log_holds(
    span: Range, expected: list[range]
) -> None:
    assert resolved(span) == expected


def test_times_bound_each_partition_by_its_own_arrivals() -> None:
    by_time = {100: {ONE: 9, TWO: 1}, 200: {ONE: 15, TWO: 4}}
    assert resolved(Range(from_time=100, to_time=200), by_time) == [range(9, 15), range(1, 4)]


def test_a_time_after_the_last_arrival_is_the_end_of_the_log() -> None:
    assert resolved(Range(from_time=100), {100: {ONE: 9}}) == [range(9, 20), range(8, 8)]
    assert resolved(Range(to_time=100), {100: {ONE: 9}}) == [range(5, 9), range(8)]


def test_the_narrower_one_of_an_offset_and_a_time_bounds() -> None:
    by_time = {100: {ONE: 9, TWO: 1}}
    assert resolved(Range(from_offset=12, from_time=100), by_time)[0] == range(12, 20)
    assert resolved(Range(to_offset=12, to_time=100), by_time)[0] == range(5, 9)


@pytest.mark.parametrize("span", [Range(from_offset=50), Range(to_offset=3), Range(3, None, 1)])
def test_a_range_that_holds_nothing_of_a_partition_is_empty(span: Range) -> None:
    assert not resolved(span)[0]
