"""What it costs to know the ids of a customer's last days: bytes of a record, and time per event.

The households of the Complete Journey year as ``state`` folds them, each event arriving as it
happens; beside them a shop without arrivals, in which ids go by their number alone.
"""

import itertools
import time
import timeit
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from stream_persona.demo import journey
from stream_persona.domain import record_codec
from stream_persona.domain.deduplication import MAX_RECENT, hash_id, knows_id, with_id
from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.pipeline import process
from tests.benchmarks.state import TAXONOMY, batches
from tests.support.constants import MINUTE, NOW

#: Calls of which the mean time is taken.
CALLS = 200_000


def cost_of_ids() -> dict[str, float]:
    """Bytes of all records with ids and without, and microseconds of an event's look at them."""
    story = journey.load(since=datetime(2017, 1, 1, tzinfo=UTC))
    found: dict[str, float] = {}
    for name, arrives in (("arrivals", True), ("no_arrivals", False)):
        records = fold(story, arrives=arrives)
        whole = sizes(records)
        bare = sizes({n: replace(r, recent={}, rates={}) for n, r in records.items()})
        for what, each in (("with", whole), ("without", bare), ("ids", whole - bare)):
            found[f"{name}_{what}_median_bytes"] = float(np.median(each))
            found[f"{name}_{what}_p99_bytes"] = float(np.percentile(each, 99))
    return found | {f"{known}_ids_us": time_of_an_event(known) for known in (0, 8, MAX_RECENT)}


def fold(story: journey.Journey, *, arrives: bool) -> dict[str, Record]:
    """The households' records at the end of the year."""
    records: dict[str, Record] = {}
    tokenizer = Tokenizer(TAXONOMY)
    for batch in batches(story):
        for delivery in batch:
            delivery.arrived_at = delivery.at if arrives else None
        records |= process.apply_events(batch, records, TAXONOMY, tokenizer).records
    return records


def sizes(records: Mapping[str, Record]) -> np.ndarray:
    encoded = record_codec.encode_records(dict(records), TAXONOMY.fingerprint)
    return np.array([len(blob) for blob in encoded.values()])


def time_of_an_event(known: int) -> float:
    """Microseconds of CPU in which a new id is looked for among so many, and added to them."""
    recent = b""
    for number in range(known):
        recent = with_id(recent, hash_id(f"E-{number}"), NOW + number * MINUTE)
    numbers, at = itertools.count(known), NOW + known * MINUTE

    def look_and_add() -> None:
        hashed = hash_id(f"E-{next(numbers)}")
        if not knows_id(recent, hashed, at):
            with_id(recent, hashed, at)

    return 1e6 * timeit.timeit(look_and_add, number=CALLS, timer=time.process_time) / CALLS


def show(costs: Mapping[str, float]) -> None:
    table = Table(title="What known ids of events and orders cost")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name, value in costs.items():
        shown = f"{value:.2f}" if name.endswith("_us") else f"{value:,.0f}"
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)
