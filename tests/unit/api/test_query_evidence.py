"""The evidence of a query is read as that of events is."""

from __future__ import annotations

from typing import Any

import pytest

from stream_persona.api.predict import (
    describe_hypothetical,
)
from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.errors import QueryError

SHOP = taxonomies.load(None)


def slots_of(where: dict[str, Any]) -> list[int]:
    return describe_hypothetical(where, SHOP).profile.slots[1:].tolist()


def slots(*pairs: tuple[str, str]) -> list[int]:
    tokenizer = Tokenizer(SHOP)
    return sorted({tokenizer.find_slot(feature, value) for feature, value in pairs})


def test_a_hierarchical_category_counts_at_each_of_its_levels() -> None:
    assert slots_of({"category": "a/b/c"}) == slots(
        ("category", "a"), ("category", "a/b"), ("category", "a/b/c")
    )


def test_a_list_holds_several_values_of_one_event_each_once() -> None:
    assert slots_of({"category": ["baby/diapers", "baby/food", "baby"]}) == slots(
        ("category", "baby"), ("category", "baby/diapers"), ("category", "baby/food")
    )


def test_numbers_and_searches_are_read_as_those_of_events_are() -> None:
    assert slots_of({"price": 3.5, "quantity": 7, "query": "Cheap, CHEAP textbook"}) == slots(
        ("price", "2..4"), ("quantity", "5+"), ("query", "cheap"), ("query", "textbook")
    )


def test_attributes_are_named_by_their_key() -> None:
    assert slots_of({"attributes.size": "xl"}) == slots(("attributes.size", "xl"))


def test_a_taxonomy_may_read_single_attributes() -> None:
    features = SHOP.features.model_copy(update={"fields": ("category", "attributes.size")})
    shop = SHOP.model_copy(update={"features": features})
    assert len(describe_hypothetical({"attributes.size": "xl"}, shop).profile.slots) == 2
    with pytest.raises(QueryError, match=r"expected .* category, attributes\.size"):
        describe_hypothetical({"attributes.colour": "red"}, shop)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"category": "Baby &gt; Diapers"}, {"category": "/baby/diapers"}),
        ({"brand": " ACME"}, {"brand": "acme"}),
        ({"attributes.Size": "XL"}, {"attributes.size": "xl"}),
        ({"query": "कुत्ते"}, {"query": ["कुत्ते", " "]}),
        ({"quantity": "5+"}, {"quantity": 4.5}),
        ({"price": 1_920}, {"price": "1024..2048"}),
    ],
)
def test_evidence_is_compared_as_that_of_events(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert slots_of(one) == slots_of(other)


def test_prices_have_no_upper_end() -> None:
    assert len({tuple(slots_of({"price": price})) for price in (1_920, 128_000, 1e12)}) == 3
