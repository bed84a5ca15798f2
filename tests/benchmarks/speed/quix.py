"""Quix Streams: one StreamingDataFrame over all topics with state, a topic and a sink behind it.

``--store rocksdb`` keeps records in Quix's own state store with its changelog topic on (the
default), as bytes; it needs one dataframe of all topics, so they are concatenated. ``--store
redis`` reads and writes each record in Redis, with a dataframe for each topic. Public records go to
Redis with Quix's own ``RedisSink``, which writes at each checkpoint. Checkpoints are at the
default of 5 s, at-least-once.
"""

import argparse
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any, cast
from urllib.parse import urlsplit

from quixstreams import Application, State, message_context
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.sinks.community.redis import RedisSink
from redis import Redis

from stream_persona.domain import taxonomy
from stream_persona.settings import Settings, load_settings
from tests.benchmarks.speed.meter import Meter, parser
from tests.benchmarks.speed.plain import Came, Plain, PublishedChange

KEY = "record"


class Job:
    """The callbacks, with what they share."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._meter = meter
        self._settings = settings
        self._plain = Plain(settings, taxonomy.load(settings.taxonomy))
        self._redis = Redis.from_url(settings.redis_url)

    def with_state(
        self, value: bytes, key: str, at: int, _: object, state: State
    ) -> PublishedChange:
        published = self._walk(value, at, state.get_bytes(KEY))
        state.set_bytes(KEY, self._plain.encode(published.record))
        return published

    def with_redis(self, value: bytes, key: str, at: int, _: object) -> PublishedChange:
        place = f"{self._settings.prefix}persona-state:{key}"
        published = self._walk(value, at, cast("bytes | None", self._redis.get(place)))
        self._redis.set(place, self._plain.encode(published.record))
        return published

    def _walk(self, value: bytes, at: int, blob: bytes | None) -> PublishedChange:
        self._meter.begin()
        self._plain.follow()
        context = message_context()
        came = Came(context.topic, context.partition, context.offset, at, value)
        return self._plain.process(came, self._plain.decode(blob))


def application(settings: Settings, folder: str, processed: Callable[..., None]) -> Application:
    return Application(
        settings.brokers,
        consumer_group=settings.group,
        auto_offset_reset="earliest",
        state_dir=folder,
        on_message_processed=processed,
        loglevel="WARNING",
    )


def inputs(app: Application, settings: Settings) -> list[StreamingDataFrame]:
    names = settings.input_topics
    topics = [app.topic(n, key_deserializer="str", value_deserializer="bytes") for n in names]
    return [app.dataframe(topic) for topic in topics]


def sink_of(settings: Settings) -> RedisSink:
    url = urlsplit(settings.redis_url)
    return RedisSink(
        url.hostname or "localhost", url.port or 6379, int(url.path.strip("/") or 0),
        value_serializer=lambda value: value,
        key_serializer=lambda key, _: f"{settings.prefix}persona:{key}",
    )  # fmt: skip


def publish(
    app: Application, published: StreamingDataFrame, settings: Settings, sink: RedisSink
) -> None:
    """Changes to Kafka, public records to Redis."""
    public_records = published.filter(lambda published: published.public is not None)
    changes = app.topic(settings.topic_changes, value_serializer="bytes", key_serializer="str")
    public_records.apply(lambda published: published.change).to_topic(changes)
    public_records.apply(lambda published: published.public).sink(sink)


def main() -> None:
    arguments = parser()
    arguments.add_argument("--store", choices=("rocksdb", "redis"), default="rocksdb")
    options = arguments.parse_args()
    settings, meter = load_settings(), Meter.of_arguments(options)
    with TemporaryDirectory() as folder:
        run(settings, meter, options, folder)
    meter.report()


def run(settings: Settings, meter: Meter, options: argparse.Namespace, folder: str) -> None:
    def processed(*_: Any) -> None:
        if meter.add(1):
            app.stop()

    app, job = application(settings, folder, processed), Job(settings, meter)
    frames, sink = inputs(app, settings), sink_of(settings)
    if options.store == "redis":
        for frame in frames:
            publish(app, frame.apply(job.with_redis, metadata=True), settings, sink)
    else:
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.concat(frame)
        publish(app, whole.apply(job.with_state, stateful=True, metadata=True), settings, sink)
    app.run()


if __name__ == "__main__":
    main()
