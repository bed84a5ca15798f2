"""Whom the API lets in, as a process: attacks on one without keys, and keys that change."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import reverse_proxy
from tests.support.api import api_process
from tests.support.doors import key_of, write_keys
from tests.support.reverse_proxy import Rewrite, proxy
from tests.support.servers import Kafka, Redis, declare_topics, settings_for, topics_of
from tests.support.waiting import eventually, patience, wait_until

CUSTOMER = "/v1/customers/CUST-1"


@pytest.fixture(scope="module")
def served(
    kafka: Kafka, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """An API without keys that takes deletions: its ``host:port``, and its log."""
    settings = settings_for(kafka, redis_server.url)
    asyncio.run(declare_topics(kafka, topics_of(settings), settings.partitions))
    log = tmp_path_factory.mktemp("door") / "api.log"
    with api_process(settings, log) as (_, url):
        wait_until(lambda: httpx.get(f"{url}/readyz").is_success, 30, "not ready")
        assert httpx.delete(f"{url}{CUSTOMER}").status_code == 202
        yield url.removeprefix("http://"), log


def deletions(log: Path) -> list[dict[str, object]]:
    """The deletions that were accepted, by the audit log on standard error."""
    lines = re.findall(r"^\{.*\}$", log.read_text(), re.MULTILINE)
    found = [json.loads(line) for line in lines]
    return [each for each in found if (each["action"], each["outcome"]) == ("deletion", "accepted")]


@pytest.mark.parametrize("rewrite", ["forwarding", "standard", "terse", "transparent"])
async def test_nobody_deletes_through_a_proxy_on_this_machine(
    served: tuple[str, Path], rewrite: str
) -> None:
    address, log = served
    before = deletions(log)
    way: Rewrite = getattr(reverse_proxy, rewrite)
    async with proxy(address, way) as public, httpx.AsyncClient() as client:
        for method, path in (
            ("DELETE", CUSTOMER), ("GET", "/v1/overview"), ("GET", "/v1/changes"), ("GET", "/"),
            ("PUT", f"{CUSTOMER}/assignment"), ("GET", "/metrics"),
        ):  # fmt: skip
            answer = await client.request(method, f"http://{public}{path}")
            assert answer.status_code == 403, (method, path)
            assert "set STREAM_PERSONA_API_KEYS" in answer.json()["message"]
        assert (await client.get(f"http://{public}/healthz")).status_code == 200
    assert deletions(log) == before


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("DELETE {path} HTTP/1.1\r\nHost: attacker.example:{port}\r\n", 403),
        ("DELETE {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 127.0.0.1\r\n", 403),
        ("DELETE {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://attacker.example\r\n", 403),
        ("DELETE {path} HTTP/1.1\r\n", 400),
        ("DELETE {path} HTTP/1.1\r\nHost: {host}\r\nHost: attacker.example\r\n", 400),
        ("DELETE {path} HTTP/1.0\r\n", 403),
        ("DELETE http://attacker.example{path} HTTP/1.1\r\nHost: {host}\r\n", 403),
        ("DELETE http://{host}{path} HTTP/1.1\r\nHost: attacker.example\r\n", 403),
        ("DELETE {path} HTTP/1.1\r\nHost: {host}\r\n", 202),
    ],
)  # fmt: skip
def test_a_server_looks_at_the_host_as_it_stands_on_the_wire(
    served: tuple[str, Path], head: str, status: int
) -> None:
    host, _, port = served[0].rpartition(":")
    text = head.format(path=CUSTOMER, host=served[0], port=port)
    with socket.create_connection((host, int(port)), timeout=patience(30)) as connection:
        connection.sendall(f"{text}Connection: close\r\n\r\n".encode())
        assert connection.recv(1_000).startswith(f"HTTP/1.1 {status} ".encode())


def test_the_word_of_a_trusted_proxy_does_not_count_without_keys(
    kafka: Kafka, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    with api_process(settings_for(kafka, redis_server.url), tmp_path / "api.log") as (_, url):
        for headers in ({"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Proto": "http"}):
            assert httpx.delete(f"{url}{CUSTOMER}", headers=headers).status_code == 403


# --- keys ---


@pytest.fixture
async def keyed(
    kafka: Kafka, redis_server: Redis, tmp_path: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, Path]]:
    """A client of an API with a file of keys, which is read anew each second; and the file."""
    file = tmp_path / "keys.toml"
    write_keys(file, old="read operate", reader="read")
    settings = settings_for(kafka, redis_server.url, api_keys_file=file)
    with api_process(settings, tmp_path / "api.log") as (_, url):
        async with httpx.AsyncClient(base_url=url, timeout=patience(30)) as client:
            yield client, file


async def test_a_key_that_is_taken_away_ends_its_streams_and_cookies_without_a_restart(
    keyed: tuple[httpx.AsyncClient, Path],
) -> None:
    client, file = keyed
    headers = {"X-API-Key": key_of("old")}

    async def status(name: str) -> int:
        answer = await client.get("/healthz" if not name else "/v1/overview",
                                  headers={"X-API-Key": key_of(name)})  # fmt: skip
        return answer.status_code

    async with client.stream("GET", "/v1/changes", headers=headers) as changes:
        lines = changes.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        write_keys(file, new="read", reader="read")
        async with asyncio.timeout(patience(10)):
            assert not [line async for line in lines if line.startswith("data")]
    assert [await status(name) for name in ("old", "new", "reader")] == [401, 200, 200]


async def test_a_broken_file_is_a_trouble_and_a_metric_and_those_of_before_stay_in(
    keyed: tuple[httpx.AsyncClient, Path],
) -> None:
    client, file = keyed
    operator, reader = ({"X-API-Key": key_of(name)} for name in ("old", "reader"))

    async def troubles(headers: dict[str, str]) -> list[str]:
        found = (await client.get("/v1/overview", headers=headers)).json()["troubles"]
        return [each["message"] for each in found if each["part"] == "keys"]

    assert await troubles(operator) == []
    file.write_text('[[key]]\nname = "half')

    async def shown() -> bool:
        return bool(await troubles(operator))

    await eventually(shown, 10, "the broken file is not noticed")
    assert str(file) in (await troubles(operator))[0]
    assert "its operators see more" in (await troubles(reader))[0]
    write_keys(file, old="operate")

    async def mended() -> bool:
        answer = await client.get("/metrics", headers=operator)
        return "stream_persona_api_keys_file_broken 0.0" in answer.text

    await eventually(mended, 10, "the mended file is not noticed")
