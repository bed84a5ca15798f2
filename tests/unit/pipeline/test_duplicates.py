"""The laws of producers' retries: an event id counts once on its input while it is known."""

import random

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from stream_persona.pipeline.types import Delivery
from tests.support.constants import DAY, HOUR, NOW
from tests.support.events import browse, deliver, engagement, purchase, shop
from tests.support.histories import folded_in_any_order, random_events, random_inputs
from tests.support.processing import fold_batches, process_batch

SEEDS = st.integers(0, 2**32)


@given(SEEDS)
@hypothesis(max_examples=60)
def test_a_producers_retries_leave_no_trace_whatever_the_other_topics_do(seed: int) -> None:
    rng = random.Random(seed)
    inputs = random_inputs(rng, random_events(rng, "x", NOW - 12 * HOUR, NOW))
    for run in inputs:
        again = [Delivery.of(d.event, d.kind, d.partition, 0) for d in run for _ in range(2)]
        run[:] = again
        for offset, delivery in enumerate(run):
            delivery.offset = offset
    assert len(folded_in_any_order(inputs, rng)) == 1


def test_a_retry_counts_once_also_when_another_topic_is_far_ahead() -> None:
    bought = [purchase("p", NOW), purchase("p", NOW)]
    ahead = browse("b", NOW + HOUR)
    first, second = deliver(*bought), deliver(ahead)
    assert fold_batches([first, second], shop()) == fold_batches([second, first], shop())


def test_a_retry_counts_once_however_many_events_are_between_and_however_they_are_batched() -> None:
    happened = [purchase(f"p-{i}", NOW + i) for i in range(100)] + [purchase("p-0", NOW)]
    order = deliver(*happened)
    whole = fold_batches([order], shop())
    assert whole == fold_batches([[delivery] for delivery in order], shop())


def test_ids_of_two_topics_are_not_confused() -> None:
    outcome = process_batch(deliver(purchase("1"), browse("1"), engagement("1")), shop())
    assert outcome.duplicates == 0


def test_a_retry_counts_once_however_much_newer_the_event_before_it_is() -> None:
    happened = [purchase("p"), purchase("q", NOW + 9 * DAY), purchase("p")]
    assert process_batch(deliver(*happened), shop()).duplicates == 1
