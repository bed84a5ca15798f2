"""``make bench-dashboard``: the page in a browser while 200 shoppers a second change.

A real Redis holds shoppers, ``stream-persona api`` serves the page from a process of its own, and
changes of real distributions and reasons are published at a steady rate, the public records with
them. First, and again under that load, a fresh browser context opens the page so many times: until
its first paint, its first figure, and until all charts of Now are drawn; and how long tasks of over
50 ms held the page's thread meanwhile. Then the page stays open, one half of the time on
Changes and one on Now, and each minute is measured: the heap after a forced collection, the
document's nodes and listeners, frames a second, and tasks over 50 ms.

Browser, API, Redis and publisher share the machine, so each is in the others' figures.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.async_api import Browser, CDPSession
from redis.asyncio import Redis
from rich.console import Console

from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.benchmarks.api_processes import Served, api
from tests.benchmarks.api_shop import fill
from tests.benchmarks.backpressure import memory
from tests.benchmarks.dashboard_loads import LONG, compare, load, loads
from tests.benchmarks.dashboard_shop import Changing, ended, public_records
from tests.benchmarks.report import table
from tests.browser.dashboard import Dashboard, dashboard_of
from tests.browser.looking import chromium, find_chromium
from tests.browser.past import remember_an_hour
from tests.support.servers import Kafka, settings_for, start_kafka, start_redis
from tests.support.waiting import eventually

REPORT = Path("build/reports/dashboard.json")
#: Views that stay open, one after the other.
VIEWS = ("changes", "now")
#: Seconds between two measurements, at most so many; and until the page must be there.
STEP, PATIENCE = 60.0, 60.0

#: In the page: frames drawn and long tasks, since somebody asked last.
_METER = """
(() => {
    const meter = { frames: 0, tasks: [], began: performance.now() };
    const frame = () => { meter.frames += 1; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) meter.tasks.push(duration);
    }).observe({ type: "longtask", buffered: true });
    window.readMeter = () => {
        const seconds = (performance.now() - meter.began) / 1000;
        const read = {
            frames_per_second: meter.frames / seconds,
            long_tasks: meter.tasks.length,
            longest_task_ms: Math.max(0, ...meter.tasks),
            long_tasks_share: meter.tasks.reduce((sum, each) => sum + each, 0) / 1000 / seconds,
        };
        Object.assign(meter, { frames: 0, tasks: [], began: performance.now() });
        return read;
    };
})();
"""


# --- an open page ---


async def measured(cdp: CDPSession, dashboard: Dashboard, changing: Changing) -> dict[str, Any]:
    """How the page stands, its garbage collected."""
    meter: dict[str, float] = await dashboard.page.evaluate("window.readMeter()")
    await cdp.send("HeapProfiler.collectGarbage")
    heap = await cdp.send("Runtime.getHeapUsage")
    counters = await cdp.send("Memory.getDOMCounters")
    return {
        "heap_mb": heap["usedSize"] / 2**20,
        "nodes": counters["nodes"],
        "listeners": counters["jsEventListeners"],
        **meter,
        "rows": await dashboard.part("change").count(),
        "sent": changing.sent,
    }


async def watched(
    browser: Browser, served: Served, changing: Changing, seconds: float
) -> list[dict[str, Any]]:
    """The page's figures, of each view half of the time."""
    rows: list[dict[str, Any]] = []
    async with dashboard_of(browser, served.url) as dashboard:
        await dashboard.page.add_init_script(_METER)
        cdp = await dashboard.page.context.new_cdp_session(dashboard.page)
        began = time.monotonic()
        for view in VIEWS:
            await dashboard.open(view)
            async for minute in minutes(seconds / len(VIEWS)):
                row = await measured(cdp, dashboard, changing)
                at = time.monotonic() - began
                rows.append({"view": view, "at_seconds": at, "minute": minute, **row,
                             "api_rss_mb": memory(served.process, "VmRSS")})  # fmt: skip
                Console(stderr=True).print(f"{view}, {at:.0f} s: {row['heap_mb']:.1f} MB")
    return rows


async def minutes(seconds: float) -> AsyncIterator[int]:
    """Once each minute, or each quarter of a shorter time; the first time after the first."""
    step = min(STEP, seconds / 4)
    began = time.monotonic()
    for number in range(1, round(seconds / step) + 1):
        await asyncio.sleep(max(0.0, began + number * step - time.monotonic()))
        yield number


# --- a run ---


@asynccontextmanager
async def changing_shop(settings: Settings, shoppers: int) -> AsyncIterator[Changing]:
    """A model and shoppers in Redis; changes come when they are asked for."""
    await prepare(settings)
    await fill(settings)
    await remember_an_hour(settings)
    async with Redis.from_url(settings.redis_url) as redis:
        records = await public_records(redis, settings.prefix)
        changing = Changing(redis, settings.prefix, records, shoppers)
        await changing.store()
        yield changing


async def becomes_ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def ready() -> bool:
            answer = (await client.get("/readyz")).status_code == httpx.codes.OK
            return answer and bool((await client.get("/v1/overview")).json().get("counted", True))

        await eventually(ready, PATIENCE, "the API does not become ready")


async def measure(options: argparse.Namespace, settings: Settings, binary: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        async with changing_shop(settings, options.shoppers) as changing:
            with api(settings, Path(folder, "api.log")) as served:
                await becomes_ready(served.url)
                async with chromium(binary) as browser:
                    return await measure_browser(options, browser, served, changing)


async def measure_browser(
    options: argparse.Namespace, browser: Browser, served: Served, changing: Changing
) -> dict[str, Any]:
    report: dict[str, Any] = {"chromium": browser.version}
    await load(browser, served.url)  # the server's first answers are not what is asked for
    report["fresh_loads"] = await loads(browser, served.url, options.loads)
    flow, began = asyncio.create_task(changing.run(options.rate)), time.monotonic()
    try:
        report["minutes"] = await watched(browser, served, changing, options.seconds)
        report["changes_per_second"] = changing.sent / (time.monotonic() - began)
        report["fresh_loads_under_load"] = await loads(browser, served.url, options.loads)
    finally:
        await ended(flow)
    report["growth"] = {view: growth(report["minutes"], view) for view in VIEWS}
    return report


def growth(rows: list[dict[str, Any]], view: str) -> dict[str, float]:
    """From the first to the last measurement of a view."""
    found = [row for row in rows if row["view"] == view]
    return {name: found[-1][name] - found[0][name] for name in ("heap_mb", "nodes", "listeners")}


def show(report: Mapping[str, Any], console: Console) -> None:
    made = table(
        f"The page while {report['changes_per_second']:.0f} shoppers a second change", "view, s",
        "heap MB", "nodes", "listeners", "frames/s", f"> {LONG} ms", "longest ms", "API MB",
        caption=f"tasks of over {LONG} ms are counted; the API is one process's resident memory",
    )  # fmt: skip
    for row in report["minutes"]:
        made.add_row(
            f"{row['view']} {row['at_seconds']:.0f}", f"{row['heap_mb']:.1f}", f"{row['nodes']:,}",
            f"{row['listeners']:,}", f"{row['frames_per_second']:.0f}", f"{row['long_tasks']}",
            f"{row['longest_task_ms']:.0f}", f"{row['api_rss_mb']:.0f}",
        )  # fmt: skip
    console.print(made)
    for view, found in report["growth"].items():
        console.print(
            f"{view}, from the first to the last: heap {found['heap_mb']:+.1f} MB,"
            f" {found['nodes']:+,} nodes, {found['listeners']:+,} listeners"
        )
    console.print(compare(report))


def own_settings(kafka: Kafka, redis_url: str) -> Settings:
    kafka.wait_until_ready()
    return settings_for(kafka, redis_url)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for which the page is open")
    parser.add_argument("--rate", type=float, default=200.0, help="changes a second")
    parser.add_argument("--shoppers", type=int, default=5_000, help="that change")
    parser.add_argument("--loads", type=int, default=5, help="fresh ones, for a median")
    options = parser.parse_args()
    binary = find_chromium()
    if binary is None:
        parser.error("needs Chromium on the PATH (Debian and Ubuntu: apt install chromium)")
    kafka, redis = start_kafka(), start_redis()
    try:
        settings = own_settings(kafka, redis.url)
        report = {
            "options": vars(options), "cores": os.cpu_count(), "redis": redis.description,
            **asyncio.run(measure(options, settings, binary)),
        }  # fmt: skip
    finally:
        redis.close()
        kafka.close()
    show(report, Console())
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
