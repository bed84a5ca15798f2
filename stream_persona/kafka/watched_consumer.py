"""A consumer that ends its worker when the group or the brokers are of no use any more."""

from __future__ import annotations

from typing import Final, cast

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from mode import Service

from stream_persona.errors import UnavailableError
from stream_persona.kafka.broker_watch import BrokerWatch
from stream_persona.kafka.faust_app import BatchApp
from stream_persona.kafka.fetcher import ConsumerThread
from stream_persona.kafka.refusals import RIGHTS

#: Seconds between two looks at whether any broker answers.
_LOOK_SECONDS: Final = 2.0

#: Errors of the consumer group that end a worker which has no assignment in between.
GROUP_ATTEMPTS: Final = 5


class WatchedConsumer(driver.Consumer):
    """The driver's consumer, which aiokafka alone would let wait for ever."""

    _thread: ConsumerThread
    _group_errors = 0

    @Service.task
    async def _watch_group(self) -> None:
        """Let aiokafka join again after an error, and end the worker when that does not help.

        Faust does not ask for these errors, and aiokafka waits until they have been asked for.
        """
        while not self.should_stop:
            await self.sleep(1.0)
            try:
                await self._thread.call_thread(self._thread.check_group)
            except tuple(RIGHTS) as error:
                await self.crash(error)  # no waiting gives a right
                return
            except KafkaError as error:
                self._group_errors += 1
                self.log.warning("The consumer group refused this worker: %r", error)
                if self._group_errors >= GROUP_ATTEMPTS:
                    message = f"the consumer group refuses this worker: {error!r}"
                    await self.crash(UnavailableError(message))
                    return

    @Service.task
    async def _watch_brokers(self) -> None:
        """End a worker whose brokers are of no use any more."""
        app, thread = cast("BatchApp", self.app), self._thread
        watch = BrokerWatch(app.retry_seconds, app.monotonic())
        while not self.should_stop:
            await self.sleep(min(_LOOK_SECONDS, app.retry_seconds / 4))
            silence, missing = thread.compute_silence(), thread.find_missing_topics()
            fault = watch.find_fault(
                app.monotonic(),
                silence=silence,
                missing=missing,
                has_coordinator=thread.has_coordinator(),
            )
            if fault is not None:
                await self.crash(await app.find_refusal() or fault)
            elif watch.should_ask(silence=silence, missing=missing):
                thread.ask_brokers()
