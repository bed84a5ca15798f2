from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain import taxonomy as taxonomies
from stream_persona.domain.binning import find_price_band, find_quantity_band
from stream_persona.domain.events import Behaviour, Browse, Engagement, Event, Item, Purchase
from stream_persona.domain.slots import COARSE_SLOTS, EVENTS
from stream_persona.domain.taxonomy import FIELDS
from stream_persona.domain.token_names import MOST_CARRIERS, Listing, Name, ShownName
from stream_persona.domain.tokenizer import Tokenizer
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import engagement, purchase, shop
from tests.support.names import show_names
from tests.support.processing import unpack_tokens

SATURDAY = NOW + 5 * DAY + 6 * HOUR


def tokens_of(event: Any, **features: Any) -> dict[str, int]:
    """The weight of each token by its name."""
    tokenizer = show_names(Tokenizer(shop(features=features)), event)
    return {tokenizer.names.name_slot(slot): weight for slot, weight in pairs(tokenizer, event)}


def pairs(tokenizer: Tokenizer, event: Any) -> list[tuple[int, int]]:
    """Slot and weight of each token."""
    tokens = tokenizer.tokenize(event)
    return unpack_tokens(tokens.slots, tokens.weights)


def values(event: Event, field: str, **features: Any) -> set[str]:
    tokens = (token.partition(":") for token in tokens_of(event, **features))
    return {value for name, _, value in tokens if name == field}


@given(st.lists(st.tuples(st.floats(0, 1e18), st.floats(1e-9, 4e9)), min_size=1, max_size=20))
def test_a_number_is_in_its_band_whatever_was_tokenized_before(
    bought: list[tuple[float, float]],
) -> None:
    tokenizer = Tokenizer(shop())
    for price, quantity in bought:
        item = Item("p", price=price, quantity=quantity, attributes={"size": f"{price:.0e}"})
        event = Browse("e", "c", NOW, "view", item)
        names = {tokenizer.names.name_slot(slot) for slot, _ in pairs(tokenizer, event)}
        assert f"price:{find_price_band(price)}" in names
        assert f"quantity:{find_quantity_band(quantity)}" in names
        assert tokenizer.tokenize(event) == Tokenizer(shop()).tokenize(event)


def test_each_level_of_a_category_is_a_token() -> None:
    event = purchase("p", categories=["baby/diapers/size 1"])
    expected = {"baby", "baby/diapers", "baby/diapers/size 1"}
    assert values(event, "category") == expected
    assert values(event, "category", category_separator=">") == {
        "baby", "baby>diapers", "baby>diapers>size 1"
    }  # fmt: skip


def test_a_basket_counts_once_for_each_item() -> None:
    tokens = tokens_of(purchase("p", categories=["a", "a", "b"]))
    assert tokens["slot:0"] == 12
    assert tokens["basket_size:2-3"] == 12
    assert tokens["category:b"] == 4


def test_slot_zero_comes_first_and_counts_the_event() -> None:
    assert pairs(Tokenizer(shop()), engagement("e"))[0] == (EVENTS, 2)


def test_a_purchase_counts_more_than_a_view_of_the_same() -> None:
    bought = purchase("p")
    viewed = Browse("b", "c", NOW, "view", product=bought.items[0])
    assert tokens_of(bought)["category:food"] > tokens_of(viewed)["category:food"] > 0


def test_every_configured_field_becomes_a_token() -> None:
    item = Item("sku", "a", "brand", 3.0, 2.0, {"colour": "red"})
    assert tokens_of(Purchase("p", "c", NOW, (item,), attributes={"store": "5"})).keys() >= {
        "category:a", "brand:brand", "price:2..4", "quantity:2-3", "attributes.colour:red",
        "attributes.store:5", "weekday:weekday", "hour:14-16", "basket_size:1",
    }  # fmt: skip
    clicked = Engagement("e", "c", NOW, "email", "click", campaign="spring")
    assert tokens_of(clicked).keys() >= {"channel:email", "action:click", "campaign:spring"}
    searched = Browse("b", "c", NOW, "search", query="red shoes")
    assert tokens_of(searched).keys() >= {"action:search", "query:red", "query:shoes"}


def test_a_product_is_a_token_when_it_is_configured() -> None:
    assert values(purchase("p"), "product") == set()
    assert values(purchase("p"), "product", fields=("product",)) == {"p-food"}


def test_one_attribute_alone_can_be_configured() -> None:
    event = Purchase("p", "c", NOW, (Item("sku", attributes={"colour": "red", "size": "9"}),))
    assert tokens_of(event, fields=("attributes.colour",)).keys() >= {"attributes.colour:red"}
    assert "attributes.size:9" not in tokens_of(event, fields=("attributes.colour",))


def test_hours_and_weekdays_are_the_shops_own() -> None:
    late = purchase("p", SATURDAY + 2 * HOUR)
    assert values(late, "weekday") == {"weekend"}
    assert values(late, "hour", timezone_offset_hours=-6) == {"17-19"}
    assert values(purchase("p", SATURDAY + 40 * HOUR), "weekday", timezone_offset_hours=14) == {
        "weekday"
    }


def test_a_name_is_found_with_every_event_until_it_needs_no_more_carriers() -> None:
    tokenizer = Tokenizer(shop())
    food = Name(tokenizer.find_slot("category", "food"), "category:food", "category:food")
    for _ in range(3):
        assert tokenizer.tokenize(purchase("p")).names == (food,)
    settled = Listing((ShownName(*food, MOST_CARRIERS),))
    tokenizer.show_names(settled)
    before = tokenizer.tokenize(purchase("p"))
    assert before.names == ()
    tokenizer.lose_names({"category:food": 1})
    after = tokenizer.tokenize(purchase("p"))
    assert (after.names, after.slots) == ((food,), before.slots)


@pytest.mark.parametrize(
    "event",
    [
        purchase("p", categories=["baby/diapers"]),
        Engagement("e", "c", NOW, "email", "click", campaign="spring"),
        Browse("b", "c", NOW, "search", query="red shoes"),
        Purchase("p", "c", NOW, (Item("sku", attributes={"colour": "red"}, brand="acme"),)),
    ],
)
def test_a_name_that_is_not_settled_is_found_whatever_made_its_token(event: Behaviour) -> None:
    tokenizer = Tokenizer(shop())
    first = tokenizer.tokenize(event)
    assert first.names
    assert tokenizer.tokenize(event) == first


def test_what_the_team_wrote_and_closed_vocabularies_need_no_carriers() -> None:
    tokenizer = Tokenizer(taxonomies.load(None))
    event = Purchase("p", "c", NOW, (Item("sku", "baby/wagons", None, 3.0, 2.0),))
    assert {name.token for name in tokenizer.tokenize(event).names} == {"category:baby/wagons"}
    viewed = Browse("b", "c", NOW, "view", product=Item("sku", price=1e300))
    assert tokenizer.tokenize(viewed).names == ()
    opened = Engagement("e", "c", NOW, "sms", "open")
    assert {name.token for name in tokenizer.tokenize(opened).names} == {"channel:sms"}
    assert tokenizer.names.name_slot(tokenizer.find_slot("action", "open")) == "action:open"
    assert tokenizer.names.name_slot(tokenizer.find_slot("price", "2..4")) == "price:2..4"


@pytest.mark.parametrize(
    ("one", "other"),
    [(Item("p", brand="Ben &amp; Jerry"), Item("p", brand=" BEN & JERRY")),
     (Item("p", "Élevage > Pâtée"), Item("p", "/élevage/pâtée")),
     (Item("p", attributes={"Colour ": "RED"}), Item("p", attributes={"colour": "red"})),
     (Item(" p"), Item("p")),
     (Item("p", brand=" ", category=" / ", attributes={" ": "x", "y": ""}), Item("p"))],
)  # fmt: skip
def test_spellings_of_one_item_have_the_same_tokens(one: Item, other: Item) -> None:
    tokenizer = Tokenizer(shop(features={"fields": FIELDS}))
    for _ in range(2):  # the second time from the caches
        bought = [tokenizer.tokenize(Purchase("e", "c", NOW, (item,))) for item in (one, other)]
        assert (bought[0].slots, bought[0].weights) == (bought[1].slots, bought[1].weights)


def test_spellings_of_one_reaction_have_the_same_tokens_and_weight() -> None:
    tokenizer = Tokenizer(shop(signals={"engagement": {"Open": 2.0}}))
    one = tokenizer.tokenize(Engagement("e", "c", NOW, "E-Mail", "OPEN", "Spring &amp; Fall"))
    other = tokenizer.tokenize(Engagement("e", "c", NOW, "e-mail", "open ", "spring & fall"))
    assert (one.slots, one.weights) == (other.slots, other.weights)
    assert unpack_tokens(one.slots, one.weights)[0] == (EVENTS, 8)


def test_attributes_of_the_taxonomy_are_named_in_any_spelling() -> None:
    event = Purchase("p", "c", NOW, (Item("sku", attributes={"COLOUR": "red"}),))
    assert values(event, "attributes.COLOUR", fields=("attributes.Colour",)) == {"red"}
    tokenizer = Tokenizer(shop(features={"fine": ("attributes.Colour",)}))
    assert tokenizer.find_slot("attributes.colour", "red") >= COARSE_SLOTS


def test_prices_of_any_currency_differ() -> None:
    def slots(number: float) -> bytes:
        return (
            Tokenizer(shop()).tokenize(Browse("b", "c", NOW, "view", Item("p", price=number))).slots
        )

    assert len({slots(number) for number in (1_920, 128_000, 1e12, 1e300)}) == 4
