"""Now shows what was odd about the last hour's events, and the heaviest ids."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from stream_persona.api.dashboard.last_hour import describe_hour, find_excesses
from stream_persona.store.last_hour import LastHour
from tests.browser import wordy
from tests.browser.dashboard import Dashboard
from tests.browser.stand_in import StandIn, stand_in
from tests.browser.tour import violations

BOT = "bot-1"
HOUR = LastHour(
    12_345, {"retry": 4_000, "nobody": 3, "faded": 1}, {"not_json": 2}, [(BOT, 9_000), ("b/2", 700)]
)


def answers_of(hour: LastHour) -> dict[str, dict[str, Any]]:
    messages = [f"{sentence}." for sentence in find_excesses(hour)]
    troubles: Any = [{"part": "events", "message": message} for message in messages]
    return wordy.answers(last_hour=describe_hour(hour), troubles=troubles)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dashboard(browser: Browser) -> AsyncIterator[Dashboard]:
    """A page that no test changes."""
    async with stand_in(browser, StandIn(answers_of(HOUR), [])) as dashboard:
        await dashboard.open("now")
        await dashboard.part("oddities").get_by_text("What this means").click()
        yield dashboard


@pytest.fixture
def shop() -> StandIn:
    """A shop that a test may change, for a page of its own."""
    return StandIn(answers_of(HOUR), [])


async def test_a_row_tells_in_words_what_was_odd(dashboard: Dashboard) -> None:
    await expect(dashboard.part("oddities-text")).to_have_text(
        "Of the last hour\u2019s 12,345 events: 2 unreadable, 3 belonged to nobody, 4,000 retries, "
        "1 too old to count."
    )
    retries = dashboard.part("oddities").locator('[data-reason="retry"]')
    await expect(retries).to_contain_text("4,000 retries (32\u00a0%). They are retries")
    await expect(retries).to_contain_text("`stream-persona inspect TOPIC` shows it.")


async def test_a_reason_with_more_than_its_share_is_in_the_banner(dashboard: Dashboard) -> None:
    await expect(dashboard.part("banner")).to_contain_text(
        "32 % of the last hour's 12,345 events (4,000) are retries and do not count"
    )
    await expect(dashboard.part("banner")).not_to_contain_text("nobody")


async def test_the_heaviest_ids_lead_to_their_shoppers(dashboard: Dashboard) -> None:
    rows = dashboard.part("heavy")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("9,000 events \u00b7 73\u00a0%")
    await expect(rows.nth(1).locator("a")).to_have_attribute("href", "#/shopper/b%2F2")


async def test_axe_finds_nothing_wrong(dashboard: Dashboard) -> None:
    assert await violations(dashboard) == []


async def test_a_heavy_id_is_forgotten_after_its_id_was_typed(
    browser: Browser, shop: StandIn
) -> None:
    async with stand_in(browser, shop) as dashboard:
        await dashboard.open("now")
        forget = dashboard.part("heavy", customer=BOT).get_by_test_id("heavy-forget")
        await forget.click()
        await dashboard.part("delete-cancel").click()
        await expect(dashboard.part("delete-dialog")).to_have_count(0)
        await forget.click()
        await expect(dashboard.part("delete-submit")).to_be_disabled()
        shop.answers = answers_of(LastHour(12_345))  # the list goes while the question stays
        await expect(dashboard.part("heavy")).to_have_count(0)
        await dashboard.part("delete-confirm").fill(BOT)
        assert shop.deleted == []
        await dashboard.part("delete-submit").click()
        await expect(dashboard.part("receipt")).to_contain_text(f"Deletion of {BOT} requested")
        await expect(dashboard.part("delete-dialog")).to_have_count(0)
        assert shop.deleted == [BOT]
        await expect(dashboard.part("receipt")).to_be_visible()
        await expect(dashboard.part("oddities")).to_be_hidden()
        await expect(dashboard.part("banner")).not_to_contain_text("retries")


async def test_nothing_is_shown_where_nothing_was_odd(browser: Browser, shop: StandIn) -> None:
    shop.answers = answers_of(LastHour(500))
    async with stand_in(browser, shop) as dashboard:
        await dashboard.open("now")
        await expect(dashboard.part("oddities")).to_be_hidden()
        await expect(dashboard.part("heaviest")).to_be_hidden()
