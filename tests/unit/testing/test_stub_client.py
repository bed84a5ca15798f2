"""The stubs of the clients: shoppers that a test gives, read as the real clients read theirs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest

from stream_persona.client import (
    AMBIGUOUS,
    UNKNOWN,
    UNREACHABLE,
    UNREADABLE,
    AsyncPersonaClient,
    Change,
    PersonaClient,
)
from stream_persona.domain.record import Record
from stream_persona.pipeline.messages import encode_change, encode_public_record
from stream_persona.testing.client import StubAsyncPersonaClient, StubPersonaClient
from tests.support.clients import ITEMS, NAMED, published

Stub = StubPersonaClient | StubAsyncPersonaClient


@pytest.fixture(params=[StubPersonaClient, StubAsyncPersonaClient])
def stub(request: pytest.FixtureRequest) -> Stub:
    made: Stub = request.param()
    return made


def call(answer: Any) -> Any:
    """The result of either client's method."""
    return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer


def collect_changes(watching: Iterator[Change] | AsyncIterator[Change]) -> list[Change]:
    async def collect(stream: AsyncIterator[Change]) -> list[Change]:
        return [change async for change in stream]

    if isinstance(watching, AsyncIterator):
        return asyncio.run(collect(watching))
    return list(watching)


def test_a_stub_is_given_wherever_its_client_is_taken() -> None:
    assert issubclass(StubPersonaClient, PersonaClient)
    assert issubclass(StubAsyncPersonaClient, AsyncPersonaClient)
    with StubPersonaClient("redis://production:6379/0", cluster=True, cache=100) as client:
        assert client.get("c").fallback == UNKNOWN


def test_an_asynchronous_stub_is_a_context_manager_too() -> None:
    async def look_up() -> str | None:
        async with StubAsyncPersonaClient() as client:
            return (await client.get("c")).fallback

    assert asyncio.run(look_up()) == UNKNOWN


def test_a_shopper_is_what_the_test_set_last(stub: Stub) -> None:
    stub.set("c", "gamer")
    stub.set("c", "parent", confidence=0.7, distribution={"parent": 0.7, "gamer": 0.3})
    found = call(stub.get("c"))
    assert (found.persona, found.confidence, found.revision) == ("parent", 0.7, 2)
    assert found.distribution == {"parent": 0.7, "gamer": 0.3}
    stub.forget("c")
    assert call(stub.get("c")).fallback == UNKNOWN


def test_a_shopper_without_a_persona_has_the_reason(stub: Stub) -> None:
    stub.set("torn", None, distribution={"parent": 0.5, "gamer": 0.5})
    stub.records["broken"] = b"{"
    found = call(stub.get_many(["torn", "broken", "nobody"]))
    assert [each.fallback for each in found.values()] == [AMBIGUOUS, UNREADABLE, UNKNOWN]
    assert found["torn"].candidates == ("parent", "gamer")
    assert stub.fallbacks == {AMBIGUOUS: 1, UNREADABLE: 1, UNKNOWN: 1}


@pytest.mark.parametrize("persona", ["gamer", None])
@pytest.mark.parametrize("confidence", [0.0, 1 / 3, 0.9, 0.999999, 1.0])
def test_a_distribution_that_a_test_does_not_give_is_whole(
    stub: Stub, persona: str | None, confidence: float
) -> None:
    stub.set("c", persona, confidence=confidence)
    found = call(stub.get("c"))
    assert sum(Decimal(str(share)) for share in found.distribution.values()) == 1
    assert next(iter(found.distribution.values())) == pytest.approx(confidence, abs=1e-6)
    assert found.candidates


def test_a_distribution_that_is_not_whole_is_refused(stub: Stub) -> None:
    with pytest.raises(ValueError, match=r"the one of c to 0\.7"):
        stub.set("c", "gamer", confidence=0.4, distribution={"gamer": 0.4, "parent": 0.3})
    assert call(stub.get("c")).fallback == UNKNOWN


def test_a_redis_that_fails_can_recover(stub: Stub) -> None:
    stub.set("c", "gamer")
    stub.fail()
    assert call(stub.get("c")).fallback == UNREACHABLE
    assert call(stub.rank(ITEMS, "c")).order == ITEMS
    stub.recover()
    assert call(stub.get("c")).persona == "gamer"


def test_items_are_ranked_by_the_affinities_of_now(stub: Stub) -> None:
    stub.set("c", "gamer", confidence=1.0)
    assert call(stub.rank(ITEMS, "c")).fallback == UNREACHABLE
    stub.set_affinities("gamer", {"category:games": 5.0})
    assert call(stub.rank(ITEMS, "c")).order[0] is ITEMS[1]
    stub.set_affinities("gamer", {"category:games": 0.1})
    assert call(stub.rank(ITEMS, "c")).order[-1] is ITEMS[1]


def test_a_watcher_is_given_each_change_once_and_may_begin_again(stub: Stub) -> None:
    stub.set("c", "gamer")
    assert [change.persona for change in collect_changes(stub.watch())] == ["gamer"]
    stub.set("c", "parent", source="assigned")
    stub.forget("c")
    seen = collect_changes(stub.watch("broker:9092", "persona-changes", group="mine"))
    assert [(each.previous, each.persona, each.cause, each.deleted) for each in seen] == [
        ("gamer", "parent", "assignment", False), (None, None, "", True),
    ]  # fmt: skip
    assert len(collect_changes(stub.watch(from_beginning=True))) == 3


def shape(value: object) -> object:
    """The names and types in a JSON value."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value)


def test_what_a_stub_holds_has_the_form_of_what_a_worker_writes(stub: Stub) -> None:
    shares = {"parent": 0.1, "student": 0.2, "gamer": 0.7}
    stub.set("c", "gamer", confidence=0.7, distribution=shares)
    written = orjson.loads(encode_public_record("c", NAMED))
    assert shape(orjson.loads(stub.records["c"])) == shape(written)
    sent = orjson.loads(encode_change("c", Record(published=published("gamer", 1, 2, 700_000))))
    ((_, message),) = stub.messages
    assert message is not None
    assert shape(orjson.loads(message)) == shape(sent)
