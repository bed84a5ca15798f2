"""What producers write in many ways is read as one, from the topic to the client."""

import unicodedata
from typing import Any

import orjson
import pytest

from stream_persona.client.ranking import Affinities, rank
from stream_persona.domain.binning import split_values
from stream_persona.domain.record_codec import decode_records
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.testing.shop import START, MemoryShop


def slots_of(shop: MemoryShop, customer: str) -> list[int]:
    """The slots of all tokens of a customer."""
    stored = {customer: shop.tables.states[customer]}
    (record,) = decode_records(stored, shop.taxonomy.fingerprint).values()
    return [key & 0xFFFF for key in record.counts.keys.tolist()]


def tokens_of(shop: MemoryShop, customer: str, field: str) -> set[str]:
    """The values of a field's tokens of a customer, as they are shown."""
    tokens = [shop._tokenizer.names.name_slot(slot) for slot in slots_of(shop, customer)]
    parts = [token.partition(":") for token in tokens]
    return {value for name, _, value in parts if name == field}


def send(shop: MemoryShop, customer: str, **fields: Any) -> None:
    item = {"product_id": "P", **fields}
    value = {"event_id": customer, "customer_id": customer, "occurred_at": START, "items": [item]}
    shop.send("purchases", orjson.dumps(value))


CATEGORIES = [
    "Élevage/Pâtée", unicodedata.normalize("NFD", "Élevage/Pâtée"), "élevage/pâtée",
    "/Élevage/Pâtée", "Élevage > Pâtée", " Élevage/Pâtée ", "Élevage &amp;gt; Pâtée",
    "Élevage//Pâtée/", "ÉLEVAGE/PÂTÉE",
]  # fmt: skip


def test_one_category_in_many_spellings_has_one_set_of_tokens() -> None:
    shop = MemoryShop()
    for number, category in enumerate(CATEGORIES):
        send(shop, f"C8-{number}", category=category)
    found = {tuple(slots_of(shop, f"C8-{number}")) for number in range(len(CATEGORIES))}
    assert len(found) == 1
    assert tokens_of(shop, "C8-4", "category") == {"Élevage", "Élevage/Pâtée"}


@pytest.mark.parametrize(
    ("one", "other"),
    [({"category": "Food &amp; Treats"}, {"category": "Food & Treats"}),
     ({"brand": "NESTLÉ"}, {"brand": "Nestle\N{COMBINING ACUTE ACCENT}"}),
     ({"attributes": {"Diet": "Raw"}}, {"attributes": {"diet ": "RAW"}}),
     ({"quantity": 0.5}, {"quantity": 1}), ({"brand": "\N{ZERO WIDTH SPACE}"}, {})],
)  # fmt: skip
def test_two_spellings_of_an_item_have_one_set_of_tokens(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    shop = MemoryShop()
    send(shop, "one", **one)
    send(shop, "other", **other)
    assert slots_of(shop, "one") == slots_of(shop, "other")


def test_prices_in_yen_differ() -> None:
    shop = MemoryShop()
    send(shop, "one", price=1_920)
    send(shop, "other", price=128_000)
    assert slots_of(shop, "one") != slots_of(shop, "other")


def test_a_search_in_hindi_has_its_words() -> None:
    shop = MemoryShop()
    for customer in ("C5", "C6", "C7"):  # a word is shown once three have it
        search = {
            "event_id": "h", "customer_id": customer, "occurred_at": START, "action": "search",
            "query": "कुत्ते का खाना",
        }  # fmt: skip
        shop.send("browses", orjson.dumps(search))
    assert tokens_of(shop, "C7", "query") == {"कुत्ते", "का", "खाना"}


def test_affinities_are_found_by_items_in_any_spelling() -> None:
    shop = MemoryShop()
    for number in range(40):
        customer = f"C{number}"
        send(shop, customer, category="Jouets > LÉGO" if number % 2 else "Outils")
        shop.assign(customer, "student" if number % 2 else "Home_Improver")
    assert {"category:jouets", "category:jouets/légo"} <= shop.tables.affinities["student"].keys()
    lifts = Affinities(shop.tables.affinities)
    items = [{"category": "outils"}, {"category": "JOUETS/le\N{COMBINING ACUTE ACCENT}go"}]
    assert rank(items, {"student": 1.0}, lifts)[0].position == 1
    assert rank(items, {"home_improver": 1.0}, lifts)[0].position == 0
    assert shop.client().get("C0").persona == "home_improver"


def test_caches_of_spellings_hold_what_is_computed_without_them() -> None:
    shop = MemoryShop()
    tokenizer = Tokenizer(shop.taxonomy)
    separator = shop.taxonomy.features.category_separator
    for category in CATEGORIES * 2:
        for text in split_values("category", category, separator):
            slot = tokenizer.slots.find("category", text)
            assert slot == Tokenizer(shop.taxonomy).slots.find("category", text)
