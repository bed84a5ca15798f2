"""What is told of messages, and what is suggested: each fault of the field with its count."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from stream_persona.domain.events import encode
from stream_persona.errors import DecodeError
from stream_persona.inspection.report import make_report
from stream_persona.inspection.sample import InputSample, SampledMessage, TopicSetup
from tests.support.constants import DAY, NOW
from tests.support.events import shop
from tests.support.inspection import TOPICS, field, order, report_on, sample_of, suggested

TOPIC = TopicSetup(8, {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"})


def item(**fields: Any) -> list[dict[str, Any]]:
    return [{"product_id": "P", **fields}]


def test_sound_messages_have_nothing_to_suggest() -> None:
    keyed = [SampledMessage(encode(order(n)), f"0/{n}", key=f"C{n}".encode()) for n in range(50)]
    report = make_report(InputSample("orders", keyed, 0, TOPIC), shop(), TOPICS, 8, NOW + DAY)
    assert report["suggestions"] == []
    assert (report["readable"]["messages"], report["readable"]["readable"]) == (50, 50)


def test_a_report_is_plain_values() -> None:
    odd = [order(), {}, b"", None, b"\xff", [1], "text", {"items": {"a": [[1, {"b": None}]]}}, 5]
    assert json.loads(json.dumps(report_on(*odd)))["readable"]["messages"] == len(odd)


def test_reasons_are_counted_with_the_first_example() -> None:
    report = report_on(order(), b"{", order(occurred_at=...), order(occurred_at=...), b"\xff")
    found = {(each["reason"], each["count"], each["example"])
             for each in report["readable"]["unreadable"]}  # fmt: skip
    assert ("invalid_field", 2, "line 3") in found
    assert ("not_json", 1, "line 2") in found
    assert report["readable"]["readable"] == 1


def test_items_whose_fields_nobody_reads_are_told_with_what_they_look_like() -> None:
    bought = item(item_category="dog", qty=2, unit_price=3.5)
    report = report_on(*(order(n, items=bought) for n in range(4)))
    for foreign, ours in (("item_category", "category"), ("qty", "quantity"),
                          ("unit_price", "price")):  # fmt: skip
        row = field(report, f"items[].{foreign}")
        assert (row["read"], row["looks_like"], row["share"]) == (False, ours, 1.0)
        help_ = suggested(report, f"map items[].{foreign} to items[].{ours}")
        assert (help_["concerns"], help_["reads_as"]) == (4, ours)
    assert suggested(report, "say nothing of a persona")["concerns"] == 4
    assert report["when_mapped"] == {
        "readable": 4, "without_useful_token": 0, "seeds_matched": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("user_id", "customer_id"), ("userId", "customer_id"), ("email", "customer_id"),
        ("customerId", "customer_id"), ("CustomerID", "customer_id"),
        ("timestamp", "occurred_at"), ("ts", "occurred_at"), ("created_at", "occurred_at"),
        ("createdAt", "occurred_at"), ("occuredAt", "occurred_at"),
        ("id", "event_id"), ("eventId", "event_id"), ("uuid", "event_id"),
        ("line_items", "items"), ("products", "items"), ("lineItems", "items"),
    ],
)  # fmt: skip
def test_foreign_names_of_events_are_known(foreign: str, ours: str) -> None:
    event = order()
    event[foreign] = event.pop(ours)
    report = report_on(event)
    assert field(report, foreign)["looks_like"] == ours
    assert suggested(report, f"map {foreign} to {ours}")["concerns"] == 1


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("sku", "product_id"), ("item_id", "product_id"), ("id", "product_id"),
        ("productId", "product_id"), ("categories", "category"), ("productCategory", "category"),
        ("amount", "price"), ("Qty", "quantity"), ("count", "quantity"), ("manufacturer", "brand"),
        ("catagory", "category"),
    ],
)  # fmt: skip
def test_foreign_names_of_items_are_known(foreign: str, ours: str) -> None:
    whole = {"product_id": "p", "category": "c", "brand": "b", "price": 1.0, "quantity": 2}
    value = whole.pop(ours)
    report = report_on(order(items=[{**whole, foreign: value}]))
    assert field(report, f"items[].{foreign}")["looks_like"] == ours


def test_a_few_messages_of_foreign_fields_are_told_beside_many_of_ours() -> None:
    foreign = [order(n, items=item(item_category="dog"), userId="x") for n in range(3)]
    report = report_on(*(order(n) for n in range(50)), *foreign)
    assert suggested(report, "map items[].item_category")["concerns"] == 3
    assert field(report, "userId")["looks_like"] is None
    one_order = order(items=[*item(category="a"), *item(cat="b")])
    assert suggested(report_on(one_order), "map items[].cat to")["concerns"] == 1


def test_an_order_without_items_of_its_own_is_told_field_by_field() -> None:
    flat = order(items=..., product_id="P", category="dog", qty=1)
    report = report_on(flat, flat)
    assert suggested(report, "map product_id to items[].product_id")["concerns"] == 2
    assert report["when_mapped"]["readable"] == 2


def test_a_field_that_we_have_looks_like_no_other() -> None:
    report = report_on(order(user_id="x", items=item(category="a", department="b")))
    assert field(report, "user_id")["looks_like"] is None
    assert field(report, "items[].department")["looks_like"] is None


def test_nested_fields_have_their_share_among_items_and_their_commonest_values() -> None:
    bought = [*item(category="a"), *item(category="a"), *item(), *item(category=None)]
    report = report_on(order(items=bought, attributes={"shop": "Ulm"}))
    row = field(report, "items[].category")
    assert (row["share"], row["values"], row["with_token"]) == (0.5, {"a": 2}, 1)
    assert field(report, "attributes.shop")["read"]


def test_the_kind_of_foreign_messages_is_the_one_that_fits_best() -> None:
    view = {"event_id": "e", "customer_id": "c", "occurred_at": NOW, "action": "view"}
    assert report_on(view, view, kind=None)["readable"]["kinds"] == {"browses": 2}
    foreign = {"id": "1", "user": "c", "ts": NOW, "lineItems": [{"sku": "p"}]}
    assert report_on(foreign, kind=None)["readable"]["kinds"] == {"purchases": 1}
    mixed = report_on(view | {"topic": "browses"}, order(topic="purchases"), kind=None)
    assert mixed["readable"]["kinds"] == {"purchases": 1, "browses": 1}
    assert mixed["readable"]["readable"] == 2


def test_messages_in_the_topic_of_another_kind_are_told() -> None:
    view = {"event_id": "e", "customer_id": "c", "occurred_at": NOW, "action": "view"}
    report = report_on(view, view, order())
    assert suggested(report, "these messages are browses")["concerns"] == 2
    assert report_on(view, order(), order())["readable"]["fits_best"] is None


def test_searches_are_told_by_their_script() -> None:
    queries = ["dog food", "कुत्ते का खाना", "корм для собак", "犬の餌", "12"]
    view = {"customer_id": "c", "occurred_at": NOW, "action": "search"}
    events = [{**view, "event_id": str(n), "query": query} for n, query in enumerate(queries)]
    scripts = report_on(*events, kind=1)["contents"]["scripts_of_searches"]
    assert scripts == {"Latin": 1, "Devanagari": 1, "Cyrillic": 1, "Cjk": 1}


def test_prices_in_minor_units_and_returns_are_told() -> None:
    report = report_on(*(order(n, items=item(price=1_920 + n, quantity=-1)) for n in range(3)))
    assert suggested(report, "prices are whole numbers around 1921")["concerns"] == 3
    assert suggested(report, "are returns")["concerns"] == 3
    usual = report_on(*(order(n, items=item(price=2.5)) for n in range(3)))
    assert not usual["contents"]["prices"]["looks_like_minor_units"]


def test_spellings_of_categories_are_told() -> None:
    spellings = ["Élevage/Pâtée", "élevage/pâtée", "/Élevage/Pâtée", "Élevage > Pâtée", "a &amp; b"]
    report = report_on(*(order(n, items=item(category=c)) for n, c in enumerate(spellings)))
    assert report["contents"]["categories"]["spellings"]["messages"] == 4
    assert suggested(report, "HTML entities")["concerns"] == 1
    piped = report_on(*(order(n, items=item(category=f"a|b{n}")) for n in range(3)))
    assert suggested(piped, 'category_separator = "|"')["concerns"] == 3


def test_the_taxonomy_tells_tokens_seeds_and_categories() -> None:
    seeded = shop()
    seeds = {"category": ("food", "toys/cars")}
    first = seeded.personas[0].model_copy(update={"seeds": seeds})
    seeded = seeded.model_copy(update={"personas": (first, *seeded.personas[1:])})
    meaning = report_on(order(1), order(2), taxonomy=seeded)["meaning"]
    assert meaning["seeds_without_match"] == {"parent": ["category:toys/cars"]}
    assert meaning["seeds_matched"] == 1
    assert meaning["categories"] == {"food": 2}
    assert meaning["tokens"]["category"] == {"events": 2, "distinct": 1}
    none = report_on(order(items=item(category="pets")), taxonomy=seeded)
    assert suggested(none, "no seed of the taxonomy")["concerns"] == 1


def test_unknown_personas_have_the_nearest_known_one() -> None:
    label = {"customer_id": "c", "occurred_at": NOW}
    names = ["parents", "parents", "student", "Gamer", "sailor", None]
    events = [{**label, "assignment_id": str(n), "persona": p} for n, p in enumerate(names)]
    report = report_on(*events, kind=3)
    assert report["assignments"]["unknown"] == {
        "parents": {"count": 2, "nearest": "parent"}, "sailor": {"count": 1, "nearest": None},
    }  # fmt: skip
    assert suggested(report, 'renamed_from = ["parents"]')["concerns"] == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([order()], "each event of a list"),
        ({"id": "1", "type": "order", "data": order()}, "an envelope, its event in 'data'"),
        ({"schema": {}, "payload": order()}, "an envelope, its event in 'payload'"),
        (encode(order()).decode(), "JSON in a text"),
        (b"\x00\x00\x00\x00\x01abc", "of a schema registry"),
        (gzip.compress(encode(order()), mtime=0), "gzipped"),
        (None, "without a value"),
    ],
)
def test_messages_of_another_shape_are_recognised(value: object, words: str) -> None:
    assert suggested(report_on(value), words)["concerns"] == 1


def test_a_topic_is_held_against_what_it_should_be() -> None:
    configs = {"message.timestamp.type": "CreateTime", "cleanup.policy": "compact"}
    report = report_on(order(1), order(2), topic=TopicSetup(4, configs), key=b"C1")
    assert report["topic"]["keys"]["other_keys"] == 1
    assert suggested(report, "message.timestamp.type=LogAppendTime")["concerns"] == 2
    assert suggested(report, "cleanup.policy=delete")["concerns"] == 2
    assert suggested(report, "STREAM_PERSONA_PARTITIONS=4")["where"] == "setting"
    assert suggested(report, "key each message by its customer_id")["concerns"] == 1


def test_a_topic_of_another_name_is_told_whose_it_could_be() -> None:
    report = report_on(order(1), topic=TOPIC, kind=None, key=b"C1")
    assert suggested(report, "STREAM_PERSONA_TOPIC_PURCHASES=orders")["concerns"] == 1


def test_a_bad_row_of_a_file_keeps_its_reason() -> None:
    bad = SampledMessage(b"a,b", "row 2", error=DecodeError("invalid_field", "the row has 2 cells"))
    report = make_report(InputSample("orders.csv", [bad], 0, format="CSV"), shop(), TOPICS, 8, NOW)
    assert report["readable"]["unreadable"][0]["detail"] == "the row has 2 cells"


def test_nothing_is_said_of_no_messages() -> None:
    report = make_report(sample_of(topic=TOPIC), shop(), TOPICS, 8, NOW)
    assert (report["readable"]["messages"], report["suggestions"]) == (0, [])
