"""A shop where nothing has happened yet, of as many personas as a taxonomy may have."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from stream_persona.domain.taxonomy import MOST
from tests.browser.dashboard import VIEWS, Dashboard, dashboard_of
from tests.browser.deployment import Deployment, deployed
from tests.browser.reports import SCREENSHOTS
from tests.support.servers import Kafka, Redis, settings_for


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def empty(
    browser: Browser, kafka: Kafka, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployment]:
    folder = tmp_path_factory.mktemp("empty")
    personas = folder / "personas.toml"
    personas.write_text("".join(f'[[persona]]\nname = "persona_{n}"\n' for n in range(MOST)))
    settings = settings_for(kafka, redis_server.url, taxonomy=personas)
    async with deployed(settings, folder) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(browser: Browser, empty: Deployment) -> AsyncIterator[Dashboard]:
    async with dashboard_of(browser, empty.url) as dashboard:
        yield dashboard


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_of_nothing_says_what_will_come(dashboard: Dashboard, view: str) -> None:
    await dashboard.open(view)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await dashboard.drawn(SCREENSHOTS / f"empty-{view}.png")
    text = await dashboard.page.locator(f'[data-view="{view}"]').inner_text()
    for nonsense in ("NaN", "undefined", "null", "Infinity", "[object"):
        assert nonsense not in text
    assert await dashboard.page.locator(".empty:visible, .is-empty:visible").count()
    await expect(dashboard.part("banner")).to_be_hidden()


async def test_each_of_many_personas_has_a_bar_of_its_own_colour(dashboard: Dashboard) -> None:
    await dashboard.open("now")
    bars = dashboard.part("mix-now").locator("li[data-persona]")
    await expect(bars).to_have_count(MOST + 1)  # the last is of ambiguous shoppers
    dots = await bars.locator(".dot").evaluate_all(
        "(dots) => dots.map((each) => getComputedStyle(each).backgroundColor)"
    )
    assert len(set(dots)) == MOST + 1
    assert all(re.fullmatch(r"rgb\(\d+, \d+, \d+\)", each) for each in dots)
