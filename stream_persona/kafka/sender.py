"""Sends what files hold to topics: in order, at a bounded rate, and known to the row.

An idempotent producer keeps the order of a customer's messages whatever is sent again, and no
message comes twice of a sending that was tried twice. aiokafka's never gives up by itself, so it is
given up here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream_persona.domain.events import Assignment, Deletion
from stream_persona.errors import TopologyError, UnavailableError
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.topics import ask, load_partition_counts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Sequence

    from stream_persona.domain.events import Event
    from stream_persona.settings import Settings

#: Messages that are sent before all of them are awaited, at most.
CHUNK: Final = 1_000
#: Bytes of a batch for a partition, at most: a fraction of what brokers take by default.
_BATCH_BYTES: Final = 131_072
#: Seconds of the rate that may come at once.
_BURST: Final = 0.1
#: Seconds to wait, at the end, for what a broker that is away may have taken.
_LEAVE: Final = 2.0


class Command(NamedTuple):
    """An ``assignment`` or a ``deletion``, and the id of its event."""

    action: str
    event_id: str


class Outgoing(NamedTuple):
    """A message to send, and the line or row of the file that it was made of.

    ``made`` are kind (by its topic) and customer of each event that a foreign document holds.
    """

    topic: str
    customer: str
    value: bytes
    line: int
    made: tuple[tuple[str, str], ...] = ()
    command: Command | None = None

    @property
    def events(self) -> tuple[tuple[str, str], ...]:
        """Kind and customer of each event of the message: of one in our own shape, its own."""
        return self.made or ((self.topic, self.customer),)


def find_command(event: Event) -> Command | None:
    """Return the command that an event is, of which there must be a trace; None for behaviour."""
    if isinstance(event, Assignment):
        return Command("assignment", event.assignment_id)
    if isinstance(event, Deletion):
        return Command("deletion", event.request_id)
    return None


#: Notes what was sent, and whether the broker has confirmed it.
Note = Callable[[Outgoing, bool], None]


def note_nothing(message: Outgoing, is_confirmed: bool) -> None:  # noqa: FBT001 - a callback
    """Note nothing."""


@dataclass(slots=True)
class SendCounts:
    """How many messages of a file were sent, and how many the broker has confirmed.

    Of all rows up to ``last_confirmed_line``, whatever was to be sent is confirmed.
    """

    sent: int = 0
    confirmed: int = 0
    last_confirmed_line: int | None = None


class Pace:
    """Lets a number of messages a second pass; 0 is no bound. What was not used is not made up."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0

    @property
    def chunk(self) -> int:
        """How many messages may be sent at once."""
        return min(CHUNK, max(1, int(self._rate * _BURST))) if self._rate else CHUNK

    async def wait(self, count: int) -> None:
        """Wait until ``count`` more messages may be sent."""
        if self._rate:
            now = self._clock()
            begins = max(self._free_at, now)
            self._free_at = begins + count / self._rate
            await self._sleep(begins - now)


async def check_topics(settings: Settings, topics: Collection[str]) -> None:
    """Check that topics are there: a broker may make one that is missing, of another size.

    Raises:
        TopologyError: one is missing, or has fewer partitions than the deployment.
        UnavailableError: no broker answers.
    """
    found = await ask(settings, lambda admin: load_partition_counts(admin, [*topics], 0.0))
    for topic in topics:
        count = found.get(topic, 0)
        if not count:
            raise TopologyError(f"topic {topic} does not exist: start a worker, which creates it")
        if count < settings.partitions:
            raise TopologyError(
                f"topic {topic} has {count} partitions and STREAM_PERSONA_PARTITIONS is "
                f"{settings.partitions}: set it as the workers have it"
            )


class FileSender:
    """Sends messages keyed by their customers; an async context manager.

    ``note`` is called for each that was sent.
    """

    def __init__(self, settings: Settings, pace: Pace, note: Note = note_nothing) -> None:
        self._note = note
        self._settings = settings
        self._seconds = settings.retry_seconds
        self._pace = pace
        self._has_failed = False

    async def __aenter__(self) -> Self:
        # The partitioner is that of all producers: a customer's messages go to the home partition.
        self._producer = AIOKafkaProducer(
            **connection_options(self._settings),
            acks="all",
            enable_idempotence=True,
            max_request_size=8_388_608,
            max_batch_size=_BATCH_BYTES,
        )
        try:
            await start_client(self._producer, self._settings)
        except TopologyError:
            await self._producer.stop()
            raise
        except KafkaError as error:
            await self._producer.stop()
            message = f"no Kafka broker answered at {self._settings.brokers}: {error}"
            raise UnavailableError(message) from error
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if not self._has_failed and kind is None:
            await self._producer.stop()
            return
        with suppress(TimeoutError):  # it would try for ever to send what is left
            await asyncio.wait_for(self._producer.stop(), _LEAVE)

    async def send(self, messages: Sequence[Outgoing], receipt: SendCounts) -> None:
        """Send messages in order, wait until the broker has them all, and count in ``receipt``.

        Raises:
            UnavailableError: the broker did not confirm all.
        """
        await self._pace.wait(sum(len(each.events) for each in messages))
        sending: list[asyncio.Future[Any]] = []
        try:
            for each in messages:
                sending.append(await self._begin(each))
                receipt.sent += 1
            await self._wait(messages, sending)
        except BaseException:
            self._has_failed = True
            raise
        finally:
            for each, is_confirmed in zip(
                messages, count_confirmed(messages, sending, receipt), strict=False
            ):
                self._note(each, is_confirmed)

    async def _wait(
        self, messages: Sequence[Outgoing], sending: Sequence[asyncio.Future[Any]]
    ) -> None:
        _, waiting = await asyncio.wait(sending, timeout=self._seconds)
        if waiting:
            message = f"Kafka did not confirm {len(waiting)} messages in {self._seconds:g} s"
            raise UnavailableError(message)
        for each, end in zip(messages, sending, strict=True):
            _raise_refusal(each, end.exception())

    async def _begin(self, message: Outgoing) -> asyncio.Future[Any]:
        key = message.customer.encode()
        try:
            async with asyncio.timeout(self._seconds):
                sending = await self._producer.send(message.topic, message.value, key)
        except (KafkaError, TimeoutError) as error:
            raise _explain(message, error) from error
        future: asyncio.Future[Any] = sending
        return future


def _raise_refusal(message: Outgoing, error: BaseException | None) -> None:
    """Raise why the broker did not take a message, if it did not."""
    if error is not None:
        raise _explain(message, error) from error


def _explain(message: Outgoing, error: BaseException) -> UnavailableError:
    if isinstance(error, MessageSizeTooLargeError):
        return UnavailableError(
            f"line {message.line} is larger than max.message.bytes of {message.topic}: raise that"
        )
    return UnavailableError(f"Kafka did not take the message of line {message.line}: {error!r}")


def count_confirmed(
    messages: Sequence[Outgoing], sending: Sequence[asyncio.Future[Any]], receipt: SendCounts
) -> list[bool]:
    """Count what was confirmed, and up to which line all was; return it for each one sent."""
    confirmed = [end.done() and not end.cancelled() and end.exception() is None for end in sending]
    receipt.confirmed += sum(confirmed)
    whole = confirmed.index(False) if False in confirmed else len(confirmed)
    if whole:
        receipt.last_confirmed_line = messages[whole - 1].line
    return confirmed
