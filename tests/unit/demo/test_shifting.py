from datetime import UTC, datetime

from stream_persona.demo.shifting import find_shift, move
from stream_persona.domain.events import get_event_time
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, browse, deletion, purchase


def test_what_is_moved_ends_in_the_week_before_and_keeps_weekday_and_hour() -> None:
    end = NOW - 3_000 * DAY
    moved = end + find_shift(end, NOW)
    assert NOW - 7 * DAY < moved <= NOW
    before, after = (datetime.fromtimestamp(at / 1_000, UTC) for at in (end, moved))
    assert (before.weekday(), before.time()) == (after.weekday(), after.time())


def test_an_event_of_any_kind_is_moved_and_is_the_same_otherwise() -> None:
    for event in (purchase("p"), browse("b"), assignment("a"), deletion("d")):
        moved = move(event, 7 * DAY)
        assert get_event_time(moved) == NOW + 7 * DAY
        assert move(moved, -7 * DAY) == event
