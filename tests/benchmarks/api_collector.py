"""``make bench-collector``: events by HTTP until the broker has them, beside a bare POST.

``stream-persona api`` serves from a process of its own, a real broker takes what it sends; callers
keep their connections open and send the same body again and again. A bare Starlette app on the same
uvicorn reads such a body and forgets it.
"""

import argparse
import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from rich.console import Console

from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.benchmarks.api import REPORT, Route, own_settings
from tests.benchmarks.api_load import measure_load
from tests.benchmarks.api_processes import Served, api, bare
from tests.benchmarks.report import table
from tests.support.servers import start_kafka, start_redis
from tests.support.waiting import wait_until

ITEM = {"product_id": "P-17", "category": "baby/diapers", "brand": "acme", "price": 9.99}
MANY = 100


def events(number: int) -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"E-{each}", "customer_id": f"CUST-{each}", "action": "view",
            "occurred_at": 1_764_000_000_000, "product": ITEM,
        }
        for each in range(number)
    ]  # fmt: skip


def calls(number: int) -> dict[str, Any]:
    call = {"type": "track", "event": "Product Viewed", "properties": ITEM}
    batch = [{**call, "userId": f"CUST-{n}", "messageId": f"m-{n}"} for n in range(number)]
    return {"batch": batch, "sentAt": "2025-11-24T16:00:00.000Z"}


def targets(ours: Served, plain: Served) -> dict[str, tuple[Served, Route, int]]:
    """By name: who is asked what, and how many events that are."""
    return {
        "a bare POST of 1": (plain, Route("POST", "/events", events(1)), 1),
        "/v1/events of 1": (ours, Route("POST", "/v1/events", events(1)), 1),
        "/v1/track": (ours, Route("POST", "/v1/track", calls(1)["batch"][0]), 1),
        f"a bare POST of {MANY}": (plain, Route("POST", "/events", events(MANY)), MANY),
        f"/v1/events of {MANY}": (ours, Route("POST", "/v1/events", events(MANY)), MANY),
        f"/v1/batch of {MANY}": (ours, Route("POST", "/v1/batch", calls(MANY)), MANY),
    }


def measure(options: argparse.Namespace, settings: Settings) -> list[dict[str, Any]]:
    asyncio.run(prepare(settings))
    rows = []
    with (
        TemporaryDirectory() as folder,
        api(settings, Path(folder, "api.log")) as ours,
        bare(settings, Path(folder, "bare.log")) as plain,
    ):
        wait_until(lambda: httpx.get(f"{ours.url}/readyz").is_success, 60, "the API is not ready")
        for callers in options.callers:
            for name, (served, route, number) in targets(ours, plain).items():
                request = route.written(served.port)
                found = measure_load(served.address, request, callers, options.seconds)
                rate = found["requests_per_second"] * number
                rows.append({"callers": callers, "route": name, "events_per_second": rate, **found})
    return rows


def show(rows: list[dict[str, Any]], console: Console) -> None:
    made = table("Events by HTTP", "callers, route", "events a second", "p50 ms", "p99 ms")
    for row in rows:
        made.add_row(
            f"{row['callers']:>3} {row['route']}", f"{row['events_per_second']:,.0f}",
            f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}",
        )  # fmt: skip
    console.print(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    kafka, redis = start_kafka(), start_redis()
    try:
        rows = measure(options, own_settings(kafka, redis.url))
    finally:
        redis.close()
        kafka.close()
    report = REPORT.with_name("bench-collector.json")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    show(rows, Console())


if __name__ == "__main__":
    main()
