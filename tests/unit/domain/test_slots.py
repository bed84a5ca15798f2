import doctest

from stream_persona.domain import slots
from stream_persona.domain.slots import COARSE_SLOTS, SLOTS, SlotCache
from stream_persona.domain.token_names import TokenNames
from stream_persona.domain.tokenizer import Tokenizer
from tests.support.events import shop


def test_fine_tokens_have_slots_of_their_own() -> None:
    fine = Tokenizer(shop()).slot("query", "shoes")
    assert COARSE_SLOTS <= fine < SLOTS
    assert 0 < Tokenizer(shop()).slot("category", "shoes") < COARSE_SLOTS
    taxonomy = shop(features={"fine": ("attributes.sku",)})
    assert Tokenizer(taxonomy).slot("attributes.sku", "1") >= COARSE_SLOTS
    assert Tokenizer(taxonomy).slot("attributes.colour", "1") < COARSE_SLOTS


def test_slots_are_the_same_everywhere_as_the_examples_of_the_documentation() -> None:
    assert doctest.testmod(slots) == (0, 1)


def test_a_cache_is_bounded_in_the_number_of_fields_too() -> None:
    cache = SlotCache(shop().features, TokenNames())
    for i in range(110_000):
        cache.find(f"attributes.key-{i}", "v")
    assert len(cache) <= 100_000
    assert len(cache._slots) <= 100_000


def test_caches_of_the_taxonomys_own_fields_stay_the_same_when_all_are_emptied() -> None:
    cache = SlotCache(shop().features, TokenNames())
    brands, derived = cache.of_field("brand"), cache.derive()
    cache.find("brand", "first")
    derived["of all"] = b""
    for i in range(100_000):
        cache.find("brand", str(i))
    assert brands is cache.of_field("brand")
    assert brands is not None
    assert "first" not in brands
    assert not derived
