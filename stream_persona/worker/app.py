"""The Faust application: wires assignment, batches and shutdown to the worker; no logic."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, cast

import faust
from aiokafka import TopicPartition
from faust.streams import Stream
from faust.types import TP, EventT, StreamT
from mode import Service

from stream_persona.clocks import MACHINE_CLOCKS
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.errors import RolledBackError, TopologyError
from stream_persona.kafka.batch import Batch
from stream_persona.kafka.connection import find_refusal
from stream_persona.kafka.faust_app import (
    BatchApp,
    make_batch_topic,
    make_cut_log_error,
    make_faust_options,
)
from stream_persona.kafka.group import make_client_id
from stream_persona.kafka.log_reader import KafkaEventLog
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.kafka.source_topics import find_source_topics
from stream_persona.kafka.transport import Consumer
from stream_persona.settings import Settings
from stream_persona.store import redis_health
from stream_persona.store.blas import limit_blas_threads
from stream_persona.store.deployment import Deployment
from stream_persona.store.redis import RedisTables
from stream_persona.store.redis_health import RedisWatch
from stream_persona.worker import startup
from stream_persona.worker.deployment_guard import GUARD_SECONDS, DeploymentGuard
from stream_persona.worker.due import DUE_SECONDS
from stream_persona.worker.metrics import Metrics
from stream_persona.worker.metrics_server import serve
from stream_persona.worker.reporter import REPORT_SECONDS, Reporter
from stream_persona.worker.worker import Worker

logger = logging.getLogger(__name__)


class PersonaApp(BatchApp):
    """A Faust app that starts the worker's connections before it joins the group."""

    settings: Settings
    taxonomy: Taxonomy
    deployment: Deployment
    guard: DeploymentGuard
    worker: Worker
    reporter: Reporter
    redis_watch: RedisWatch
    _close_metrics = staticmethod(lambda: None)

    async def on_first_start(self) -> None:
        """Connect, read the model, serve metrics; then let Faust join the consumer group."""
        limit_blas_threads()
        self._metrics = metrics = Metrics()
        self._reading_again = asyncio.Lock()
        self._tables = RedisTables.connect(
            self.settings.redis_address, self.settings.prefix, self.settings.retry_seconds
        )
        self.guard = DeploymentGuard(self.settings, self.taxonomy, self.deployment, self._tables)
        self._publisher = KafkaPublisher(self.settings)
        await self._publisher.start()
        self._log = KafkaEventLog(self.settings, self.taxonomy)
        self.worker = Worker(
            self.settings, self.taxonomy, self._tables, self._publisher, self._log, metrics,
            MACHINE_CLOCKS,
        )  # fmt: skip
        await self.worker.start()
        self.reporter = Reporter(self.worker, self.taxonomy, self._tables, metrics, MACHINE_CLOCKS)
        _, self._close_metrics = serve(
            metrics, self.settings.metrics_host, self.settings.metrics_port
        )
        self.redis_watch = RedisWatch(self._tables)
        await super().on_first_start()

    def report_expired(self, tp: TP, first: int, number: int) -> None:
        """Log and count events that retention dropped before they were read, and go on."""
        super().report_expired(tp, first, number)
        self._metrics.expired_events.inc(number)

    async def find_refusal(self) -> TopologyError | None:
        """Ask brokers that do not answer once more, and why."""
        return await find_refusal(self.settings)

    def rebalance(self) -> AbstractContextManager[None]:
        """Hold up batches until it is known what is ours: events may come before the signal."""
        return self.worker.partitions.hold_while_rebalancing()

    async def find_forwarded(self) -> frozenset[str]:
        """Return the topics whose events are all forwarded; check all inputs."""
        return await startup.find_forwarded(self.settings, self._tables)

    async def process(self, batch: EventT[Any]) -> None:
        """Process a batch; it is written and acknowledged while the next one is processed.

        An error of that ends the app, too; but where Redis has come back older, it is read again.
        """
        consumer, records = cast("Consumer", self.consumer), cast("Batch", batch.value)
        if not consumer.is_current(records):
            consumer.drop(batch.message)
            return
        async with self.read_again_if_older():
            self.add_future(self._finish(await self.worker.process_batch(records, batch.ack)))

    async def _finish(self, writing: asyncio.Task[None]) -> None:
        async with self.read_again_if_older():
            await writing

    @asynccontextmanager
    async def read_again_if_older(self) -> AsyncIterator[None]:
        """Claim and read again if Redis turns out to be older than what was written."""
        try:
            yield
        except RolledBackError as error:
            logger.warning("%s; reading again what it lacks", error)
            await self._read_again()

    async def _read_again(self) -> None:
        consumer = cast("Consumer", self.consumer)
        with self.rebalance():
            async with self._reading_again:
                if not self.worker.is_older:
                    return  # another batch that failed has been here
                await self.guard.check_stored()  # of a Redis that lost all, workers need not ask
                consumer.drop_fetched()
                await self.worker.reclaim()
                assigned = dict.fromkeys(consumer.assignment(), sys.maxsize)
                await consumer.read_again(self.worker.find_starts(assigned))

    async def find_starts(self, committed: Mapping[TP, int | None]) -> Mapping[TP, int]:
        """Find the partitions whose effects in Redis end before what the group has committed.

        Raises:
            TopologyError: a log ends before that, too: what was read there can't be read again.
        """
        await self.worker.partitions.wait_until_assigned()
        starts = self.worker.find_starts(committed)
        ends = await self._log.find_ends([TopicPartition(*tp) for tp in starts])
        for tp, end in ends.items():
            if (position := committed[TP(*tp)] or 0) > end:
                raise make_cut_log_error(tp.topic, tp.partition, position)
        behind = sum((committed[tp] or 0) - offset for tp, offset in starts.items())
        if behind:
            self.worker.record_read_again(behind)
            logger.warning(
                "Redis is older than what the group has committed: up to %d events of %d "
                "partitions are read again", behind, len(starts),
            )  # fmt: skip
        return starts

    async def on_shutdown(self) -> None:
        """Publish the model and disconnect, after the last batch was acked and committed."""
        await super().on_shutdown()
        if hasattr(self, "worker"):
            self._close_metrics()
            if self.crash_reason is None:
                await self.worker.refresh()
                await self.reporter.retire()
            await self.guard.close()
            await self._publisher.stop()
            await self._log.close()
            await self._tables.close()


def create_app(settings: Settings, taxonomy: Taxonomy, deployment: Deployment) -> PersonaApp:
    """Create the application of one worker process; it connects when it starts."""
    app = PersonaApp(**make_faust_options(settings), broker_client_id=make_client_id(deployment.id))
    app.settings, app.taxonomy, app.deployment = settings, taxonomy, deployment
    app.deployment_id = deployment.id
    app.retry_seconds = settings.retry_seconds

    inputs = (*settings.input_topics, settings.topic_reroutes, *find_source_topics(settings))

    @app.agent(make_batch_topic(app, *inputs))
    async def process_batches(stream: StreamT[Any]) -> None:
        """Process all customer-keyed topics, one batch after another: one place sets the order."""
        async for batch in cast("Stream[Any]", stream).noack().events():
            await app.process(batch)
            cast("Consumer", app.consumer).request(batch)

    @app.on_partitions_assigned.connect  # type: ignore[arg-type]  # a signal knows no arguments
    async def assigned(_: faust.App, partitions: set[TP], **__: object) -> None:
        await app.guard.check()
        forwarded = await app.find_forwarded()
        homes = {tp.partition for tp in partitions if tp.topic not in forwarded}
        await app.worker.assign(homes, forwarded)

    @app.task
    async def guard_deployment() -> None:
        while not app.should_stop:
            await Service.sleep(app, GUARD_SECONDS)
            await app.guard.look()

    _add_tasks(app)
    _add_watches(app)
    return app


def _add_tasks(app: PersonaApp) -> None:
    """Add what a worker does beside its batches."""
    settings = app.settings

    @app.task
    async def follow_model() -> None:
        while not app.should_stop:
            await Service.sleep(app, settings.model_interval)
            async with app.read_again_if_older():
                await app.worker.refresh()

    @app.task
    async def challenge() -> None:
        while not app.should_stop:
            await Service.sleep(app, settings.model_interval)
            await app.worker.challenge()

    @app.task
    async def report() -> None:
        while not app.should_stop:
            await app.reporter.report()
            await Service.sleep(app, REPORT_SECONDS)

    @app.task
    async def sweep() -> None:
        while settings.sweep_rate and not app.should_stop:
            scored = 0
            async with app.read_again_if_older():
                scored = await app.worker.sweep()
            rest = max(app.worker.sweep_pause, 0.001)
            await Service.sleep(app, rest if scored else settings.model_interval)


def _add_watches(app: PersonaApp) -> None:
    """Add what looks at the clock, and at Redis: its settings may be changed while it runs."""

    @app.task
    async def end_due() -> None:
        while not app.should_stop:
            due = 0
            async with app.read_again_if_older():
                due = await app.worker.end_due()
            await Service.sleep(app, 0.001 if due else DUE_SECONDS)

    @app.task
    async def watch_redis() -> None:
        while not app.should_stop:
            await app.redis_watch.look_for_workers()
            await Service.sleep(app, redis_health.LOOK_SECONDS)
