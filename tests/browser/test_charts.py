"""Charts: soon there, in the theme's colours, and with their figures where one points."""

import re
import statistics
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from tests.browser import wordy
from tests.browser.conftest import Look
from tests.browser.dashboard import Dashboard
from tests.browser.looking import THEMES
from tests.browser.reports import Measured
from tests.browser.stand_in import StandIn, stand_in
from tests.support.waiting import PATIENCE

#: Milliseconds from the navigation until all charts must be drawn; loads of which one must be so.
SOON, LOADS = 1_000.0, 5
#: Charts without data say why, and are as good as drawn.
_DRAWN = """
() => {
    window.chartsDrawn = new Promise((resolve) => {
        const look = () => {
            const charts = [...document.querySelectorAll(".chart")];
            if (!charts.length || !charts.every((each) => each.matches("[data-drawn], .is-empty")))
                return;
            seen.disconnect();
            requestAnimationFrame(() => resolve(performance.now()));
        };
        const seen = new MutationObserver(look);
        seen.observe(document, { attributes: true, childList: true, subtree: true });
    });
}
"""
_FILL = "(each) => getComputedStyle(each).fill"


@pytest_asyncio.fixture(loop_scope="session")
async def wordy_page(browser: Browser) -> AsyncIterator[Dashboard]:
    async with stand_in(browser, StandIn(wordy.answers(), [])) as dashboard:
        yield dashboard


async def point(dashboard: Dashboard, chart: Locator, across: float, down: float) -> None:
    """Move the mouse to these shares of a chart's width and height."""
    await chart.scroll_into_view_if_needed()
    box = await chart.bounding_box()
    assert box is not None
    x, y = box["x"] + across * box["width"], box["y"] + down * box["height"]
    await dashboard.page.mouse.move(x, y)


async def test_all_charts_are_drawn_within_a_second_of_the_page(
    look: Look, measured: Measured
) -> None:
    times = []
    for _ in range(LOADS):
        async with look() as dashboard:
            await dashboard.page.add_init_script(f"({_DRAWN})()")
            await dashboard.open("now")
            times.append(float(await dashboard.page.evaluate("window.chartsDrawn")))
    measured("charts_drawn_ms", statistics.median(times), SOON)
    assert min(times) < PATIENCE * SOON  # of several: the machine may be busy with something else


async def test_a_chart_tells_its_figures_where_one_points(wordy_page: Dashboard) -> None:
    await wordy_page.open("now")
    await wordy_page.drawn()
    chart = wordy_page.part("chart-mix")
    tip = chart.get_by_test_id("tip")
    await expect(tip).to_be_hidden()
    await point(wordy_page, chart, 0.5, 0.5)
    rows = tip.locator(".tip-row")
    await expect(rows.first).to_have_text("Ambiguous25\u00a0%")
    await expect(rows.nth(1)).to_have_text(f"{wordy.TITLES[-1]}3.1\u00a0%")
    await expect(tip).to_contain_text("and 13 more")
    await wordy_page.page.keyboard.press("Escape")
    await expect(tip).to_be_hidden()


async def test_one_chart_at_a_time_tells_figures(wordy_page: Dashboard) -> None:
    await wordy_page.open("personas")
    await wordy_page.drawn()
    portrait = wordy_page.part("portrait").first
    await point(wordy_page, portrait.get_by_test_id("chart-confidence"), 0.88, 0.5)
    tips = wordy_page.page.get_by_test_id("tip").and_(wordy_page.page.locator(":visible"))
    await expect(tips).to_have_text(re.compile(r"^\d+ to \d+\u00a0% sure10$"))
    await point(wordy_page, portrait.get_by_test_id("chart-reliability"), 0.82, 0.25)
    await expect(tips).to_have_text("84\u00a0% sure, 81\u00a0% rightof 98")


async def test_a_band_of_the_flows_says_from_where_to_where(wordy_page: Dashboard) -> None:
    await wordy_page.open("personas")
    await wordy_page.drawn()
    flow = wordy_page.part("chart-flows").locator(".flow").first
    await flow.hover()
    tip = wordy_page.part("chart-flows").get_by_test_id("tip")
    await expect(tip).to_have_text(f"{wordy.TITLES[0]} to {wordy.TITLES[1]}7")


async def test_what_is_not_known_is_not_told(browser: Browser) -> None:
    answers = wordy.answers()
    history = answers["/v1/history"]
    for values in [*history["mix"].values(), history["ambiguous"]]:
        values[20:40] = [None] * 20
    async with stand_in(browser, StandIn(answers, [])) as dashboard:
        await dashboard.open("now")
        await dashboard.drawn()
        chart = dashboard.part("chart-mix")
        tip = chart.get_by_test_id("tip")
        await point(dashboard, chart, 0.2, 0.5)
        await expect(tip).to_be_visible()
        await point(dashboard, chart, 0.5, 0.5)
        await expect(tip).to_be_hidden()
        await expect(chart.locator(".gap")).to_have_count(1)


@pytest.mark.parametrize("theme", THEMES)
async def test_charts_follow_the_theme_when_it_changes(browser: Browser, theme: str) -> None:
    other = next(each for each in THEMES if each != theme)
    async with stand_in(browser, StandIn(wordy.answers(), []), color_scheme=theme) as dashboard:
        await dashboard.open("now")
        await dashboard.drawn()
        layer = dashboard.part("chart-mix").locator(".layer").first
        before = await layer.evaluate(_FILL)
        await dashboard.page.emulate_media(color_scheme=other)
        assert await layer.evaluate(_FILL) != before


async def test_a_chart_is_as_wide_as_its_place(wordy_page: Dashboard) -> None:
    await wordy_page.open("now")
    await wordy_page.drawn()
    for width in (768, 360):
        await wordy_page.page.set_viewport_size({"width": width, "height": 800})
        chart = wordy_page.part("chart-mix")
        wide = await chart.evaluate("(each) => each.clientWidth")
        await expect(chart.locator("svg")).to_have_attribute("width", str(wide))
        assert await wordy_page.page.evaluate("document.documentElement.scrollWidth") <= width
