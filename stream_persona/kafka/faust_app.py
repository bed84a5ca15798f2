"""The Faust app of a worker: its options for the batched transport, and its end after a crash."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import faust
from faust.auth import Credentials, OAuthCredentials
from faust.tables import TableManager
from faust.types import TP, TopicT
from mode.supervisors import CrashingSupervisor
from yarl import URL

from stream_persona.connection_settings import OAUTH
from stream_persona.errors import SettingsError, TopologyError
from stream_persona.kafka.connection import connection_options
from stream_persona.settings import Settings

logger = logging.getLogger(__name__)


#: Polls' worth of records (``broker_max_poll_records`` each) that may wait for their ack: one is
#: processed, one written, and copies of one are announced.
UNACKED_POLLS: Final = 3


def parse_brokers(brokers: str) -> list[URL]:
    """Return the brokers of ``host:port,...`` as addresses of this transport.

    Raises:
        SettingsError: a part is not a host with an optional port.
    """
    try:
        urls = [URL(f"batched://{part.strip()}") for part in brokers.split(",")]
    except ValueError:
        urls = []
    if not urls or any(not url.host or url.path not in {"", "/"} for url in urls):
        raise SettingsError(
            f"STREAM_PERSONA_BROKERS: expected `host:port,host:port,...` (got {brokers!r})"
        )
    return urls


def make_faust_credentials(settings: Settings) -> Credentials | None:
    """Return how a Faust app logs in: as all other clients do.

    Raises:
        SettingsError: a certificate is gone, or not what it was at the start.
    """
    options = connection_options(settings)
    context, mechanism = options.get("ssl_context"), options.get("sasl_mechanism")
    if mechanism == OAUTH:
        provider = options["sasl_oauth_token_provider"]
        return OAuthCredentials(oauth_cb=provider, ssl_context=context)
    if mechanism is not None:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None


def make_faust_options(settings: Settings) -> dict[str, Any]:
    """Return the options with which ``faust.App(**options)`` runs on this transport.

    Faust declares no topics, so they must exist before a worker starts.

    Raises:
        SettingsError: the brokers cannot be read.
    """
    rebalance = max(60.0, settings.session_timeout)
    return {
        "id": settings.group,
        "broker": parse_brokers(settings.brokers),
        "broker_credentials": make_faust_credentials(settings),
        "agent_supervisor": CrashingSupervisor,  # an agent's error ends the worker, exit code 1
        "broker_commit_interval": settings.commit_interval,
        "broker_heartbeat_interval": min(1.0, settings.session_timeout / 3),  # notices handovers
        "broker_max_poll_records": settings.max_batch_records,
        "broker_rebalance_timeout": rebalance,
        "broker_request_timeout": rebalance + 30.0,  # joining a group lasts as long as that
        "broker_session_timeout": settings.session_timeout,
        "consumer_auto_offset_reset": "none",  # see `ConsumerThread`
        "consumer_metadata_max_age_ms": 30_000,  # how long new partitions go unnoticed
        "TableManager": NoTables,
        "store": "memory://",
        "stream_buffer_maxsize": 2 * UNACKED_POLLS * settings.max_batch_records,  # never full
        "stream_wait_empty": True,  # batches that were begun are acked before a partition goes
        "table_standby_replicas": 1,  # more than 0 selects the assignor that co-partitions
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
    }


class NoTables(TableManager):
    """Faust's tables, of which there are none: none has to be waited for."""

    async def on_start(self) -> None:
        """Do at once what Faust does after a second."""
        await self._update_channels()
        await self.recovery.start()


def make_batch_topic(app: faust.App, *names: str) -> TopicT:
    """Return the channel of an agent that reads the batches of all topics in ``names``."""
    return app.topic(
        *names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )


#: Seconds that a crashed app may take to stop.
CRASH_SECONDS: Final = 15.0


#: What to do about an input topic without its past: offsets begin again in a new log, and records
#: would take its events for applied already.
WITHOUT_PAST: Final = (
    "go on without its past under a new STREAM_PERSONA_PREFIX and STREAM_PERSONA_GROUP: what the "
    "topics hold is folded again from their beginning"
)


def make_cut_log_error(topic: str, partition: int, position: int) -> TopologyError:
    """Make the error of a log that ends before a position of its own: it is another log."""
    return TopologyError(
        f"topic {topic} was deleted and made anew, or has lost events: partition {partition} ends "
        f"before offset {position}, which was read next; {WITHOUT_PAST}"
    )


class PromptWorker(faust.Worker):
    """The process of an app, which ends as soon as everything in it has stopped."""

    async def _sentinel_task(self) -> None:
        """Let the loop close its transports, where mode sleeps for a second first."""
        await asyncio.sleep(0)


class BatchApp(faust.App):
    """An app whose process ends after a crash, also when one of its services never stops.

    Stopping waits for services that may have lost their cancellation in the crash. Nothing is
    acked by then, so a process that is ended hard loses nothing, and its supervisor starts it
    again; one that lingers keeps its partitions from all other workers.
    """

    #: The id of the deployment, which commits carry as their metadata.
    deployment_id = ""
    #: Seconds for which no broker may answer.
    retry_seconds = 60.0
    #: The clock by which that is measured: seconds that never go back.
    monotonic = staticmethod(time.monotonic)
    #: The first error that it crashed with: stopping may raise more.
    fault: BaseException | None = None
    #: Whether the fault is being reported already.
    fault_reported = False

    def _create_directories(self) -> None:
        """Make no folder: there is nothing to keep, and a fixed one could be another user's."""

    async def start(self) -> None:
        """Start; what fails on the way is a crash as well, which nothing else reports."""
        try:
            await super().start()
        except Exception as error:
            self._crash(error)
            raise

    def report_expired(self, tp: TP, first: int, number: int) -> None:
        """Report that retention has dropped events before they were read, up to ``first``."""
        logger.error(
            "%s/%d: %d events were dropped by retention before they were read; going on at %d",
            tp.topic, tp.partition, number, first,
        )  # fmt: skip

    async def find_starts(
        self,
        committed: Mapping[TP, int | None],  # noqa: ARG002 - for those that override it
    ) -> Mapping[TP, int]:
        """Find the partitions to read from before the group's commits; to be overridden.

        Faust may ask before it has signalled the assignment.
        """
        return {}

    async def find_refusal(self) -> TopologyError | None:
        """Find out whether brokers that do not answer refuse to let us in; to be overridden."""
        return None

    def rebalance(self) -> AbstractContextManager[None]:
        """Return a context that is held while partitions are assigned; to be overridden."""
        return nullcontext()

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        with self.rebalance():
            await super()._on_partitions_assigned(assigned, generation_id)

    def _crash(self, reason: BaseException) -> None:
        super()._crash(reason)
        if self.fault is not None:  # each service on the way up reports it, and others do again
            return
        self.fault = reason
        last = threading.Timer(CRASH_SECONDS, self._end_hard)
        last.daemon = True
        last.start()

    def _end_hard(self) -> None:
        if not self.fault_reported:
            sys.stderr.write(f"{self.fault}\n")
        sys.stderr.flush()
        os._exit(getattr(self.fault, "exit_code", 1))
