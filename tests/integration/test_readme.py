"""The README's blocks, run in their order against real servers."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from redis import Redis as RedisClient

from stream_persona.demo.embedded import find_free_port
from stream_persona.domain import taxonomy
from stream_persona.settings import Settings
from tests.support.servers import Kafka, Redis, settings_for
from tests.support.shop import environment
from tests.support.waiting import patience, wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def shop_settings(kafka: Kafka, redis_server: Redis, tmp_path: Path) -> Settings:
    """The README's own topics and keys, on the tests' servers."""
    if redis_server.kind == "cluster":
        pytest.skip("the README reads with a client of one server")
    (tmp_path / "personas.toml").write_text(blocks("toml")[0], encoding="utf-8")
    defaults = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if name.startswith("topic_")
    }
    return settings_for(
        kafka, redis_server.url, **defaults, prefix="", api_port=find_free_port(),
        taxonomy=tmp_path / "personas.toml",
    )  # fmt: skip


@pytest.fixture
def variables(shop_settings: Settings) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**environment(shop_settings), "PATH": path}


@pytest.fixture
def services(variables: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """Run what the README starts with ``&``."""
    commands = re.findall(r"^(stream-persona .*) &$", README, re.MULTILINE)
    assert commands == ["stream-persona worker", "stream-persona api"]
    running = []
    for command in commands:
        with (tmp_path / f"{command.split()[1]}.log").open("wb") as log:
            running.append(
                subprocess.Popen(
                    command.split(), env=variables, cwd=tmp_path, stdout=log, stderr=log
                )
            )
    log = tmp_path / "worker.log"
    wait_until(lambda: "Ready" in log.read_text(), 60, "the worker did not join its group")
    yield
    for process in running:
        process.terminate()
    assert [process.wait(timeout=patience(60)) for process in running] == [0, 0]


def use_tests_servers(code: str, settings: Settings) -> str:
    return (
        code.replace("localhost:9092", settings.brokers)
        .replace("redis://localhost:6379/0", settings.redis_url)
        .replace("localhost:8000", f"127.0.0.1:{settings.api_port}")
    )


def run(command: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run(
        command, check=False, env=variables, capture_output=True, text=True, timeout=patience(60)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_blocks_of_the_readme_do_what_it_claims(
    shop_settings: Settings, variables: dict[str, str], services: None
) -> None:
    produce, read, look_up, rank, _ = (
        use_tests_servers(code, shop_settings) for code in blocks("python")
    )
    curl = next(code for code in blocks("sh") if code.startswith("curl"))
    commands = next(code for code in blocks("sh") if "stream-persona assign" in code).splitlines()
    redis = RedisClient.from_url(shop_settings.redis_url)

    run([sys.executable, "-c", produce], variables)
    wait_until(lambda: redis.get("persona:CUST-04812"), 60, "the event left no persona")
    printed = run([sys.executable, "-c", f"{read}\nprint(persona)"], variables).strip()
    assert printed == "parent_of_young_kids"
    assert run([sys.executable, "-c", look_up], variables).startswith("parent_of_young_kids ")
    liked = "persona-affinity:parent_of_young_kids"
    wait_until(lambda: redis.hget(liked, "category:baby"), 60, "no affinities were written")
    ranked = run([sys.executable, "-c", rank], variables)
    assert all(product in ranked for product in ("P-17", "P-80"))
    assert ranked.endswith(" None\n")

    answer = orjson.loads(run(["sh", "-c", use_tests_servers(curl, shop_settings)], variables))
    assert answer["total"] == 5
    assert [set(hit) for hit in answer["hits"]] == [{"$p", "$why", "persona"}] * 3
    assert answer["hits"][0]["persona"] == "parent_of_young_kids"

    run(commands[0].split(), variables)
    assigned = b'"source":"assigned"'
    wait_until(lambda: assigned in (redis.get("persona:CUST-04812") or b""), 60)
    assert "parent_of_young_kids" in run(commands[1].split(), variables)
    run(commands[2].split(), variables)
    wait_until(lambda: redis.get("persona:CUST-04812") is None, 60, "the customer is still there")


def test_the_kit_of_the_readme_needs_no_server() -> None:
    kit = blocks("python")[-1]
    assert "stream_persona.testing" in kit
    run([sys.executable, "-c", kit], {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)})


def test_the_shortest_taxonomy_of_the_readme_is_complete() -> None:
    assert len(taxonomy.parse(blocks("toml")[0]).names) == 5


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_table_of_settings_in_the_readme_is_complete_and_true() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\|", README, re.MULTILINE))
    assert rows == {
        name.upper(): shown(field.default) for name, field in Settings.model_fields.items()
    }


def shown(default: object) -> str:
    if default is None:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
