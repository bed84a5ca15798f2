"""What is published of a customer is a whole distribution: its decimals sum to exactly 1."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stream_persona.domain import record_codec
from stream_persona.domain.features import Counts
from stream_persona.domain.record import PublishedChange, Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.river_model import fit
from stream_persona.pipeline.decision import Belief, decide, to_millionths
from stream_persona.pipeline.messages import encode_messages
from stream_persona.pipeline.process import process_batch
from tests.support.constants import NOW
from tests.support.events import deliver, labelled_shoppers, shop
from tests.support.labelled import labelled_examples

ROWS = st.lists(st.floats(1e-9, 1), min_size=2, max_size=24)


def read(message: bytes | None) -> dict[str, Any]:
    """Decode JSON with the figures as they are printed."""
    found: dict[str, Any] = msgspec.json.Decoder(float_hook=Decimal).decode(message or b"")
    return found


def total(posterior: Mapping[str, Any]) -> Decimal:
    return sum(posterior["distribution"].values(), Decimal(0))


def decided(record: Record, shares: list[float]) -> Record:
    """The record with a change to these shares of so many personas."""
    taxonomy = shop([f"p{number}" for number in range(len(shares))])
    row = to_millionths(np.array([shares]) / np.sum([shares]))[0]
    found = decide(record, Belief(row, 9.0, "m"), taxonomy, NOW)
    return replace(record, published=found or record.published)


@given(ROWS, ROWS)
def test_a_change_and_its_public_record_sum_to_one_also_when_the_personas_were_others(
    before: list[float], now: list[float]
) -> None:
    first = decided(Record(counts=Counts(0, NOW, b"", b"")), before)
    second = decided(first, now)
    for record in (first, second):
        change, public = map(read, encode_messages("c", record))
        assert total(public) == total(change["current"]) == 1
        assert change["previous"] is None or total(change["previous"]) == 1


@given(ROWS, ROWS)
def test_a_stored_change_is_published_again_in_the_same_bytes(
    before: list[float], now: list[float]
) -> None:
    record = decided(decided(Record(counts=Counts(0, NOW, b"", b"")), before), now)
    blobs = record_codec.encode_records({"c": record}, 1)
    stored = record_codec.decode_records(blobs, 1)["c"]
    assert encode_messages("c", record) == encode_messages("c", stored)


def test_a_change_that_was_stored_without_former_personas_can_be_read() -> None:
    record = decided(Record(counts=Counts(0, NOW, b"", b"")), [1, 2])
    *fields, former = msgspec.to_builtins(record.published)
    assert former is None
    earlier = msgspec.msgpack.encode(fields)
    assert msgspec.msgpack.decode(earlier, type=PublishedChange) == record.published


def sums_of_a_shop(taxonomy: Taxonomy, specification: str) -> set[Decimal]:
    """The sums in all messages about customers whom a River classifier predicted."""
    model = fit(specification, labelled_examples(taxonomy), taxonomy.names)
    happened = deliver(*labelled_shoppers(taxonomy, seed=2))
    outcome = process_batch(happened, {}, model, taxonomy, Tokenizer(taxonomy), NOW)
    records = [read(public) for public in outcome.public_records.values()]
    changes = [read(message)["current"] for _, message in outcome.messages]
    assert len(records) == len(changes) > 10
    return {total(each) for each in records + changes}


def test_what_a_river_classifier_predicts_sums_to_one_as_well() -> None:
    assert sums_of_a_shop(shop(), "river.naive_bayes:MultinomialNB") == {1}
    assert sums_of_a_shop(shop(), "river.linear_model:SoftmaxRegression") == {1}
