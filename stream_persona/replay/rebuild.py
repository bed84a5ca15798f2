"""Folds a Redis that has lost everything again from the topics; workers then go on from there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from stream_persona.clocks import MACHINE_CLOCKS, Clocks
from stream_persona.domain.events import KINDS
from stream_persona.errors import UnavailableError
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.group import list_partitions
from stream_persona.kafka.log_reader import KafkaEventLog
from stream_persona.kafka.range_reader import RangeReader
from stream_persona.kafka.refusals import explain_missing_right
from stream_persona.replay.fold import Replay
from stream_persona.replay.messages import FormerMessages
from stream_persona.replay.run import hide, open_servers
from stream_persona.replay.summary import ReplaySummary
from stream_persona.replay.topics import Range, Topics, refuse_live_workers
from stream_persona.store import deployment as deployments
from stream_persona.store.deployment import Deployment
from stream_persona.worker import preflight, startup

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.replay.run import Progress
    from stream_persona.settings import Settings
    from stream_persona.store.tables import Tables


async def rebuild(
    settings: Settings,
    taxonomy: Taxonomy,
    progress: Progress = hide,
    clocks: Clocks = MACHINE_CLOCKS,
) -> ReplaySummary:
    """Fold all that the topics hold into Redis, and let the group go on behind it.

    What Redis holds already is left as it is: events that are in a record change nothing. Events of
    sources are taken from the reroutes; where the group has read sources to stays as it is. The
    revisions of customers count on from the changes that were published. It can be started again.

    Raises:
        TopologyError: workers are running, or servers are not as they must be.
        UnavailableError: broker or Redis stayed away.
    """
    await preflight.check_redis(settings, taxonomy)
    await startup.prepare(settings)
    await refuse_live_workers(settings)
    async with AsyncExitStack() as stack:
        tables, publisher = await stack.enter_async_context(open_servers(settings))
        deployment = await _describe(settings, taxonomy, tables)
        ends = await _find_ends(settings)
        history = KafkaEventLog(settings, taxonomy)
        topics = Topics(
            range(len(KINDS)), Range(), settings, taxonomy, others=[settings.topic_reroutes],
            messages=FormerMessages(settings, taxonomy, history),
        )  # fmt: skip
        source = await stack.enter_async_context(topics)
        advance = stack.enter_context(progress("events", source.total))
        replay = Replay(settings, taxonomy, tables, publisher, history, clocks=clocks)
        began = clocks.monotonic()
        summary = await replay.run(source.read_chunks(), progress=advance)
        await replay.store_offsets({(tp.topic, tp.partition): end for tp, end in ends.items()})
        await _commit(settings, ends, deployment.id)
        summary.seconds = clocks.monotonic() - began
        return summary


async def _describe(settings: Settings, taxonomy: Taxonomy, tables: Tables) -> Deployment:
    """Return the deployment of these tables, made anew where its descriptor is lost."""
    own = Deployment.of(settings, taxonomy)
    stored = deployments.decode_deployment(await tables.create_deployment(own.encode()))
    deployments.refuse_differences(settings, taxonomy, stored)
    return stored


async def _find_ends(settings: Settings) -> dict[TopicPartition, int]:
    """Find where the logs end that workers read, before any of them is replayed.

    Events that arrive later, or that were replayed behind these ends, are known to their records.
    """
    try:
        async with RangeReader(settings, patience=settings.retry_seconds) as reader:
            held = await reader.load_bounds(list_partitions(settings))
    except (KafkaError, OSError, ValueError) as error:
        message = f"the broker did not say where the topics end: {error}"
        raise UnavailableError(message) from error
    return {tp: offsets.stop for tp, offsets in held.items()}


async def _commit(settings: Settings, ends: dict[TopicPartition, int], deployment: str) -> None:
    """Let the group go on at these offsets, as that of the deployment."""
    consumer = AIOKafkaConsumer(
        **connection_options(settings), group_id=settings.group, enable_auto_commit=False
    )
    try:
        await start_client(consumer, settings)
        consumer.assign(list(ends))
        with explain_missing_right(settings, "Read"):
            await consumer.commit(
                {tp: OffsetAndMetadata(end, deployment) for tp, end in ends.items()}
            )
    except (KafkaError, OSError, ValueError) as error:
        message = f"the broker did not take the group's offsets: {error}"
        raise UnavailableError(message) from error
    finally:
        await consumer.stop()
