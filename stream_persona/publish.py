"""Changes, dead letters and reroutes to Kafka; returns when the broker has them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_persona.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.settings import Settings


@dataclass(slots=True, frozen=True)
class Message:
    """One message to send; ``partition`` None leaves it to the key (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class Publisher(Protocol):
    """The port: sends all messages, in order per key, and waits for the broker."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send, or raise ``UnavailableError`` once the broker stayed away too long."""
        ...


class KafkaPublisher:
    """The real one; start it before use, stop it after."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.retry_seconds
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.brokers,
            acks="all",
            enable_idempotence=True,
            max_request_size=8_388_608,
            request_timeout_ms=round(1_000 * min(settings.retry_seconds, 30.0)),
        )

    async def start(self) -> None:
        """Connect; waits for a broker that is still starting.

        Raises:
            UnavailableError: no broker answered in ``retry_seconds``.
        """
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._seconds, 0.1
        while True:
            try:
                await self._producer.start()
            except KafkaError as error:
                if loop.time() + pause > deadline:
                    await self._producer.stop()
                    message = f"no Kafka broker answered for {self._seconds:g} s: {error}"
                    raise UnavailableError(message) from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, 2.0)
            else:
                return

    async def stop(self) -> None:
        """Flush and disconnect."""
        await self._producer.stop()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send all; in order per key."""
        try:
            sent = [
                await self._producer.send(
                    m.topic, m.value, m.key, partition=m.partition, headers=list(m.headers)
                )
                for m in messages
            ]
            if sent:
                await asyncio.gather(*sent)
        except KafkaError as error:
            message = f"Kafka did not take {len(messages)} messages: {error}"
            raise UnavailableError(message) from error
