"""Two personas, and 24, are learned, predicted, explained and published as five are."""

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import pytest

from stream_persona.api.predict import PersonaQuery, answer_prediction, describe_customer
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import make_members
from stream_persona.model.statistics import hash_customer
from stream_persona.model.weights import Weights
from stream_persona.pipeline.process import Outcome
from stream_persona.pipeline.training import is_training_example
from tests.support.constants import DAY, NOW
from tests.support.events import browse, deliver, labelled_shoppers, purchase, shop
from tests.support.processing import model_of, process_batch

NUMBERS = pytest.mark.parametrize("number", [2, 24])
#: Labelled customers of all personas together, and baskets of each newcomer.
LABELLED, BASKETS = 288, 6


class Trained(NamedTuple):
    """A shop of so many personas, what its labelled customers led to, and what was learned."""

    taxonomy: Taxonomy
    labelled: Outcome
    weights: Weights


@cache
def trained(number: int) -> Trained:
    taxonomy = shop([f"taste-{n}" for n in range(number)])
    happened = labelled_shoppers(taxonomy, customers=LABELLED // number)
    outcome, fitter = process_batch(deliver(*happened), taxonomy), ModelFitter(taxonomy)
    known = [
        (hash_customer(name), record.find_active_label() or "", record)
        for name, record in sorted(outcome.records.items())
        if is_training_example(record, taxonomy)
    ]
    panel = list(make_members(known, taxonomy).values())
    fitter.update(model_of(happened, taxonomy), panel, calibrate=True)
    return Trained(taxonomy, outcome, fitter.weights)


@cache
def newcomers(number: int) -> Outcome:
    """What a newcomer of each persona led to, whose name is the persona's."""
    taxonomy, _, weights = trained(number)
    happened = [
        purchase(f"{name}-{n}", NOW + n * DAY, name, (name, "food"))
        for name in taxonomy.names
        for n in range(BASKETS)
    ]
    return process_batch(deliver(*happened), taxonomy, weights=weights)


def public_records(outcome: Outcome) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, public in outcome.public_records.items():
        yield name, json.loads(public or b"", parse_float=Decimal)


@NUMBERS
def test_assigned_customers_are_published_as_assigned(number: int) -> None:
    taxonomy, outcome, _ = trained(number)
    found = dict(public_records(outcome))
    assert len(found) == LABELLED
    for name, record in found.items():
        assert (record["source"], record["persona"]) == ("assigned", name.rpartition("-")[0])
        assert list(record["distribution"]) == list(taxonomy.names)
        assert sum(record["distribution"].values()) == 1


@NUMBERS
def test_a_model_of_their_labels_is_calibrated(number: int) -> None:
    weights = trained(number).weights
    assert weights.customers == LABELLED
    assert weights.threshold is not None
    assert weights.candidate_floor is not None
    assert 0 < weights.threshold < 1
    assert 0 <= weights.candidate_floor <= 1


@NUMBERS
def test_newcomers_are_named_by_what_they_buy(number: int) -> None:
    found = dict(public_records(newcomers(number)))
    assert {record["persona"] for record in found.values()} == {*trained(number).taxonomy.names}
    for name, record in found.items():
        assert (record["persona"], record["candidates"]) == (name, [name])
        assert sum(record["distribution"].values()) == 1
        assert record["why"][0]["value"] == name


@NUMBERS
def test_a_shopper_of_two_tastes_is_likeliest_of_one_of_them(number: int) -> None:
    taxonomy, _, weights = trained(number)
    tastes = taxonomy.names[:1] + taxonomy.names[-1:]
    happened = [
        purchase(f"torn-{n}", NOW + n * DAY, "torn", (*tastes, "food")) for n in range(BASKETS)
    ]
    outcome = process_batch(deliver(*happened), taxonomy, weights=weights)
    ((_, record),) = public_records(outcome)
    shares = record["distribution"]
    assert sorted(sorted(shares, key=shares.__getitem__)[-2:]) == sorted(tastes)


@NUMBERS
def test_a_shopper_of_little_evidence_is_ambiguous(number: int) -> None:
    taxonomy, _, weights = trained(number)
    outcome = process_batch(
        deliver(browse("b", customer="new", query="food")), taxonomy, weights=weights
    )
    ((_, record),) = public_records(outcome)
    assert (record["persona"], record["ambiguous"]) == (None, True)
    assert record["candidates"]
    assert sum(record["distribution"].values()) == 1


def leaves(node: dict[str, Any]) -> Iterator[float]:
    for factor in node["factors"]:
        yield factor["value"]


@NUMBERS
def test_a_query_explains_every_persona(number: int) -> None:
    taxonomy, _, weights = trained(number)
    record: Record = newcomers(number).records[taxonomy.names[0]]
    about = describe_customer(record.counts, taxonomy, Tokenizer(taxonomy).names.name_slot)
    query = PersonaQuery(where={"customer_id": "c"}, select=("$p", "$why", "persona"), limit=number)
    hits = answer_prediction(query, about, weights)["hits"]
    assert {hit["persona"] for hit in hits} == {*taxonomy.names}
    assert sum(Decimal(str(hit["$p"])) for hit in hits) == 1
    for hit in hits:
        assert math.prod(leaves(hit["$why"])) == pytest.approx(hit["$p"], rel=1e-9)
