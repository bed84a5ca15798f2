"""One browser for the run, one trained shop that no test stops, and a fresh page for each test."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from stream_persona.domain.taxonomy import load
from tests.browser.dashboard import Dashboard, dashboard_of
from tests.browser.deployment import Deployment, deployed
from tests.browser.looking import chromium, find_chromium
from tests.browser.past import CHALLENGER, SAMPLES, remember_an_hour
from tests.browser.products import write_catalogue
from tests.browser.reports import Measured
from tests.browser.shoppers import Crowd, story, train
from tests.support.servers import Kafka, Redis, require_no_real, settings_for

Look = Callable[..., AbstractAsyncContextManager[Dashboard]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All run on one event loop: the browser's connection lives on it."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    binary = find_chromium()
    if binary is None:
        require_no_real("browser: it takes Chromium (Debian and Ubuntu: apt install chromium)")
        pytest.skip("needs Chromium on the PATH")
    async with chromium(binary) as browser:
        yield browser


@pytest.fixture(scope="session")
def crowd() -> Crowd:
    return Crowd(load(None))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(
    browser: Browser,
    crowd: Crowd,
    kafka: Kafka,
    redis_server: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Deployment]:
    """Trained on the crowd; tests add shoppers of their own and stop none of its parts."""
    folder = tmp_path_factory.mktemp("shop")
    settings = settings_for(
        kafka, redis_server.url, challengers=CHALLENGER,
        catalogue=write_catalogue(folder, load(None)),
    )  # fmt: skip
    await remember_an_hour(settings)
    async with deployed(settings, folder) as made:
        await train(made, crowd)
        assert len((await made.get("/v1/history?seconds=3600"))["at"]) > SAMPLES // 2
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def a_shopper(shop: Deployment) -> str:
    """A customer who has changed more than once."""
    customer = "CUST-04731"
    for portion in story(customer):
        await shop.shop.produce(*portion)
        await shop.shop.at_rest()
    await shop.knows(customer)
    return customer


@pytest.fixture
def look(browser: Browser, shop: Deployment) -> Look:
    """Opens pages on the shop: ``async with look(width=390) as dashboard``."""
    return partial(dashboard_of, browser, shop.url)


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(look: Look) -> AsyncIterator[Dashboard]:
    """A wide page on the shop, not yet opened anywhere."""
    async with look() as dashboard:
        yield dashboard


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Notes what is shown at the end of the run, and written beside the screenshots."""

    def note(name: str, value: float, bound: float) -> None:
        record_property("measured", {"name": name, "value": round(value, 1), "bound": bound})

    return note
