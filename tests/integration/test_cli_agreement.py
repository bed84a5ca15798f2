"""Commands whose settings or taxonomy are not the workers' end with 2 and a sentence."""

import asyncio
import sys
from pathlib import Path

import pytest

from stream_persona.domain.events import Item, Purchase, encode
from stream_persona.store import deployment as deployments
from stream_persona.worker.joining import join
from tests.support.constants import RECENT as NOW
from tests.support.shop import Shop, environment
from tests.support.waiting import patience

COMMANDS = (
    ("assign", "c1", "student"),
    ("delete", "c1", "--yes"),
    ("show", "c1"),
    ("model", "compare"),
    ("replay", "history.jsonl", "--kind", "purchases"),
    ("replay",),
    ("simulate", "--count", "3"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    event = Purchase("e1", "c1", NOW, (Item("p", "pets/dog"),))
    (tmp_path / "history.jsonl").write_bytes(encode(event))
    return tmp_path


async def run(shop: Shop, folder: Path, *command: str) -> tuple[int, str]:
    """The exit code of a command, and its standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", *command, cwd=folder,
        env=environment(shop.settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), patience(90))
    return process.returncode or 0, err.decode()


@pytest.mark.faults
async def test_commands_with_other_settings_are_refused_and_change_nothing(
    shop: Shop, folder: Path
) -> None:
    made = (await join(shop.settings, shop.taxonomy)).deployment
    shop.settings = shop.settings.model_copy(update={"partitions": 4})
    for command in COMMANDS:
        code, err = await run(shop, folder, *command)
        assert (code, err.count("\n")) == (2, 1), (command, err)
        assert "STREAM_PERSONA_PARTITIONS is 4 here and 8" in err
    stored = await shop.redis.get(f"{shop.settings.prefix}persona-deployment")
    assert deployments.decode_deployment(stored) == made
    sizes = [await shop.size(topic) for topic in shop.settings.input_topics]
    assert sizes == [0] * 5


@pytest.mark.faults
async def test_commands_with_another_taxonomy_are_refused_where_it_matters(
    shop: Shop, folder: Path
) -> None:
    await join(shop.settings, shop.taxonomy)
    file = folder / "other.toml"
    file.write_text('[[persona]]\nname = "student"\n[[persona]]\nname = "chef"\n')
    shop.settings = shop.settings.model_copy(update={"taxonomy": file})
    for command in COMMANDS[0], COMMANDS[2], COMMANDS[3]:
        code, err = await run(shop, folder, *command)
        assert code == 2, (command, err)
        assert "STREAM_PERSONA_TAXONOMY is of version" in err
    assert (await run(shop, folder, *COMMANDS[1]))[0] == 0, "a deletion is the same under any"
    # A replay is the deployment's only writer, and so may change its taxonomy.
    code, err = await run(shop, folder, *COMMANDS[4])
    assert code == 0, err
    assert (await run(shop, folder, *COMMANDS[0]))[0] == 0


async def test_a_replay_makes_the_descriptor_that_workers_find(shop: Shop, folder: Path) -> None:
    code, err = await run(shop, folder, *COMMANDS[4])
    assert code == 0, err
    stored = await shop.redis.get(f"{shop.settings.prefix}persona-deployment")
    made = deployments.decode_deployment(stored)
    assert (await join(shop.settings, shop.taxonomy)).deployment == made


async def test_an_assignment_without_a_redis_is_sent_and_says_that_nothing_was_compared(
    shop: Shop, folder: Path
) -> None:
    shop.settings = shop.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    code, err = await run(shop, folder, *COMMANDS[0])
    assert code == 0
    assert err.startswith("not compared with the workers' settings: Redis was not usable")
    assert await shop.size(shop.settings.topic_assignments) == 1
