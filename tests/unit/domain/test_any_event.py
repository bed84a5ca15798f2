"""Whatever bytes come are an event or refused, and every event can be processed."""

import json

from hypothesis import example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.domain import events
from stream_persona.domain.events import (
    decode_event,
    encode,
)
from tests.support.event_examples import EXAMPLES, VIEW, read_or_refused
from tests.support.events import (
    browse,
    deliver,
    kind_of,
    purchase,
    quick_shop,
    shop,
)
from tests.support.examples import count_examples
from tests.support.processing import process_batch


@given(st.integers(0, 4), st.binary(max_size=200))
@hypothesis(max_examples=count_examples(300))
def test_arbitrary_bytes_are_an_event_or_a_decode_error(kind: int, blob: bytes) -> None:
    read_or_refused(kind, blob)


@given(
    st.sampled_from(EXAMPLES),
    st.data(),
)
@hypothesis(max_examples=count_examples(400))
def test_a_damaged_event_is_an_event_or_a_decode_error(
    event: events.Event, data: st.DataObject
) -> None:
    blob = bytearray(encode(event))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    read = read_or_refused(kind_of(event), bytes(blob))
    assert read is None or decode_event(kind_of(event), encode(read)) == read


TEXT = st.text(max_size=40) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)
CUSTOMERS = IDS.filter(str.isprintable).filter(lambda text: len(text.encode()) <= 256)
TIMES = st.one_of(
    *(st.integers(0, 253_402_300_799_999).map(lambda at, per=per: at // per) for per in (1, 1_000)),
    *(st.integers(0, 253_402_300_799_999).map(lambda at, per=per: at * per)
      for per in (1_000, 1_000_000)),
    st.floats(0, 2e20), st.just(0), st.datetimes().map(lambda time: time.isoformat() + "Z"),
)  # fmt: skip
ATTRIBUTES = st.none() | st.dictionaries(TEXT, TEXT, max_size=5)
NUMBERS = st.floats(allow_infinity=False, allow_nan=False)
ITEMS = st.fixed_dictionaries(
    {"product_id": IDS},
    optional={
        "category": TEXT | st.text("a/", max_size=30), "brand": TEXT, "price": NUMBERS,
        "quantity": NUMBERS, "attributes": ATTRIBUTES,
    },
)  # fmt: skip
EVENT = {"event_id": IDS, "customer_id": CUSTOMERS, "occurred_at": TIMES}
MESSAGES = st.one_of(
    st.tuples(st.just(0), st.fixed_dictionaries(
        {**EVENT, "items": st.lists(ITEMS, min_size=1, max_size=5), "attributes": ATTRIBUTES})),
    st.tuples(st.just(1), st.fixed_dictionaries(
        {**EVENT, "action": st.sampled_from(["view", "search", "wishlist", "add_to_cart"]),
         "query": TEXT, "product": st.none() | ITEMS, "attributes": ATTRIBUTES})),
    st.tuples(st.just(2), st.fixed_dictionaries(
        {**EVENT, "channel": IDS.map(lambda t: t[:64]), "action": IDS.map(lambda t: t[:64]),
         "campaign": TEXT})),
    st.tuples(st.just(3), st.fixed_dictionaries(
        {"assignment_id": IDS, "customer_id": CUSTOMERS, "occurred_at": TIMES,
         "persona": st.none() | st.sampled_from(["parent", "gamer"]), "source": TEXT,
         "expires_at": st.none() | TIMES})),
    st.tuples(st.just(4), st.fixed_dictionaries(
        {"request_id": IDS, "customer_id": CUSTOMERS, "requested_at": TIMES})),
)  # fmt: skip


@given(MESSAGES, st.sampled_from([-14.0, 0.0, 14.0]))
@example((1, {**VIEW, "occurred_at": "9999-12-31T23:59:59.999Z"}), 14.0)
@example((1, {**VIEW, "occurred_at": "9999-12-31T23:59:59.999-14:00"}), 0.0)
@example((1, {**VIEW, "occurred_at": 0}), -14.0)
@example((3, {"assignment_id": "a", "customer_id": "c", "persona": None,
              "occurred_at": "9999-12-31T23:59:59-14:00"}), 0.0)  # fmt: skip
@hypothesis(max_examples=count_examples(150))
def test_every_readable_event_can_be_processed(
    message: tuple[int, dict[str, object]], offset_hours: float
) -> None:
    kind, fields = message
    event = read_or_refused(kind, json.dumps(fields).encode())
    if event is None:
        return
    assert decode_event(kind, encode(event)) == event
    outcome = process_batch(deliver(event), quick_shop(timezone_offset_hours=offset_hours))
    assert sum(outcome.applied) == 1


def test_a_thousand_items_of_the_highest_weight_can_be_processed() -> None:
    taxonomy = shop(signals={"purchase": 64})
    event = purchase("p", categories=[f"a/b/c/{i % 50}" for i in range(1_000)])
    assert process_batch(deliver(event), taxonomy).records["c"].counts.values.min() > 0


def test_a_signal_without_weight_leaves_no_count() -> None:
    outcome = process_batch(deliver(browse("b")), shop(signals={"search": 0}))
    assert not len(outcome.records["c"].counts.keys)
    assert not outcome.messages


def test_an_event_at_the_beginning_of_1970_counts_like_any_other() -> None:
    outcome = process_batch(deliver(purchase("p", 0)), shop())
    assert outcome.dropped == 0
    assert len(outcome.records["c"].counts.keys)
