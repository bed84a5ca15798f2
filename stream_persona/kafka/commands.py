"""What callers ask to be done: assignments and deletions, as events for the workers."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stream_persona.domain.events import (
    ASSIGNMENT,
    Assignment,
    Deletion,
    check_id,
    decode_event,
    encode,
)
from stream_persona.errors import QueryError, UnavailableError
from stream_persona.kafka.publisher import KafkaPublisher, Message

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that a caller waits for the broker, at most.
PATIENCE: Final = 10.0


class Commands:
    """Sends events and waits for the broker to have them; ``ready`` once it is connected."""

    def __init__(self, settings: Settings, taxonomy: Taxonomy) -> None:
        self._settings = settings.model_copy(update={"retry_seconds": PATIENCE})
        self._taxonomy = taxonomy
        self._publisher: KafkaPublisher | None = None

    @property
    def ready(self) -> bool:
        """Whether a broker has been reached."""
        return self._publisher is not None

    async def connect(self) -> None:
        """Connect, however long the broker stays away."""
        while self._publisher is None:
            publisher = KafkaPublisher(self._settings)
            try:
                await publisher.start()
                self._publisher = publisher
            except UnavailableError as error:
                logger.warning("assignments and deletions can't be sent yet: %s", error)
            except asyncio.CancelledError:
                await publisher.stop()
                raise

    async def close(self) -> None:
        """Flush and disconnect."""
        if self._publisher is not None:
            await self._publisher.stop()
            self._publisher = None

    async def assign(
        self,
        customer_id: str,
        persona: str | None,
        source: str | None = None,
        expires_at: datetime | int | None = None,
    ) -> Assignment:
        """Give a customer a persona, or withdraw it with None.

        Raises:
            QueryError: the persona is not of the taxonomy.
            DecodeError: a worker could not read the event.
            UnavailableError: the broker did not take it.
        """
        check_id(customer_id)
        if persona is not None and persona not in self._taxonomy.names:
            known = ", ".join(self._taxonomy.names)
            shown = persona[:64].encode(errors="replace").decode()
            raise QueryError(f"persona: expected one of {known} or null, got {shown!r}")
        assignment = Assignment(_fresh_id(), customer_id, _now(), persona, source, expires_at)
        value = encode(assignment)
        decode_event(ASSIGNMENT, value)
        await self._send(self._settings.topic_assignments, customer_id, value)
        return assignment

    async def delete(self, customer_id: str) -> Deletion:
        """Ask for a customer to be forgotten.

        Raises:
            DecodeError: the id could not be one.
            UnavailableError: the broker did not take it.
        """
        check_id(customer_id)
        deletion = Deletion(_fresh_id(), customer_id, _now())
        await self._send(self._settings.topic_deletions, customer_id, encode(deletion))
        return deletion

    async def _send(self, topic: str, customer_id: str, value: bytes) -> None:
        if self._publisher is None:
            raise UnavailableError("no Kafka broker has been reached yet: try again later")
        await self._publisher.publish([Message(topic, customer_id.encode(), value)])


def _fresh_id() -> str:
    return uuid.uuid4().hex


def _now() -> datetime:
    milliseconds = time.time_ns() // 1_000_000
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)
