"""The changes of personas, read from their topic, each once."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from stream_persona.client.models import Change, parse_change
from stream_persona.domain.identity import NOBODY_IDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from typing import Any

    from stream_persona.domain.identity import NobodyIds

#: Customers whose last revision a reader remembers, to recognise repetitions.
REMEMBERED_CUSTOMERS: Final = 100_000


class ChangeReader:
    """Reads the messages of ``persona-changes``, each change once.

    A change may be delivered twice, with the same revision, and a deletion lets revisions begin
    again. Repetitions are recognised for the ``remembered`` customers that changed last.
    """

    def __init__(
        self, remembered: int = REMEMBERED_CUSTOMERS, nobody: NobodyIds = NOBODY_IDS
    ) -> None:
        self._nobody = nobody
        self._last: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._remembered = remembered

    def read(self, key: bytes | None, value: bytes | None) -> Change | None:
        """Return the change in a message; None for a repetition and for what is no change.

        Changes of nobody, which an earlier version has published, are none.
        """
        customer = (key or b"").decode(errors="replace")
        if value is None:
            self._last.pop(customer, None)
            return Change(customer, deleted=True)
        revision, change_id = self._last.get(customer, (0, ""))
        try:
            change = parse_change(value)
            if change.revision < revision or change.change_id == change_id:
                return None
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        if customer in self._nobody:
            return None
        self._last[customer] = (change.revision, change.change_id)
        self._last.move_to_end(customer)
        if len(self._last) > self._remembered:
            self._last.popitem(last=False)
        return change


async def watch(
    brokers: str,
    topic: str,
    nobody: NobodyIds,
    *,
    group: str | None,
    from_beginning: bool,
    connection: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Change]:
    """Yield the changes of a topic, as ``AsyncPersonaClient.watch`` promises."""
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415 - lookups do without it

    consumer = AIOKafkaConsumer(
        topic,
        **{"bootstrap_servers": brokers, **(connection or {})},
        group_id=group,
        isolation_level="read_committed",
        auto_offset_reset="earliest" if from_beginning else "latest",
        enable_auto_commit=group is not None,
    )
    reader = ChangeReader(nobody=nobody)
    await consumer.start()
    try:
        async for message in consumer:
            change = reader.read(message.key, message.value)
            if change is not None:
                yield change
    finally:
        await consumer.stop()
