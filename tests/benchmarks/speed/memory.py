"""What a run of ours leaves: bytes of every key in Redis, the worker's megabytes, the model's."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from redis import Redis
from rich.console import Console
from rich.table import Table

from tests.benchmarks.speed.measure import Bench

_ASKED = 1_000


def measure(bench: Bench, seconds: float) -> dict[str, Any]:
    """One run of ours on the whole log, then a look at everything in Redis."""
    figures = bench.run("ours", seconds)
    kinds = bytes_of_keys(bench.redis)
    customers = max(1, figures.customers)
    return {
        "job_customers": figures.customers,
        "job_events": figures.events,
        "worker_start_rss_mb": figures.start_rss_mb,
        "worker_peak_rss_mb": figures.peak_rss_mb,
        "redis_memory_usage_bytes_per_customer": sum(kinds.values()) / customers,
        "redis_memory_usage_bytes_of": dict(sorted(kinds.items())),
        "redis_used_memory_bytes": used(bench.redis),
        "model_bytes_in_redis": kinds["persona-model"],
        "model_bytes_uncompressed": figures.model_bytes,
    }


def bytes_of_keys(redis: Redis) -> Counter[str]:
    """``MEMORY USAGE`` of all keys, added up by the kind of key."""
    found: Counter[str] = Counter()
    keys = list(redis.scan_iter(count=_ASKED))
    for start in range(0, len(keys), _ASKED):
        asked = keys[start : start + _ASKED]
        pipeline = redis.pipeline(transaction=False)
        for key in asked:
            pipeline.memory_usage(key, samples=0)
        for key, size in zip(asked, pipeline.execute(), strict=True):
            found[key.decode().partition(":")[0]] += size or 0
    return found


def used(redis: Redis) -> int:
    """Bytes that the server has allocated."""
    return int(redis.info("memory")["used_memory"])


def show(memory: Mapping[str, Any], console: Console) -> None:
    if "worker_peak_rss_mb" not in memory:
        return
    table = Table(title=f"Memory after {memory['job_events']:,} events")
    table.add_column("what")
    table.add_column("figure", justify="right")
    for name in ("job_customers", "worker_start_rss_mb", "worker_peak_rss_mb",
                 "redis_memory_usage_bytes_per_customer", "redis_used_memory_bytes",
                 "model_bytes_in_redis", "model_bytes_uncompressed"):  # fmt: skip
        table.add_row(name.replace("_", " "), f"{memory[name]:,.0f}")
    for kind, size in memory["redis_memory_usage_bytes_of"].items():
        table.add_row(f"bytes of {kind}", f"{size:,}")
    console.print(table)
