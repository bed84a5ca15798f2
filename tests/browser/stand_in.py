"""The page's files and made-up answers of the API, for what a real shop shows only by chance.

The answers are checked against the API's own schemas: one that a real API could not give fails.
"""

import json
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlparse

from playwright.async_api import Browser, Route

from stream_persona.api.routes import pages
from stream_persona.api.schemas import customers, dashboard, queries, shop
from tests.browser.dashboard import Dashboard
from tests.browser.looking import open_page

#: No browser looks it up: every request is answered here.
ORIGIN: Final = "http://stand-in.test"

_SCHEMAS: Final = {
    "/v1/personas": queries.Personas,
    "/v1/overview": dashboard.Overview,
    "/v1/history": dashboard.History,
    "/v1/portraits": dashboard.Portraits,
    "/v1/model": dashboard.ModelInUse,
    "/v1/queue": dashboard.LabelQueue,
    "/v1/catalogue": shop.CatalogueFacts,
    "/v1/catalogue/search": shop.Found,
    "/v1/catalogue/bought-together": shop.Together,
    "/v1/rank": queries.RankAnswer,
    "/v1/recommendations": shop.Recommendations,
    "/persona": queries.PublicRecord,
    "/activity": customers.Activity,
    "/flips": customers.Flips,
}

Answers = dict[str, dict[str, Any]]


class StandIn:
    """Answers by path; those about a customer by how their path ends. ``deleted`` are ids.

    ``changes`` are sent once, by a stream that ends then.
    """

    def __init__(self, answers: Answers, changes: list[dict[str, Any]]) -> None:
        self.answers = answers
        self.changes = changes
        self.deleted: list[str] = []
        for path, answer in answers.items():
            if path in _SCHEMAS:
                _SCHEMAS[path].model_validate(answer)

    async def answer(self, route: Route) -> None:
        """Answer a request of the page."""
        url, method = urlparse(route.request.url), route.request.method
        path = url.path
        if not path.startswith(("/v1/", "/api/")):
            await _send_file(route, path)
        elif path == "/v1/changes":
            lines = [
                f"id: {n}\ndata: {json.dumps(each)}\n\n" for n, each in enumerate(self.changes)
            ]
            body = "retry: 600000\n\n" + "".join(lines)
            await route.fulfill(body=body, content_type="text/event-stream")
        elif method == "DELETE":
            self.deleted += parse_qs(url.query)["customer_id"]
            receipt = {"request_id": "r-1", "requested_at": "2025-11-24T16:00:00.000Z"}
            await route.fulfill(status=202, json=receipt | {"customer_id": self.deleted[-1]})
        else:
            ends = (end for end in self.answers if path == end or path.endswith(end))
            await route.fulfill(json=self.answers[next(ends)])


async def _send_file(route: Route, path: str) -> None:
    name = "index.html" if path == "/" else path.removeprefix("/static/")
    kind = mimetypes.guess_type(name)[0] or "text/plain"
    await route.fulfill(path=pages._find_path(name), content_type=kind)


@asynccontextmanager
async def stand_in(
    browser: Browser, answering: StandIn, width: int = 1280, **options: Any
) -> AsyncIterator[Dashboard]:
    """A page at this width on a stand-in; the stream of its changes ends, which is forgiven."""
    async with open_page(browser, ORIGIN, width, **options) as (page, log):
        log.forgive("Failed to load resource")
        await page.route("**/*", answering.answer)
        yield Dashboard(page, log)
