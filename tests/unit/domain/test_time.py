"""A number's size shows the unit of the time that it is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.time import END, as_field, parse_number, to_milliseconds

#: 2025-11-24, 16:00 UTC.
SECONDS = 1_764_000_000


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (SECONDS, SECONDS * 1_000),
        (SECONDS * 1_000, SECONDS * 1_000),
        (SECONDS * 1_000_000, SECONDS * 1_000),
        (SECONDS * 1_000_000_000, SECONDS * 1_000),
        (SECONDS + 0.123, SECONDS * 1_000 + 123),
        (SECONDS + 0.9996, SECONDS * 1_000 + 999),
        (SECONDS * 1_000.0 + 0.9, SECONDS * 1_000),
        (SECONDS * 1_000_000 + 999, SECONDS * 1_000),
        (SECONDS * 1_000_000_000 + 999_999, SECONDS * 1_000),
        (float(SECONDS * 10**9), SECONDS * 1_000),
        (0, 0),
        (-0.0, 0),
        (1, 1_000),
        (0.001, 1),
        # --- where one unit ends and the next begins ---
        (10**11 - 1, (10**11 - 1) * 1_000),
        (10**11, 10**11),
        (10**14 - 1, 10**14 - 1),
        (10**14, 10**11),
        (10**17 - 1, 10**14 - 1),
        (10**17, 10**11),
        (END * 1_000_000 - 1, END - 1),
    ],
)
def test_a_number_is_a_time_by_its_size(number: float, expected: int) -> None:
    assert parse_number(number) == expected


@pytest.mark.parametrize(
    "number",
    [-1, -0.001, float("nan"), float("inf"), -float("inf"), END * 1_000_000, 1e300, 10**400],
)
def test_a_number_before_1970_or_after_9999_is_no_time(number: float) -> None:
    with pytest.raises(ValueError, match="before 1970 or after 9999"):
        parse_number(number)


@given(st.integers(0, END - 1))
def test_one_moment_is_the_same_in_every_form(at: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    assert to_milliseconds(as_field(moment)) == at
    assert parse_number(at * 1_000_000) == at if at >= 10**11 else True
    assert parse_number(at // 1_000) == at // 1_000 * 1_000 if at < 10**14 else True


@given(st.integers(0, 10**20) | st.floats(0, 2.5e20))
def test_a_number_as_events_hold_it_is_read_as_the_same_again(number: float) -> None:
    held = as_field(number)
    assert to_milliseconds(held) == parse_number(number)
    assert as_field(held) == held


def test_a_moment_before_1970_or_after_9999_is_none_of_an_event() -> None:
    offset = timedelta(hours=14)
    early = datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=1)
    late = datetime.max.replace(tzinfo=UTC) - offset
    assert as_field(late) == late
    for moment in (early, datetime.fromisoformat("9999-12-31T23:59:59-14:00")):
        with pytest.raises(ValueError, match="before 1970"):
            as_field(moment)
