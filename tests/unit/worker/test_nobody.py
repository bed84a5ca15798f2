"""Messages of nobody make no shopper, and those that an earlier version made are forgotten."""

import json
from dataclasses import replace

import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import Event
from stream_persona.kafka.router import MessageRouter
from stream_persona.store.memory import MemoryTables
from tests.support.constants import NOW
from tests.support.events import (
    assignment,
    browse,
    deletion,
    engagement,
    labelled_shoppers,
    purchase,
)
from tests.support.one_worker import SHOP, good, left_by, stored
from tests.support.worker_runs import folded
from tests.support.workers import RecordingPublisher, fetch, settle, worker, worker_settings

NOBODY = (
    "",
    " ",
    "undefined",
    "NULL",
    "guest",
    "00000000-0000-0000-0000-000000000000",
    "\uff2eone",
)


def everything_of(customer: str) -> list[Event]:
    return [
        purchase("p", customer=customer), browse("b", customer=customer),
        engagement("e", customer=customer), assignment("a", customer=customer, persona="unheard"),
        deletion("d", customer=customer),
    ]  # fmt: skip


@pytest.mark.parametrize("customer", NOBODY)
def test_a_message_of_nobody_is_counted_and_nothing_else(customer: str) -> None:
    batch = fetch(*everything_of(customer))
    routed = MessageRouter(worker_settings(partitions=8), SHOP).route(batch)
    assert routed.anomalies == {Anomaly.NOBODY: 5}
    assert [*routed.deliveries, *routed.letters, *routed.reroutes, *routed.homes] == []


def test_a_message_of_nobody_that_cannot_be_read_is_a_letter() -> None:
    (message,) = fetch(purchase("p", customer="undefined"))
    broken = replace(message, value=b'{"customer_id": "undefined"}')
    routed = MessageRouter(worker_settings(), SHOP).route([broken])
    assert (routed.reasons, dict(routed.anomalies)) == (["invalid_field"], {})


def test_who_is_nobody_is_set() -> None:
    batch = fetch(*(purchase("p", customer=name) for name in (" Kiosk ", "guest")))
    router = MessageRouter(worker_settings(nobody_ids="kiosk"), SHOP)
    routed = router.route(batch)
    assert [each.event.customer_id for each in routed.deliveries] == ["guest"]
    assert routed.anomalies == {Anomaly.NOBODY: 1}


async def test_nobody_leaves_nothing_and_the_stream_goes_on() -> None:
    batches = [fetch(*everything_of(name), first=10 * i) for i, name in enumerate(NOBODY)]
    tables, outbox = await left_by(*batches, good())
    assert tables.states.keys() == {"good"}
    assert tables.markers == {}
    assert {message.key for message in outbox.messages} == {b"good"}


async def test_what_an_earlier_version_made_of_nobody_is_forgotten_by_a_thorough_sweep() -> None:
    shoppers = labelled_shoppers(SHOP)
    of_nobody = [
        purchase(f"n{i}", NOW + 10**12, customer="undefined", categories=["gamer"])
        for i in range(9)
    ]
    labels = [assignment("n", NOW + 10**12, customer="undefined", persona="gamer")]
    tables, outbox = MemoryTables(), RecordingPublisher()
    earlier = worker(tables, outbox, SHOP, worker_settings(nobody_ids="somebody else"))
    await earlier.assign([0])
    await earlier.process(fetch(*shoppers, *of_nobody, *labels))
    await settle(earlier)
    assert "undefined" in tables.public_records

    clean = MemoryTables()
    alone = worker(clean, RecordingPublisher(), SHOP)
    await alone.assign([0])
    await alone.process(fetch(*shoppers))
    await settle(alone)

    working = worker(tables, outbox, SHOP)
    await working.assign([0])
    await settle(working)
    while await working.sweep():
        pass
    await settle(working)
    assert "undefined" not in tables.states
    assert "undefined" not in tables.public_records
    left = folded(tables)
    assert {name: left[name] for name in folded(clean)} == folded(clean)
    assert working.weights.customers == alone.weights.customers
    (last,) = {m.value for m in outbox.messages[-200:] if m.key == b"undefined" and m.value is None}
    assert last is None
    assert all(json.loads(each)["customer_id"] for each in tables.public_records.values())


async def test_a_customer_whose_id_is_refused_by_now_is_forgotten_by_a_thorough_sweep() -> None:
    tables, _ = await left_by(good(customer="kept"), good(first=2_000, customer="spaced"))
    tables.states["spaced "] = record_codec.encode_records(
        {"spaced ": stored(tables, "spaced")}, SHOP.fingerprint
    )["spaced "]
    working = worker(tables, RecordingPublisher(), SHOP)
    await working.assign([0])
    while await working.sweep():
        pass
    assert tables.states.keys() == {"kept", "spaced"}
    assert tables.markers.keys() == {"spaced "}
