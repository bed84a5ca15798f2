"""Files of the pages: a browser keeps them, and asks whether they have changed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from stream_persona.api.routes import pages

CHARTS = "/static/plotly/plotly.min.js"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of charts that tests may upgrade."""
    path = tmp_path / "plotly.min.js"
    path.write_text("old release")
    monkeypatch.setattr(pages, "_find_plotly", lambda: path)
    return path


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(pages.router())
    pages.mount_files(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_an_upgraded_library_of_charts_reaches_browsers_that_kept_the_old_one(
    browser: httpx.AsyncClient, library: Path, encoding: str
) -> None:
    accept = {"Accept-Encoding": encoding}
    first = await browser.get(CHARTS, headers=accept)
    assert (first.text, first.headers["cache-control"]) == ("old release", "no-cache")
    kept = {**accept, "If-None-Match": first.headers["etag"]}
    assert (await browser.get(CHARTS, headers=kept)).status_code == 304
    library.write_text("new release")
    os.utime(library, ns=(1, 1))
    assert (await browser.get(CHARTS, headers=kept)).text == "new release"


@pytest.mark.parametrize("path", ["/static/app.js", "/static/swagger/swagger-ui-bundle.js"])
async def test_files_are_revalidated_at_each_visit(browser: httpx.AsyncClient, path: str) -> None:
    first = await browser.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = await browser.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
