"""Fresh loads of the page: its first paint, its first figure, and all of its charts."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from playwright.async_api import Browser
from rich.table import Table

from tests.benchmarks.report import table
from tests.browser.dashboard import dashboard_of, selector

#: Milliseconds of a task from which on the browser calls it long.
LONG = 50  #: Milliseconds after which the browser has noted the last task.
TASKS_NOTED = 300
#: Columns of the table of fresh loads.
FRESH = (
    ("paint ms", "first_paint_ms"),
    ("figure ms", "first_figure_ms"),
    ("charts ms", "charts_drawn_ms"),
    ("tasks ms", "long_tasks_ms"),
    ("longest ms", "longest_task_ms"),
)

#: In the page: milliseconds from the navigation until a figure has a digit.
_FIRST_FIGURE = """
(figure) => {
    window.firstFigure = new Promise((resolve) => {
        const look = () => {
            if (!/\\d/.test(document.querySelector(figure)?.textContent ?? "")) return;
            seen.disconnect();
            requestAnimationFrame(() => resolve(performance.now()));
        };
        const seen = new MutationObserver(look);
        seen.observe(document, { characterData: true, childList: true, subtree: true });
    });
}
"""
#: In the page: milliseconds from the navigation until every chart is drawn, or says why it is not.
_CHARTS_DRAWN = """
() => {
    window.longTasks = [];
    new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) window.longTasks.push(duration);
    }).observe({ type: "longtask", buffered: true });
    window.chartsDrawn = new Promise((resolve) => {
        const look = () => {
            const charts = [...document.querySelectorAll(".chart")];
            const isDone = (each) => each.dataset.drawn || each.classList.contains("is-empty");
            if (!charts.length || !charts.every(isDone)) return;
            seen.disconnect();
            requestAnimationFrame(() => resolve(performance.now()));
        };
        const seen = new MutationObserver(look);
        seen.observe(document, { attributes: true, childList: true, subtree: true });
    });
}
"""
_FIRST_PAINT = """
() => new Promise((resolve) => {
    new PerformanceObserver((list) => {
        for (const each of list.getEntries()) {
            if (each.name === "first-contentful-paint") resolve(each.startTime);
        }
    }).observe({ type: "paint", buffered: true });
})
"""


async def load(browser: Browser, url: str) -> dict[str, float]:
    """One, with nothing cached."""
    figure = json.dumps(selector("shoppers"))
    async with dashboard_of(browser, url) as dashboard:
        await dashboard.page.add_init_script(f"({_FIRST_FIGURE})({figure})")
        await dashboard.page.add_init_script(f"({_CHARTS_DRAWN})()")
        await dashboard.open("now")
        drawn = float(await dashboard.page.evaluate("window.chartsDrawn"))
        await dashboard.page.wait_for_timeout(TASKS_NOTED)
        tasks = await dashboard.page.evaluate("window.longTasks")
        return {
            "first_paint_ms": float(await dashboard.page.evaluate(_FIRST_PAINT)),
            "first_figure_ms": float(await dashboard.page.evaluate("window.firstFigure")),
            "charts_drawn_ms": drawn,
            "long_tasks_ms": float(sum(tasks)),
            "longest_task_ms": float(max(tasks, default=0)),
        }


async def loads(browser: Browser, url: str, number: int) -> dict[str, Any]:
    """The medians of so many, and all of them."""
    found = [await load(browser, url) for _ in range(number)]
    medians = {name: float(np.median([each[name] for each in found])) for name in found[0]}
    return {**medians, "loads": found}


def compare(report: Mapping[str, Any]) -> Table:
    """Build the table of loads at rest and under load."""
    fresh = table(
        "A fresh load, median", "", *(name for name, _ in FRESH),
        caption=f"tasks are those of over {LONG} ms, until all charts are drawn",
    )  # fmt: skip
    for title, name in (("at rest", "fresh_loads"), ("under load", "fresh_loads_under_load")):
        fresh.add_row(title, *(f"{report[name][key]:.0f}" for _, key in FRESH))
    return fresh
