"""The changes of personas, read from their topic, each once."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import orjson

from stream_persona.client.models import (
    Change,
    parsed_change,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

#: Customers whose last revision a watcher remembers, to tell repetitions.
WATCHED: Final = 100_000


class Changes:
    """Reads the messages of ``persona-changes``, each change once.

    A change may be delivered twice, with the same revision. A deletion lets revisions begin again.
    Of the ``remembered`` customers who changed last, that is told apart; of others it may not be.
    """

    def __init__(self, remembered: int = WATCHED) -> None:
        self._last: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._most = remembered

    def read(self, key: bytes | None, value: bytes | None) -> Change | None:
        """The change in a message; None for a repetition, and for what is no change."""
        customer = (key or b"").decode(errors="replace")
        if value is None:
            self._last.pop(customer, None)
            return Change(customer, deleted=True)
        try:
            change = parsed_change(orjson.loads(value))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        revision, change_id = self._last.get(customer, (0, ""))
        if change.revision < revision or change.change_id == change_id:
            return None
        self._last[customer] = (change.revision, change.change_id)
        self._last.move_to_end(customer)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return change


async def watch(
    brokers: str, topic: str, *, group: str | None, from_beginning: bool
) -> AsyncGenerator[Change]:
    """The changes of a topic, as ``AsyncPersonaClient.watch`` has it."""
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415 - lookups do without it

    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, group_id=group, isolation_level="read_committed",
        auto_offset_reset="earliest" if from_beginning else "latest",
        enable_auto_commit=group is not None,
    )  # fmt: skip
    changes = Changes()
    await consumer.start()
    try:
        async for message in consumer:
            change = changes.read(message.key, message.value)
            if change is not None:
                yield change
    finally:
        await consumer.stop()
