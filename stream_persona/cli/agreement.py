"""Checks that a command's settings are the workers': else it would use keys of its own."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from stream_persona.errors import UnavailableError
from stream_persona.store import deployment as deployments
from stream_persona.store.redis import RedisTables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings
    from stream_persona.store.deployment import Subject
    from stream_persona.store.tables import Tables

#: What does not matter to a deletion: it is the same under any taxonomy.
OF_TAXONOMIES: Final[tuple[Subject, ...]] = ("taxonomy", "half-life")
#: Seconds to wait for Redis where a command only compares with what is there.
_PATIENCE: Final = 2.0


@asynccontextmanager
async def open_tables(settings: Settings, patience: float) -> AsyncIterator[RedisTables]:
    """Connect to Redis for a command, which waits so many seconds for an answer at most."""
    patience = min(patience, settings.retry_seconds)
    tables = RedisTables.connect(settings.redis_address, settings.prefix, patience)
    try:
        yield tables
    finally:
        await tables.close()


async def check_agreement(
    settings: Settings, taxonomy: Taxonomy, tables: Tables, ignoring: Collection[Subject] = ()
) -> None:
    """Compare with the deployment, if there is one.

    No command that asks uses the group's name, or writes own tastes.

    Raises:
        TopologyError: names the setting that differs, and what to do.
        UnavailableError: Redis does not answer.
    """
    stored = await deployments.load(tables)
    if stored is not None:
        deployments.refuse_differences(settings, taxonomy, stored, ("group", "tastes", *ignoring))


async def check_before_sending(
    settings: Settings, taxonomy: Taxonomy, ignoring: Collection[Subject] = ()
) -> None:
    """Compare as ``check_agreement`` does; sending needs no Redis, so without one it only warns.

    Raises:
        TopologyError: names the setting that differs, and what to do.
    """
    async with open_tables(settings, _PATIENCE) as tables:
        try:
            await check_agreement(settings, taxonomy, tables, ignoring)
        except UnavailableError as error:
            print(f"not compared with the workers' settings: {error}", file=sys.stderr)  # noqa: T201
