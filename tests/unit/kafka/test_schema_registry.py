"""Schemas are fetched from a registry: once, without holding anything up."""

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest

from stream_persona.errors import DecodeError, UnavailableError
from stream_persona.kafka.deserializers import RegistryDecoder, find_number
from tests.support.avro_messages import avro, framed
from tests.support.schema_registry import StandIn, standing_in
from tests.support.workers import worker_settings


@pytest.fixture
def registry() -> Iterator[StandIn]:
    with standing_in() as found:
        found.schemas[7] = {"schema": '"string"'}
        yield found


def decoder(registry: StandIn, **values: Any) -> RegistryDecoder:
    return RegistryDecoder("avro", registry.url, worker_settings(**values))


async def test_a_schema_is_fetched_once(registry: StandIn) -> None:
    own = decoder(registry)
    for _ in range(3):
        await own.prepare({7})
        assert own.decode(framed(7, avro("string", "a"))) == "a"
    assert len(registry.asked) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (framed(8, b""), "unknown_schema"), (framed(9, b""), "wrong_format"),
        (b"\x01\x00\x00\x00\x07a", "wrong_format"), (b"\x00\x00", "wrong_format"),
        (b'{"id": 1}', "wrong_format"), (b"", "empty"), (None, "empty"),
        (framed(7, b"\x00" * 1_000_001), "too_large"),
    ],
)  # fmt: skip
async def test_a_payload_that_cannot_be_read_says_why(
    registry: StandIn, value: bytes | None, reason: str
) -> None:
    registry.schemas[9] = {"schema": "{}", "schemaType": "JSON"}
    own = decoder(registry)
    await own.prepare({number} if (number := find_number(value)) is not None else set())
    with pytest.raises(DecodeError) as refused:
        own.decode(value)
    assert refused.value.reason == reason


@pytest.mark.long
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_a_registry_that_does_not_answer_is_waited_for_and_never_a_dead_letter(
    registry: StandIn, status: int
) -> None:
    registry.status = status
    own = decoder(registry, retry_seconds=0.5, registry_username="us", registry_password="hunter22")
    with pytest.raises(UnavailableError) as away:
        await own.prepare({7})
    assert (
        "hunter22" not in f"{away.value!r} {own!r} {worker_settings(registry_password='hunter22')}"
    )
    assert len(registry.asked) > 1
    registry.status = 0
    await own.prepare({7})
    assert own.decode(framed(7, avro("string", "a"))) == "a"
    assert registry.logins == {"Basic " + base64.b64encode(b"us:hunter22").decode()}


async def test_a_registry_that_is_gone_ends_in_a_sentence() -> None:
    with standing_in() as gone:
        url = gone.url
    own = RegistryDecoder("avro", url, worker_settings(retry_seconds=0.3))
    with pytest.raises(UnavailableError, match="no schema came from the registry at http"):
        await own.prepare({1})


async def test_the_event_loop_goes_on_while_a_schema_is_fetched(registry: StandIn) -> None:
    released, seen = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def fetch(number: int) -> Any:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(20)
        seen.append(number)
        return lambda value: value

    own = RegistryDecoder("avro", registry.url, worker_settings(), fetch)
    fetching = asyncio.create_task(own.prepare({1, 2}))
    await asyncio.sleep(0)
    assert seen == []
    released.set()
    await fetching
    assert sorted(seen) == [1, 2]


async def test_schemas_are_kept_within_a_bound(registry: StandIn) -> None:
    own = RegistryDecoder("avro", registry.url, worker_settings(), lambda _: lambda value: value)
    for first in range(0, 3_000, 500):
        await own.prepare(range(first, first + 500))
    assert len(own._known) == 1_000
