from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.binning import price_band, quantity_band, size_band, words
from stream_persona.domain.events import Browse, Engagement, Event, Item, Purchase
from stream_persona.domain.tokenizer import COARSE_SLOTS, EVENTS, SLOTS, Tokenizer, slot_of
from tests.support.builders import DAY, HOUR, NOW, engagement, purchase, shop, unpacked

SATURDAY = NOW + 5 * DAY + 6 * HOUR


def read(event: Any, **features: Any) -> dict[str, int]:
    tokenizer = Tokenizer(shop(features=features))
    return {tokenizer.name(slot): weight for slot, weight in pairs(tokenizer, event)}


def pairs(tokenizer: Tokenizer, event: Any) -> list[tuple[int, int]]:
    return unpacked(*tokenizer.read(event))


def values(event: Event, field: str, **features: Any) -> set[str]:
    tokens = (token.partition(":") for token in read(event, **features))
    return {value for name, _, value in tokens if name == field}


@pytest.mark.parametrize(
    ("price", "band"),
    [(0, "<0.25"), (0.25, "0.25..0.5"), (3, "2..4"), (4, "4..8"), (1023.9, "512..1024"),
     (1024, "1024+"), (1e308, "1024+"), (5e-324, "<0.25")],
)  # fmt: skip
def test_prices_are_banded_by_powers_of_two(price: float, band: str) -> None:
    assert price_band(price) == band


@pytest.mark.parametrize(
    ("quantity", "band"), [(1e-9, "1"), (1, "1"), (2.9, "2"), (4, "4"), (5, "5+"), (1e308, "5+")]
)
def test_quantities_are_banded(quantity: float, band: str) -> None:
    assert quantity_band(quantity) == band


@pytest.mark.parametrize(
    ("items", "band"), [(1, "1"), (2, "2-3"), (3, "2-3"), (4, "4-7"), (63, "32-63"), (1000, "64+")]
)
def test_baskets_are_banded_by_size(items: int, band: str) -> None:
    assert size_band(items) == band


def test_words_are_distinct_folded_and_few() -> None:
    assert words("Café CAFÉ ﬁne a") == ["café", "fine"]
    assert len(words(" ".join(f"word{i}" for i in range(100)))) == 16


@given(st.lists(st.tuples(st.floats(0, 1e308), st.floats(1e-9, 1e308)), min_size=1, max_size=20))
def test_what_is_read_is_in_the_bands_whatever_was_read_before(
    bought: list[tuple[float, float]],
) -> None:
    tokenizer = Tokenizer(shop())
    for price, quantity in bought:
        item = Item("p", price=price, quantity=quantity, attributes={"size": f"{price:.0e}"})
        event = Browse("e", "c", NOW, "view", item)
        names = {tokenizer.name(slot) for slot, _ in pairs(tokenizer, event)}
        assert f"price:{price_band(price)}" in names
        assert f"quantity:{quantity_band(quantity)}" in names
        assert tokenizer.read(event) == Tokenizer(shop()).read(event)


def test_each_level_of_a_category_is_a_token() -> None:
    event = purchase("p", categories=["baby/diapers/size 1"])
    expected = {"baby", "baby/diapers", "baby/diapers/size 1"}
    assert values(event, "category") == expected
    assert values(event, "category", category_separator=">") == {"baby/diapers/size 1"}


def test_a_basket_counts_once_for_each_item() -> None:
    tokens = read(purchase("p", categories=["a", "a", "b"]))
    assert tokens["slot:0"] == 12
    assert tokens["basket_size:2-3"] == 12
    assert tokens["category:b"] == 4


def test_slot_zero_comes_first_and_counts_the_event() -> None:
    assert pairs(Tokenizer(shop()), engagement("e"))[0] == (EVENTS, 2)


def test_a_purchase_counts_more_than_a_view_of_the_same() -> None:
    bought = purchase("p")
    viewed = Browse("b", "c", NOW, "view", product=bought.items[0])
    assert read(bought)["category:food"] > read(viewed)["category:food"] > 0


def test_every_configured_field_becomes_a_token() -> None:
    item = Item("sku", "a", "brand", 3.0, 2.0, {"colour": "red"})
    assert read(Purchase("p", "c", NOW, (item,), attributes={"store": "5"})).keys() >= {
        "category:a", "brand:brand", "price:2..4", "quantity:2", "attributes.colour:red",
        "attributes.store:5", "weekday:weekday", "hour:14-16", "basket_size:1",
    }  # fmt: skip
    clicked = Engagement("e", "c", NOW, "email", "click", campaign="spring")
    assert read(clicked).keys() >= {"channel:email", "action:click", "campaign:spring"}
    searched = Browse("b", "c", NOW, "search", query="red shoes")
    assert read(searched).keys() >= {"action:search", "query:red", "query:shoes"}


def test_products_are_read_when_configured() -> None:
    assert values(purchase("p"), "product") == set()
    assert values(purchase("p"), "product", fields=("product",)) == {"p-food"}


def test_one_attribute_alone_can_be_configured() -> None:
    event = Purchase("p", "c", NOW, (Item("sku", attributes={"colour": "red", "size": "9"}),))
    assert read(event, fields=("attributes.colour",)).keys() >= {"attributes.colour:red"}
    assert "attributes.size:9" not in read(event, fields=("attributes.colour",))


def test_hours_and_weekdays_are_the_shops_own() -> None:
    late = purchase("p", SATURDAY + 2 * HOUR)
    assert values(late, "weekday") == {"weekend"}
    assert values(late, "hour", timezone_offset_hours=-6) == {"17-19"}
    assert values(purchase("p", SATURDAY + 40 * HOUR), "weekday", timezone_offset_hours=14) == {
        "weekday"
    }


def test_fine_tokens_have_slots_of_their_own() -> None:
    fine = Tokenizer(shop()).slot("query", "shoes")
    assert COARSE_SLOTS <= fine < SLOTS
    assert 0 < Tokenizer(shop()).slot("category", "shoes") < COARSE_SLOTS
    taxonomy = shop(features={"fine": ("attributes.sku",)})
    assert Tokenizer(taxonomy).slot("attributes.sku", "1") >= COARSE_SLOTS
    assert Tokenizer(taxonomy).slot("attributes.colour", "1") < COARSE_SLOTS


def test_slots_are_the_same_everywhere() -> None:
    assert slot_of("category:baby", fine=False) == 23163
    assert slot_of("query:shoes", fine=True) == 62083


def test_a_name_is_told_once_and_two_in_one_slot_are_both_shown() -> None:
    tokenizer = Tokenizer(shop())
    assert tokenizer.learn_name(5, "b:2")
    assert not tokenizer.learn_name(5, "b:2")
    assert tokenizer.learn_name(5, "a:1")
    assert not tokenizer.learn_name(5, "c:3")
    assert tokenizer.name(5) == "a:1 | b:2"
    assert tokenizer.name(6) == "slot:6"


def test_names_seen_for_the_first_time_are_collected() -> None:
    tokenizer = Tokenizer(shop())
    tokenizer.read(purchase("p"))
    assert (tokenizer.slot("category", "food"), "category:food") in tokenizer.fresh
    tokenizer.fresh = []
    tokenizer.read(purchase("p"))
    assert tokenizer.fresh == []


def test_caches_are_bounded_in_the_number_of_fields_too() -> None:
    tokenizer = Tokenizer(shop())
    for i in range(110_000):
        tokenizer.slot(f"attributes.key-{i}", "v")
    assert sum(len(cache) for cache in tokenizer._slots.values()) <= 100_001
