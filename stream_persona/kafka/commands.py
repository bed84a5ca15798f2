"""What callers ask to be done: assignments and deletions, as events for the workers."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stream_persona.domain.decode_errors import show_apart
from stream_persona.domain.events import (
    ASSIGNMENT,
    DELETION,
    Assignment,
    Deletion,
    check_id,
    decode_event,
    encode,
)
from stream_persona.domain.identity import NOBODY_IDS, NobodyIds
from stream_persona.errors import (
    ConfigError,
    DecodeError,
    KafkaUnavailableError,
    QueryError,
    UnavailableError,
)
from stream_persona.kafka.producer import Message
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.retrying import retry_endlessly

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that a caller waits for the broker, at most.
PATIENCE: Final = 10.0


def make_assignment(
    taxonomy: Taxonomy,
    customer_id: str,
    persona: str | None,
    source: str | None = None,
    expires_at: datetime | int | None = None,
    *,
    at: datetime | int,
    nobody: NobodyIds = NOBODY_IDS,
) -> Assignment:
    """Build the event that gives a customer a persona, or withdraws it with None.

    Times are aware datetimes or epoch milliseconds; ``at`` is when it was asked for.

    Raises:
        QueryError: the persona is not of the taxonomy, or the id stands for nobody.
        DecodeError: a worker could not read the event.
    """
    check_somebody(customer_id, nobody)
    own = taxonomy.resolve(persona)
    if persona is not None and own is None:
        shown, known = show_apart(_replace_surrogates(persona[:64]), taxonomy.names)
        raise QueryError(f"persona: expected one of {known} or null, got {shown}")
    assignment = Assignment(uuid.uuid4().hex, customer_id, at, own, source, expires_at)
    _encode(ASSIGNMENT, assignment)
    return assignment


def make_deletion(
    customer_id: str, *, at: datetime | int, nobody: NobodyIds = NOBODY_IDS
) -> Deletion:
    """Build the event that asks for a customer to be forgotten.

    Raises:
        QueryError: the id stands for nobody.
        DecodeError: no customer can have this id.
    """
    check_somebody(customer_id, nobody)
    return Deletion(uuid.uuid4().hex, customer_id, at)


def check_somebody(customer_id: str, nobody: NobodyIds) -> None:
    """Refuse an id that no command can be about.

    Raises:
        QueryError: it stands for nobody.
        DecodeError: no customer can have it.
    """
    if customer_id in nobody:
        raise QueryError(
            f"customer_id: {customer_id!r} stands for nobody, so that nothing is kept of it "
            "(STREAM_PERSONA_NOBODY_IDS)"
        )
    check_id(customer_id)


class Commands:
    """Sends commands over one connection; ``ready`` once it has been made.

    ``clock`` gives epoch nanoseconds.
    """

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._settings = settings.model_copy(update={"retry_seconds": PATIENCE})
        self._taxonomy = taxonomy
        self._clock = clock
        self._nobody = NobodyIds(settings.nobody)
        self._publisher: KafkaPublisher | None = None

    @property
    def ready(self) -> bool:
        """Whether a broker has been reached."""
        return self._publisher is not None

    async def connect(self) -> None:
        """Connect, however long the broker stays away."""
        self._publisher = await retry_endlessly(
            self._start_publisher, on=(UnavailableError, ConfigError), note=_log_trouble
        )

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
            QueryError: the persona is not of the taxonomy, or the id stands for nobody.
            DecodeError: a worker could not read the event.
            KafkaUnavailableError: the broker did not take it.
        """
        assignment = make_assignment(
            self._taxonomy, customer_id, persona, source, expires_at,
            at=self._now(), nobody=self._nobody,
        )  # fmt: skip
        await self._send(assignment)
        return assignment

    async def delete(self, customer_id: str) -> Deletion:
        """Ask for a customer to be forgotten.

        Raises:
            QueryError: the id stands for nobody.
            DecodeError: no customer can have this id.
            KafkaUnavailableError: the broker did not take it.
        """
        deletion = make_deletion(customer_id, at=self._now(), nobody=self._nobody)
        await self._send(deletion)
        return deletion

    async def _start_publisher(self) -> KafkaPublisher:
        publisher = KafkaPublisher(self._settings)
        try:
            await publisher.start()
        except asyncio.CancelledError:
            await publisher.stop()
            raise
        return publisher

    async def _send(self, command: Assignment | Deletion) -> None:
        if self._publisher is None:
            raise KafkaUnavailableError("no Kafka broker has been reached yet: try again later")
        message = _make_message(self._settings, command)
        try:
            await self._publisher.publish([message])
        except UnavailableError as error:
            raise KafkaUnavailableError(str(error)) from error

    def _now(self) -> datetime:
        milliseconds = self._clock() // 1_000_000
        return datetime.fromtimestamp(milliseconds / 1_000, UTC)


async def send_once(settings: Settings, command: Assignment | Deletion) -> None:
    """Connect, send one command and disconnect, in ``PATIENCE`` seconds or ``retry_seconds``.

    Raises:
        UnavailableError: the broker did not take it.
    """
    message = _make_message(settings, command)
    patience = min(PATIENCE, settings.retry_seconds)
    publisher = KafkaPublisher(settings.model_copy(update={"retry_seconds": patience}))
    await publisher.start()
    try:
        await publisher.publish([message])
    finally:
        await publisher.stop()


def _log_trouble(error: Exception) -> None:
    if isinstance(error, ConfigError):
        logger.error("assignments and deletions can't be sent: %s", error)
    else:
        logger.warning("assignments and deletions can't be sent yet: %s", error)


def _replace_surrogates(text: str) -> str:
    return text.encode(errors="replace").decode()


def _make_message(settings: Settings, command: Assignment | Deletion) -> Message:
    kind = ASSIGNMENT if isinstance(command, Assignment) else DELETION
    value = _encode(kind, command)
    return Message(settings.input_topics[kind], command.customer_id.encode(), value)


def _encode(kind: int, command: Assignment | Deletion) -> bytes:
    """Encode a command that a worker can read.

    Raises:
        DecodeError: it could not.
    """
    try:
        value = encode(command)
    except UnicodeEncodeError as error:
        raise DecodeError("not_utf8", str(error)) from None
    decode_event(kind, value)
    return value
