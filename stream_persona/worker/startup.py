"""Checks topics, broker and Redis at the start; an error says in one sentence what to do."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient

from stream_persona.domain.events import KINDS
from stream_persona.errors import TopologyError
from stream_persona.kafka.faust_app import WITHOUT_PAST
from stream_persona.kafka.refusals import check_session
from stream_persona.kafka.rights import check_rights, list_worker_rights
from stream_persona.kafka.source_topics import count_source_partitions, find_source_topics
from stream_persona.kafka.timestamps import warn_of_producers_times
from stream_persona.kafka.topic_ids import load_topic_ids
from stream_persona.kafka.topics import (
    DEADLINE_SECONDS,
    ask,
    check_partitions,
    check_policies,
    declare,
    list_topics,
    load_partition_counts,
)
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables


async def prepare(settings: Settings) -> tuple[str, str]:
    """Declare missing topics, check all of them, and reach Redis.

    Returns:
        The servers that answered: ``("host:port,... (N brokers)", "Redis 7.0.15")``.

    Raises:
        TopologyError: something exists but is not as it must be; says what to do.
        UnavailableError: broker or Redis did not answer in ``settings.retry_seconds``.
    """
    tables = RedisTables.connect(settings.redis_address, settings.prefix, settings.retry_seconds)
    try:
        redis = f"Redis {await tables.ping()}"
        return await _prepare_topics(settings, tables), redis
    finally:
        await tables.close()


async def _prepare_topics(settings: Settings, tables: RedisTables) -> str:
    async def prepare_all(admin: AIOKafkaAdminClient) -> str:
        cluster = await admin.describe_cluster()
        await check_rights(admin, settings, list_worker_rights(settings), "Read")
        if settings.declare_topics:
            await declare(
                admin, list_topics(settings), settings.replication, len(cluster["brokers"])
            )
            await check_rights(admin, settings, list_worker_rights(settings), "Read")
        await check_session(admin, settings, cluster["brokers"][0]["node_id"])
        await check_partitions(admin, settings)
        await check_policies(admin, settings)
        await count_source_partitions(admin, settings)
        await warn_of_producers_times(admin, settings)
        await _check_identities(admin, settings, tables)
        return f"{settings.brokers} ({len(cluster['brokers'])} brokers)"

    return await ask(settings, prepare_all)


async def find_forwarded(settings: Settings, tables: RedisTables) -> frozenset[str]:
    """Return the topics whose events are all forwarded to their customers' homes.

    These are the topics of sources, and inputs of more partitions than the deployment.

    Raises:
        TopologyError: an input topic is gone, or is another one by now.
        UnavailableError: the broker did not answer.
    """

    async def count(admin: AIOKafkaAdminClient) -> dict[str, int]:
        seconds = min(DEADLINE_SECONDS, settings.retry_seconds)
        found = await load_partition_counts(admin, list(settings.input_topics), seconds)
        if gone := set(settings.input_topics) - found.keys():
            raise TopologyError(f"topic {min(gone)} does not exist any more; {WITHOUT_PAST}")
        await count_source_partitions(admin, settings)
        await _check_identities(admin, settings, tables)
        return found

    counts = await ask(settings, count)
    repartitioned = {name for name, count in counts.items() if count > settings.partitions}
    return frozenset({*repartitioned, *find_source_topics(settings)})


async def _check_identities(
    admin: AIOKafkaAdminClient, settings: Settings, tables: RedisTables
) -> None:
    """Check that the positions in records are those of these topics' logs."""
    sources = find_source_topics(settings)
    found = await load_topic_ids(admin, [*settings.input_topics, *sources])
    named = {
        kind.__name__.lower(): topic
        for kind, topic in zip(KINDS, settings.input_topics, strict=True)
    } | {f"source:{topic}": topic for topic in sources}
    ids = {kind: found[topic] for kind, topic in named.items() if topic in found}
    known = await tables.load_topic_ids(ids) if ids else {}
    for kind, identity in ids.items():
        if known[kind] != identity:
            message = f"topic {named[kind]} is not the one that records hold positions of"
            raise TopologyError(f"{message} (deleted and made anew?); {WITHOUT_PAST}")
