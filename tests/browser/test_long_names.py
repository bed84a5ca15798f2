"""Titles, ids and categories of any length and script fit the page, on a telephone as well."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser import wordy
from tests.browser.dashboard import VIEWS, Dashboard
from tests.browser.stand_in import StandIn, stand_in

WIDTHS = (360, 768, 1280)
_FITS = "document.scrollingElement.scrollWidth <= innerWidth"
#: Neighbours among elements that overlap: pairs of their texts.
_OVERLAPS = """
(cells) => cells.flatMap((cell, i) => {
    const [one, other] = [cell, cells[i + 1]].map((each) => each?.getBoundingClientRect());
    return other && one.right > other.left + 1 ? [[cell.innerText, cells[i + 1].innerText]] : [];
})
"""
#: Texts that stick out of their cells.
_STICKS_OUT = """
(cells) => cells.filter((cell) => [...cell.children].some((inner) => {
    const [own, its] = [cell, inner].map((each) => each.getBoundingClientRect());
    return its.height > own.height + 1 || its.width > own.width + 1;
})).map((cell) => cell.innerText)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Dashboard]:
    """One page for all tests: from view to view nothing is loaded again."""
    answering = StandIn(wordy.answers(), wordy.changes())
    async with stand_in(browser, answering, WIDTHS[0]) as dashboard:
        yield dashboard


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(page: Dashboard) -> Dashboard:
    """The page as wide as a telephone."""
    await page.page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    return page


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_of_long_names_fits_any_width(dashboard: Dashboard, view: str) -> None:
    await dashboard.open(view, wordy.LONG_ID if view == "shopper" else None)
    for width in WIDTHS:
        await dashboard.page.set_viewport_size({"width": width, "height": 800})
        assert await dashboard.page.evaluate(_FITS), width


async def test_the_headers_of_the_matrix_stand_beside_each_other(dashboard: Dashboard) -> None:
    await dashboard.open("model")
    matrix = dashboard.part("confusion")
    heads = matrix.locator("thead th")
    await expect(heads).to_have_count(len(wordy.NAMES) + 1)
    for width in WIDTHS:
        await dashboard.page.set_viewport_size({"width": width, "height": 800})
        assert await heads.evaluate_all(_OVERLAPS) == [], width
        assert await matrix.locator("th").evaluate_all(_STICKS_OUT) == [], width
    await expect(heads.nth(2)).to_have_text("2")
    await expect(heads.nth(2)).to_have_attribute("title", wordy.TITLES[1])
    await expect(matrix.locator("tbody th").nth(1)).to_have_text(f"2.\u00a0{wordy.TITLES[1]}")


async def test_whom_to_label_next_can_be_assigned_on_a_telephone(dashboard: Dashboard) -> None:
    await dashboard.open("model")
    row = dashboard.part("queue-row").first
    for part in ("queue-persona", "queue-assign"):
        box = await row.get_by_test_id(part).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= WIDTHS[0]
    await expect(row.locator("a.who")).to_have_attribute("title", wordy.IDS[0])


async def test_a_title_that_is_cut_off_is_whole_on_hover(dashboard: Dashboard) -> None:
    await dashboard.open("now")
    bar = dashboard.part("mix-now").locator("li[data-persona]").first
    await expect(bar.locator(".titled")).to_have_attribute("title", wordy.TITLES[0])
