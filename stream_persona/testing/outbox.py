"""The messages that a worker would publish, kept for a test to look at.

>>> from stream_persona.testing.shop import MemoryShop
>>> shop = MemoryShop()
>>> for _ in range(5):
...     shop.buy("C-1", "baby/diapers")
>>> received = []
>>> shop.outbox.feed(received.append)
>>> [(change.customer_id, change.persona) for change in received][-1]
('C-1', 'parent_of_young_kids')
>>> shop.send("purchases", b"not JSON")
>>> [(letter.topic, letter.reason) for letter in shop.outbox.dead_letters]
[('purchases', 'not_json')]
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from stream_persona.client.changes import ChangeReader
from stream_persona.kafka.producer import Message
from stream_persona.kafka.published import Published
from stream_persona.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from stream_persona.client.models import Change
    from stream_persona.kafka.publisher import StillOwns
    from stream_persona.pipeline.messages import ChangeMessage


class DeadLetter(NamedTuple):
    """A message that could not be read: why, and where it came from."""

    reason: str
    detail: str
    topic: str
    key: bytes | None
    value: bytes | None


class Outbox:
    """A publisher without a broker: ``messages`` are all that were published, in order."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings(_env_file=None)
        self._reader = ChangeReader()
        self._fed = 0
        self.messages: list[Message] = []
        #: The keys and values on ``persona-changes``; a value None is a tombstone.
        self.change_messages: list[tuple[bytes, bytes | None]] = []
        self._by_partition = defaultdict[int, list["ChangeMessage"]](list)

    @property
    def changes(self) -> list[Change]:
        """Every change and deletion, as ``PersonaClient.watch`` would yield them."""
        return list(_read(ChangeReader(), self.change_messages))

    @property
    def tombstones(self) -> list[str]:
        """The customers that were deleted, in order."""
        return [change.customer_id for change in self.changes if change.deleted]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The messages that could not be read."""
        topic = self._settings.topic_dead_letters
        return [_read_letter(message) for message in self.messages if message.topic == topic]

    def feed(self, consumer: Callable[[Change], object]) -> None:
        """Call a consumer with each change since the last call of this method."""
        new, self._fed = self.change_messages[self._fed :], len(self.change_messages)
        for change in _read(self._reader, new):
            consumer(change)

    # What a worker calls: the port ``kafka.publisher.Publisher``.

    async def publish(self, messages: Sequence[Message]) -> None:
        """Keep messages of any topic."""
        self.messages += messages

    async def take_over(
        self,
        partition: int,
        changes: Sequence[ChangeMessage],
        still_owns: StillOwns,  # noqa: ARG002 - one process owns everything
    ) -> None:
        """Keep the changes that the last owner may not have published."""
        await self.publish_changes(partition, changes)

    async def publish_changes(self, partition: int, changes: Sequence[ChangeMessage]) -> int:
        """Keep changes, and return where their partition ends."""
        for customer, value in changes:
            key = customer.encode()
            self.change_messages.append((key, value))
            self.messages.append(Message(self._settings.topic_changes, key, value, (), partition))
        self._by_partition[partition] += changes
        return len(self._by_partition[partition])

    async def load_published(self, partition: int, start: int | None) -> Published:
        """Return the last change of each customer of a partition since then."""
        kept = self._by_partition[partition]
        end = len(kept)
        start = end if start is None else start
        return Published(dict(kept[start:]), start, end)

    async def release(self, partitions: Collection[int]) -> None:
        """Do nothing: no other process publishes here."""


def _read(reader: ChangeReader, messages: Sequence[tuple[bytes, bytes | None]]) -> Iterator[Change]:
    for key, value in messages:
        change = reader.read(key, value)
        if change is not None:
            yield change


def _read_letter(message: Message) -> DeadLetter:
    headers = {name: value.decode() for name, value in message.headers}
    return DeadLetter(
        headers["reason"], headers["detail"], headers["topic"], message.key, message.value
    )
