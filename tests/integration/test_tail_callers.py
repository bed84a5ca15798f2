"""Callers of the newest messages: they share what was found, and wait for no broker for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from stream_persona.api.customer_log import (
    KEPT_SECONDS,
    MOST_CALLERS,
    PATIENCE,
    CustomerMessages,
    Tail,
)
from stream_persona.demo.embedded import find_free_port
from stream_persona.errors import UnavailableError
from stream_persona.settings import Settings
from tests.support.customer_logs import LATE, mine, produce, tail_of, values
from tests.support.servers import Kafka
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import eventually


@pytest.fixture
async def tail(declared_topics: Settings) -> AsyncIterator[Tail]:
    async with tail_of(declared_topics) as tail:
        yield tail


async def test_what_was_found_is_given_again_for_a_moment(
    tail: Tail, declared_topics: Settings
) -> None:
    await produce(declared_topics, declared_topics.topic_browses, mine(1))
    first, second = await asyncio.gather(tail.find("c"), tail.find("c"))
    assert first is second is await tail.find("c")
    await produce(declared_topics, declared_topics.topic_browses, mine(2))

    async def anew() -> bool:
        return values((await tail.find("c")).events) == [b"1", b"2"]

    await eventually(anew, KEPT_SECONDS + LATE, "it is not looked for again")


async def test_a_broker_that_is_away_is_reported_at_once(settings: Settings) -> None:
    away = settings.model_copy(update={"brokers": f"127.0.0.1:{find_free_port()}"})
    async with tail_of(away) as tail:
        for _ in range(2):
            with pytest.raises(UnavailableError, match="the broker does not give a customer"):
                await tail.find("c")


async def test_a_silent_broker_is_waited_for_by_few_and_not_for_long(settings: Settings) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        async with tail_of(settings.model_copy(update={"brokers": f"127.0.0.1:{port}"})) as tail:
            begun = time.monotonic()
            waiting = [asyncio.create_task(tail.find(f"c{n}")) for n in range(MOST_CALLERS)]
            await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match="too many"):
                await tail.find("one-more")
            assert time.monotonic() - begun < 1
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(end) for end in ends} == {UnavailableError}
            assert time.monotonic() - begun < PATIENCE + LATE


async def test_a_broker_that_falls_silent_and_comes_back_is_read_again(
    real_kafka: Kafka, declared_topics: Settings
) -> None:
    if real_kafka.kind != "kafka":
        pytest.skip("needs a Kafka behind a proxy")
    await produce(declared_topics, declared_topics.topic_browses, mine(1))
    async with SlowProxy.of_kafka(real_kafka) as proxy:
        behind = declared_topics.model_copy(update={"brokers": proxy.address})
        async with tail_of(behind) as tail:
            assert values((await tail.find("c")).events) == [b"1"]
            proxy.freeze()
            with pytest.raises(UnavailableError):
                await tail.find("other")
            proxy.unfreeze()
            assert await tail.find("other") == CustomerMessages((), (), complete=True)
            proxy.cut()
            assert await tail.find("another") == CustomerMessages((), (), complete=True)
