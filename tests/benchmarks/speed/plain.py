"""The same job for one event at a time, on our own pure functions, for frameworks that do that.

Decode, process one delivery, learn into sums in process; weights are derived again from them at
the worker's interval, calibration included. What is left out makes it cheaper than ours: no claim
and no fence, no order of commit, publish and ack, no detour for events off their home, no dead
letters, no parts for other workers, no copy to pub/sub, no sweep.
"""

import heapq
import time
from dataclasses import dataclass, field

from stream_persona.domain import events
from stream_persona.domain.record import Record
from stream_persona.domain.record_codec import decode_records, encode_records
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.fitting import ModelFitter
from stream_persona.model.shard import Shard, compute_panel_share, make_members, merge_shards
from stream_persona.pipeline import process
from stream_persona.pipeline.messages import encode_public_record
from stream_persona.pipeline.process import Delivery, Outcome
from stream_persona.settings import Settings
from stream_persona.store import shards
from stream_persona.store.blas import limit_blas_threads
from stream_persona.store.model_replica import CALIBRATE_DUTY_CYCLE, DERIVE_DUTY_CYCLE


@dataclass
class Came:
    """A message and where it came in; ``timestamp`` in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes


@dataclass
class PublishedChange:
    """What an event leads to: the new record; None where nothing new is published."""

    customer: str
    record: Record
    public: bytes | None = None
    change: bytes | None = None


@dataclass
class Plain:
    """One process's tokenizer, sums and weights."""

    settings: Settings
    taxonomy: Taxonomy
    part: Shard = field(default_factory=Shard)
    labels: dict[str, int] = field(default_factory=dict)
    labelled: dict[str, Record] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kinds = {topic: kind for kind, topic in enumerate(self.settings.input_topics)}
        self._tokenizer = Tokenizer(self.taxonomy)
        limit_blas_threads()
        self._learned = ModelFitter(self.taxonomy)
        self._moved = False
        self._next_look = 0.0
        self._next_calibration = 0.0

    def process(self, came: Came, record: Record | None) -> PublishedChange:
        """The whole journey of one event; the customer's stored record is given."""
        kind = self._kinds[came.topic]
        event = events.decode_for_taxonomy(kind, came.value, self.taxonomy)
        name = event.customer_id
        delivery = Delivery.of(event, kind, came.partition, came.offset, came.timestamp)
        stored = {} if record is None else {name: record}
        now, weights = time.time_ns() // 1_000_000, self._learned.weights
        outcome = process.process_batch(
            [delivery], stored, weights, self.taxonomy, self._tokenizer, now
        )
        self._learn(outcome)
        new = outcome.records.get(name, record or Record())
        published = PublishedChange(name, new)
        if name in outcome.public_records and new.published is not None:
            published.public, published.change = (
                encode_public_record(name, new.published),
                outcome.messages[-1][1],
            )
        return published

    def encode(self, record: Record) -> bytes:
        return encode_records({"": record}, self.taxonomy.fingerprint)[""]

    def decode(self, blob: bytes | None) -> Record | None:
        return None if blob is None else decode_records({"": blob}, self.taxonomy.fingerprint)[""]

    def _learn(self, outcome: Outcome) -> None:
        if not outcome.model_updates:
            return
        shards.update_sums(self.part.sums, self.labels, outcome.model_updates)
        self.labelled |= {n: r for n, r in outcome.records.items() if n in self.labels}
        self._moved = True

    def follow(self) -> None:
        """New weights if the interval is over and something was learned, as a worker has them."""
        began = time.monotonic()
        if began < self._next_look:
            return
        self._next_look = began + self.settings.model_interval
        calibrate = (self._moved or not self._learned.settled) and began >= self._next_calibration
        if not (self._moved or calibrate):
            return
        self._moved = False
        self._learned.update(*merge_shards([self._share()]), calibrate=calibrate)
        ended = time.monotonic()
        self._next_look = max(self._next_look, ended + (ended - began) / DERIVE_DUTY_CYCLE)
        if calibrate:
            self._next_calibration = ended + (ended - began) / CALIBRATE_DUTY_CYCLE

    def _share(self) -> Shard:
        lowest = heapq.nsmallest(compute_panel_share(1), self.labels, key=self.labels.__getitem__)
        known = [
            (self.labels[n], self.labelled[n].find_active_label() or "", self.labelled[n])
            for n in lowest
        ]
        self.part.panel = make_members(known, self.taxonomy, self.part.panel)
        return self.part
