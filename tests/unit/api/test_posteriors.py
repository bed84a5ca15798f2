"""The posteriors of a customer by the log of changes: the answer without a server."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from aiokafka import ConsumerRecord

from stream_persona.api.activity import answer_activity, select_posteriors
from stream_persona.api.customer_log import CustomerMessages
from stream_persona.domain.events import (
    Deletion,
    Event,
    get_event_time,
)
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.pipeline.process import Delivery
from stream_persona.settings import Settings
from tests.support.constants import DAY, HOUR, MINUTE, NOW
from tests.support.events import assignment, kind_of, purchase, shop
from tests.support.processing import process_batch
from tests.support.workers import raw, worker_settings

SHOP = shop()
SETTINGS = worker_settings()


def life(*happened: Event, taxonomy: Taxonomy = SHOP) -> tuple[Record, list[bytes | None]]:
    """The record after events that were processed one by one, and all that was published."""
    record, published = Record(), list[bytes | None]()
    for offset, event in enumerate(happened):
        at = get_event_time(event)
        delivery = Delivery.of(event, kind_of(event), 0, offset, at)
        outcome = process_batch([delivery], taxonomy, {"c": record}, now=at + MINUTE)
        record = outcome.records["c"]
        published += [message for _, message in outcome.messages]
    return record, published


def changes(messages: Sequence[bytes | None]) -> list[ConsumerRecord]:
    return [raw(SETTINGS.topic_changes, value, offset) for offset, value in enumerate(messages)]


def labelled(number: int) -> list[Event]:
    """Assignments that change the persona so often."""
    personas = [SHOP.names[n % 2] for n in range(number)]
    return [assignment(f"a{n}", NOW + n, persona=each) for n, each in enumerate(personas)]


def revisions(record: Record, messages: Sequence[bytes | None]) -> list[int]:
    return [each["revision"] for each in select_posteriors("c", record, changes(messages))]


def test_posteriors_come_oldest_first() -> None:
    record, published = life(purchase("e1", NOW), *labelled(3))
    found = select_posteriors("c", record, changes(published))
    assert [each["revision"] for each in found] == [1, 2, 3, 4]
    assert [each["persona"] for each in found] == [None, "parent", "student", "parent"]
    assert [each["cause"] for each in found] == ["behaviour", *["assignment"] * 3]
    assert [each["source"] for each in found] == ["predicted", *["assigned"] * 3]
    last = orjson.loads(published[-1] or b"")
    assert found[-1] == {
        "at": NOW + 2 + MINUTE, "revision": 4, "cause": "assignment", **last["current"]
    }  # fmt: skip


def test_the_records_own_posterior_is_shown_before_the_log_has_it() -> None:
    record, published = life(*labelled(3))
    assert revisions(record, published[:-1]) == revisions(record, published) == [1, 2, 3]
    assert revisions(record, []) == [3]


def test_a_change_that_was_published_twice_is_shown_once() -> None:
    record, published = life(*labelled(3))
    assert revisions(record, [*published[:2], *published]) == [1, 2, 3]
    assert revisions(record, [*published, published[1]]) == [1, 2, 3]


def test_a_shop_that_began_anew_under_another_prefix_shows_its_own_posteriors_alone() -> None:
    _, before = life(*labelled(5))
    record, published = life(purchase("e1", NOW + DAY), assignment("b", NOW + DAY))
    assert revisions(record, [*before, *published]) == [1, 2]
    assert revisions(record, [*before[3:], *published]) == [1, 2]


def test_a_tombstone_cuts_off_what_was_before_it() -> None:
    deleted = Deletion("d", "c", NOW + HOUR)
    record, published = life(*labelled(3), deleted, purchase("e1", NOW + DAY))
    assert published[-2] is None
    assert revisions(record, published) == [1]
    assert select_posteriors("c", record, changes(published))[0]["cause"] == "behaviour"


def test_posteriors_before_a_deletion_are_not_shown_while_its_tombstone_is_on_its_way() -> None:
    deleted = Deletion("d", "c", NOW + HOUR)
    _, before = life(*labelled(3))
    record, _ = life(*labelled(3), deleted, purchase("e1", NOW + DAY))
    for known in (before, before[:1]):
        (only,) = select_posteriors("c", record, changes(known))
        assert (only["revision"], only["persona"]) == (1, None)


def test_messages_that_are_no_change_are_left_out_and_of_many_the_newest_are_shown() -> None:
    record, published = life(*labelled(50))
    assert revisions(record, [b"{", b"\xff", b'{"revision": 3}', *published]) == list(range(11, 51))


@pytest.mark.parametrize(
    "strange",
    [{"cause": "whim"}, {"published_at": "2026-01-01T00:00:00"}, {"occurred_at": 0}, {"why": None}],
)
def test_a_message_that_no_worker_has_written_is_left_out(strange: dict[str, object]) -> None:
    record, published = life(purchase("e1", NOW), *labelled(2))
    whole = orjson.loads(published[1] or b"")
    doubted = [published[0], orjson.dumps(whole | strange), published[2]]
    assert revisions(record, published) == [1, 2, 3]
    assert revisions(record, doubted) == [1, 3]


def test_the_answer_has_the_posteriors_of_the_log() -> None:
    record, published = life(*labelled(2))
    found = CustomerMessages((), tuple(changes(published)))
    answered = answer_activity("c", record, found, Settings(_env_file=None), SHOP)
    assert [each["revision"] for each in answered["posteriors"]] == [1, 2]
