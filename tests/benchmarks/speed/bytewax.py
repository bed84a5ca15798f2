"""Bytewax: Kafka source, one stateful step keyed by customer, Kafka sink and a Redis sink.

State is Bytewax's own: a customer's record stays in the step's logic in memory and is encoded when
an epoch's snapshot is taken; with Redis instead it was not measured.
Recovery is on, at the default epoch of 10 s: its SQLite file is where offsets are committed
together with the state (Bytewax has no commits to Kafka). The source's batch size is the default
of 1,000, which its documentation recommends for throughput. Public records go to Redis with one
MSET for each batch that the sink is handed. ``stateful`` hands the events over one after another.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from redis import Redis

from stream_persona.domain import taxonomy
from stream_persona.domain.record import Record
from stream_persona.settings import Settings, load_settings
from tests.benchmarks.speed.meter import Meter
from tests.benchmarks.speed.plain import Came, Plain, PublishedChange


class Enough(Exception):  # noqa: N818 - no error: the way out of a dataflow
    """The meter's time is over."""


class Customer(StatefulLogic):
    """A customer's record between two events."""

    def __init__(self, plain: Plain, meter: Meter, blob: bytes | None) -> None:
        self._plain, self._meter = plain, meter
        self._record = plain.decode(blob) or Record()

    def on_item(self, value: KafkaSourceMessage) -> tuple[list[PublishedChange], bool]:
        self._meter.begin()
        self._plain.follow()
        came = Came(value.topic, value.partition, value.offset, value.timestamp[1], value.value)
        published = self._plain.process(came, self._record)
        self._record = published.record
        self._meter.events += 1
        if not self._meter.events % 500 and self._meter.done:
            raise Enough
        return ([published] if published.public is not None else []), StatefulLogic.RETAIN

    def snapshot(self) -> bytes:
        return self._plain.encode(self._record)


class PublicRecords(DynamicSink, StatelessSinkPartition):
    """Writes a batch with one command."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.prefix
        self._redis = Redis.from_url(settings.redis_url)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "PublicRecords":
        return self

    def write_batch(self, items: Sequence[tuple[str, PublishedChange]]) -> None:
        self._redis.mset(
            {f"{self._prefix}persona:{name}": published.public for name, published in items}
        )


def flow_of(settings: Settings, plain: Plain, meter: Meter) -> Dataflow:
    flow = Dataflow("personas")
    brokers = settings.brokers.split(",")
    source = KafkaSource(brokers, settings.input_topics, tail=False)
    events = op.input("events", flow, source)
    keyed = op.key_on("customer", events, lambda message: message.key.decode())
    published = op.stateful("process", keyed, lambda blob: Customer(plain, meter, blob))
    op.output("public", published, PublicRecords(settings))
    changes = op.map("change", published, change)
    op.output("changes", changes, KafkaSink(brokers, settings.topic_changes))
    return flow


def change(keyed: tuple[str, PublishedChange]) -> KafkaSinkMessage[bytes, bytes | None]:
    return KafkaSinkMessage(keyed[0].encode(), keyed[1].change)


def run(flow: Any) -> None:
    with TemporaryDirectory() as folder:
        init_db_dir(Path(folder), 1)
        cli_main(flow, recovery_config=RecoveryConfig(folder))


def main() -> None:
    settings, meter = load_settings(), Meter.of_arguments()
    plain = Plain(settings, taxonomy.load(settings.taxonomy))
    try:
        run(flow_of(settings, plain, meter))
    except Exception as error:
        if not meter.done:
            raise
        print(f"ended early: {error}", file=sys.stderr)
    meter.report()


if __name__ == "__main__":
    main()
