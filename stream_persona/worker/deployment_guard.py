"""Ends a running worker whose deployment is not the one any more that it has joined."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_persona.errors import TopologyError
from stream_persona.kafka.connection import connection_options, start_client
from stream_persona.kafka.group import load_group
from stream_persona.kafka.refusals import explain_missing_right
from stream_persona.kafka.rights import check_rights, list_worker_rights
from stream_persona.kafka.topics import ask
from stream_persona.store import deployment as deployments
from stream_persona.worker.joining import describe_loss, refuse_others

if TYPE_CHECKING:
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.kafka.group import GroupState
    from stream_persona.settings import Settings
    from stream_persona.store.deployment import Deployment
    from stream_persona.store.tables import Tables

logger = logging.getLogger(__name__)

#: Seconds between two looks, and every how many of them is one at the group as well.
GUARD_SECONDS: Final = 5.0
_GROUP_LOOKS: Final = 2
#: Milliseconds that one answer about the group may take.
_PATIENCE_MS: Final = 5_000


class DeploymentGuard:
    """Compares what this worker has joined with what Redis and the group hold by now."""

    def __init__(
        self, settings: Settings, taxonomy: Taxonomy, deployment: Deployment, tables: Tables
    ) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._deployment = deployment
        self._tables = tables
        self._admin: AIOKafkaAdminClient | None = None
        self._looks = 0

    async def check(self) -> None:
        """Compare with both, before anything is read of partitions that were just assigned.

        Raises:
            TopologyError: this worker must not go on.
            UnavailableError: Redis or the broker stayed away.
        """
        await self.check_stored()
        group = await ask(self._settings, self._load_group)
        refuse_others(self._settings, self._deployment, group)

    async def look(self) -> None:
        """Compare with Redis, and now and then with the group.

        Raises:
            TopologyError: this worker must not go on.
            UnavailableError: Redis stayed away.
        """
        await self.check_stored()
        self._looks += 1
        if self._looks % _GROUP_LOOKS == 0:
            await self._check_group()

    async def check_stored(self) -> None:
        """Compare with the descriptor in Redis.

        Raises:
            TopologyError: it is gone, or another one.
            UnavailableError: Redis stayed away.
        """
        stored = await deployments.load(self._tables)
        if stored is None:
            raise TopologyError(describe_loss(self._settings))
        deployments.refuse_differences(self._settings, self._taxonomy, stored)
        if stored.id != self._deployment.id:
            raise TopologyError(
                f"the deployment in this Redis is another one by now ({stored.id}; this worker "
                f"has joined {self._deployment.id}): start it again if that was intended"
            )

    async def _check_group(self) -> None:
        """Compare with the group, over a connection that stays.

        A broker that is away is left alone: others end the worker when it stays away.
        """
        try:
            with explain_missing_right(self._settings, "Describe"):
                group = await self._load_group(await self._connect())
        except (KafkaError, OSError, ValueError, AttributeError) as error:
            # The last two are aiokafka's, for a broker that it has just lost.
            logger.debug("the group was not looked at: %r", error)
            await self.close()
            return
        refuse_others(self._settings, self._deployment, group)

    async def _load_group(self, admin: AIOKafkaAdminClient) -> GroupState:
        """Load the group; first look whether we still may do what we do.

        aiokafka says nothing of some rights that were taken away, and tries for ever.
        """
        settings = self._settings
        await check_rights(admin, settings, list_worker_rights(settings), "Read")
        return await load_group(admin, settings)

    async def _connect(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            self._admin = AIOKafkaAdminClient(
                **connection_options(self._settings), request_timeout_ms=_PATIENCE_MS
            )
            await start_client(self._admin, self._settings)
        return self._admin

    async def close(self) -> None:
        """Disconnect."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()
