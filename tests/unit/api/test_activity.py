"""What a customer did, what of it counts, and what was said: the answer without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.api import activity
from stream_persona.api.activity import about, answer, posteriors
from stream_persona.api.customer_log import Found
from stream_persona.domain.events import (
    Browse,
    Deletion,
    Engagement,
    Event,
    Item,
    Purchase,
    encode,
    event_time,
)
from stream_persona.domain.features import profiles
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.pipeline.process import Delivery
from stream_persona.settings import Settings
from tests.support.builders import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    assignment,
    browse,
    deletion,
    engagement,
    fetched,
    kind_of,
    purchase,
    quick_shop,
    raw,
    record_of,
    shop,
    walked,
    worker_settings,
)

SHOP = shop()
SETTINGS = worker_settings()


def told(
    *happened: Event,
    taxonomy: Taxonomy = SHOP,
    record: Record | None = None,
    found: Sequence[ConsumerRecord] | None = None,
    complete: bool = True,
) -> dict[str, Any]:
    """The answer for the one customer of these events; the log holds ``found``, else all."""
    record = record or record_of(*happened, taxonomy=taxonomy)
    events = fetched(*happened) if found is None else found
    return answer("c", record, Found(tuple(events), (), complete), SETTINGS, taxonomy)


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
    answered = told(*made, taxonomy=quick_shop())
    assert len(answered["events"]) == len(made)
    assert sum(event["share"] for event in answered["events"]) == pytest.approx(1, abs=1e-9)
    evidence = profiles([record_of(*made, taxonomy=quick_shop()).counts], quick_shop().features)
    assert answered["evidence"] == evidence.events[0]


def test_a_weight_is_the_signals_halved_with_each_half_life() -> None:
    answered = told(
        purchase("new", NOW, categories=["food", "toys", "pets"]),
        purchase("old", NOW - 180 * DAY, categories=["food", "toys", "pets"]),
        browse("search", NOW),
        engagement("click", NOW),
    )
    expected = {"new": 3.0, "old": 1.5, "search": 0.25, "click": 0.5}
    assert weights(answered) == pytest.approx(expected, rel=0.02)
    assert answered["half_life_seconds"] == 180 * DAY / SECOND
    assert answered["clock"] == NOW


def test_what_is_sixteen_half_lives_and_an_epoch_old_weighs_nothing() -> None:
    answered = told(purchase("new", NOW), purchase("old", NOW - 9 * HOUR), taxonomy=quick_shop())
    assert weights(answered) == {"new": pytest.approx(1.0), "old": 0.0}
    assert answered["events"][1]["share"] == 0.0


def test_a_signal_without_weight_is_shown_with_none() -> None:
    answered = told(purchase("e1"), browse("e2", NOW - 1), taxonomy=shop(signals={"search": 0.0}))
    assert weights(answered) == {"e1": pytest.approx(1.0), "e2": 0.0}


# --- which events ---


def test_events_are_told_newest_first_whatever_topic_they_came_in_on() -> None:
    answered = told(
        purchase("e1", NOW), browse("e4", NOW + 3), browse("e2", NOW + 1), engagement("e3", NOW + 2)
    )
    assert ids(answered) == ["e4", "e3", "e2", "e1"]
    assert [event["kind"] for event in answered["events"]] == [
        "browse", "engagement", "browse", "purchase"
    ]  # fmt: skip
    assert [event["occurred_at"] for event in answered["events"]] == [
        NOW + 3, NOW + 2, NOW + 1, NOW
    ]  # fmt: skip


def test_what_no_worker_has_applied_yet_is_left_out() -> None:
    early, late = purchase("e1"), purchase("e2", NOW + 1)
    answered = told(record=record_of(early, taxonomy=SHOP), found=fetched(early, late))
    assert ids(answered) == ["e1"]


def test_what_a_deletion_has_forgotten_is_left_out() -> None:
    old, gone, new = purchase("e1", NOW), deletion("d", NOW + 1), purchase("e2", NOW + 2)
    answered = told(old, gone, new, found=fetched(old, new))
    assert ids(answered) == ["e2"]
    assert answered["events"][0]["share"] == pytest.approx(1.0)


def test_an_event_that_a_producer_has_sent_twice_counts_once() -> None:
    answered = told(purchase("e1"), purchase("e1"), purchase("e1", NOW + HOUR))
    assert ids(answered) == ["e1", "e1"]  # an hour later it is another one
    assert sum(event["share"] for event in answered["events"]) == pytest.approx(1, abs=1e-9)


def test_a_time_that_is_far_ahead_is_that_of_the_arrival_as_in_the_record() -> None:
    ahead = purchase("e1", NOW + 400 * DAY)
    (message,) = fetched(ahead)  # which arrived now
    record = walked([Delivery.of(ahead, 0, 0, 0, NOW)], SHOP).records["c"]
    answered = told(record=record, found=[message])
    assert answered["events"][0]["occurred_at"] == answered["clock"] == NOW
    assert answered["events"][0]["share"] == pytest.approx(1.0)


def test_a_rerouted_event_counts_at_the_place_where_it_first_came_in() -> None:
    event = purchase("e1")
    headers = (
        ("topic", SETTINGS.topic_purchases.encode()), ("partition", b"3"), ("offset", b"7"),
        ("timestamp", str(NOW).encode()),
    )  # fmt: skip
    rerouted = raw(SETTINGS.topic_reroutes, encode(event), offset=99, headers=headers)
    record = walked([Delivery.of(event, 0, 3, 7, NOW)], SHOP).records["c"]
    assert ids(told(record=record, found=[rerouted])) == ["e1"]
    not_yet = walked([Delivery.of(event, 0, 3, 6, NOW)], SHOP).records["c"]
    assert ids(told(record=not_yet, found=[rerouted])) == []


def test_a_reroute_and_its_original_are_one_event() -> None:
    event = purchase("e1")
    headers = (
        ("topic", SETTINGS.topic_purchases.encode()), ("partition", b"0"), ("offset", b"0"),
        ("timestamp", str(NOW).encode()),
    )  # fmt: skip
    twice = [*fetched(event), raw(SETTINGS.topic_reroutes, encode(event), headers=headers)]
    assert ids(told(event, found=twice)) == ["e1"]


def test_what_is_no_event_of_the_customer_is_left_out() -> None:
    mine, other = purchase("e1"), purchase("e2", customer="somebody-else")
    unreadable = raw(SETTINGS.topic_purchases, b"{", offset=2)
    orphaned = raw(SETTINGS.topic_reroutes, encode(mine))
    found = [*fetched(mine, other), unreadable, orphaned]
    record = replace(record_of(mine, taxonomy=SHOP), positions={0: 9, 1: 9, 2: 9})
    assert ids(told(record=record, found=found)) == ["e1"]


def test_of_many_events_the_newest_are_told() -> None:
    made = [purchase(f"e{number}", NOW + number) for number in range(60)]
    answered = told(*made)
    assert ids(answered) == [f"e{number}" for number in range(59, 9, -1)]
    assert not answered["complete"]
    assert told(*made[:50])["complete"]
    assert not told(*made[:50], complete=False)["complete"]


def test_a_customer_with_a_label_alone_did_nothing() -> None:
    answered = told(assignment("a", NOW), found=[])
    assert (answered["clock"], answered["evidence"], answered["events"]) == (None, 0.0, [])
    assert [each["persona"] for each in answered["posteriors"]] == ["parent"]


# --- what an event is about ---


def test_a_purchase_is_about_its_categories_then_products_then_brands() -> None:
    item = Item("P-1", "baby/diapers", "Tiny", price=3.0, quantity=2.0)
    assert about(Purchase("e", "c", NOW, (item,)), "/") == [
        ("category", "baby/diapers"), ("product", "P-1"), ("brand", "Tiny")
    ]  # fmt: skip
    basket = [Item(f"P-{n}", category, "B") for n, category in enumerate("abacdae")]
    assert about(Purchase("e", "c", NOW, tuple(basket)), "/") == [
        ("category", "a"), ("category", "b"), ("category", "c"), ("category", "d")
    ]  # fmt: skip
    assert about(Purchase("e", "c", NOW, (Item("P-1"),)), "/") == [("product", "P-1")]


def test_a_category_is_told_at_its_most_specific_level_that_is_read() -> None:
    item = Item("P-1", "a.b.c.d.e.f.g.h")
    assert about(Purchase("e", "c", NOW, (item,)), ".")[0] == ("category", "a.b.c.d.e.f")


def test_a_browse_is_about_its_action_and_the_search_or_the_item() -> None:
    assert about(Browse("e", "c", NOW, "search", query="Red Shoes"), "/") == [
        ("action", "search"), ("query", "Red Shoes")
    ]  # fmt: skip
    item = Item("P-1", "pets/dog", "Woof", price=3.0, attributes={"colour": "red"})
    assert about(Browse("e", "c", NOW, "view", item), "/") == [
        ("action", "view"), ("category", "pets/dog"), ("product", "P-1"), ("brand", "Woof")
    ]  # fmt: skip


def test_an_engagement_is_about_its_action_channel_and_campaign() -> None:
    assert about(Engagement("e", "c", NOW, "email", "click", "spring"), "/") == [
        ("action", "click"), ("channel", "email"), ("campaign", "spring")
    ]  # fmt: skip
    assert len(about(Engagement("e", "c", NOW, "email", "click"), "/")) == 2


def test_a_long_value_is_cut() -> None:
    long = Browse("e", "c", NOW, "search", query="x" * 1_000)
    value = told(long)["events"][0]["about"][1]["value"]
    assert (len(value), value[-2:]) == (activity.MOST_SHOWN, "x…")


# --- posteriors ---


def life(*happened: Event, taxonomy: Taxonomy = SHOP) -> tuple[Record, list[bytes | None]]:
    """The record after events that were walked one by one, and all that was said meanwhile."""
    record, published = Record(), list[bytes | None]()
    for offset, event in enumerate(happened):
        outcome = walked(
            [Delivery.of(event, kind_of(event), 0, offset, NOW)], taxonomy, {"c": record},
            now=event_time(event) + MINUTE,
        )  # fmt: skip
        record = outcome.records["c"]
        published += [message for _, message in outcome.messages]
    return record, published


def changes(messages: Sequence[bytes | None]) -> list[ConsumerRecord]:
    return [raw(SETTINGS.topic_changes, value, offset) for offset, value in enumerate(messages)]


def labelled(number: int) -> list[Event]:
    """What changes a persona so often."""
    personas = [SHOP.names[n % 2] for n in range(number)]
    return [assignment(f"a{n}", NOW + n, persona=each) for n, each in enumerate(personas)]


def revisions(record: Record, messages: Sequence[bytes | None]) -> list[int]:
    return [each["revision"] for each in posteriors("c", record, changes(messages))]


def test_posteriors_are_what_was_said_oldest_first() -> None:
    record, published = life(purchase("e1", NOW), *labelled(3))
    found = posteriors("c", record, changes(published))
    assert [each["revision"] for each in found] == [1, 2, 3, 4]
    assert [each["persona"] for each in found] == [None, "parent", "student", "parent"]
    assert [each["cause"] for each in found] == ["behaviour", *["assignment"] * 3]
    assert [each["source"] for each in found] == ["predicted", *["assigned"] * 3]
    last = orjson.loads(published[-1] or b"")
    assert found[-1] == {
        "at": NOW + 2 + MINUTE, "revision": 4, "cause": "assignment", **last["current"]
    }  # fmt: skip


def test_the_records_own_word_is_told_also_before_the_log_has_it() -> None:
    record, published = life(*labelled(3))
    assert revisions(record, published[:-1]) == revisions(record, published) == [1, 2, 3]
    assert revisions(record, []) == [3]


def test_a_change_that_was_published_twice_is_told_once() -> None:
    record, published = life(*labelled(3))
    assert revisions(record, [*published[:2], *published]) == [1, 2, 3]
    assert revisions(record, [*published, published[1]]) == [1, 2, 3]


def test_a_shop_that_began_anew_under_another_prefix_tells_its_own_posteriors_alone() -> None:
    _, before = life(*labelled(5))
    record, published = life(purchase("e1", NOW + DAY), assignment("b", NOW + DAY))
    assert revisions(record, [*before, *published]) == [1, 2]
    assert revisions(record, [*before[3:], *published]) == [1, 2]


def test_a_tombstone_cuts_off_what_was_before_it() -> None:
    forgotten = Deletion("d", "c", NOW + HOUR)
    record, published = life(*labelled(3), forgotten, purchase("e1", NOW + DAY))
    assert published[-2] is None
    assert revisions(record, published) == [1]
    assert posteriors("c", record, changes(published))[0]["cause"] == "behaviour"


def test_a_life_that_was_forgotten_is_not_told_while_its_tombstone_is_on_its_way() -> None:
    forgotten = Deletion("d", "c", NOW + HOUR)
    _, before = life(*labelled(3))
    record, _ = life(*labelled(3), forgotten, purchase("e1", NOW + DAY))
    for known in (before, before[:1]):
        (only,) = posteriors("c", record, changes(known))
        assert (only["revision"], only["persona"]) == (1, None)


def test_what_is_no_change_is_left_out_and_of_many_the_newest_are_told() -> None:
    record, published = life(*labelled(50))
    assert revisions(record, [b"{", b"\xff", b'{"revision": 3}', *published]) == list(range(11, 51))


def test_the_answer_has_the_posteriors_of_the_log() -> None:
    record, published = life(*labelled(2))
    found = Found((), tuple(changes(published)))
    answered = answer("c", record, found, Settings(_env_file=None), SHOP)
    assert [each["revision"] for each in answered["posteriors"]] == [1, 2]
