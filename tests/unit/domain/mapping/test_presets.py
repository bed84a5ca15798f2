"""The same shopper is the same to us, whichever tool's documents tell of the behaviour."""

from collections import Counter
from functools import cache

import msgspec
import pytest

from stream_persona.domain.events import Event, get_event_time
from stream_persona.domain.taxonomy import load
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.testing.shop import MemoryShop
from tests.support.events import event_id
from tests.support.foreign.presets import USER, Way, map_all, ways

WAYS = ways()
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer(load(None))


def without_id(event: Event) -> dict[str, object]:
    fields = msgspec.structs.asdict(event)
    return {**fields, "event_id": None, "occurred_at": get_event_time(event)}


def mapped(way: Way) -> list[tuple[int, Event]]:
    return [found for document in map_all(way) for found in document.events]


@each_way
def test_the_journey_is_the_same_events_as_in_our_own_shape(way: Way) -> None:
    found = [(kind, without_id(event)) for kind, event in mapped(way)]
    assert found == [(kind, without_id(event)) for kind, event in way.expected]
    assert found


@each_way
def test_the_journey_is_the_same_tokens_as_in_our_own_shape(way: Way) -> None:
    found = [tokenizer().tokenize(event) for _, event in mapped(way)]
    expected = [tokenizer().tokenize(event) for _, event in way.expected]
    assert [(e.slots, e.weights, e.order_id) for e in found] == [
        (e.slots, e.weights, e.order_id) for e in expected
    ]


@pytest.mark.long
@each_way
def test_the_shopper_has_the_same_persona_as_in_our_own_shape(way: Way) -> None:
    shops = []
    for events in (mapped(way), way.expected):
        shop = MemoryShop()
        for _, event in events:
            shop.apply(event)
        shops.append(shop.client().get(USER))
    assert shops[0].persona == shops[1].persona
    assert shops[0].distribution == shops[1].distribution
    assert shops[0].evidence > 0


@each_way
def test_ids_are_the_same_when_read_again_and_those_of_different_events_differ(way: Way) -> None:
    ids = [event_id(event) for _, event in mapped(way)]
    assert ids == [event_id(event) for _, event in mapped(way)]
    assert len(set(ids)) == len(ids)


@each_way
def test_what_is_no_behaviour_is_counted_by_its_reason(way: Way) -> None:
    left_out = Counter[str]()
    for document in map_all(way):
        left_out.update(document.left_out)
        assert not document.faults
    others = {"not_of_interest", "not_bought", "unknown_event"} if way.has_others else set()
    assert set(left_out) - {"identity_link"} == others


@pytest.mark.parametrize("name", ["segment segment-python", "segment segment-node", "rudderstack"])
def test_identify_and_alias_are_read_and_kept_apart(name: str) -> None:
    found = map_all(WAYS[name])
    links = [link for document in found for link in document.links]
    assert [(link.kind, link.into_id) for link in links] == [("identify", USER), ("alias", USER)]
    assert {link.from_id for link in links} == {"5f0c1d2e-9a41-4a0e-8f57-0c6c4f0a7d11"}
    assert {link.occurred_at for link in links} == {1_763_974_800_000}
    assert sum(document.left_out.get("identity_link", 0) for document in found) == 2
