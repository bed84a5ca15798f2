"""Changes as a downstream service watches them: each once, deletions too, in both clients."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import islice

import pytest
from aiokafka import AIOKafkaProducer

from stream_persona.client import AsyncPersonaClient, Change, PersonaClient
from tests.support.clients import encode_change
from tests.support.servers import Kafka, declare_topics


@pytest.fixture
async def topic(real_kafka: Kafka) -> str:
    name = f"watched-{time.time_ns()}"
    await declare_topics(real_kafka, [name], 1)
    return name


@pytest.fixture
async def producer(kafka: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=kafka.brokers) as producer:
        yield producer


async def send(producer: AIOKafkaProducer, topic: str, *messages: tuple[str, bytes | None]) -> None:
    for customer, value in messages:
        await producer.send_and_wait(topic, value, customer.encode())


async def watch(kind: str, kafka: Kafka, topic: str, number: int) -> list[Change]:
    """The first changes that a client of this kind yields from the beginning on."""
    if kind == "sync":
        with PersonaClient() as client:
            seen = client.watch(kafka.brokers, topic, from_beginning=True)
            found = await asyncio.to_thread(lambda: list(islice(seen, number)))
            await asyncio.to_thread(seen.close)
        return found
    found = []
    async with AsyncPersonaClient() as client:
        async for each in client.watch(kafka.brokers, topic, from_beginning=True):
            found.append(each)
            if len(found) == number:
                break
    return found


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_each_change_is_watched_once_and_a_deletion_begins_anew(
    kind: str, kafka: Kafka, topic: str, producer: AIOKafkaProducer
) -> None:
    first, other = ("a", encode_change("a", 1)), ("b", encode_change("b", 1))
    second = ("a", encode_change("a", 2))
    await send(
        producer, topic, first, other, first, ("a", b"no change"), second, ("a", None), first
    )
    found = await watch(kind, kafka, topic, 5)
    seen = [(each.customer_id, each.revision, each.deleted) for each in found]
    assert seen == [("a", 1, False), ("b", 1, False), ("a", 2, False), ("a", 0, True),
                    ("a", 1, False)]  # fmt: skip
    assert (found[0].persona, found[0].previous, found[0].cause) == ("parent", None, "behaviour")
    assert found[0].why[0].lift == 2.0


async def test_a_watcher_goes_on_where_the_last_one_of_its_group_ended(
    kafka: Kafka, topic: str, producer: AIOKafkaProducer
) -> None:
    await send(producer, topic, ("a", encode_change("a", 1)))
    group = f"group-of-{topic}"
    for revision in (1, 2):
        async with AsyncPersonaClient() as client:
            changes = client.watch(kafka.brokers, topic, group=group, from_beginning=True)
            assert (await anext(changes)).revision == revision
            await changes.aclose()
        await send(producer, topic, ("a", encode_change("a", revision + 1)))
