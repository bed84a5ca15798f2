"""What the calibration's panel is worth, and what it costs, by its size.

Worth: the demo's setting, with the panel cut to so many of the assigned households. Cost: the bytes
of the panel in the shards of all partitions, and the seconds of packing and unpacking them, of the
first calibration and of the next one, for which half of the members have moved. A panel that is
larger than the study is made of copies of its households under other keys.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from multiprocessing.pool import Pool
from typing import Any

from rich.console import Console
from rich.progress import track

from stream_persona.domain.record import Record
from stream_persona.model import shard
from stream_persona.model.calibration_panel import Member, concatenate
from stream_persona.model.classifier import PersonaClassifier
from stream_persona.model.statistics import hash_customer
from tests.benchmarks.quality import study
from tests.benchmarks.quality.customers import Customers, calibrate, sum_contributions
from tests.benchmarks.tasks import TAXONOMY

SIZES = (160, 320, 640, 1_132)
#: Members of panels whose cost is measured; partitions that they are spread over.
COSTLY = (*SIZES, shard.PANEL, 2 * shard.PANEL)
PARTITIONS = 12

Known = list[tuple[int, str, Record]]


def run(pool: Pool, customers: Customers, splits: int, console: Console) -> dict[str, Any]:
    """Measure worth over some splits, and cost once, in a process of its own."""
    costs = pool.apply_async(measure_costs)
    worth = {
        str(size): measure_worth(pool, customers, size, splits)
        for size in track(SIZES, "sizes of the panel", console=console)
    }
    return {"worth": worth, "costs": costs.get(), "splits": splits}


def measure_worth(pool: Pool, customers: Customers, size: int, splits: int) -> dict[str, float]:
    """Return the figures of the demo's setting with a panel of this size."""
    todo = [(customers, seed) for seed in range(1, splits + 1)]
    trials = pool.map(partial(study.judge, panel=size), todo, chunksize=1)
    found = study.summarise(trials, TAXONOMY.names)
    names = found["names"]
    return {
        **{each: found["ours"][each] for each in ("log_loss", "ece", "worst_gap")},
        "share_named": names["share"],
        "names_right": names["precision"],
        "least_right": names["least_precision"],
    }


def measure_costs() -> dict[str, dict[str, float]]:
    """Return bytes and seconds of panels of each size."""
    personas, records, _ = study.fold()
    return {str(size): measure_cost(choose(personas, records, size)) for size in COSTLY}


def choose(personas: Mapping[str, str], records: Mapping[str, Record], size: int) -> Known:
    """Return so many labelled records, some of them again under other keys."""
    names = enumerate(cycle(sorted(records)))
    return [
        (hash_customer(f"{name}/{number}"), personas[name], Record(counts=records[name].counts))
        for number, name in islice(names, size)
    ]


def measure_cost(known: Known) -> dict[str, float]:
    """Return what a panel of these members costs."""
    parts, empty = [known[part::PARTITIONS] for part in range(PARTITIONS)], PersonaClassifier()
    pack = partial(pack_all, parts, empty.encode_canonically())
    blobs, packing = timed(pack)
    shards, unpacking = timed(partial(unpack_all, blobs))
    panel = [member for one in shards for member in one.panel.values()]
    customers = as_customers(panel)
    sums = sum_contributions(customers)
    _, first = timed(partial(calibrate, sums, panel, TAXONOMY))
    moved = [
        Member(each.key, each.fold, each.label, each.profile) if row % 2 else each
        for row, each in enumerate(panel)
    ]
    _, again = timed(partial(calibrate, sums, moved, TAXONOMY))
    return {
        "bytes": float(sum(len(blob) for blob in blobs)),
        "pack_seconds": packing,
        "unpack_seconds": unpacking,
        "first_seconds": first,
        "next_seconds": again,
    }


def pack_all(parts: Sequence[Known], sums: bytes) -> list[bytes]:
    return [shard.encode_shard(sums, part, TAXONOMY)[0] for part in parts]


def unpack_all(blobs: Sequence[bytes]) -> list[shard.Shard]:
    return [shard.decode_shard(blob, TAXONOMY) for blob in blobs]


def as_customers(panel: Sequence[Member]) -> Customers:
    """Return members as labelled customers; their ids are made of their keys."""
    profiles = concatenate([member.profile for member in panel])
    return Customers([str(m.key) for m in panel], [m.label for m in panel], profiles)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Make a call; return its result and the seconds it took."""
    began = time.perf_counter()
    return call(), time.perf_counter() - began
