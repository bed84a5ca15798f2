"""Where the input logs end: asked over one connection, which is made when it is first needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from stream_persona.errors import UnavailableError
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.kafka.topics import ask, load_partition_counts
from stream_persona.retrying import retry_until

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiokafka import TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient

    from stream_persona.settings import Settings

#: What a broker that is away, or just lost, makes aiokafka raise.
_PASSING = (KafkaError, OSError, TimeoutError, ValueError)


class LogEndFinder:
    """Finds the ends of partitions of input topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: RangeReader | None = None
        #: Partitions that topics are known to have, where these may not be the deployment's.
        self._counts: dict[str, int] = {}

    async def find(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end of each partition; those that do not exist are left out.

        Raises:
            UnavailableError: the broker did not give them in ``retry_seconds``.
        """
        seconds = self._settings.retry_seconds
        existing = await self._select_existing(partitions)
        deadline = asyncio.get_running_loop().time() + seconds

        async def find_in_time() -> dict[TopicPartition, int]:
            async with asyncio.timeout_at(deadline):
                return await self._find(existing)

        try:
            return await retry_until(deadline, find_in_time, on=_PASSING)
        except _PASSING as error:
            message = f"no Kafka broker gave the ends of its logs for {seconds:g} s: {error!r}"
            raise UnavailableError(message) from error

    async def close(self) -> None:
        """Disconnect."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()

    async def _find(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        if self._reader is None:
            reader = RangeReader(self._settings, patience=self._settings.retry_seconds)
            await reader.start()
            self._reader = reader
        return await self._reader.load_ends(partitions)

    async def _select_existing(
        self, partitions: Collection[TopicPartition]
    ) -> list[TopicPartition]:
        """Select those that exist: one that does not would be waited for.

        Every input topic has the deployment's partitions; whether one has more is asked, and how
        many there are of any other topic, of a source that there is or was.
        """
        own = dict.fromkeys(self._settings.input_topics, self._settings.partitions)
        known = own | self._counts
        if any(tp.partition >= known.get(tp.topic, 0) for tp in partitions):
            names = {*own, *(tp.topic for tp in partitions)}

            async def count(admin: AIOKafkaAdminClient) -> dict[str, int]:
                # Asked for all topics, no broker makes one; asked for one that is missing, some do.
                existing = names.intersection(await admin.list_topics()) | own.keys()
                return await load_partition_counts(admin, sorted(existing), 0.0)

            self._counts = await ask(self._settings, count)
            known = own | self._counts
        return [tp for tp in partitions if tp.partition < known.get(tp.topic, 0)]
