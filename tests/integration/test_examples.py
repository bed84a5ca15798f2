"""The programs in ``deploy/examples``, run as their readers would, against real servers."""

import ast
import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from stream_persona.domain.record import Record
from stream_persona.pipeline.messages import encode_change, encode_public_record
from stream_persona.settings import Settings
from tests.benchmarks.api_listeners import slow_listener
from tests.benchmarks.api_processes import api
from tests.support import clients
from tests.support.clients import ITEMS, published
from tests.support.servers import Redis as Server
from tests.support.servers import client_of
from tests.support.shop import Shop, environment
from tests.support.waiting import eventually, patience, wait_until

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
NAMED, TORN = "CUST-04812", "CUST-00002"


@pytest.fixture
def place(redis_server: Server) -> Settings:
    """A prefix of its own."""
    if redis_server.kind == "cluster":
        pytest.skip("the examples are for one server")
    prefix = f"example-{time.time_ns()}:"
    return Settings(_env_file=None, redis_url=redis_server.url, prefix=prefix)


@pytest.fixture
async def variables(place: Settings) -> AsyncIterator[dict[str, str]]:
    """The environment of an example, once a named and an ambiguous shopper are there."""
    async with client_of(place.redis_url) as redis:
        for name, what in {
            NAMED: clients.NAMED,
            TORN: clients.TORN,
        }.items():
            await redis.set(f"{place.prefix}persona:{name}", encode_public_record(name, what))
        lifts = {"category:food": 0.5, "brand:b": 1.5, "category:games": 12.0, "query:a b": 2.25}
        await redis.hset(f"{place.prefix}persona-affinity:gamer", mapping=lifts)
        yield environment(place)


def program(name: str) -> str:
    """A program's path; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run_example(command: list[str], variables: Mapping[str, str], code: int = 0) -> list[str]:
    done = subprocess.run(
        command, check=False, env=variables, cwd=EXAMPLES, capture_output=True, text=True,
        timeout=patience(60),
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines()


# --- the ranking service ---


@contextmanager
def service(variables: Mapping[str, str], log: Path) -> Iterator[str]:
    """The service, and its address."""
    command = [sys.executable, "-m", "uvicorn", "ranking_service:app", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, cwd=EXAMPLES, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        pattern = r"running on (http://\S+)"
        wait_until(lambda: re.search(pattern, log.read_text()) or process.poll() is not None, 60)
        found = re.search(pattern, log.read_text())
        assert found, log.read_text()
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=patience(60))


async def wait_for_ranking(
    client: httpx.AsyncClient, customer: str, fallback: str | None
) -> dict[str, Any]:
    """The answer, once Redis kept within the example's 50 ms: a busy machine may take longer."""
    found: dict[str, Any] = {}

    async def answered() -> bool:
        response = await client.post(f"/rank/{customer}", json=ITEMS)
        assert response.status_code == 200, response.text
        found.update(response.json())
        return found["fallback"] == fallback

    await eventually(answered, 30, "the service does not answer as it should")
    return found


async def test_the_service_re_ranks_for_a_named_shopper_alone(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with service(variables, tmp_path / "service.log") as address:
        async with httpx.AsyncClient(base_url=address, timeout=patience(30)) as client:
            named = await wait_for_ranking(client, NAMED, None)
            assert named["persona"] == "gamer"
            assert [item["product_id"] for item in named["items"]] == ["p2", "p1", "p3"]
            torn = await wait_for_ranking(client, TORN, "ambiguous")
            assert (torn["persona"], torn["items"]) == (None, ITEMS)
            assert (await wait_for_ranking(client, "no/body", "unknown"))["items"] == ITEMS


# --- the consumer ---


@asynccontextmanager
async def consumer(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / "consumer.py"),
        env=environment(settings), stdout=asyncio.subprocess.PIPE,
        # Ctrl-C as a terminal's, also where the tests run in the background and ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_consumer_prints_a_change_once_that_came_twice(
    declared_topics: Settings,
) -> None:
    shares = (100_000, 200_000, 700_000)
    first, second = (
        encode_change(NAMED, Record(published=published(persona, *shares, revision=number)))
        for number, persona in enumerate(("gamer", "student"), 1)
    )
    topic = declared_topics.topic_changes
    async with consumer(declared_topics) as process, asyncio.timeout(patience(90)):
        async with client_of(declared_topics.redis_url) as redis:
            shop = Shop(declared_topics, redis)
            await shop.produce_raw([(topic, NAMED, each) for each in (first, first, second)])
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(2)]
        assert [line.split(" (")[0] for line in lines] == [
            f"{NAMED}: None -> {persona}" for persona in ("gamer", "student")
        ]
        process.send_signal(signal.SIGINT)
        assert (await process.stdout.read(), await process.wait()) == (b"", 0)


# --- lookups from elsewhere ---


def test_the_shell_prints_the_record_and_the_greatest_lifts(variables: dict[str, str]) -> None:
    program("redis-cli")
    record, *lifts = run_example(["sh", "lookup.sh", NAMED], variables)
    assert record.startswith(f'{{"customer_id":"{NAMED}","persona":"gamer"')
    assert [lift.split("\t") for lift in lifts] == [
        ["category:games", "12.0"], ["query:a b", "2.25"], ["brand:b", "1.5"],
        ["category:food", "0.5"],
    ]  # fmt: skip


def test_the_shell_prints_baseline_where_there_is_no_persona(variables: dict[str, str]) -> None:
    program("redis-cli")
    assert run_example(["sh", "lookup.sh", TORN], variables)[1:] == ["baseline: ambiguous"]
    assert run_example(["sh", "lookup.sh", "nobody"], variables) == ["baseline: unknown"]
    away = variables | {"STREAM_PERSONA_REDIS_URL": "redis://127.0.0.1:1/0"}
    assert run_example(["sh", "lookup.sh", NAMED], away, code=1) == []


def test_node_prints_the_persona(variables: dict[str, str]) -> None:
    patient = [program("node"), "lookup.mjs"]
    assert run_example([*patient, NAMED, "30000"], variables) == ["gamer 0.7"]
    assert run_example([*patient, TORN, "30000"], variables) == ["baseline: ambiguous"]
    assert run_example([*patient, "nobody", "30000"], variables) == ["baseline: unknown"]


async def test_node_reads_what_is_no_record_as_a_baseline(
    variables: dict[str, str], place: Settings
) -> None:
    node = program("node")
    async with client_of(place.redis_url) as redis:
        for name, value in {"broken": b"{", "strange": b'{"a":1}', "none": b"null"}.items():
            await redis.set(f"{place.prefix}persona:{name}", value)
            found = run_example([node, "lookup.mjs", name, "30000"], variables)
            assert found == ["baseline: unreadable"]


def test_node_does_not_wait_for_a_redis_that_is_silent_or_away(variables: dict[str, str]) -> None:
    node = program("node")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], 1):
            away = variables | {"STREAM_PERSONA_REDIS_URL": f"redis://127.0.0.1:{port}/0"}
            assert run_example([node, "lookup.mjs", NAMED], away) == ["baseline: unreachable"]


# --- what their README promises ---


@pytest.mark.parametrize(("name", "most"), [("ranking_service.py", 20), ("consumer.py", 15)])
def test_an_example_is_as_short_as_it_says(name: str, most: int) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    docstring = ast.parse(text).body[0]
    code = text.splitlines()[docstring.end_lineno :]
    assert len([line for line in code if line.strip()]) <= most


def test_the_readme_names_every_example() -> None:
    named = set(re.findall(r"\]\((\S+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert named == files - {"README.md"}


# --- a listener of the API that falls behind ---


async def test_a_slow_listener_is_dropped_and_catches_up_with_its_last_event_id(
    place: Settings, settings: Settings, tmp_path: Path
) -> None:
    with api(settings, tmp_path / "api.log") as served:
        async with Redis.from_url(settings.redis_url) as redis:
            found = await slow_listener(served.address, redis, f"{settings.prefix}persona-changes")
    assert found["dropped_before_the_end"]
    assert found["told_of_the_gap"]
    assert found["caught_up_with_all_that_is_held"]
    assert found["the_fast_one_missed"] == 0
