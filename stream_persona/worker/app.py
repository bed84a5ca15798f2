"""The Faust application: wires assignment, batches and shutdown to the worker; no logic."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import Any, cast

import faust
from faust.streams import Stream
from faust.types import TP, EventT, StreamT
from mode import Service

from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.kafka.faust_app import BatchApp, batch_topic, faust_options
from stream_persona.kafka.log_reader import KafkaEventLog
from stream_persona.kafka.publisher import KafkaPublisher
from stream_persona.kafka.transport import Consumer
from stream_persona.settings import Settings
from stream_persona.store.redis import RedisTables
from stream_persona.worker import startup
from stream_persona.worker.clocks import MACHINE_CLOCKS
from stream_persona.worker.metrics import Metrics, serve
from stream_persona.worker.reporter import REPORT_SECONDS, Reporter
from stream_persona.worker.worker import Worker

logger = logging.getLogger(__name__)


class PersonaApp(BatchApp):
    """A Faust app that starts the worker's connections before it joins the group."""

    settings: Settings
    taxonomy: Taxonomy
    worker: Worker
    reporter: Reporter

    async def on_first_start(self) -> None:
        """Connect, read the model, serve metrics; then let Faust join the consumer group."""
        self._metrics = metrics = Metrics()
        self._tables = RedisTables.connect(
            self.settings.redis_url, self.settings.prefix, self.settings.retry_seconds
        )
        self._publisher = KafkaPublisher(self.settings)
        await self._publisher.start()
        self._history = KafkaEventLog(self.settings, self.taxonomy)
        self.worker = Worker(
            self.settings, self.taxonomy, self._tables, self._publisher, self._history, metrics,
            MACHINE_CLOCKS,
        )  # fmt: skip
        await self.worker.start()
        self.reporter = Reporter(self.worker, self.taxonomy, self._tables, metrics, MACHINE_CLOCKS)
        _, self._close_metrics = serve(
            metrics, self.settings.metrics_host, self.settings.metrics_port
        )
        await super().on_first_start()

    def report_expired(self, tp: TP, first: int, number: int) -> None:
        """Log and count events that retention dropped before they were read, and go on."""
        super().report_expired(tp, first, number)
        self._metrics.expired_events.inc(number)

    def rebalance(self) -> AbstractContextManager[None]:
        """Hold up batches until it is known what is ours: events may come before the signal."""
        return self.worker.partitions.rebalance()

    async def find_repartitioned(self) -> frozenset[str]:
        """Return the input topics with more partitions than the deployment; check all of them."""
        return await startup.find_repartitioned(self.settings, self._tables)

    async def process(self, batch: EventT[Any]) -> None:
        """Process a batch; it is written and acknowledged while the next one is processed.

        An error of that ends the app, too.
        """
        self.add_future(await self.worker.process_batch(batch.value, batch.ack))

    async def on_shutdown(self) -> None:
        """After the last batch was acked and committed: publish the model, disconnect."""
        await super().on_shutdown()
        if hasattr(self, "worker"):
            self._close_metrics()
            if self.crash_reason is None:
                await self.worker.refresh()
                await self.reporter.retire()
            await self._publisher.stop()
            await self._history.close()
            await self._tables.close()


def create_app(settings: Settings, taxonomy: Taxonomy) -> PersonaApp:
    """The application of one worker process; nothing is connected before it starts."""
    app = PersonaApp(**faust_options(settings))
    app.settings, app.taxonomy = settings, taxonomy
    app.retry_seconds = settings.retry_seconds

    @app.agent(batch_topic(app, *settings.input_topics, settings.topic_reroutes))
    async def process_batches(stream: StreamT[Any]) -> None:
        """Process all customer-keyed topics, one batch after another: one place sets the order."""
        async for batch in cast("Stream[Any]", stream).noack().events():
            await app.process(batch)
            cast("Consumer", app.consumer).request(batch)

    @app.on_partitions_assigned.connect  # type: ignore[arg-type]  # a signal knows no arguments
    async def assigned(_: faust.App, partitions: set[TP], **__: object) -> None:
        repartitioned = await app.find_repartitioned()
        homes = {tp.partition for tp in partitions if tp.topic not in repartitioned}
        await app.worker.assign(homes, repartitioned)

    _add_tasks(app)
    return app


def _add_tasks(app: PersonaApp) -> None:
    """Add what a worker does beside its batches."""
    settings = app.settings

    @app.task
    async def follow_model() -> None:
        while not app.should_stop:
            await Service.sleep(app, settings.model_interval)
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
            scored = await app.worker.sweep()
            rest = max(app.worker.sweep_pause, 0.001)
            await Service.sleep(app, rest if scored else settings.model_interval)
