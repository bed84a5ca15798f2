"""``make bench-api``: what the API's routes cost beside a bare GET over HTTP, and its listeners.

A real Redis holds shoppers and a model as a worker leaves them; ``stream-persona api`` serves them
from a process of its own. Each route is asked by 1, 10 and 100 keep-alive callers in turns with a
bare Starlette app on the same uvicorn whose one route does one GET; a ratio is that of figures of
one turn, the median of all turns. Recommendations and searches are from a catalogue of
``--products``. Then 1,000 listeners hold ``/v1/changes`` open: memory, and from a PUBLISH until the
last of them has it; and one that does not read is dropped and comes back.

The caller is a process on the same machine, so what it takes itself is in every figure, the bare
one's too.
"""

import argparse
import asyncio
import json
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from redis.asyncio import Redis
from rich.console import Console

from stream_persona.api.predict import EXAMPLE
from stream_persona.domain.events import encode
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.benchmarks.api_listeners import measure_many, slow_listener
from tests.benchmarks.api_load import measure_load
from tests.benchmarks.api_processes import Served, api, bare
from tests.benchmarks.api_shop import CUSTOMER, catalogue_rows, fill, results
from tests.benchmarks.report import table
from tests.support.servers import Kafka, settings_for, start_kafka, start_redis
from tests.support.waiting import eventually

REPORT = Path("build/reports/bench-api.json")
FIGURES = ("p50_ms", "p99_ms", "requests_per_second")
#: Items of a ranking.
ITEMS = 100
BARE = "a bare GET"
#: Answers for a route that is not there.
MISSING = (404, 405)


@dataclass(frozen=True)
class Route:
    """A request, without a body if it is a GET."""

    method: str
    path: str
    body: object = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def written(self, port: int) -> bytes:
        """Its bytes on a connection that stays open."""
        body = b"" if self.body is None else json.dumps(self.body).encode()
        head = f"{self.method} {self.path} HTTP/1.1\r\n"
        head += f"Host: 127.0.0.1:{port}\r\nAccept: */*\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body


def routes(products: int) -> dict[str, Route]:
    return {
        f"/v1/recommendations/{{id}} of {products:,}": Route(
            "GET", f"/v1/recommendations/{CUSTOMER}"
        ),
        f"/v1/catalogue/search of {products:,}": Route("GET", "/v1/catalogue/search?q=number+1"),
        "/v1/customers/{id}/persona": Route("GET", f"/v1/customers/{CUSTOMER}/persona"),
        "/api/v1/_predict": Route("POST", "/api/v1/_predict", EXAMPLE),
        f"/v1/rank of {ITEMS}": Route(
            "POST", "/v1/rank", {"customer_id": CUSTOMER, "items": results(ITEMS)}
        ),
        "/v1/personas": Route("GET", "/v1/personas"),
        "/healthz": Route("GET", "/healthz"),
    }


async def answered(served: Served, products: int) -> tuple[dict[str, Route], str | None, list[str]]:
    """The routes that are there, the customer's persona, and those that are not there."""
    found, missing, persona = {}, [], None
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:

        async def ready() -> bool:
            there = (await client.get("/readyz")).status_code == 200
            return there and (await client.get("/v1/personas")).json()["labelled"] > 0

        await eventually(ready, 60, "the API does not become ready")
        for name, route in routes(products).items():
            response = await client.request(route.method, route.path, json=route.body)
            if response.status_code in MISSING:
                missing.append(name)
                continue
            response.raise_for_status()
            found[name] = route
            if name.endswith("/persona"):
                persona = response.json()["persona"]
    return found, persona, missing


def compared(
    ours: Served, plain: Served, asked: Mapping[str, Route], options: argparse.Namespace
) -> dict[str, Any]:
    """By callers and route, the medians over the turns."""
    targets = {BARE: (plain, Route("GET", f"/{CUSTOMER}"))}
    targets |= {name: (ours, route) for name, route in asked.items()}
    report: dict[str, Any] = {}
    for callers in options.callers:
        turns = []
        for number in range(options.turns):
            Console(stderr=True).print(f"{callers} callers, turn {number + 1} ...")
            order = list(targets) if number % 2 else list(reversed(targets))
            turns.append({
                name: measure_load(
                    targets[name][0].address,
                    targets[name][1].written(targets[name][0].port),
                    callers,
                    options.seconds,
                )
                for name in order
            })  # fmt: skip
        report[str(callers)] = {name: summary(turns, name) for name in targets}
    return report


def summary(turns: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    ratios = {f: [turn[name][f] / turn[BARE][f] for turn in turns] for f in FIGURES}
    return {
        **{f: float(np.median([turn[name][f] for turn in turns])) for f in FIGURES},
        "ratio": {f: float(np.median(found)) for f, found in ratios.items()},
        "spread": {f: [min(found), max(found)] for f, found in ratios.items()},
    }


async def measure(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    await prepare(settings)
    change = await fill(settings)
    channel = f"{settings.prefix}persona-changes"
    with (
        TemporaryDirectory() as folder,
        api(
            with_catalogue(settings, Path(folder), options.products), Path(folder, "api.log")
        ) as ours,
        bare(settings, Path(folder, "bare.log")) as plain,
    ):
        asked, persona, missing = await answered(ours, options.products)
        report: dict[str, Any] = {
            "persona_of_the_customer": persona,
            "routes_that_are_not_there": missing,
            "routes": compared(ours, plain, asked, options),
        }
        async with Redis.from_url(settings.redis_url) as redis:
            report["listeners"] = [
                await measure_many(ours, redis, channel, change, number, options.changes)
                for number in (1, options.listeners)
            ]
            report["a_slow_listener"] = await slow_listener(ours.address, redis, channel)
    return report


def with_catalogue(settings: Settings, folder: Path, products: int) -> Settings:
    path = folder / "catalogue.jsonl"
    with path.open("wb") as file:
        file.writelines(encode(row) + b"\n" for row in catalogue_rows(products))
    return settings.model_copy(update={"catalogue": path})


def show(report: Mapping[str, Any], console: Console) -> None:
    absent = report["routes_that_are_not_there"]
    made = table(
        "Routes beside a bare GET over HTTP", "callers, route", "p50 ms", "p99 ms", "a second",
        "p50 ×", "p99 ×", "a sec. ×",
        caption=f"not there, and so left out: {', '.join(absent)}" if absent else "",
    )  # fmt: skip
    for callers, rows in report["routes"].items():
        for name, row in rows.items():
            made.add_row(
                f"{callers:>3} {name}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}",
                f"{row['requests_per_second']:,.0f}",
                *(f"{row['ratio'][figure]:.2f}" for figure in FIGURES),
            )  # fmt: skip
    console.print(made)
    console.print(f"the customer's persona: {report['persona_of_the_customer']}")
    show_listeners(report, console)


def show_listeners(report: Mapping[str, Any], console: Console) -> None:
    titles = ("listeners", "p50 ms", "p99 ms", "MB before", "connected", "after", "kB each")
    made = table("From a PUBLISH until the last listener has it", *titles)
    for row in report["listeners"]:
        made.add_row(
            f"{row['listeners']:,}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}",
            *(f"{row[f'rss_mb_{when}']:.1f}" for when in ("before", "connected", "after")),
            f"{row['kb_a_listener']:.1f}",
        )  # fmt: skip
    console.print(made)
    for name, value in report["a_slow_listener"].items():
        console.print(f"a slow listener, {name.replace('_', ' ')}: {value}")


def raise_limits() -> None:
    """Let this process and those that it starts open as many sockets as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def own_settings(kafka: Kafka, redis_url: str) -> Settings:
    kafka.wait_until_ready()
    return settings_for(kafka, redis_url)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--turns", type=int, default=5, help="of all routes")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each route in a turn")
    parser.add_argument("--listeners", type=int, default=1_000, help="held open at once")
    parser.add_argument("--products", type=int, default=100_000, help="of the catalogue")
    parser.add_argument("--changes", type=int, default=50, help="sent to the listeners")
    options = parser.parse_args()
    raise_limits()
    kafka, redis = start_kafka(), start_redis()
    try:
        settings = own_settings(kafka, redis.url)
        report = {
            "options": vars(options), "kafka": kafka.description, "redis": redis.description,
            **asyncio.run(measure(options, settings)),
        }  # fmt: skip
    finally:
        redis.close()
        kafka.close()
    show(report, Console())
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
