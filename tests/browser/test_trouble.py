"""Servers fail while the page is open: it shows that, and catches up by itself.

All tests share one deployment, on a Redis of its own, and leave it as they found it.
"""

import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect
from redis.asyncio import Redis

from tests.browser.dashboard import Dashboard, dashboard_of
from tests.browser.deployment import Deployment, deployed
from tests.browser.shoppers import basket, baskets
from tests.chaos.machines import Store
from tests.support.servers import Kafka, require_no_real, settings_for

#: Milliseconds in which the page must have noticed, and got over it.
NOTICED = 30_000


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    if shutil.which("redis-server") is None:
        require_no_real("Redis that may be restarted: redis-server")
        pytest.skip("needs a Redis that it may restart")
    store = Store()
    yield store
    store.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fragile(
    browser: Browser, kafka: Kafka, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployment]:
    folder = tmp_path_factory.mktemp("fragile")
    async with deployed(settings_for(kafka, store.url), folder) as made:
        await made.shop.produce(basket("CUST-FIRST", "pets/dog"))
        await made.knows("CUST-FIRST")
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(browser: Browser, fragile: Deployment) -> AsyncIterator[Dashboard]:
    """A page that is live and without findings, and whose browser may miss the server."""
    async with dashboard_of(browser, fragile.url) as dashboard:
        dashboard.log.forgive("Failed to load resource")
        dashboard.log.forgive("net::ERR_")
        await dashboard.open("changes")
        await is_well(dashboard)
        yield dashboard


async def is_well(dashboard: Dashboard) -> None:
    state = dashboard.part("live")
    await expect(state).to_have_attribute("data-state", "live", timeout=NOTICED)
    await expect(dashboard.part("banner")).to_be_hidden(timeout=NOTICED)


def banner(dashboard: Dashboard) -> Locator:
    return dashboard.part("banner")


async def shows_banner(dashboard: Dashboard, words: str) -> None:
    await expect(banner(dashboard)).to_have_text(re.compile(words), timeout=NOTICED)


async def test_the_page_reconnects_and_catches_up_after_the_api_restarts(
    dashboard: Dashboard, fragile: Deployment
) -> None:
    await fragile.api.stop()
    await shows_banner(dashboard, "does not answer|connection is lost|Reconnecting")
    await expect(dashboard.part("live")).to_have_attribute("data-state", "reconnecting")
    await fragile.shop.produce(*baskets("CUST-MEANWHILE", "pets/dog"))
    await fragile.knows("CUST-MEANWHILE")
    await fragile.api.start()
    await is_well(dashboard)
    await expect(dashboard.part("change", customer="CUST-MEANWHILE").first).to_be_visible()
    await fragile.shop.produce(*baskets("CUST-AFTER", "pets/dog"))
    await expect(dashboard.part("change", customer="CUST-AFTER").first).to_be_visible()


async def test_a_line_that_was_cut_loses_no_change(
    dashboard: Dashboard, fragile: Deployment
) -> None:
    context = dashboard.page.context
    await context.set_offline(True)
    await shows_banner(dashboard, "does not answer|is lost")
    await fragile.shop.produce(*baskets("CUST-OFFLINE", "tools"))
    await fragile.knows("CUST-OFFLINE")
    await context.set_offline(False)
    await is_well(dashboard)
    changes = dashboard.part("change", customer="CUST-OFFLINE")
    revision = (await fragile.shop.public("CUST-OFFLINE") or {})["revision"]
    await expect(changes).to_have_count(int(str(revision)))
    ids = await dashboard.page.locator('[data-testid="change"]').evaluate_all(
        "rows => rows.map((row) => row.dataset.id)"
    )
    assert len(set(ids)) == len(ids)


async def test_an_open_shopper_is_asked_for_anew_after_a_restart(
    dashboard: Dashboard, fragile: Deployment
) -> None:
    await fragile.shop.produce(*baskets("CUST-OPEN", "pets/dog", "pets/cat"))
    await fragile.knows("CUST-OPEN")
    await dashboard.open("shopper", "CUST-OPEN")
    await fragile.api.stop()
    await shows_banner(dashboard, "does not answer|is lost")
    await fragile.assign("CUST-OPEN", "student")
    await fragile.api.start()
    await is_well(dashboard)
    await expect(dashboard.part("headline")).to_have_attribute("data-persona", "student")


async def test_a_worker_that_stands_still_while_events_wait_is_shown(
    dashboard: Dashboard, fragile: Deployment
) -> None:
    fragile.worker.process.send_signal(signal.SIGSTOP)
    try:
        await fragile.shop.produce(*baskets("CUST-WAITS", "pets/dog"))
        await shows_banner(dashboard, "stands still: .* none was worked off")
    finally:
        fragile.worker.process.send_signal(signal.SIGCONT)
    await is_well(dashboard)
    await expect(dashboard.part("change", customer="CUST-WAITS").first).to_be_visible()


async def test_redis_that_is_away_is_shown(
    dashboard: Dashboard, fragile: Deployment, store: Store
) -> None:
    store.end(politely=False)
    try:
        await shows_banner(dashboard, "Redis does not answer")
    finally:
        store.start_again()
    await is_well(dashboard)
    await fragile.shop.produce(*baskets("CUST-BACK", "pets/dog"))
    await expect(dashboard.part("change", customer="CUST-BACK").first).to_be_visible(
        timeout=NOTICED
    )


async def test_the_banner_has_each_way_in_which_redis_may_lose_its_data(
    dashboard: Dashboard, store: Store
) -> None:
    async with Redis.from_url(store.url) as redis:
        used = (await redis.info("memory"))["used_memory"]
        await redis.config_set("maxmemory", int(used / 0.85))
        await redis.config_set("appendonly", "no")
        try:
            await shows_banner(dashboard, "maxmemory: workers stop when it is full")
            await shows_banner(dashboard, "keeps nothing on disk")
        finally:
            await redis.config_set("appendonly", "yes")
            await redis.config_set("maxmemory", 0)
    await is_well(dashboard)
