"""A shop on real servers: produces events, runs worker processes, reads what they wrote."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.asyncio import Redis

from stream_persona.domain import record_codec, taxonomy
from stream_persona.domain.due import advance_all
from stream_persona.domain.events import DELETION, KINDS, Event, encode
from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.kafka.source_topics import find_source_topics
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import (
    Shard,
    compute_panel_share,
    decode_shard,
    make_members,
    merge_shards,
)
from stream_persona.model.weights import Weights
from stream_persona.pipeline import process, training
from stream_persona.pipeline.types import Delivery
from stream_persona.replay.messages import TopicMessages
from stream_persona.settings import Settings
from stream_persona.store import shards
from stream_persona.store.blas import limit_blas_threads
from tests.support.waiting import eventually, patience


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a process with these settings."""
    own = settings.list_variables()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STREAM_PERSONA_")}
    return {**inherited, **own}


def fit_weights(shards: list[Shard], own: taxonomy.Taxonomy) -> Weights:
    """Fit the weights to all shards, calibration included."""
    limit_blas_threads()
    fitter = ModelFitter(own)
    fitter.update(*merge_shards(shards), calibrate=True)
    return fitter.weights


@dataclass
class WorkerProcess:
    """``stream-persona worker`` as an operator runs it, or another program that is a worker."""

    settings: Settings
    log: Path
    program: Sequence[str] = ("-m", "stream_persona", "worker")
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program],
                env=environment(self.settings),
                cwd=self.log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=patience(60))


class Shop:
    """One deployment: its topics and its keys in Redis."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.settings = settings
        self.taxonomy = taxonomy.load(settings.taxonomy)
        self.redis = redis

    def halve_session_timeout(self) -> None:
        """Let the group miss a dead worker sooner; holds for workers that start from now on."""
        half = self.settings.session_timeout / 2
        self.settings = self.settings.model_copy(update={"session_timeout": half})

    async def produce(self, *events: Event, partition: int | None = None) -> None:
        raw = [(self._topic(event), event.customer_id, encode(event)) for event in events]
        await self.produce_raw(raw, partition)

    async def produce_raw(
        self, messages: Sequence[tuple[str, str, bytes]], partition: int | None = None
    ) -> None:
        # With fewer acks a replicated log may still look empty, as no replica has copied its end.
        brokers = self.settings.brokers
        async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
            for topic, key, value in messages:
                await producer.send(topic, value, key.encode(), partition=partition)

    def _topic(self, event: Event) -> str:
        return self.settings.input_topics[KINDS.index(type(event))]

    async def at_rest(self, seconds: float = 60) -> None:
        """Wait until the group has committed everything in the input topics, then in reroutes."""
        settings = self.settings
        inputs = await self._partitions(*settings.input_topics, *find_source_topics(settings))
        reroutes = await self._partitions(settings.topic_reroutes)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.brokers, isolation_level="read_committed"
        )
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
        await consumer.start()
        await admin.start()

        async def settled() -> bool:
            for some in (inputs, reroutes):  # of which there is no more once inputs are done
                ends = await consumer.end_offsets(some)
                try:  # for all of them at once: it is asked for while others want the cores
                    found = await admin.list_consumer_group_offsets(settings.group, partitions=some)
                except KafkaError:
                    return False
                if not all(found[tp].offset >= ends[tp] for tp in some if ends[tp]):
                    return False
            return True

        try:
            await eventually(settled, seconds, "the group did not commit to the end")
        finally:
            await admin.close()
            await consumer.stop()

    async def _partitions(self, *topics: str) -> list[TopicPartition]:
        async with AIOKafkaProducer(bootstrap_servers=self.settings.brokers) as asked:
            return [TopicPartition(t, p) for t in topics for p in await asked.partitions_for(t)]

    @asynccontextmanager
    async def _reading(
        self, topic: str
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, dict[TopicPartition, int]]]:
        """Yield a consumer of what is committed in a topic, and the ends of its partitions."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.brokers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            tps = await self._partitions(topic)
            consumer.assign(tps)
            yield consumer, await consumer.end_offsets(tps)
        finally:
            await consumer.stop()

    async def size(self, topic: str) -> int:
        """Return the sum of the end offsets of a topic's partitions."""
        async with self._reading(topic) as (_, ends):
            return sum(ends.values())

    async def read(self, topic: str) -> list[ConsumerRecord]:
        """Read everything committed in a topic, one partition after another."""
        async with self._reading(topic) as (consumer, ends):
            found: list[ConsumerRecord] = []
            await consumer.seek_to_beginning(*ends)
            for tp, end in ends.items():
                while await consumer.position(tp) < end:
                    found += (await consumer.getmany(tp, timeout_ms=500)).get(tp, [])
            return found

    async def run(self, *command: str) -> bytes:
        """Run ``stream-persona`` with this shop's settings; return what it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream_persona", *command,
            env=environment(self.settings), stdout=subprocess.PIPE,
        )  # fmt: skip
        printed, _ = await asyncio.wait_for(process.communicate(), patience(90))
        assert process.returncode == 0
        return printed

    async def public(self, customer: str) -> dict[str, object] | None:
        blob = await self.redis.get(f"{self.settings.prefix}persona:{customer}")
        return None if blob is None else orjson.loads(blob)

    async def keys(self, pattern: str) -> list[str]:
        prefix = f"{self.settings.prefix}{pattern}"
        return sorted([key.decode() async for key in self.redis.scan_iter(prefix, count=1_000)])

    async def folded(self) -> dict[str, bytes]:
        """Read the folded part of every customer's stored record."""
        keys = await self.keys("persona-state:*")
        blobs = await self.redis.mget(keys) if keys else []
        names = [key.partition("persona-state:")[2] for key in keys]
        found = {n: blob for n, blob in zip(names, blobs, strict=True) if blob is not None}
        fingerprint = self.taxonomy.fingerprint
        stored = record_codec.decode_records(found, fingerprint)
        return {n: record_codec.encode_folded(record, fingerprint) for n, record in stored.items()}

    async def model(self) -> bytes:
        """Read the published shards; return the canonical bytes of their sum."""
        total = PersonaClassifier()
        for partition in range(self.settings.partitions):
            blob = await self.redis.get(f"{self.settings.prefix}persona-model:{partition}")
            if blob:
                total.merge(decode_shard(blob[8:], self.taxonomy).sums)
        return total.encode_canonically()

    async def weights(self) -> str:
        """Read the published shards; return the version of the weights fitted to them."""
        keys = [f"{self.settings.prefix}persona-model:{p}" for p in range(self.settings.partitions)]
        blobs = await self.redis.mget(keys)
        found = [decode_shard(blob[8:], self.taxonomy) for blob in blobs if blob]
        return fit_weights(found, self.taxonomy).version

    def weights_of(self, stored: dict[str, Record]) -> str:
        """Return the version of the weights fitted to records in one process."""
        return self.fit(stored).version

    def fit(self, stored: dict[str, Record]) -> Weights:
        """Fit the weights to records in one process."""
        found = []
        for partition in range(self.settings.partitions):
            own = {
                n: r
                for n, r in stored.items()
                if find_home_partition(n, self.settings.partitions) == partition
            }
            sums, labelled = PersonaClassifier(), dict[str, int]()
            shards.update_sums(sums, labelled, training.derive_updates(own, self.taxonomy))
            lowest = sorted(labelled, key=labelled.__getitem__)
            lowest = lowest[: compute_panel_share(self.settings.partitions)]
            known = [(labelled[n], own[n].find_active_label() or "", own[n]) for n in lowest]
            found.append(Shard(sums, make_members(known, self.taxonomy)))
        return fit_weights(found, self.taxonomy)

    async def oracle(self, now: int | None = None) -> dict[str, Record]:
        """Fold the topics' contents in one process: deletions first, then topic after topic.

        What was due by ``now`` (epoch ms), the present if unset, is done.
        """
        stored: dict[str, Record] = {}
        tokenizer, messages = Tokenizer(self.taxonomy), TopicMessages(self.settings, self.taxonomy)
        topics, others = self.settings.input_topics, find_source_topics(self.settings)
        for topic in (topics[DELETION], *topics[:DELETION], *others):
            found = [each for raw in await self.read(topic) for each in messages.read(raw)]
            deliveries = [each for each in found if isinstance(each, Delivery)]
            stored |= process.apply_events(deliveries, stored, self.taxonomy, tokenizer).records
        return advance_all(stored, now or time.time_ns() // 1_000_000, self.taxonomy)

    def model_of(self, stored: dict[str, Record]) -> bytes:
        """Return the canonical bytes of the model that records fold to."""
        model = PersonaClassifier()
        for update in training.derive_updates(stored, self.taxonomy):
            model.add(update.part, update.persona)
        return model.encode_canonically()
