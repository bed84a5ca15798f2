"""A client's ``get`` and ``get_many`` beside a bare ``GET`` and ``MGET`` of the same keys.

The same customers are looked up by both, call by call in turns, on connections of the same kind. A
bare read ends with bytes; the client's with a typed record.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from redis import Redis
from rich.console import Console

from stream_persona.client import PersonaClient
from tests.benchmarks.report import table
from tests.benchmarks.speed.job import Job
from tests.benchmarks.speed.measure import Servers
from tests.benchmarks.speed.population import populate

TURNS, CALLS, MANY = 5, 20_000, 50
PERCENTILES = {"p50": 50.0, "p99": 99.0}


def measure(servers: Servers, job: Job) -> dict[str, Any]:
    """Microseconds of each call, and the ratio within each turn."""
    with servers.bench(job, prefix="") as bench, PersonaClient(servers.redis.url) as client:
        bench.redis.flushall()
        populate(bench.redis, job, bench.settings.partitions)
        rng = random.Random(1)
        names = [f"C{rng.randrange(job.customers):07d}" for _ in range(CALLS)]
        chunks = [rng.sample(names, MANY) for _ in range(CALLS // 20)]
        with Redis.from_url(servers.redis.url) as bare:
            found = {
                "get": against(lambda n: bare.get(f"persona:{n}"), client.get, names),
                "get_many": against(
                    lambda some: bare.mget([f"persona:{n}" for n in some]), client.get_many, chunks
                ),
            }
        fallbacks = client.fallbacks.keys() - {"ambiguous"}
        if fallbacks:
            raise RuntimeError(f"lookups failed: {fallbacks}")
        return found


def against(
    bare: Callable[[Any], object], ours: Callable[[Any], object], asked: Sequence[Any]
) -> dict[str, Any]:
    turns = [turn(bare, ours, asked) for _ in range(TURNS + 1)][1:]  # the first warms up
    ratios = {
        name: [each["client"][name] / each["bare"][name] for each in turns] for name in PERCENTILES
    }
    return {
        "calls": len(asked),
        "bare_us": {name: float(np.median([t["bare"][name] for t in turns])) for name in ratios},
        "client_us": {
            name: float(np.median([t["client"][name] for t in turns])) for name in ratios
        },
        "ratio": {name: float(np.median(found)) for name, found in ratios.items()},
        "spread": {name: [min(found), max(found)] for name, found in ratios.items()},
    }


def turn(
    bare: Callable[[Any], object], ours: Callable[[Any], object], asked: Sequence[Any]
) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {"bare": [], "client": []}
    for number, wanted in enumerate(asked):
        both = [("bare", bare), ("client", ours)]
        for name, call in both if number % 2 else reversed(both):
            began = time.perf_counter()
            call(wanted)
            times[name].append(1e6 * (time.perf_counter() - began))
    return {
        name: {p: float(np.percentile(found, q)) for p, q in PERCENTILES.items()}
        for name, found in times.items()
    }


def show(found: Mapping[str, Any], console: Console) -> None:
    title = f"A lookup in microseconds: of one, and of {MANY} at once"
    made = table(title, "", "", "bare", "client", "ratio", "over the turns")
    for call, row in found.items():
        for name in PERCENTILES:
            figures = (row["bare_us"][name], row["client_us"][name])
            low, high = row["spread"][name]
            spread = f"{low:.2f} – {high:.2f}"
            made.add_row(
                call, name, *(f"{f:,.0f}" for f in figures), f"{row['ratio'][name]:.2f}", spread
            )
    console.print(made)
