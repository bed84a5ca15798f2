"""A customer and evidence together: the customer as if that were done now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.api.model_reader import ModelReader
from stream_persona.api.predict import (
    CustomerWithEvidence,
    PersonaQuery,
    Subject,
    answer_prediction,
    describe_customer,
    describe_hypothetical,
    parse_subject,
)
from stream_persona.domain import record_codec
from stream_persona.domain.events import Event, Item, Purchase
from stream_persona.domain.features import Counts, compute_profiles
from stream_persona.domain.record import Record
from stream_persona.errors import InputError
from stream_persona.model.classifier import PersonaClassifier, make_seed_sums
from stream_persona.model.estimator import derive
from stream_persona.store.memory import MemoryTables
from tests.support.constants import DAY, NOW
from tests.support.events import shop
from tests.support.processing import record_of
from tests.support.workers import worker_settings

#: An item that is bought is one event of just these features, with the weight of evidence.
SHOP = shop(features={"fields": ["category", "brand", "price"], "half_life_days": 3})
WEIGHTS = derive(PersonaClassifier(), SHOP.names, make_seed_sums(SHOP))
CATEGORIES = ["baby/diapers", "Baby > Toys", "pets", "food"]
BRANDS = ["tiny", "ACME"]


def bought(number: int, at: int, **features: Any) -> Purchase:
    return Purchase(f"p{number}", "CUST-1", at, (Item("p", **features),))


def supposed(
    where: dict[str, Any], customer: str = "CUST-1"
) -> str | CustomerWithEvidence | Subject:
    query = PersonaQuery.model_validate({"where": {"customer_id": customer, **where}})
    return parse_subject(query, SHOP)


def hits(about: Subject) -> list[dict[str, Any]]:
    select = ["$p", "$why", "persona"]
    query = PersonaQuery.model_validate({"where": {"customer_id": "any"}, "select": select})
    found: list[dict[str, Any]] = answer_prediction(query, about, WEIGHTS)["hits"]
    return found


past = st.lists(
    st.tuples(st.integers(-200, 1), st.sampled_from(CATEGORIES), st.sampled_from(BRANDS)),
    max_size=6,
)
wanted = st.fixed_dictionaries(
    {"category": st.sampled_from(CATEGORIES)},
    optional={"brand": st.sampled_from(BRANDS), "price": st.sampled_from([0.5, 9, 9.5])},
)


@given(past, wanted)
def test_evidence_counts_as_the_event_would_that_it_describes(
    happened: list[tuple[int, str, str]], features: dict[str, Any]
) -> None:
    events = [
        bought(i, NOW + day * DAY, category=category, brand=brand)
        for i, (day, category, brand) in enumerate(happened)
    ]
    before = record_of(*events, taxonomy=SHOP).counts if events else Counts.empty()
    asked = supposed(features)
    assert isinstance(asked, CustomerWithEvidence)
    real = record_of(*events, bought(99, NOW, **features), taxonomy=SHOP)
    assert asked.evidence.fold_into(before, NOW, SHOP.features) == real.counts


@given(wanted)
def test_the_evidence_of_an_unknown_customer_or_nobody_is_all_there_is(
    features: dict[str, Any],
) -> None:
    alone, asked = describe_hypothetical(features, SHOP), supposed(features)
    assert isinstance(asked, CustomerWithEvidence)
    counts = asked.evidence.fold_into(Counts.empty(), NOW + 17, SHOP.features)
    unknown = describe_customer(counts, SHOP, asked.evidence.combine_names(str))
    nobody = supposed(features, customer=" Guest")
    assert isinstance(nobody, Subject)
    assert hits(unknown) == hits(nobody) == hits(alone)


class Stored(MemoryTables):
    """Tables with the private record of one customer."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record

    async def load(self, customers: Sequence[str]) -> dict[str, bytes]:
        records = {name: self._record for name in customers if name == "CUST-1"}
        return record_codec.encode_records(records, SHOP.fingerprint)


def reader_of(*events: Event, now: int = NOW) -> ModelReader:
    tables = Stored(record_of(*events, taxonomy=SHOP))
    return ModelReader(worker_settings(), SHOP, tables, wall_clock=lambda: now)


async def described(
    reader: ModelReader, where: dict[str, Any], customer: str = "CUST-1"
) -> Subject:
    asked = supposed(where, customer)
    assert not isinstance(asked, Subject)
    return await reader.load_subject(asked)


async def test_a_customer_is_described_as_of_now_by_all_they_did_and_are_supposed_to() -> None:
    before = bought(1, NOW - 6 * DAY, category="pets", brand="acme")
    about = await described(reader_of(before), {"category": "food"})
    real = record_of(before, bought(2, NOW, category="food"), taxonomy=SHOP)
    profile = compute_profiles([real.counts], SHOP.features)
    assert about.profile.slots.tolist() == profile.slots.tolist()
    assert about.profile.shares.tobytes() == profile.shares.tobytes()
    assert about.profile.events.tolist() == pytest.approx([1.25], rel=1e-3)


async def test_the_reasons_name_both_and_their_product_is_the_probability() -> None:
    reader = reader_of(bought(1, NOW - DAY, category="pets", brand="acme"))
    about = await described(reader, {"category": "parent", "brand": "tiny"})
    for hit in hits(about):
        factors = hit["$why"]["factors"]
        assert math.prod(each["value"] for each in factors) == pytest.approx(hit["$p"], rel=1e-9)
    names = {about.name(slot) for slot in about.profile.slots.tolist() if slot}
    assert {"category:parent", "brand:tiny"} < names
    # What few customers carry is named to nobody but to whom gave it.
    assert sum(name.startswith("slot:") for name in names) == 2


async def test_what_is_supposed_is_stored_nowhere() -> None:
    reader = reader_of(bought(1, NOW - DAY, category="pets"))
    before = await reader.load_subject("CUST-1")
    await described(reader, {"category": "food"})
    after = await reader.load_subject("CUST-1")
    assert hits(before) == hits(after)


async def test_evidence_of_a_customer_whose_clock_is_ahead_is_as_old_as_it_is() -> None:
    ahead = bought(1, NOW + DAY, category="pets")
    about = await described(reader_of(ahead), {"category": "food"})
    real = record_of(ahead, bought(2, NOW, category="food"), taxonomy=SHOP)
    assert (
        about.profile.events.tolist()
        == compute_profiles([real.counts], SHOP.features).events.tolist()
    )


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"customer_id": 7, "brand": "a"}, "where.customer_id: expected a text, got 7"),
        ({"customer_id": "C1 ", "brand": "a"}, "customer_id has blanks at an end"),
        ({"customer_id": "C1", "colour": "a"}, "where.colour: expected customer_id or some of"),
        ({"customer_id": "C1", "brand": 3}, "where.brand: expected a text"),
        ({"customer_id": "guest", "brand": []}, "where.brand: expected 1 to 1,000 values, got 0"),
        ({"customer_id": "C1", "brand": ["a"] * 1_001}, "at most 1,000 values, got 1,001"),
    ],
)
def test_what_is_wrong_with_either_is_named(where: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_subject(PersonaQuery.model_validate({"where": where}), SHOP)
