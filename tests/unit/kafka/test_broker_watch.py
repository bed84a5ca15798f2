"""A worker ends once its brokers have been of no use for its patience, and not before."""

from typing import Any

import pytest

from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.kafka.broker_watch import BrokerWatch

WELL: dict[str, Any] = {"silence": 0.0, "missing": (), "has_coordinator": True}


def watched(*moments: tuple[float, dict[str, Any]]) -> Exception | None:
    """What a watch with a patience of 60 s finds at the last of these moments, from 100 s on."""
    watch, fault = BrokerWatch(60.0, 100.0), None
    for now, state in moments:
        assert fault is None
        fault = watch.find_fault(now, **WELL | state)
    return fault


def test_brokers_that_answer_are_no_fault_however_long_it_lasts() -> None:
    assert watched((110, {}), (10_000, {})) is None


def test_silent_brokers_are_a_fault_after_the_patience() -> None:
    assert watched((130, {"silence": 60.0})) is None
    assert isinstance(watched((131, {"silence": 60.1})), UnavailableError)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({"has_coordinator": False}, UnavailableError, "__consumer_offsets has leaders"),
        ({"missing": ("b", "a")}, TopologyError, "topic a does not exist any more"),
    ],
)
def test_a_lasting_want_is_a_fault_and_a_passing_one_is_not(
    state: dict[str, Any], error: type[Exception], message: str
) -> None:
    assert watched((159, state)) is None
    assert watched((159, state), (160, {}), (219, state)) is None
    fault = watched((110, {}), (150, state), (171, state))
    assert isinstance(fault, error)
    assert message in str(fault)


def test_a_broker_is_asked_when_it_has_been_silent_for_long_or_topics_are_missing() -> None:
    watch = BrokerWatch(60.0, 100.0)
    assert not watch.should_ask(silence=30.0, missing=())
    assert watch.should_ask(silence=30.1, missing=())
    assert watch.should_ask(silence=0.0, missing=("a",))
