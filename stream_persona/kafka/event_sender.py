"""Sends events that others gave us, and returns once the broker has them: many callers at a time.

What is under way is bounded in number and in bytes, whatever the callers do and however long the
broker is silent: an event counts until the broker has answered for it, or its time is up, not until
its caller has left. Its retries may come twice, and workers know an event by its id.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from stream_persona.errors import KafkaUnavailableError, TopologyError
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.producer import Message, begin_sending
from stream_persona.retrying import retry_endlessly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds that a caller waits for the broker, and an event for its turn, at most.
PATIENCE: Final = 10.0
#: Seconds after which the broker is away rather than busy.
STALLED: Final = 3.0
#: Most events that are under way, and most bytes of them: some 100 MB, as Python keeps them.
MOST_EVENTS: Final = 20_000
MOST_BYTES: Final = 33_554_432
#: Seconds between the first two tries to connect.
_PAUSE: Final = 1.0


class EventSender:
    """A producer for all callers of a process; ``ready`` once a broker has been reached."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        #: What is under way, the oldest first, and since when.
        self._deliveries: dict[asyncio.Task[list[object]], float] = {}
        self.events = 0
        self.bytes = 0

    @property
    def ready(self) -> bool:
        """Whether a broker has been reached."""
        return self._producer is not None

    @property
    def stalled(self) -> bool:
        """Whether the broker has left something unanswered for long."""
        since = next(iter(self._deliveries.values()), math.inf)
        return asyncio.get_running_loop().time() - since > STALLED

    def has_room(self, messages: Sequence[Message]) -> bool:
        """Whether these messages fit beside what is under way; always if nothing is."""
        events, size = self.events + len(messages), self.bytes + _count_bytes(messages)
        return not self.events or (events <= MOST_EVENTS and size <= MOST_BYTES)

    async def connect(self) -> None:
        """Connect, however long the broker stays away."""
        self._producer = await retry_endlessly(
            self._start_producer,
            on=(KafkaError, TopologyError),
            note=lambda error: logger.warning("events can't be collected yet: %s", error),
            first_wait=_PAUSE,
        )

    async def close(self) -> None:
        """Wait for what is under way, and disconnect."""
        if self._deliveries:
            await asyncio.wait(self._deliveries)
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def send(self, messages: Sequence[Message]) -> list[bool]:
        """Send all, in order per key, and wait for the broker; return which it found too large.

        A cancelled caller withdraws nothing.

        Raises:
            KafkaUnavailableError: the broker has not confirmed all of them. It may have some, and
                may get others still.
        """
        if self._producer is None:
            raise KafkaUnavailableError("no Kafka broker has been reached yet: try again later")
        delivery = asyncio.create_task(self._deliver(self._producer, messages))
        self._count_under_way(delivery, len(messages), _count_bytes(messages))
        try:
            async with asyncio.timeout(PATIENCE):
                ends = await asyncio.shield(delivery)
        except TimeoutError:
            message = f"the Kafka broker has not confirmed {len(messages)} events in {PATIENCE:g} s"
            raise KafkaUnavailableError(message) from None
        return _find_too_large(ends)

    async def _start_producer(self) -> AIOKafkaProducer:
        # Not an idempotent one: after a message that is too large for its topic, brokers refuse
        # all that it sends to that partition, as out of order.
        producer = AIOKafkaProducer(
            **connection_options(self._settings),
            acks="all",
            request_timeout_ms=round(1_000 * PATIENCE),
        )
        try:
            await start_client(producer, self._settings)
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _count_under_way(
        self, delivery: asyncio.Task[list[object]], events: int, size: int
    ) -> None:
        """Count events as under way until their delivery has ended."""

        def end(_: asyncio.Task[list[object]]) -> None:
            del self._deliveries[delivery]
            self.events -= events
            self.bytes -= size

        self.events += events
        self.bytes += size
        self._deliveries[delivery] = asyncio.get_running_loop().time()
        delivery.add_done_callback(end)

    async def _deliver(
        self, producer: AIOKafkaProducer, messages: Sequence[Message]
    ) -> list[object]:
        """Return one result or error for each message, in order.

        Once the time is up, what has no place in the producer's buffer is not sent any more.
        """
        begun: list[Awaitable[object]] = []
        try:
            async with asyncio.timeout(PATIENCE):
                for message in messages:
                    begun.append(await _begin(producer, message))  # noqa: PERF401 - some, in time
        except TimeoutError as error:
            begun += [_make_failed(error)] * (len(messages) - len(begun))
        return await asyncio.gather(*begun, return_exceptions=True)


async def _begin(producer: AIOKafkaProducer, message: Message) -> Awaitable[object]:
    try:
        return await begin_sending(producer, message)
    except KafkaError as error:
        return _make_failed(error)


def _make_failed(error: Exception) -> asyncio.Future[object]:
    failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    failed.set_exception(error)
    return failed


def _find_too_large(ends: Sequence[object]) -> list[bool]:
    """Return which messages were too large for their topics.

    Raises:
        KafkaUnavailableError: the broker did not take one for another reason.
    """
    too_large = [isinstance(end, MessageSizeTooLargeError) for end in ends]
    failed = [
        end
        for end, known in zip(ends, too_large, strict=True)
        if isinstance(end, BaseException) and not known
    ]
    for error in failed:
        if not isinstance(error, (KafkaError, TimeoutError)):
            raise error
    if failed:
        message = f"Kafka did not take {len(failed)} of {len(ends)} events: {failed[0]!r}"
        raise KafkaUnavailableError(message) from failed[0]
    return too_large


def _count_bytes(messages: Sequence[Message]) -> int:
    return sum(len(message.value or b"") for message in messages)
