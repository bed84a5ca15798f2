"""A report tells what ids and times of messages are."""

from __future__ import annotations

import pytest

from stream_persona.domain.events import encode
from stream_persona.inspection.report import make_report
from stream_persona.inspection.sample import InputSample, SampledMessage
from tests.support.constants import DAY, HOUR, MINUTE, NOW
from tests.support.events import shop
from tests.support.inspection import TOPICS, order, report_on, suggested


def test_ids_of_nobody_and_ids_that_are_one_are_counted() -> None:
    ids = ["undefined", "GUEST", "", " ", None, "anna", "Anna", "anna ", "a@b.example", 17]
    ids += ["00000000-0000-0000-0000-000000000000"]
    report = report_on(*(order(n, customer_id=each) for n, each in enumerate(ids)))
    assert sum(report["ids"]["nobody"].values()) == 6
    assert report["ids"]["colliding"]["examples"] == [["Anna", "anna", "anna "]]
    assert report["ids"]["e_mail_addresses"] == {"ids": 1, "messages": 1}
    assert report["ids"]["not_texts"] == 1
    assert suggested(report, "stand for nobody")["concerns"] == 6
    assert suggested(report, "in one way")["concerns"] == 3
    assert suggested(report, "trim customer_id")["concerns"] == 1
    assert "STREAM_PERSONA_NOBODY_IDS" in suggested(report, "stand for nobody")["suggestion"]


def test_ids_under_a_foreign_name_are_looked_at_too() -> None:
    report = report_on(order(customer_id=..., user_id="guest"), order(customer_id=..., user_id="a"))
    assert report["ids"]["nobody"] == {"guest": 1}
    assert report["ids"]["customers"] == 1


def test_one_customer_of_very_many_messages_is_told() -> None:
    bot = [order(n, customer_id="bot") for n in range(60)]
    report = report_on(*bot, *(order(n) for n in range(100, 200)))
    assert suggested(report, "'bot' is 38%")["concerns"] == 60
    few = report_on(*(order(n, customer_id=f"c{n % 3}") for n in range(30)))
    assert not [each for each in few["suggestions"] if each["where"] == "setting"]


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("2025-11-24T16:00:00Z", "RFC 3339"), ("2025-11-24 16:00:00+01:00", "RFC 3339"),
        ("2025-11-24 16:00:00", "local time without a zone"),
        ("2025-11-24", "date without a time"), ("1764000000", "epoch number in a text"),
        (1_764_000_000, "epoch seconds"), (1_764_000_000.5, "epoch seconds"),
        (NOW, "epoch milliseconds"), (NOW * 1_000, "epoch microseconds"),
        (NOW * 1_000_000, "epoch nanoseconds"), ("yesterday", "no time"), (-5, "no time"),
    ],
)  # fmt: skip
def test_units_of_time_are_told(value: object, unit: str) -> None:
    times = report_on(order(occurred_at=value))["times"]["fields"]["occurred_at"]
    assert times["units"] == {unit: 1}
    assert "line 1" in times["examples"][unit]


def test_numbers_of_another_unit_are_read_as_such() -> None:
    report = report_on(*(order(n, occurred_at=NOW // 1_000 + n) for n in range(3)))
    help_ = suggested(report, "occurred_at: numbers are epoch seconds, and read as such")
    assert (help_["where"], help_["concerns"]) == ("as it is", 3)
    assert report["times"]["first"] == NOW


def test_times_that_cannot_be_are_counted() -> None:
    report = report_on(order(1), order(2, occurred_at="2045-01-01T00:00:00Z"),
                       order(3, occurred_at=0))  # fmt: skip
    assert report["times"]["in_the_future"] == {"messages": 1, "example": "line 2"}
    assert report["times"]["before_2000"] == {"messages": 1, "example": "line 3"}
    assert suggested(report, "lie in the future")["concerns"] == 1


def test_skew_is_against_the_brokers_clock_and_lateness_within_a_partition() -> None:
    ahead = report_on(order(occurred_at=NOW + 2 * HOUR), arrived_at=NOW)
    assert ahead["times"]["behind_arrival_ms"]["ahead"] == 1
    assert suggested(ahead, "ahead of the broker's")["concerns"] == 1
    unknown = report_on(order(occurred_at=NOW + 2 * HOUR), sent_at=NOW)
    assert unknown["times"]["behind_arrival_ms"] == {"messages": 0, "ahead": 0}
    late = report_on(order(1, occurred_at=NOW), order(2, occurred_at=NOW - DAY))
    assert late["times"]["late_ms"]["most"] == DAY
    assert suggested(late, "hours after newer ones")["concerns"] == 1


def test_retries_ids_of_sessions_and_edited_orders_are_told_apart() -> None:
    retry = order(1, customer_id="a")
    session = [order(n, customer_id="b", event_id="session") for n in range(10)]
    edited = [order(n, customer_id="c", order_id="O-1") for n in range(20, 25)]
    sent = [(retry, 0), (retry, 5 * MINUTE), *((each, 0) for each in [*session, *edited])]
    messages = [SampledMessage(encode(each), "1", sent_at=NOW + after) for each, after in sent]
    report = make_report(InputSample("orders", messages, 0), shop(), TOPICS, 8, NOW)
    repeats = report["repeats"]
    assert (repeats["retries"]["messages"], repeats["retries"]["after_ms"]["most"]) == (
        1, 5 * MINUTE,
    )  # fmt: skip
    assert repeats["ids_of_many_events"] == {"ids": 1, "messages": 10, "examples": ["session"]}
    assert repeats["edited_orders"] == {"orders": 1, "messages": 5, "examples": ["O-1"]}
    assert suggested(report, "an event_id of its own")["concerns"] == 10
