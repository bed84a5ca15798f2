"""How the views look: at both widths, in both themes, and with reduced motion."""

import json
import re
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.conftest import Look
from tests.browser.dashboard import VIEWS, Dashboard, dashboard_of
from tests.browser.deployment import PATIENCE, Deployment
from tests.browser.looking import SIZES, THEMES
from tests.browser.shoppers import Crowd, open_for_business
from tests.browser.tour import Tour, tour
from tests.support.waiting import eventually

BOTH = [(width, theme) for width in SIZES for theme in THEMES]
NAMES = [f"{width}-{theme}" for width, theme in BOTH]

#: Figures of which the digits must stand below each other.
FIGURES = ("events-per-second", "lag-events", "shoppers", "ambiguous-share", "changes-per-minute")

#: Elements that move, or would, longer than anybody sees.
_MOVING = """
() => [...document.querySelectorAll("*")].filter((each) => {
    const { transitionDuration, animationDuration, animationName } = getComputedStyle(each);
    const longest = (list) => Math.max(...list.split(",").map((one) =>
        parseFloat(one) * (one.trim().endsWith("ms") ? 1 : 1000)));
    return longest(transitionDuration) > 10
        || (animationName !== "none" && longest(animationDuration) > 10);
}).map((each) => each.outerHTML.slice(0, 120))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def business(shop: Deployment, crowd: Crowd) -> AsyncIterator[None]:
    """The shop is open, so that its figures are those of a shop."""
    async with open_for_business(shop, crowd):
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH, ids=NAMES)
async def toured(
    request: pytest.FixtureRequest,
    browser: Browser,
    shop: Deployment,
    business: None,
    a_shopper: str,
) -> Tour:
    """A tour of all views, at a width and in a theme."""
    width, theme = request.param
    async with dashboard_of(browser, shop.url, width, color_scheme=theme) as dashboard:
        return await tour(dashboard, a_shopper, width, f"{width}-{theme}")


async def test_every_view_fits_its_width(toured: Tour) -> None:
    assert {view: wide for view, wide in toured.widths.items() if wide > toured.width} == {}


async def test_axe_finds_nothing_wrong(toured: Tour) -> None:
    found = {view: wrong for view, wrong in toured.violations.items() if wrong}
    assert found == {}, json.dumps(found, indent=2)


async def test_all_that_is_asked_for_is_asked_of_this_server(
    toured: Tour, shop: Deployment
) -> None:
    """Any test's page that asks another one fails; this one has been everywhere."""
    assert len(toured.asked) > len(VIEWS)
    assert [url for url in toured.asked if not url.startswith((shop.url, "data:", "blob:"))] == []


async def test_the_two_themes_differ(look: Look) -> None:
    grounds = set()
    for theme in THEMES:
        async with look(color_scheme=theme) as dashboard:
            await dashboard.open("now")
            grounds.add(
                await dashboard.page.evaluate("getComputedStyle(document.body).backgroundColor")
            )
    assert len(grounds) == len(THEMES)


async def test_nothing_moves_where_motion_is_unwanted(look: Look, a_shopper: str) -> None:
    async with look(reduced_motion="reduce") as dashboard:
        for view in VIEWS:
            await dashboard.open(view, a_shopper if view == "shopper" else None)
            await dashboard.drawn()
            assert await dashboard.page.evaluate(_MOVING) == [], view
            assert await dashboard.page.evaluate("document.getAnimations().length") == 0, view


async def test_the_key_figures_are_figures(dashboard: Dashboard, shop: Deployment) -> None:
    await dashboard.open("now")
    for name in FIGURES:
        figure = dashboard.part(name)
        await expect(figure).to_have_text(re.compile(r"\d"))
        await expect(figure).to_have_css("font-variant-numeric", re.compile("tabular-nums"))
    await eventually(partial(shows_the_model, dashboard, shop), PATIENCE, "it is another model")
    await expect(dashboard.part("workers")).to_have_text(re.compile(r"\b1\b"))


async def shows_the_model(dashboard: Dashboard, shop: Deployment) -> bool:
    """Whether the page names the model in use, which moves while shoppers are labelled."""
    version = str((await shop.get("/v1/overview"))["model_version"])
    shown = await dashboard.part("model-version").inner_text()
    return bool(shown) and version.startswith(shown)


async def test_the_documentation_opens_under_its_policy(look: Look) -> None:
    async with look() as dashboard:
        await dashboard.page.goto("/docs")
        await expect(dashboard.page.locator(".opblock").first).to_be_visible()
        assert dashboard.log.problems == []
