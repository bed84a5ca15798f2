"""Reads everything that the topics hold of some customers, to fold their lost records again.

A customer's events are in the home partition of each input topic, and those that came in on another
one are among the reroutes, and so is what was mapped of a source. What is there twice, since a
topic has more partitions than the deployment or was read twice, has one position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_persona.domain.events import DELETION
from stream_persona.errors import UnavailableError
from stream_persona.kafka.mapped_reroutes import drop_mapped
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.pipeline.process import Delivery

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiokafka import ConsumerRecord

    from stream_persona.kafka.origins import Origins
    from stream_persona.kafka.router import MessageRouter
    from stream_persona.settings import Settings

#: Most customers whose ids are looked for in a message before it is decoded.
_MOST_IDS: Final = 20


@dataclass(frozen=True, slots=True)
class WholeHistory:
    """What the topics hold of some customers.

    ``deliveries`` are in an order in which they can be applied, ``changes`` the last published ones
    of those customers that have one. Of the ``expired`` partitions older events are gone.
    """

    deliveries: list[Delivery] = field(default_factory=list)
    changes: dict[str, bytes] = field(default_factory=dict)
    expired: frozenset[int] = frozenset()


async def read_whole(
    settings: Settings, router: MessageRouter, homes: Mapping[str, int], origins: Origins
) -> WholeHistory:
    """Read all of some customers, given their partitions, in one pass over the logs of these.

    The router makes no tokens.

    Raises:
        UnavailableError: the broker did not give it.
    """
    try:
        async with RangeReader(
            settings, patience=settings.retry_seconds, skip_expired=True
        ) as reader:
            deliveries, expired = await _read_events(reader, settings, router, homes, origins)
            changes = await _read_last_changes(reader, settings, homes)
    except KafkaError as error:
        message = f"the broker did not give the events of damaged records again: {error}"
        raise UnavailableError(message) from error
    return WholeHistory(deliveries, changes, expired)


async def _read_events(
    reader: RangeReader,
    settings: Settings,
    router: MessageRouter,
    homes: Mapping[str, int],
    origins: Origins,
) -> tuple[list[Delivery], frozenset[int]]:
    """Read the customers' events; and of which partitions older ones are gone."""
    topics = [*settings.input_topics, settings.topic_reroutes]
    partitions = [TopicPartition(topic, home) for topic in topics for home in {*homes.values()}]
    found: list[Delivery] = []
    ids = [name.encode() for name in homes] if len(homes) <= _MOST_IDS else [b""]
    reader.begin(await reader.load_bounds(partitions))
    async for batch in reader.read():
        wanted = [raw for raw in batch if _may_name(raw, ids)]
        await router.sources.prepare(wanted)
        routed = router.route(wanted, await origins.find_ends(wanted))
        found += [each for each in routed.deliveries if each.event.customer_id in homes]
    held = await reader.load_bounds(partitions)  # as it is now: retention may have been faster
    expired = frozenset(tp.partition for tp in partitions if held[tp].start > 0)
    # Deletions first: what they forget need not be folded.
    once = drop_mapped(found, settings.input_topics)
    once.sort(key=lambda each: (each.kind != DELETION, each.source, each.offset))
    return once, expired


async def _read_last_changes(
    reader: RangeReader, settings: Settings, homes: Mapping[str, int]
) -> dict[str, bytes]:
    """Read the last change that was published of each customer; a tombstone ends them."""
    names, last = {name.encode(): name for name in homes}, dict[str, bytes | None]()
    partitions = [TopicPartition(settings.topic_changes, home) for home in {*homes.values()}]
    reader.begin(await reader.load_bounds(partitions))
    async for batch in reader.read():
        last |= {names[raw.key]: raw.value for raw in batch if raw.key in names}
    return {name: change for name, change in last.items() if change is not None}


def _may_name(raw: ConsumerRecord, ids: Collection[bytes]) -> bool:
    """Whether a message may be of one of these customers: an id may also be written in escapes."""
    value = raw.value
    return value is not None and (b"\\" in value or any(each in value for each in ids))
