"""The events of a customer that count, and their weights: the answer without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.api import activity
from stream_persona.api.activity import answer_activity, summarize
from stream_persona.api.customer_log import CustomerMessages
from stream_persona.domain.events import (
    Browse,
    Engagement,
    Event,
    Item,
    Purchase,
    encode,
)
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.pipeline.process import Delivery
from tests.support.constants import DAY, HOUR, NOW, SECOND
from tests.support.events import (
    assignment,
    browse,
    deletion,
    engagement,
    purchase,
    quick_shop,
    shop,
)
from tests.support.processing import process_batch, record_of
from tests.support.workers import fetch, raw, worker_settings

SHOP = shop()
SETTINGS = worker_settings()


def ask(
    *happened: Event,
    taxonomy: Taxonomy = SHOP,
    record: Record | None = None,
    found: Sequence[ConsumerRecord] | None = None,
    complete: bool = True,
) -> dict[str, Any]:
    """The answer for the one customer of these events; the log holds ``found``, else all."""
    record = record or record_of(*happened, taxonomy=taxonomy)
    events = fetch(*happened) if found is None else found
    return answer_activity(
        "c", record, CustomerMessages(tuple(events), (), complete), SETTINGS, taxonomy
    )


def ids(answered: dict[str, Any]) -> list[str]:
    return [event["event_id"] for event in answered["events"]]


def weights(answered: dict[str, Any]) -> dict[str, float]:
    return {event["event_id"]: event["weight"] for event in answered["events"]}


# --- weights ---


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Up to 40 events of all kinds, over some epochs of a quick shop."""
    made: list[Event] = []
    for number, ago in enumerate(draw(st.lists(st.integers(0, 9 * HOUR), min_size=1, max_size=40))):
        name, at = f"e{number}", NOW - ago
        match draw(st.integers(0, 3)):
            case 0:
                made.append(browse(name, at))
            case 1:
                made.append(engagement(name, at))
            case items:
                made.append(purchase(name, at, categories=["food"] * items))
    return made


@given(histories())
def test_the_shares_of_all_events_sum_to_1_also_over_the_ends_of_epochs(made: list[Event]) -> None:
    answered = ask(*made, taxonomy=quick_shop())
    assert len(answered["events"]) == len(made)
    assert sum(event["share"] for event in answered["events"]) == pytest.approx(1, abs=1e-9)
    evidence = compute_profiles(
        [record_of(*made, taxonomy=quick_shop()).counts], quick_shop().features
    )
    assert answered["evidence"] == evidence.events[0]


def test_a_weight_is_the_signals_halved_with_each_half_life() -> None:
    answered = ask(
        purchase("new", NOW, categories=["food", "toys", "pets"]),
        purchase("old", NOW - 180 * DAY, categories=["food", "toys", "pets"]),
        browse("search", NOW),
        engagement("click", NOW),
    )
    expected = {"new": 3.0, "old": 1.5, "search": 0.25, "click": 0.5}
    assert weights(answered) == pytest.approx(expected, rel=0.02)
    assert answered["half_life_seconds"] == 180 * DAY / SECOND
    assert answered["clock"] == NOW


def test_an_event_of_sixteen_half_lives_and_an_epoch_ago_weighs_nothing() -> None:
    answered = ask(purchase("new", NOW), purchase("old", NOW - 9 * HOUR), taxonomy=quick_shop())
    assert weights(answered) == {"new": pytest.approx(1.0), "old": 0.0}
    assert answered["events"][1]["share"] == 0.0


def test_a_signal_without_weight_is_shown_with_none() -> None:
    answered = ask(purchase("e1"), browse("e2", NOW - 1), taxonomy=shop(signals={"search": 0.0}))
    assert weights(answered) == {"e1": pytest.approx(1.0), "e2": 0.0}


# --- which events ---


def test_events_come_newest_first_whatever_their_topic() -> None:
    answered = ask(
        purchase("e1", NOW), browse("e4", NOW + 3), browse("e2", NOW + 1), engagement("e3", NOW + 2)
    )
    assert ids(answered) == ["e4", "e3", "e2", "e1"]
    assert [event["kind"] for event in answered["events"]] == [
        "browse", "engagement", "browse", "purchase"
    ]  # fmt: skip
    assert [event["occurred_at"] for event in answered["events"]] == [
        NOW + 3, NOW + 2, NOW + 1, NOW
    ]  # fmt: skip


def test_events_that_no_worker_has_applied_yet_are_left_out() -> None:
    early, late = purchase("e1"), purchase("e2", NOW + 1)
    answered = ask(record=record_of(early, taxonomy=SHOP), found=fetch(early, late))
    assert ids(answered) == ["e1"]


def test_events_before_a_deletion_are_left_out() -> None:
    old, gone, new = purchase("e1", NOW), deletion("d", NOW + 1), purchase("e2", NOW + 2 * DAY)
    answered = ask(old, gone, new, found=fetch(old, new))
    assert ids(answered) == ["e2"]
    assert answered["events"][0]["share"] == pytest.approx(1.0)


def test_an_event_that_a_producer_has_sent_twice_counts_once() -> None:
    answered = ask(purchase("e1"), purchase("e1"), purchase("e1", NOW + HOUR))
    assert ids(answered) == ["e1"]
    assert sum(event["share"] for event in answered["events"]) == pytest.approx(1, abs=1e-9)


def test_a_time_that_is_far_ahead_is_that_of_the_arrival_as_in_the_record() -> None:
    ahead = purchase("e1", NOW + 400 * DAY)
    message = raw("purchases", encode(ahead), at=NOW)
    record = process_batch([Delivery.of(ahead, 0, 0, 0, NOW)], SHOP).records["c"]
    answered = ask(record=record, found=[message])
    assert answered["events"][0]["occurred_at"] == answered["clock"] == NOW
    assert answered["events"][0]["share"] == pytest.approx(1.0)


def test_a_rerouted_event_counts_at_the_place_where_it_first_came_in() -> None:
    event = purchase("e1")
    headers = (
        ("topic", SETTINGS.topic_purchases.encode()), ("partition", b"3"), ("offset", b"7"),
        ("timestamp", str(NOW).encode()),
    )  # fmt: skip
    rerouted = raw(SETTINGS.topic_reroutes, encode(event), offset=99, headers=headers)
    record = process_batch([Delivery.of(event, 0, 3, 7, NOW)], SHOP).records["c"]
    assert ids(ask(record=record, found=[rerouted])) == ["e1"]
    not_yet = process_batch([Delivery.of(event, 0, 3, 6, NOW)], SHOP).records["c"]
    assert ids(ask(record=not_yet, found=[rerouted])) == []


def test_a_reroute_and_its_original_are_one_event() -> None:
    event = purchase("e1")
    headers = (
        ("topic", SETTINGS.topic_purchases.encode()), ("partition", b"0"), ("offset", b"0"),
        ("timestamp", str(NOW).encode()),
    )  # fmt: skip
    twice = [*fetch(event), raw(SETTINGS.topic_reroutes, encode(event), headers=headers)]
    assert ids(ask(event, found=twice)) == ["e1"]


def test_messages_that_are_no_event_of_the_customer_are_left_out() -> None:
    mine, other = purchase("e1"), purchase("e2", customer="somebody-else")
    unreadable = raw(SETTINGS.topic_purchases, b"{", offset=2)
    orphaned = raw(SETTINGS.topic_reroutes, encode(mine))
    found = [*fetch(mine, other), unreadable, orphaned]
    record = replace(record_of(mine, taxonomy=SHOP), positions={0: 9, 1: 9, 2: 9})
    assert ids(ask(record=record, found=found)) == ["e1"]


def test_the_newest_of_many_events_are_shown() -> None:
    made = [purchase(f"e{number}", NOW + number) for number in range(60)]
    answered = ask(*made)
    assert ids(answered) == [f"e{number}" for number in range(59, 9, -1)]
    assert not answered["complete"]
    assert ask(*made[:50])["complete"]
    assert not ask(*made[:50], complete=False)["complete"]


def test_a_customer_with_a_label_alone_has_no_events() -> None:
    answered = ask(assignment("a", NOW), found=[])
    assert (answered["clock"], answered["evidence"], answered["events"]) == (None, 0.0, [])
    assert [each["persona"] for each in answered["posteriors"]] == ["parent"]


# --- what an event is about ---


def test_a_purchase_is_about_its_categories_then_products_then_brands() -> None:
    item = Item("P-1", "baby/diapers", "Tiny", price=3.0, quantity=2.0)
    assert summarize(Purchase("e", "c", NOW, (item,)), "/") == [
        ("category", "baby/diapers"), ("product", "P-1"), ("brand", "Tiny")
    ]  # fmt: skip
    basket = [Item(f"P-{n}", category, "B") for n, category in enumerate("abacdae")]
    assert summarize(Purchase("e", "c", NOW, tuple(basket)), "/") == [
        ("category", "a"), ("category", "b"), ("category", "c"), ("category", "d")
    ]  # fmt: skip
    assert summarize(Purchase("e", "c", NOW, (Item("P-1"),)), "/") == [("product", "P-1")]


def test_a_category_is_shown_at_its_most_specific_level_that_is_read() -> None:
    item = Item("P-1", "a.b.c.d.e.f.g.h")
    assert summarize(Purchase("e", "c", NOW, (item,)), ".")[0] == ("category", "a.b.c.d.e.f")


def test_a_browse_is_about_its_action_and_the_search_or_the_item() -> None:
    assert summarize(Browse("e", "c", NOW, "search", query="Red Shoes"), "/") == [
        ("action", "search"), ("query", "Red Shoes")
    ]  # fmt: skip
    item = Item("P-1", "pets/dog", "Woof", price=3.0, attributes={"colour": "red"})
    assert summarize(Browse("e", "c", NOW, "view", item), "/") == [
        ("action", "view"), ("category", "pets/dog"), ("product", "P-1"), ("brand", "Woof")
    ]  # fmt: skip


def test_an_engagement_is_about_its_action_channel_and_campaign() -> None:
    assert summarize(Engagement("e", "c", NOW, "email", "click", "spring"), "/") == [
        ("action", "click"), ("channel", "email"), ("campaign", "spring")
    ]  # fmt: skip
    assert len(summarize(Engagement("e", "c", NOW, "email", "click"), "/")) == 2


def test_a_long_value_is_cut() -> None:
    long = Browse("e", "c", NOW, "search", query="x" * 1_000)
    value = ask(long)["events"][0]["about"][1]["value"]
    assert (len(value), value[-2:]) == (activity.MOST_SHOWN, "x…")
