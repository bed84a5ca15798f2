"""Laws of any input: arbitrary bytes, arbitrary JSON, and events with wrong parts."""

import json
import operator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from pydantic import ValidationError

from stream_persona.api.predict import (
    CustomerWithEvidence,
    PersonaQuery,
    answer_prediction,
    describe_customer,
    parse_subject,
)
from stream_persona.domain import events
from stream_persona.domain.events import REASONS
from stream_persona.domain.features import Counts
from stream_persona.domain.taxonomy import FIELDS
from stream_persona.errors import DecodeError, QueryError
from stream_persona.model.estimator import derive
from tests.fuzz.laws import EVENT, NOBODY, Path, examples
from tests.support.constants import NOW
from tests.support.events import labelled_shoppers, shop
from tests.support.examples import count_examples
from tests.support.processing import model_of
from tests.support.workers import raw

EXAMPLES = examples()
OUTCOMES = REASONS | {EVENT, NOBODY}
KIND = st.integers(0, len(events.KINDS) - 1)


@pytest.fixture(scope="module")
def path() -> Path:
    return Path()


def texts(**options: Any) -> st.SearchStrategy[str]:
    """Any text, lone surrogates included, and those that have a meaning or a limit somewhere."""
    return st.text(**options) | st.sampled_from(
        ["", "c", "parent", "view", "email", "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:60Z",
         "0001-01-01T00:00:00+14:00", "2024-02-30T00:00:00Z", "a/b/c/d/e/f/g", "\0", "\ud800",
         "x" * 300, "x" * 2_000]
    )  # fmt: skip


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | texts(max_size=30)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(texts(max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn) -> tuple[int, bytes]:
    """An event's kind and JSON with a few parts dropped, replaced, copied or of another type."""
    kind, value = draw(st.sampled_from(EXAMPLES))
    fields = json.loads(value)
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, fields)
    return draw(st.just(kind) | KIND), json.dumps(fields).encode()


def _mutate(draw: st.DrawFn, fields: dict[str, Any]) -> None:
    target: Any = draw(st.sampled_from(_containers(fields)))
    if isinstance(target, list):
        target.extend(draw(st.lists(JSON | st.just(target[0] if target else None), max_size=4)))
        return
    key = draw(st.sampled_from([*target, "expires_at", "attributes"]))
    match draw(st.sampled_from(["drop", "replace", "wrap", "text"])):
        case "drop":
            target.pop(key, None)
        case "replace":
            target[key] = draw(JSON)
        case "wrap":
            target[key] = [target.get(key)]
        case _:
            target[key] = str(target.get(key))


def _containers(value: Any) -> list[Any]:
    """All objects and lists in a value, itself first."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict | list) else []
    return own + [found for each in inner for found in _containers(each)]


@given(KIND, st.binary(max_size=300))
@hypothesis(max_examples=count_examples(600))
def test_arbitrary_bytes_are_an_event_or_a_dead_letter(path: Path, kind: int, value: bytes) -> None:
    assert path.follow(kind, value) in OUTCOMES


@given(KIND, JSON)
@hypothesis(max_examples=count_examples(200))
def test_arbitrary_json_is_an_event_or_a_dead_letter(path: Path, kind: int, value: object) -> None:
    assert path.follow(kind, json.dumps(value).encode()) in OUTCOMES


@pytest.mark.long
@given(mutants())
@hypothesis(max_examples=count_examples(350))
def test_an_event_with_wrong_parts_is_an_event_or_a_dead_letter(
    path: Path, mutant: tuple[int, bytes]
) -> None:
    assert path.follow(*mutant) in OUTCOMES


@given(st.sampled_from(EXAMPLES), st.data())
@hypothesis(max_examples=count_examples(400))
def test_flipped_bytes_make_an_event_or_a_dead_letter(
    path: Path, example: tuple[int, bytes], data: st.DataObject
) -> None:
    kind, value = example
    damaged = bytearray(value)
    for at in data.draw(st.lists(st.integers(0, len(value) - 1), min_size=1, max_size=4)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    assert path.follow(kind, bytes(damaged)) in OUTCOMES


DIGITS = st.integers(-(2**64), 2**64).map(lambda n: b"%d" % n) | st.sampled_from([b"0", b"5", b"7"])
ORIGINS = st.fixed_dictionaries(
    {}, optional={
        "topic": st.sampled_from([b"purchases", b"browses", b"elsewhere", None]),
        "partition": DIGITS, "offset": DIGITS, "timestamp": DIGITS | st.none() | st.binary(),
    }
).map(lambda found: tuple(found.items()))  # fmt: skip
HEADERS = st.lists(st.tuples(st.text(), st.none() | st.binary()), max_size=3).map(tuple)
MESSAGES = st.builds(
    replace,
    st.builds(
        raw,
        st.sampled_from(["purchases", "browses", "persona-reroutes"]),
        st.none() | st.binary(max_size=9) | st.sampled_from([value for _, value in EXAMPLES]),
        st.integers(0, 2**62), st.integers(0, 2), st.builds(operator.add, HEADERS, ORIGINS),
        st.integers(-(2**63), 2**63 - 1),
    ),
    key=st.none() | st.binary(max_size=9),
    timestamp_type=st.sampled_from([0, 1]),
)  # fmt: skip


@pytest.mark.long
@given(MESSAGES)
@hypothesis(max_examples=count_examples(500))
def test_any_envelope_holds_an_event_or_becomes_a_dead_letter(
    path: Path, message: ConsumerRecord
) -> None:
    assert path.receive(message, {(0, 0): 6, (1, 0): 1 << 40, (1, 5): 8}) in OUTCOMES


@pytest.mark.parametrize(("kind", "value"), EXAMPLES)
def test_a_truncated_event_is_a_dead_letter(path: Path, kind: int, value: bytes) -> None:
    assert path.follow(kind, value) == EVENT
    cut = {path.follow(kind, value[:size]) for size in range(len(value))}
    assert cut <= {"empty", "not_json", "invalid_field"}


# --- queries to the API ---

SHOP = shop(features={"fields": FIELDS})
WEIGHTS = derive(model_of(labelled_shoppers(SHOP), SHOP), SHOP.names)


def some_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=4)


WORDS = some_of(st.text(st.characters(codec="utf-8"), min_size=1, max_size=9))
NUMBERS = some_of(st.floats(0, allow_infinity=False) | st.integers(0, 10**400))
READABLE = ("product", "category", "query", "hour", "attributes.a", "attributes.\0")
EVIDENCE = st.fixed_dictionaries(
    {"brand": WORDS},
    optional=dict.fromkeys(READABLE, WORDS)
    | dict.fromkeys(("price", "quantity", "basket_size"), NUMBERS | WORDS),
)
WRONG = st.dictionaries(
    st.sampled_from(["brand", "price", "attributes", "attributes.", "customer_id"]) | texts(),
    JSON,
    max_size=4,
)
CUSTOMER = st.fixed_dictionaries({"customer_id": st.just("C-1") | texts(max_size=9)})
BOTH = st.builds(lambda customer, evidence: customer | evidence, CUSTOMER, EVIDENCE)
ASKED = st.fixed_dictionaries(
    {"where": EVIDENCE | CUSTOMER | BOTH},
    optional={
        "from": st.just("customer_purchases"), "predict": st.just("persona"),
        "select": st.lists(st.sampled_from(["$p", "$why", "persona", "$value"]), min_size=1),
        "limit": st.integers(0, 12), "offset": st.integers(0, 12),
    },
)  # fmt: skip
PLACES = st.sampled_from(["from", "where", "predict", "select", "limit", "offset", "other"])
QUERIES = ASKED | st.builds(
    lambda query, at, what: {**query, at: what}, ASKED, PLACES, JSON | WRONG
)


def outcome_of(body: object) -> str:
    """Answer a query or refuse it; only these errors become an answer of status 400."""
    try:
        query = PersonaQuery.model_validate(body)
        shopper = parse_subject(query, SHOP)
    except (ValidationError, QueryError, DecodeError) as error:
        return "refused" if len(str(error)) < 5_000 else "refused at length"
    if isinstance(shopper, CustomerWithEvidence):
        counts = shopper.evidence.fold_into(Counts.empty(), NOW, SHOP.features)
        shopper = describe_customer(counts, SHOP, shopper.evidence.combine_names(str))
    if isinstance(shopper, str):
        shopper = describe_customer(Counts.empty(), SHOP, str)
    found = answer_prediction(query, shopper, WEIGHTS)
    assert json.dumps(found, allow_nan=False)
    assert len(found["hits"]) == max(0, min(query.limit, 5 - query.offset))
    return "answered"


@given(QUERIES)
@hypothesis(max_examples=count_examples(250))
def test_a_query_is_answered_or_refused(body: object) -> None:
    assert outcome_of(body) in {"answered", "refused"}


@given(JSON)
@hypothesis(max_examples=count_examples(100))
def test_any_json_as_a_query_is_answered_or_refused(body: object) -> None:
    assert outcome_of(body) in {"answered", "refused"}


@pytest.mark.parametrize(
    "where",
    [
        {"attributes." + "x" * 100_000: "v"},
        {"x" * 100_000: "v"},
        {"category": "x" * 100_000},
        {"attributes.a": ["v"] * 600, "attributes.b": ["v"] * 600},
        {f"attributes.{i}": "v" for i in range(2_000)},
        {"attributes.\ud800": "v"},
    ],
    ids=["attribute", "feature", "value", "values", "features", "surrogate"],
)
def test_a_query_that_is_too_large_is_refused_in_a_sentence(where: dict[str, Any]) -> None:
    assert outcome_of({"where": where}) == "refused"
