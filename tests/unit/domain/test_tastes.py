"""A shopper's own tastes from the record: a pure function of the counts, bounded, without names."""

import random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain.common_tastes import CommonShare, decode_common, encode_common
from stream_persona.domain.events import Item, Purchase
from stream_persona.domain.features import Counts
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.taste_bytes import (
    MOST_TASTES,
    StoredTastes,
    TastesError,
    decode_tastes,
    encode_tastes,
)
from stream_persona.domain.tastes import encode_all_tastes, list_taste_features
from stream_persona.domain.taxonomy import Taxonomy
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import deletion, deliver, purchase, shop
from tests.support.examples import count_examples
from tests.support.histories import SHOP, random_events
from tests.support.processing import process_batch

SEEDS = st.integers(0, 2**32)


def tastes_of(*happened: object, taxonomy: Taxonomy = SHOP) -> bytes | None:
    counts = process_batch(deliver(*happened), taxonomy).records["c"].counts  # type: ignore[arg-type]
    return encode_all_tastes({"c": counts}, taxonomy)["c"]


def decoded(blob: bytes | None) -> StoredTastes:
    assert blob is not None
    return decode_tastes("c", blob)


def test_shares_are_those_of_events_with_a_category_or_type() -> None:
    happened = [purchase(f"e{n}", NOW, categories=["pets/cat"]) for n in range(3)]
    found = decoded(tastes_of(*happened, purchase("e4", NOW, categories=["books"])))
    assert found.events == pytest.approx(4.0, rel=0.01)
    shares = {
        name: found.shares[hash_to_slot(f"category:{name}", fine=False)]
        for name in ("pets", "pets/cat", "books")
    }
    assert shares == {
        "pets": pytest.approx(0.75, rel=0.04),
        "pets/cat": pytest.approx(0.75, rel=0.04),
        "books": pytest.approx(0.25, rel=0.04),
    }


def test_what_a_closed_vocabulary_holds_is_no_taste() -> None:
    bought = Purchase("e", "c", NOW, (Item("p", category="pets", price=4.0, quantity=2),))
    found = decoded(tastes_of(bought))
    slots = {
        hash_to_slot(token, fine=False) for token in ("price:4..8", "weekday:weekday", "hour:0-6")
    }
    assert slots.isdisjoint(found.shares)
    assert 0 not in found.shares


@given(SEEDS)
@hypothesis(max_examples=count_examples(40))
def test_the_order_of_events_leaves_no_trace(seed: int) -> None:
    rng = random.Random(seed)
    happened = random_events(rng, "c", NOW - 12 * HOUR, NOW)
    one = process_batch(deliver(*happened), SHOP).records["c"]
    two = process_batch(deliver(*rng.sample(happened, len(happened))), SHOP).records["c"]
    encoded = [encode_all_tastes({"c": each.counts}, SHOP) for each in (one, two)]
    assert encoded[0] == encoded[1]


@given(SEEDS)
@hypothesis(max_examples=count_examples(20))
def test_other_customers_leave_no_trace(seed: int) -> None:
    rng = random.Random(seed)
    happened = [e for c in "cde" for e in random_events(rng, c, NOW - 12 * HOUR, NOW)]
    records = process_batch(deliver(*happened), SHOP).records
    counts = {name: record.counts for name, record in records.items()}
    alone = {name: encode_all_tastes({name: own}, SHOP)[name] for name, own in counts.items()}
    assert encode_all_tastes(counts, SHOP) == alone


def test_time_alone_changes_no_share() -> None:
    half_life = SHOP.features.half_life_ms
    then = [purchase("e1", NOW, categories=["pets"]), purchase("e2", NOW - DAY, categories=["a"])]
    later = [
        purchase("e1", NOW + 16 * half_life, categories=["pets"]),
        purchase("e2", NOW + 16 * half_life - DAY, categories=["a"]),
    ]
    assert tastes_of(*then) == tastes_of(*later)


def test_a_deletion_leaves_no_tastes() -> None:
    assert tastes_of(purchase("e1", NOW), deletion("d", NOW + HOUR)) is None
    assert encode_all_tastes({"c": Counts.empty()}, SHOP) == {"c": None}
    assert encode_all_tastes({}, SHOP) == {}


def test_tastes_are_bounded_to_the_greatest_shares() -> None:
    often = [purchase(f"o{n}", NOW, categories=["pets"]) for n in range(4)]
    many = [purchase(f"e{n}", NOW, categories=[f"c{n}-{m}" for m in range(50)]) for n in range(10)]
    blob = tastes_of(*often, *many)
    found = decoded(blob)
    assert len(found.shares) == MOST_TASTES
    assert len(blob or b"") == 15 + 3 * MOST_TASTES
    assert hash_to_slot("category:pets", fine=False) in found.shares
    assert found.floor == min(found.shares.values())


def test_tastes_have_no_names() -> None:
    blob = tastes_of(purchase("e", NOW, categories=["a very rare word"])) or b""
    assert b"rare" not in blob


def test_only_features_that_a_taxonomy_counts_are_tastes() -> None:
    assert list_taste_features(SHOP) == ("category", "attributes.product_type")
    assert list_taste_features(shop(features={"fields": ["brand"]})) == ()
    assert list_taste_features(shop(features={"fields": ["attributes.product_type", "hour"]})) == (
        "attributes.product_type",
    )
    bare = shop(features={"fields": ["brand"]})
    assert decoded(tastes_of(purchase("e", NOW), taxonomy=bare)).shares == {}


def test_tastes_are_found_where_types_have_fine_slots() -> None:
    fine = shop(features={"fine": ["attributes.product_type"]})
    bought = Purchase("e", "c", NOW, (Item("p", attributes={"product_type": "cat food"}),))
    found = decoded(tastes_of(bought, taxonomy=fine))
    assert hash_to_slot("attributes.product_type:cat food", fine=True) in found.shares


def test_common_shares_are_read_as_they_were_written_and_damaged_ones_left_out() -> None:
    shares = {
        "category:a": CommonShare(3, 0.5),
        "category:b": CommonShare(4, 1e-7, is_reason=False),
    }
    fields = {k.encode(): v.encode() for k, v in encode_common(shares, "0" * 12).items()}
    damaged = {
        b"category:c": b"x 0.5", b"category:d": b"1", b"category:e": b"1 nan",
        b"category:f": b"1 0", b"\xff": b"1 0.5", b"category:g": b"1 0.5 other",
        b"category:h": b"1 0.5 shared x",
    }  # fmt: skip
    assert decode_common(fields | damaged) == (shares, "0" * 12)
    assert encode_common({}, "0" * 12) == {}


def test_tastes_of_another_format_are_refused() -> None:
    blob = encode_tastes("c", "0" * 12, 1.0, b"\0\1", b"\1")
    with pytest.raises(TastesError, match="damaged, or another customer's"):
        decode_tastes("d", blob)
