"""The ten minutes of deploy/collecting.md: from Segment's library on a page to a persona."""

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.async_api import Browser
from typer.testing import CliRunner

from stream_persona.cli.main import app
from tests.browser.deployment import Deployment, deployed
from tests.browser.looking import open_page
from tests.support.npm_packages import SCRIPT, analytics_script, has_npm
from tests.support.servers import Kafka, Redis, require_no_real, settings_for
from tests.support.waiting import eventually

GUIDE = (Path(__file__).parents[2] / "deploy/collecting.md").read_text(encoding="utf-8")
CUSTOMER = "CUST-04812"


def block(language: str, start: str) -> str:
    """The block of the guide that begins so."""
    pattern = rf"^```{language}\n({re.escape(start)}.*?)^```"
    found = re.findall(pattern, GUIDE, re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    text: str = found[0]
    return text


@pytest.fixture(scope="session")
def script() -> Path:
    """Segment's library, by the guide's way."""
    if not has_npm():
        require_no_real("page: it takes npm (Debian and Ubuntu: apt install npm)")
        pytest.skip("needs npm")
    assert SCRIPT in block("sh", "npm pack @segment/analytics-next")
    return analytics_script()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A shop's web server, as the guide has it."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": print_nothing})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def print_nothing(*_: object) -> None:
    """A server's log is of no interest."""


def make_keys(file: Path) -> list[str]:
    """Run the guide's commands; return the keys that they show."""
    keys = []
    for line in block("sh", "stream-persona keys").splitlines():
        command, to = line.removeprefix("stream-persona ").split(" >> ")
        assert to == file.name
        ended = CliRunner().invoke(app, command.split())
        assert ended.exit_code == 0, ended.output
        with file.open("a", encoding="utf-8") as opened:
            opened.write(ended.stdout)
        keys += re.findall(r"^(\S+)$", ended.stderr, re.MULTILINE)
    return keys


async def test_a_page_with_segments_library_and_a_write_key_gives_its_shopper_a_persona(
    browser: Browser, kafka: Kafka, redis_server: Redis, script: Path, tmp_path: Path
) -> None:
    write_key, read_key = make_keys(tmp_path / "keys.toml")
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "analytics.js").write_bytes(script.read_bytes())
    with serving(folder) as origin:
        settings = settings_for(
            kafka, redis_server.url, api_keys_file=tmp_path / "keys.toml", api_cors_origins=origin
        )
        async with deployed(settings, tmp_path) as made:
            page = block("html", "<!doctype html>").replace("WRITE_KEY", write_key)
            (folder / "index.html").write_text(page.replace("http://localhost:8000", made.url))
            async with open_page(browser, origin) as (tab, log):
                log.forgive(f"it asks {re.escape(made.url)}/v1/")
                log.forgive("favicon.ico")
                await tab.goto("/")
                await is_parent(made, read_key)
                sent = [url for url in log.asked if url.startswith(made.url)]
            assert sent[0] == f"{made.url}/v1/projects/{write_key}/settings"
            assert set(sent[1:]) == {f"{made.url}/v1/i", f"{made.url}/v1/t"}
            assert all(url.startswith((made.url, origin)) for url in log.asked)
            refused = await made.http.get(lookup(made.url), headers=bearer(write_key))
            assert refused.status_code == 403


async def is_parent(made: Deployment, read_key: str) -> None:
    """Wait until the lookup of the guide says what the guide says."""
    last = ""

    async def known() -> bool:
        nonlocal last
        answer = await made.http.get(lookup(made.url), headers=bearer(read_key))
        last = answer.text
        assert answer.status_code in {200, 404}, last
        return answer.is_success and answer.json()["candidates"][0] == "parent_of_young_kids"

    await eventually(known, 20, lambda: f"the shopper gets no persona: {last}")


def lookup(url: str) -> str:
    (address,) = re.findall(
        r"localhost:8000(\S+)$", block("sh", 'curl -H "Authorization: Bearer READ')
    )
    assert CUSTOMER in address
    return f"{url}{address}"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
