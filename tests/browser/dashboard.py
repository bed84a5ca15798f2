"""The page for tests: its views, and its elements by their ``data-testid``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from tests.browser.looking import PageLog, open_page

VIEWS = ("now", "personas", "changes", "shopper", "shop", "model")

#: Milliseconds until an element that a selector names is there, from the next click on another.
_SINCE_CLICK = """
([clicked, shown]) => {
    window.sinceClick = new Promise((resolve) => {
        document.addEventListener("click", ({ target, timeStamp }) => {
            if (!target.closest(clicked)) return;
            const look = () => {
                if (!document.querySelector(shown)) return;
                seen.disconnect();
                requestAnimationFrame(() => resolve(performance.now() - timeStamp));
            };
            const seen = new MutationObserver(look);
            seen.observe(document.body, { attributes: true, childList: true, subtree: true });
            look();
        }, { capture: true });
    });
}
"""

#: Charts that are not drawn, but for those without data, and those that are folded away.
_UNDRAWN = '[data-testid^="chart-"]:not([data-drawn="true"]):not(.is-empty):visible'


class Dashboard:
    """One open page; ``log`` holds what it did wrong."""

    def __init__(self, page: Page, log: PageLog) -> None:
        self.page, self.log = page, log

    async def open(self, view: str = "now", customer: str | None = None) -> None:
        """Go to a view, as a link would, and wait until its first data is drawn."""
        which = "" if customer is None else f"/{quote(customer, safe='')}"
        await self.page.goto(f"/#/{view}{which}")
        await self.shows(view)

    async def shows(self, view: str) -> None:
        """Wait until this view is there, with its first data."""
        await expect(self.page.locator(f'[data-view="{view}"][data-ready="true"]')).to_be_visible()

    async def drawn(self, picture: Path | None = None) -> None:
        """Wait until every chart of the view is, and take a picture of it all.

        The window is as high as the view meanwhile: a chart waits until it is in sight.
        """
        size = self.page.viewport_size
        assert size is not None
        await self._grow(size)
        await expect(self.page.locator(_UNDRAWN)).to_have_count(0)
        if picture is not None:
            await self._grow(size)
            await self.page.screenshot(path=picture, animations="disabled")
        await self.page.set_viewport_size(size)

    async def _grow(self, size: ViewportSize) -> None:
        """Make the window as high as what is in it."""
        height = await self.page.evaluate("document.documentElement.scrollHeight")
        await self.page.set_viewport_size({**size, "height": height})

    def part(self, name: str, /, **data: str) -> Locator:
        """The elements with this name, and with these ``data-`` attributes."""
        return self.page.locator(selector(name, **data))

    async def time_from_click(self, clicked: str, shown: str) -> None:
        """From the next click on one element (a selector) until another is there."""
        await self.page.evaluate(_SINCE_CLICK, [clicked, shown])

    async def took(self) -> float:
        """The milliseconds of ``time_from_click``."""
        return float(await self.page.evaluate("window.sinceClick"))


def selector(name: str, /, **data: str) -> str:
    values = "".join(f'[data-{key}="{value}"]' for key, value in data.items())
    return f'[data-testid="{name}"]{values}'


@asynccontextmanager
async def dashboard_of(
    browser: Browser, origin: str, width: int = 1280, **options: Any
) -> AsyncIterator[Dashboard]:
    """A fresh page at this width; what it did wrong fails the test when it is closed."""
    async with open_page(browser, origin, width, **options) as (page, log):
        yield Dashboard(page, log)
