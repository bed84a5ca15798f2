"""How a process joins its deployment: Redis and the consumer group must belong together.

The first worker makes the descriptor (``store.deployment``); all others compare theirs with it.
Where Redis holds none, either nothing was ever read, or the data is of an older version, or Redis
has lost it, or is another one: the group's commits show which.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from stream_persona.errors import TopologyError
from stream_persona.kafka.group import count_members, load_group
from stream_persona.kafka.topics import ask
from stream_persona.store import deployment as deployments
from stream_persona.store.deployment import Deployment, find_differences, refuse_differences
from stream_persona.store.redis import RedisTables
from stream_persona.worker import startup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.group import GroupState
    from stream_persona.settings import Settings
    from stream_persona.store.deployment import Subject
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Subjects in which a starting worker may differ: whether they may be changed is checked last.
_CHANGEABLE: Final[tuple[Subject, ...]] = ("taxonomy", "nobody", "sources", "tastes")


class Joined(NamedTuple):
    """The deployment, and the servers that answered, as ``startup.prepare`` describes them."""

    deployment: Deployment
    broker: str
    redis: str


async def join(settings: Settings, taxonomy: Taxonomy) -> Joined:
    """Check topics, broker and Redis, and join the deployment that they hold, or make it.

    Raises:
        TopologyError: one of them is not as it must be, or they don't belong together.
        UnavailableError: broker or Redis did not answer in ``settings.retry_seconds``.
    """
    tables = RedisTables.connect(settings.redis_address, settings.prefix, settings.retry_seconds)
    try:
        stored = await deployments.load(tables)
        if stored is not None:  # before topics are declared by wrong names
            refuse_differences(settings, taxonomy, stored, _CHANGEABLE)
        broker, redis = await startup.prepare(settings)
        # The group first: a worker that starts beside this one stores, and commits only then.
        group = await ask(settings, lambda admin: load_group(admin, settings))

        async def count() -> int:
            return await ask(settings, lambda admin: count_members(admin, settings.group))

        deployment = await agree(settings, taxonomy, tables, group, count)
        return Joined(deployment, broker, redis)
    finally:
        await tables.close()


async def agree(
    settings: Settings,
    taxonomy: Taxonomy,
    tables: Tables,
    group: GroupState,
    count: Callable[[], Awaitable[int]],
) -> Deployment:
    """Return the deployment of these tables and this group; made anew where there is none.

    ``count`` returns how many members the group has by now.

    Raises:
        TopologyError: they don't belong together, or this process is set otherwise.
    """
    blob = await tables.load_deployment()
    if blob is None:
        if group.ids or (group.has_commits and not await _has_older_data(settings, tables)):
            raise TopologyError(describe_loss(settings))
        blob = await tables.create_deployment(Deployment.of(settings, taxonomy).encode())
    stored = deployments.decode_deployment(blob)
    refuse_differences(settings, taxonomy, stored, _CHANGEABLE)
    refuse_others(settings, stored, group)
    if find_differences(settings, taxonomy, stored):
        return await _change(settings, taxonomy, tables, blob, count)
    return stored


def describe_loss(settings: Settings) -> str:
    """Say that Redis holds nothing of what the group has read, and what to do."""
    return (
        f"STREAM_PERSONA_GROUP {settings.group!r} has read the topics, and this Redis holds "
        f"nothing of it (STREAM_PERSONA_PREFIX {settings.prefix!r}): set STREAM_PERSONA_REDIS_URL "
        "and STREAM_PERSONA_PREFIX to what they were, or take a new STREAM_PERSONA_GROUP, or stop "
        "all workers and fold this Redis again from the topics with `stream-persona rebuild`"
    )


def refuse_others(settings: Settings, own: Deployment, group: GroupState) -> None:
    """Make sure that no other deployment works, or has worked, under the group.

    Raises:
        TopologyError: one does, so that each of them gets a part of the events.
    """
    if others := group.ids - {own.id}:
        raise TopologyError(
            f"another deployment ({min(others)}, this one is {own.id}) works under "
            f"STREAM_PERSONA_GROUP {settings.group!r}, so that each gets a part of the events: "
            "give one of them a group and a prefix of its own, then stop all workers and fold "
            "this Redis again from the topics with `stream-persona rebuild`"
        )


async def _has_older_data(settings: Settings, tables: Tables) -> bool:
    """Whether workers of a version without descriptors have claimed partitions here."""
    return bool(await tables.load_owners(range(settings.partitions)))


async def _change(
    settings: Settings,
    taxonomy: Taxonomy,
    tables: Tables,
    blob: bytes,
    count: Callable[[], Awaitable[int]],
) -> Deployment:
    """Update the descriptor's changeable subjects, unless a worker is running with the old ones.

    Workers compare again whenever partitions are assigned to them: one that joins the group just
    now does nothing under the taxonomy before.
    """
    stored, own = deployments.decode_deployment(blob), Deployment.of(settings, taxonomy)
    changed = stored.with_changeable(own)
    _refuse_members(await count(), settings, stored, own)
    if own.tastes != stored.tastes:  # what nobody has renewed must never be believed again
        await tables.remove_tastes()
    if not await tables.replace_deployment(blob, changed.encode()):
        raise TopologyError(
            "another process has changed the taxonomy of the deployment just now, its ids of "
            "nobody, its sources or its tastes: give all of them the same STREAM_PERSONA_TAXONOMY, "
            "STREAM_PERSONA_NOBODY_IDS, STREAM_PERSONA_SOURCES and STREAM_PERSONA_TASTES, and "
            "start this one again"
        )
    try:
        _refuse_members(await count(), settings, stored, own)
    except TopologyError:
        await tables.replace_deployment(changed.encode(), blob)
        raise
    await tables.remove_affinities(but=taxonomy.names)
    _report_change(stored, own)
    return changed


def _report_change(stored: Deployment, own: Deployment) -> None:
    if own.taxonomy != stored.taxonomy:
        version, before = own.taxonomy.version, stored.taxonomy.version
        logger.info("taxonomy %s takes the place of %s", version, before)
    if changes := own.describe_change_of_sources(stored):
        logger.warning(
            "STREAM_PERSONA_SOURCES has changed (%s): what was read before stays as it was mapped "
            "then, a new source is read from the beginning of its topic, and of one that is none "
            "any more nothing further is read; to map the past otherwise, run `stream-persona "
            "replay` under a new STREAM_PERSONA_PREFIX and STREAM_PERSONA_GROUP", changes,
        )  # fmt: skip


def _refuse_members(members: int, settings: Settings, stored: Deployment, own: Deployment) -> None:
    if not members:
        return
    running = f"are running ({members} in group {settings.group})"
    killed = "(one that was killed counts for up to STREAM_PERSONA_SESSION_TIMEOUT)"
    if own.taxonomy != stored.taxonomy:
        raise TopologyError(
            f"workers with taxonomy {stored.taxonomy.version} {running}, and "
            f"STREAM_PERSONA_TAXONOMY is of version {own.taxonomy.version} here: stop all of them, "
            f"then start them with the new file {killed}"
        )
    if own.describe_change_of_sources(stored):
        raise TopologyError(
            f"workers with another STREAM_PERSONA_SOURCES {running}: stop all of them, then start "
            f"them with the new file {killed}"
        )
    if own.tastes != stored.tastes:
        raise TopologyError(
            f"workers with another STREAM_PERSONA_TASTES {running}: stop all of them, then start "
            f"them with the new one {killed}"
        )
    raise TopologyError(
        f"workers with another STREAM_PERSONA_NOBODY_IDS {running}: stop all of them, then start "
        f"them with the new list {killed}"
    )
