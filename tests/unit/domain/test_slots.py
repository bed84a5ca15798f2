import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.domain.binning import canonicalize_token
from stream_persona.domain.slots import COARSE_SLOTS, SLOTS, SlotCache, find_seed_slots
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.token_names import TokenNames
from stream_persona.domain.tokenizer import Tokenizer
from tests.support.events import shop


def test_fine_tokens_have_slots_of_their_own() -> None:
    fine = Tokenizer(shop()).find_slot("query", "shoes")
    assert COARSE_SLOTS <= fine < SLOTS
    assert 0 < Tokenizer(shop()).find_slot("category", "shoes") < COARSE_SLOTS
    taxonomy = shop(features={"fine": ("attributes.sku",)})
    assert Tokenizer(taxonomy).find_slot("attributes.sku", "1") >= COARSE_SLOTS
    assert Tokenizer(taxonomy).find_slot("attributes.colour", "1") < COARSE_SLOTS


@pytest.mark.long
def test_a_cache_is_bounded_in_the_number_of_fields_too() -> None:
    cache = SlotCache(shop().features, TokenNames())
    for i in range(110_000):
        cache.find(f"attributes.key-{i}", "v")
    assert len(cache) <= 100_000
    assert len(cache._slots) <= 100_000


@pytest.mark.long
def test_caches_of_the_taxonomys_own_fields_stay_the_same_when_all_are_emptied() -> None:
    cache = SlotCache(shop().features, TokenNames())
    brands, derived = cache.get_field_cache("brand"), cache.derive()
    cache.find("brand", "first")
    derived["of all"] = b""
    for i in range(100_000):
        cache.find("brand", str(i))
    assert brands is cache.get_field_cache("brand")
    assert brands is not None
    assert "first" not in brands
    assert not derived


@given(
    st.sampled_from(["brand", "category", "product", "attributes.size", "query", "campaign"]),
    st.text(),
    st.sampled_from(["NFC", "NFD"]),
)
def test_values_that_are_compared_as_equal_have_one_slot(field: str, text: str, form: Any) -> None:
    cache = SlotCache(shop().features, TokenNames())
    canonical = canonicalize_token(f"{field}:{text}").partition(":")[2]
    other = unicodedata.normalize(form, f" {text}\t")
    assert cache.find(field, text) == cache.find(field, other)
    assert (cache.find(field, text) == b"") is (canonical == "")
    if canonical:
        assert cache.find(field, canonical) == cache.find(field, text)


def test_seeds_are_counted_in_the_slots_of_the_events_that_they_expect() -> None:
    seeds = {
        "category": ["Élevage > Pâtée"], "query": ["Dog FOOD"], "quantity": ["5+"],
        "attributes.Colour": ["RED"], "brand": ["Ben &amp; Jerry"],
    }  # fmt: skip
    personas = [{"name": "a", "seeds": seeds}, {"name": "b"}]
    taxonomy = Taxonomy.model_validate({"persona": personas})
    tokenizer = Tokenizer(taxonomy)
    assert find_seed_slots(taxonomy.personas[0], taxonomy.features) == {
        tokenizer.find_slot("category", "élevage/pâtée"), tokenizer.find_slot("query", "dog"),
        tokenizer.find_slot("query", "food"), tokenizer.find_slot("quantity", "4-7"),
        tokenizer.find_slot("attributes.colour", "red"),
        tokenizer.find_slot("brand", "ben & jerry"),
    }  # fmt: skip
