"""The view of the personas: their portraits, and what distinguishes them."""

import re
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Look
from tests.browser.dashboard import Dashboard
from tests.browser.deployment import Deployment
from tests.browser.looking import SIZES, THEMES
from tests.browser.tour import violations

#: Of each persona the colour of the dot beside its name.
_COLOURS = """
(rows) => Object.fromEntries(rows.map((row) =>
    [row.dataset.persona, getComputedStyle(row.querySelector(".dot")).backgroundColor]))
"""


async def test_every_persona_has_its_portrait(dashboard: Dashboard, shop: Deployment) -> None:
    await dashboard.open("personas")
    await dashboard.drawn()
    for name in shop.shop.taxonomy.names:
        portrait = dashboard.part("portrait", persona=name)
        await expect(portrait).to_contain_text(re.compile(r"\d+\sshoppers?\s·\s\d+\s% sure"))
        assert await portrait.get_by_test_id("lifts").get_by_role("listitem").count()
        drawn = portrait.get_by_test_id("chart-confidence")
        await expect(drawn).to_have_attribute("aria-label", re.compile("Confidence of"))
    await expect(dashboard.part("portrait", persona="")).to_contain_text("Ambiguous")


async def test_the_threshold_of_ambiguity_is_shown(dashboard: Dashboard, shop: Deployment) -> None:
    await dashboard.open("personas")
    threshold = (await shop.get("/v1/portraits"))["threshold"]
    shown = f"{100 * threshold:.0f} %"
    await expect(dashboard.part("threshold")).to_contain_text(shown)


async def test_the_window_of_time_can_be_chosen(dashboard: Dashboard) -> None:
    await dashboard.open("personas")
    async with dashboard.page.expect_request("**/v1/history?*") as asked:
        await dashboard.page.locator('input[name="window"][value="21600"]').check(force=True)
    query = parse_qs(urlparse((await asked.value).url).query)
    assert query["seconds"] == ["21600"]
    await dashboard.drawn()


async def test_a_chart_can_be_read_as_a_table(dashboard: Dashboard) -> None:
    await dashboard.open("personas")
    await dashboard.page.get_by_text("The mix as a table").click()
    table = dashboard.page.get_by_role("table", name="Shoppers of each persona over time")
    await expect(table.get_by_role("row").nth(1)).to_contain_text(re.compile(r"\d"))


async def test_a_portrait_folds_and_the_address_remembers_it(dashboard: Dashboard) -> None:
    await dashboard.open("personas")
    portrait = dashboard.part("portrait", persona="student")
    fold, inside = portrait.get_by_test_id("fold"), portrait.get_by_test_id("chart-confidence")
    await expect(fold).to_have_attribute("aria-expanded", "true")
    await fold.focus()
    await dashboard.page.keyboard.press("Enter")
    for _ in range(2):
        await expect(fold).to_have_attribute("aria-expanded", "false")
        await expect(inside).to_be_hidden()
        await expect(portrait).to_contain_text(re.compile(r"Student.*\d+\sshoppers?", re.DOTALL))
        await expect(
            dashboard.part("portrait", persona="pet_owner").locator(".panels")
        ).to_be_visible()
        assert dashboard.page.url.endswith("#/personas?folded=student")
        await dashboard.page.reload()
        await dashboard.shows("personas")
    await fold.click()
    await expect(inside).to_be_visible()
    await dashboard.drawn()
    assert dashboard.page.url.endswith("#/personas")


@pytest.mark.parametrize("width", [1280, 390])
async def test_ten_folded_personas_fit_a_screen(look: Look, shop: Deployment, width: int) -> None:
    async with look(width) as dashboard:
        await dashboard.open("personas")
        await dashboard.part("fold-all").click()
        await expect(dashboard.part("fold-all")).to_have_text("Unfold all")
        folded = await dashboard.part("portrait").all()
        assert len(folded) == len(shop.shop.taxonomy.names) + 1
        boxes = [await each.bounding_box() for each in folded]
        heights = [box["height"] for box in boxes if box]
        assert len(heights) == len(folded)
        assert 10 * max(heights) < SIZES[width]
        assert await violations(dashboard) == []
        await dashboard.part("fold-all").click()
        await expect(dashboard.part("portrait").first.locator(".panels")).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
async def test_a_persona_has_one_colour_of_its_own(look: Look, theme: str) -> None:
    async with look(color_scheme=theme) as dashboard:
        await dashboard.open("now")
        bars = dashboard.part("mix-now").locator("li[data-persona]")
        now = await bars.evaluate_all(_COLOURS)
        await dashboard.open("personas")
        assert now == await dashboard.part("portrait").evaluate_all(_COLOURS)
    assert len(set(now.values())) == len(now)
