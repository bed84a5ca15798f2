"""Files of the pages: a browser keeps them, and asks whether they have changed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from stream_persona.api.routes import pages


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(pages.build_router())
    pages.mount_files(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def test_the_page_may_run_and_look_like_what_this_process_serves_alone(
    browser: httpx.AsyncClient,
) -> None:
    policy = (await browser.get("/")).headers["content-security-policy"]
    assert policy == "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"


@pytest.mark.parametrize("path", ["/static/app.js", "/static/swagger/swagger-ui-bundle.js"])
async def test_files_are_revalidated_at_each_visit(browser: httpx.AsyncClient, path: str) -> None:
    first = await browser.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = await browser.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
