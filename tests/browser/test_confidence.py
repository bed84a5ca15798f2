"""The feed shows changes of persona; those of confidence alone are one switch away."""

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser import wordy
from tests.browser.dashboard import Dashboard
from tests.browser.stand_in import StandIn, stand_in
from tests.browser.tour import violations

A, B = wordy.NAMES[:2]
VIEWS = ("now", "changes")
#: Shoppers whose change is one of persona, by what has changed.
SHIFTS = ("named", "other", "lost", "new", "assigned", "again", "ended", "deleted")
#: Those whose confidence alone has changed, with what is told of it.
MOODS = {
    "surer": ("more sure", "40\u00a0% \u2192 58\u00a0%"),
    "less": ("less sure", "70\u00a0% \u2192 61\u00a0%"),
    "same": ("as sure as before", "50\u00a0% \u2192 50\u00a0%"),
    "turned": (f"closest to \u2068{wordy.TITLES[1]}\u2069 now", "40\u00a0% \u2192 45\u00a0%"),
}


def posterior(
    persona: str | None, confidence: float, likeliest: str = A, source: str = "predicted"
) -> dict[str, Any]:
    return {
        "persona": persona, "confidence": confidence, "ambiguous": persona is None,
        "source": source, "distribution": {likeliest: confidence},
    }  # fmt: skip


def change(
    customer: str,
    previous: dict[str, Any] | None,
    current: dict[str, Any],
    cause: str = "behaviour",
) -> dict[str, Any]:
    return wordy.changes()[0] | {
        "change_id": f"change-of-{customer}", "customer_id": customer, "cause": cause,
        "previous": previous, "current": current,
    }  # fmt: skip


def changes() -> list[dict[str, Any]]:
    assigned = posterior(A, 1.0, source="assigned")
    return [
        change("named", posterior(None, 0.4), posterior(A, 0.8)),
        change("other", posterior(A, 0.7), posterior(B, 0.8, B)),
        change("lost", posterior(A, 0.7), posterior(None, 0.5)),
        change("new", None, posterior(None, 0.2)),
        change("assigned", posterior(A, 0.7), assigned, "assignment"),
        change("again", assigned, assigned, "assignment"),
        change("ended", assigned, posterior(A, 0.7), "expiry"),
        {"customer_id": "deleted", "deleted": True},
        change("surer", posterior(None, 0.4), posterior(None, 0.58), "model"),
        change("less", posterior(A, 0.7), posterior(A, 0.61)),
        change("same", posterior(A, 0.501), posterior(A, 0.499)),
        change("turned", posterior(None, 0.4), posterior(None, 0.45, B)),
    ]


async def customers(dashboard: Dashboard) -> set[str | None]:
    rows = await dashboard.part("feed").locator("[data-customer]").all()
    return {await row.get_attribute("data-customer") for row in rows}


@pytest.mark.parametrize("view", VIEWS)
async def test_the_feed_shows_changes_of_persona_and_counts_the_others(
    browser: Browser, view: str
) -> None:
    async with stand_in(browser, StandIn(wordy.answers(), changes())) as dashboard:
        await dashboard.open(view)
        switch = dashboard.part("confidence-switch")
        await expect(switch).to_have_text("4 changes of confidence alone")
        await expect(switch).to_have_attribute("aria-pressed", "false")
        await expect(dashboard.part("change", customer="named")).to_be_visible()
        assert await customers(dashboard) == set(SHIFTS)


@pytest.mark.parametrize("width", [1280, 768, 360])
async def test_the_switch_shows_them_as_quieter_lines(browser: Browser, width: int) -> None:
    async with stand_in(browser, StandIn(wordy.answers(), changes()), width) as dashboard:
        await dashboard.open("changes")
        switch = dashboard.part("confidence-switch")
        await expect(dashboard.part("change", customer="named")).to_be_visible()
        await switch.focus()
        await dashboard.page.keyboard.press("Space")
        await expect(switch).to_have_attribute("aria-pressed", "true")
        for customer, (word, sure) in MOODS.items():
            row = dashboard.part("change", customer=customer, about="confidence")
            await expect(row.locator(".mood")).to_have_text(word)
            await expect(row.locator(".sure")).to_have_text(sure)
        assert await customers(dashboard) == {*SHIFTS, *MOODS}
        assert await dashboard.page.evaluate("document.documentElement.scrollWidth") <= width
        assert await violations(dashboard) == []


@pytest.mark.parametrize("view", VIEWS)
async def test_the_address_remembers_the_switch(browser: Browser, view: str) -> None:
    async with stand_in(browser, StandIn(wordy.answers(), changes())) as dashboard:
        await dashboard.open(view)
        switch = dashboard.part("confidence-switch")
        await switch.click()
        assert dashboard.page.url.endswith(f"#/{view}?confidence=shown")
        await dashboard.page.reload()
        await dashboard.shows(view)
        await expect(switch).to_have_attribute("aria-pressed", "true")
        await expect(dashboard.part("change", customer="turned")).to_be_visible()
        await switch.click()
        assert dashboard.page.url.endswith(f"#/{view}")
        await expect(dashboard.part("change", customer="turned")).to_have_count(0)


async def test_the_list_of_all_changes_is_switched_as_the_newest_are(browser: Browser) -> None:
    async with stand_in(browser, StandIn(wordy.answers(), changes())) as dashboard:
        await dashboard.open("now")
        await dashboard.part("confidence-switch").click()
        await dashboard.page.get_by_text("All changes").click()
        await dashboard.shows("changes")
        await expect(dashboard.part("confidence-switch")).to_have_attribute("aria-pressed", "true")
        assert await customers(dashboard) == {*SHIFTS, *MOODS}


async def test_only_what_the_other_filters_let_through_is_counted(browser: Browser) -> None:
    async with stand_in(browser, StandIn(wordy.answers(), changes())) as dashboard:
        await dashboard.open("changes")
        await dashboard.part("filter-cause").select_option("model")
        switch = dashboard.part("confidence-switch")
        await expect(switch).to_have_text("1 change of confidence alone")
        await expect(dashboard.page.locator(".empty-title")).to_have_text(
            "No persona has changed lately"
        )
        await switch.click()
        await expect(dashboard.part("change")).to_have_count(1)
        await dashboard.part("filter-clear").click()
        await expect(switch).to_have_text("4 changes of confidence alone")
        await expect(dashboard.part("change")).to_have_count(len(SHIFTS) + len(MOODS) - 1)


async def test_many_changes_of_confidence_push_no_change_of_persona_out(browser: Browser) -> None:
    many = [change(f"mood-{n}", posterior(A, 0.5), posterior(A, 0.6)) for n in range(1_200)]
    async with stand_in(browser, StandIn(wordy.answers(), [*changes(), *many])) as dashboard:
        await dashboard.open("changes")
        await expect(dashboard.part("confidence-switch")).to_have_text(
            "500+ changes of confidence alone"
        )
        await expect(dashboard.part("change", customer="named")).to_be_visible()
        assert await customers(dashboard) == set(SHIFTS)
