"""A tour of all views: how each looks, and what axe finds wrong with it."""

from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

from tests.browser.dashboard import VIEWS, Dashboard
from tests.browser.reports import SCREENSHOTS

#: Sets of axe's rules.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]

_RUN = "(tags) => axe.run(document, { runOnly: tags, resultTypes: ['violations'] })"


@dataclass
class Tour:
    """By view, its width in pixels and what axe reports; and all URLs that were requested."""

    width: int
    widths: dict[str, int] = field(default_factory=dict)
    violations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


async def tour(dashboard: Dashboard, shopper: str, width: int, name: str) -> Tour:
    """Open each view, draw all of it, and leave a picture for people: ``<view>-<name>.png``."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    found = Tour(width)
    for view in VIEWS:
        await dashboard.open(view, shopper if view == "shopper" else None)
        await dashboard.drawn(SCREENSHOTS / f"{view}-{name}.png")
        wide = await dashboard.page.evaluate("document.documentElement.scrollWidth")
        found.widths[view] = int(wide)
        found.violations[view] = await violations(dashboard)
    found.asked = dashboard.log.asked
    return found


async def violations(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Axe's violations: rule, help, places. Its script is injected past the page's policy.

    It looks at a page that stands still: what fades in has not its colours yet.
    """
    page = dashboard.page
    await page.evaluate(AXE_SCRIPT)
    await page.emulate_media(reduced_motion="reduce")
    await page.wait_for_function("document.getAnimations().length == 0")
    found = await page.evaluate(_RUN, TAGS)
    await page.emulate_media(reduced_motion="no-preference")
    return [
        {
            "rule": each["id"],
            "help": each["help"],
            "where": [node["html"][:200] for node in each["nodes"]],
            "why": [node["failureSummary"] for node in each["nodes"]][:3],
        }
        for each in found["violations"]
    ]
