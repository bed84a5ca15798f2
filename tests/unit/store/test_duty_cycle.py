"""Repeated work takes no more than its share of the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.store.duty_cycle import DutyCycle


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0.001, 1), st.lists(st.floats(0.001, 100), min_size=1, max_size=20))
def test_work_that_waits_until_it_is_due_takes_at_most_its_share(
    share: float, works: list[float]
) -> None:
    clock = Clock()
    cycle, worked = DutyCycle(share, clock), 0.0
    for seconds in works:
        assert cycle.is_due()
        clock.now += seconds
        worked += seconds
        cycle.record(seconds)
        clock.now += seconds * (1 / share - 1) + 1e-6 * seconds
    assert worked <= share * clock.now * (1 + 1e-5)


def test_short_work_is_not_repeated_before_the_least_time() -> None:
    clock = Clock()
    cycle = DutyCycle(0.5, clock, least_seconds=10)
    cycle.record(0.1)
    clock.now = 9.9
    assert not cycle.is_due()
    clock.now = 10.0
    assert cycle.is_due()


def test_the_seconds_left_are_those_until_work_is_due() -> None:
    clock = Clock()
    cycle = DutyCycle(0.25, clock)
    cycle.record(2.0)
    clock.now = 1.0
    assert cycle.compute_seconds_left() == 5.0
    clock.now = 7.0
    assert cycle.compute_seconds_left() == 0.0


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_a_share_that_cannot_be_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        DutyCycle(share, Clock())
