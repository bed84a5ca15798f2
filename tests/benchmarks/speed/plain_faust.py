"""Plain Faust: an ordinary agent that handles an event at a time, as Faust's guide shows it.

The stock aiokafka transport, one agent over all customer-keyed topics, ``async for event in
stream.events()``; a GET of the record before processing, one MSET of record and public record after
it, ``topic.send`` for a change. Faust commits on its own, at the interval of ours. An agent's
``concurrency`` stays at 1: more would let two events of a customer overtake each other.
"""

import tempfile
from pathlib import Path
from typing import Any, cast

import faust
from redis.asyncio import Redis

from stream_persona.cli import services
from stream_persona.domain import taxonomy
from stream_persona.settings import Settings, load_settings
from tests.benchmarks.speed.meter import Meter
from tests.benchmarks.speed.plain import Came, Plain


def app_of(settings: Settings, plain: Plain, meter: Meter) -> faust.App:
    app = faust.App(
        settings.group,
        broker=f"kafka://{settings.brokers}",
        broker_commit_interval=settings.commit_interval,
        consumer_auto_offset_reset="earliest",
        datadir=Path(tempfile.mkdtemp(prefix="stream-persona-")),  # left empty
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw"}
    topic = app.topic(*settings.input_topics, **raw, value_serializer="raw")
    changes = app.topic(settings.topic_changes, **raw, value_serializer="raw")
    redis = Redis.from_url(settings.redis_url)
    prefix = settings.prefix

    @app.agent(topic)
    async def process(stream):  # noqa: ANN001, ANN202 - as the guide has it
        async for event in stream.events():
            meter.begin()
            message = event.message
            key = f"{prefix}persona-state:{message.key.decode()}"
            stored = plain.decode(cast("bytes | None", await redis.get(key)))
            came = Came(
                message.topic, message.partition, message.offset,
                round(1_000 * message.timestamp), message.value,
            )  # fmt: skip
            published = plain.process(came, stored)
            written = {key: plain.encode(published.record)}
            if published.public is not None:
                written[f"{prefix}persona:{published.customer}"] = published.public
            await redis.mset(written)
            if published.change is not None:
                await changes.send(key=message.key, value=published.change)
            if meter.add(1):
                meter.stop()

    @app.timer(settings.model_interval)
    async def follow() -> None:
        plain.follow()

    return app


def main() -> None:
    settings, meter = load_settings(), Meter.of_arguments()
    services.log_to_stderr("WARNING")
    plain = Plain(settings, taxonomy.load(settings.taxonomy))
    worker = faust.Worker(app_of(settings, plain, meter), override_logging=False, quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
