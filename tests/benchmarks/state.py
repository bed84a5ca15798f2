"""``make bench``: what a shopper costs in bytes, and what hashed slots cost in quality.

The whole Complete Journey year goes through the pipeline into a real Redis. Bytes are those of the
private records, of the tastes that a setting adds and, by ``MEMORY USAGE``, of all keys (without
these). For quality, the study's personas (made on
the first half-year) are predicted from the second, on customer-disjoint splits, with tokens in
hashed slots, in slots of their own (no collision), in fewer fine slots, and without fine tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from unittest.mock import patch

import numpy as np
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.model_selection import StratifiedShuffleSplit

from stream_persona.demo import journey
from stream_persona.demo.study import MIDYEAR
from stream_persona.domain import record_codec, slots, taxonomy
from stream_persona.domain.features import Counts, compute_profiles
from stream_persona.domain.record import Record
from stream_persona.domain.slots import COARSE_SLOTS
from stream_persona.domain.tastes import encode_all_tastes
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.kafka import partitioner
from stream_persona.model.estimator import derive
from stream_persona.model.shard import compute_panel_share
from stream_persona.model.statistics import Sums, make_contribution
from stream_persona.pipeline import process, training
from stream_persona.pipeline.process import Delivery, Outcome
from stream_persona.store import shards, writes
from stream_persona.store.redis import RedisTables
from tests.support.servers import start_redis

TAXONOMY = taxonomy.load(taxonomy.find_shipped_path("complete-journey"))
BATCH = 500
SPLITS = 10
PARTITIONS = 8


@dataclass
class Year:
    """All households' records at the end, and what the worker would have written."""

    records: dict[str, Record] = field(default_factory=dict)
    model: Sums = field(default_factory=Sums)

    def process(self, deliveries: Sequence[Delivery], tokenizer: Tokenizer) -> Outcome:
        weights = derive(self.model, TAXONOMY.names)
        outcome = process.process_batch(deliveries, self.records, weights, TAXONOMY, tokenizer, 0)
        self.records |= outcome.records
        for update in outcome.model_updates:
            self.model.add(update.part, update.persona, update.sign)
        return outcome


def batches(story: journey.Journey) -> Iterator[list[Delivery]]:
    """The story in batches, preceded by the study's assignments."""
    assigned = [Delivery.of(a, 3, 0, i) for i, a in enumerate(story.study.make_assignments())]
    yield assigned
    batch: list[Delivery] = []
    for offset, (kind, event) in enumerate(story.generate_events()):
        batch.append(Delivery.of(event, kind, 0, offset))
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


async def bytes_of_state() -> dict[str, float]:
    """The whole year's records through the pipeline into Redis, and what they weigh there."""
    story = journey.load(since=datetime(2017, 1, 1, tzinfo=UTC))
    year, tokenizer, server = Year(), Tokenizer(TAXONOMY), start_redis()
    public_records: dict[str, bytes | None] = {}
    total = story.size // BATCH + 2
    for batch in track(
        batches(story), "folding the year", total=total, console=Console(stderr=True)
    ):
        public_records |= year.process(batch, tokenizer).public_records
    try:
        async with Redis.from_url(server.url) as redis:
            before = await used(redis)
            await store(year, public_records, server.url)
            keys = [key async for key in redis.scan_iter(count=1_000)]
            weights = [await redis.memory_usage(key, samples=0) or 0 for key in keys]
            grown = await used(redis) - before
    finally:
        server.close()
    stored = record_codec.encode_records(year.records, TAXONOMY.fingerprint)
    sizes = [len(blob) for blob in stored.values()]
    known = len(year.records)
    return {
        "customers": known,
        "record_median_bytes": float(np.median(sizes)),
        "record_p99_bytes": float(np.percentile(sizes, 99)),
        **bytes_of_tastes(year.records),
        "tokens_median": float(np.median([len(r.counts.keys) for r in year.records.values()])),
        "redis_bytes_per_customer": sum(weights) / known,
        "redis_used_memory_per_customer": grown / known,
    }


def bytes_of_tastes(records: Mapping[str, Record]) -> dict[str, float]:
    """What ``persona-tastes:<customer>`` holds where the setting asks for it; not in the others."""
    counts = {name: record.counts for name, record in records.items()}
    sizes = [len(blob or b"") for blob in encode_all_tastes(counts, TAXONOMY).values()]
    return {
        "tastes_median_bytes": float(np.median(sizes)),
        "tastes_most_bytes": float(np.max(sizes)),
        "tastes_mean_bytes": float(np.mean(sizes)),
    }


async def used(redis: Redis) -> int:
    info = await redis.info("memory")
    return int(info["used_memory"])


async def store(year: Year, public_records: Mapping[str, bytes | None], url: str) -> None:
    """Write the records as a worker would: state, public record, labelled set, model parts."""
    tables = RedisTables.connect(url)
    claims = await tables.claim(range(PARTITIONS))
    for partition, claim in claims.items():
        own = {
            n: r
            for n, r in year.records.items()
            if partitioner.find_home_partition(n, PARTITIONS) == partition
        }
        outcome = Outcome(
            own,
            public_records={n: public_records[n] for n in own if n in public_records},
            model_updates=training.derive_updates(own, TAXONOMY),
        )
        write = writes.build_write(outcome, TAXONOMY, 30)
        write.pending = []
        await tables.commit(claim, write)
        sums, labelled, *_ = await shards.fold_shard(tables, partition, TAXONOMY)
        known, _ = await shards.load_panel(
            tables, labelled, compute_panel_share(PARTITIONS), TAXONOMY
        )
        await shards.publish_shard(tables, claim, sums, known, TAXONOMY)
    await tables.close()


def own_slots() -> Callable[..., int]:
    """Slots without a collision: numbered as they come."""
    known: dict[tuple[str, bool], int] = {}
    counts = {True: COARSE_SLOTS, False: 1}

    def slot(token: str, *, fine: bool) -> int:
        if (token, fine) not in known:
            known[token, fine] = counts[fine]
            counts[fine] += 1
        return known[token, fine]

    return slot


def fewer_fine_slots(number: int) -> Callable[..., int]:
    hashed = slots.hash_to_slot

    def slot(token: str, *, fine: bool) -> int:
        found = hashed(token, fine=fine)
        return COARSE_SLOTS + found % number if fine else found

    return slot


def quality(story: journey.Journey, slot: Callable[..., int], *, fine: bool = True) -> np.ndarray:
    """Log-loss on each split, with tokens in the slots that ``slot`` gives."""
    with patch.object(slots, "slot_of", slot):
        year, reader = Year(), Tokenizer(TAXONOMY)
        for batch in batches(story):
            year.records |= process.apply_events(batch, year.records, TAXONOMY, reader).records
    personas = {**story.study.assigned, **story.study.held_back}
    known = sorted(personas.keys() & year.records.keys())
    counts = [without_fine(year.records[name].counts, fine=fine) for name in known]
    labels = np.array([TAXONOMY.names.index(personas[name]) for name in known])
    seen = compute_profiles(counts, TAXONOMY.features)
    split = StratifiedShuffleSplit(SPLITS, test_size=0.3, random_state=0).split(labels, labels)
    losses = []
    for train, test in split:
        sums = Sums()
        for row in train:
            sums.add(make_contribution(seen.select_row(row)), TAXONOMY.names[labels[row]])
        held = compute_profiles([counts[row] for row in test], TAXONOMY.features)
        p = derive(sums, TAXONOMY.names).predict_probabilities(held)[
            np.arange(len(test)), labels[test]
        ]
        losses.append(-np.log(p).mean())
    return np.array(losses)


def without_fine(counts: Counts, *, fine: bool) -> Counts:
    if fine:
        return counts
    kept = (counts.keys & 0xFFFF) < COARSE_SLOTS
    return Counts.of(counts.epoch, counts.clock, counts.keys[kept], counts.values[kept])


def cost_of_slots() -> dict[str, dict[str, float]]:
    """Log-loss of each way to keep tokens, and its difference to slots without collisions."""
    story = journey.load(since=MIDYEAR)
    ways = {
        "own slots, no collision": (own_slots(), True),
        "hashed (what is used)": (slots.hash_to_slot, True),
        "hashed, 1,024 fine slots": (fewer_fine_slots(1_024), True),
        "no fine tokens": (slots.hash_to_slot, False),
    }
    console = Console(stderr=True)
    losses = {
        name: quality(story, slot, fine=fine)
        for name, (slot, fine) in track(ways.items(), "judging slots", console=console)
    }
    exact = losses["own slots, no collision"]
    return {
        name: {
            "log_loss": float(loss.mean()),
            "cost": float((loss - exact).mean()),
            "cost_spread": float((loss - exact).std()),
        }
        for name, loss in losses.items()
    }


def show(state: dict[str, float], slots: dict[str, dict[str, float]]) -> None:
    table = Table(title="A shopper's state at the end of the Complete Journey year")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name, value in state.items():
        table.add_row(name.replace("_", " "), f"{value:,.0f}")
    print_to = Console()
    print_to.print(table)
    table = Table(title=f"What slots cost: log-loss of seven personas, {SPLITS} splits")
    for column in ("tokens in", "log-loss", "cost", "± over splits"):
        table.add_column(column, justify="left" if column == "tokens in" else "right")
    for name, row in slots.items():
        cells = (f"{row['log_loss']:.4f}", f"{row['cost']:+.4f}", f"{row['cost_spread']:.4f}")
        table.add_row(name, *cells)
    print_to.print(table)
