"""A journey and synthetic shoppers, played in one event time."""

from collections.abc import Iterator

import pytest

from stream_persona.demo.playback import DAY, Playback
from stream_persona.demo.simulator import Simulator
from stream_persona.domain.events import PURCHASE, Purchase, get_event_time
from stream_persona.domain.taxonomy import find_shipped_path, load


class Days:
    """A journey with one purchase at the end of each day."""

    start, end = 0, 10 * DAY

    def generate_events_and_assignments(self) -> Iterator[tuple[int, Purchase]]:
        for day in range(1, 11):
            yield PURCHASE, Purchase(f"B-{day}", "HH-1", day * DAY, ())


def playback(speed: float, rate: float) -> Playback:
    taxonomy = load(find_shipped_path("complete-journey"))
    return Playback(Days(), Simulator(taxonomy), speed=speed, rate=rate)  # type: ignore[arg-type]


def test_the_speed_is_in_days_of_event_time_per_second() -> None:
    played = playback(speed=2.0, rate=0.0)
    assert [event.event_id for _, event in played.take_due(1.0)] == ["B-1", "B-2"]
    assert [event.event_id for _, event in played.take_due(1.5)] == ["B-3"]
    assert (played.days, played.is_over) == (3.0, False)


def test_every_event_is_due_once() -> None:
    played = playback(speed=1.0, rate=7.0)
    events = [event for i in range(1, 41) for _, event in played.take_due(i * 0.25)]
    synthetic = [event for event in events if event.customer_id.startswith("SIM-")]
    assert len(events) - len(synthetic) == 10
    assert len(synthetic) == 70
    assert len({event.event_id for event in events}) == 80
    assert played.is_over


def test_real_and_synthetic_events_come_in_one_event_time() -> None:
    played = playback(speed=1.0, rate=5.0)
    times = [get_event_time(event) for i in range(1, 6) for _, event in played.take_due(i * 2.0)]
    assert times == sorted(times)
    assert times[0] >= Days.start
    assert times[-1] <= Days.end


def test_synthetic_shoppers_go_on_when_the_journey_is_over() -> None:
    played = playback(speed=10.0, rate=5.0)
    list(played.take_due(1.0))
    assert played.is_over
    assert len(list(played.take_due(2.0))) == 5
    assert played.position == Days.end + 1_000, "time goes on as it does: none of it is to come"


class Clock:
    """A clock and a feeder of the test's: every batch takes a second."""

    waited_seconds = 0.0

    def __init__(self) -> None:
        self.now = 0.0
        self.sent = 0

    def __call__(self) -> float:
        return self.now

    async def send(self, kind: int, event: Purchase) -> None:
        self.sent += 1

    async def flush(self) -> None:
        self.now += 1.0


@pytest.mark.long
async def test_a_playback_ends_with_the_journey_or_at_its_bound() -> None:
    for until, sent in ((None, 10), (3.0, 2)):
        clock = Clock()
        taxonomy = load(find_shipped_path("complete-journey"))
        played = Playback(Days(), Simulator(taxonomy), speed=1.0, rate=0.0, clock=clock)  # type: ignore[arg-type]
        await played.run(clock, until=until, endless=False)  # type: ignore[arg-type]
        assert clock.sent == sent


async def test_the_time_that_the_feeder_waited_does_not_count() -> None:
    clock = Clock()
    taxonomy = load(find_shipped_path("complete-journey"))
    played = Playback(Days(), Simulator(taxonomy), speed=1.0, rate=0.0, clock=clock)  # type: ignore[arg-type]

    async def wait() -> None:
        clock.now += 1.0
        clock.waited_seconds += 1.0 if clock.now < 6.0 else 0.0

    clock.flush = wait  # type: ignore[method-assign]
    await played.run(clock, until=8.0, endless=False)  # type: ignore[arg-type]
    assert clock.sent == 2
