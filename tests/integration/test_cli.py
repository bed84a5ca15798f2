"""Commands as real processes against real servers."""

import asyncio
import os
import pwd
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_persona.domain.events import Item, Purchase, encode
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.constants import RECENT as NOW
from tests.support.servers import client_of
from tests.support.shop import Shop, WorkerProcess, environment
from tests.support.waiting import eventually, patience


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    await prepare(settings)
    async with client_of(settings.redis_url) as redis:
        yield Shop(settings, redis)


async def run(shop: Shop, *arguments: str | Path) -> tuple[int, bytes, str]:
    """Exit code, standard output and standard error of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", *map(str, arguments),
        env=environment(shop.settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), patience(60))
    return process.returncode or 0, out, err.decode()


async def answer(shop: Shop, *arguments: str | Path) -> Any:
    """The JSON that a command prints."""
    code, out, err = await run(shop, *arguments, "--json")
    assert (code, err) == (0, "")
    return orjson.loads(out)


async def test_assign_show_withdraw_and_delete_go_through_a_worker(
    shop: Shop, tmp_path: Path
) -> None:
    worker = WorkerProcess(shop.settings, tmp_path / "worker.log")
    try:
        await shop.produce(Purchase("e1", "c1", NOW, (Item("p", "pets/dog"),)))
        await eventually(lambda: shop.public("c1"), 60, "the purchase did not arrive")
        receipt = await answer(shop, "assign", "c1", "pet_owner", "--source", "survey")
        assert receipt["persona"] == "pet_owner"
        assert receipt["topic"] == shop.settings.topic_assignments

        async def assigned() -> bool:
            found = await shop.public("c1")
            return bool(found and found["source"] == "assigned")

        await eventually(assigned, 60, "the assignment did not arrive")
        shown = await answer(shop, "show", "c1", "--tokens", "3")
        assert shown["public"] == await shop.public("c1")
        is_of_the_survey(shown, receipt["assignment_id"], shop.settings)
        audit = tmp_path / "audit.log"
        shop.settings = shop.settings.model_copy(update={"audit_file": audit})
        withdrawal = await answer(shop, "assign", "c1", "--withdraw")

        async def predicted() -> bool:
            found = await shop.public("c1")
            return bool(found and found["source"] == "predicted")

        await eventually(predicted, 30, "the withdrawal did not arrive")
        deletion = await answer(shop, "delete", "c1", "--yes")
        has_both_commands(audit, withdrawal["assignment_id"], deletion["request_id"])

        async def gone() -> bool:
            return await shop.public("c1") is None

        await eventually(gone, 30, "the deletion did not arrive")
        code, out, err = await run(shop, "show", "c1")
        assert (code, out) == (1, b"")
        assert err.startswith("nothing is known of customer 'c1'")
    finally:
        assert worker.stop() == 0


def is_of_the_survey(shown: dict[str, Any], assignment: str, settings: Settings) -> None:
    private = shown["private"]
    assert private["label"]["assignment_id"] == assignment
    assert private["label"]["source"] == "survey"
    assert private["revision"] == shown["public"]["revision"]
    assert private["evidence"] == 1
    assert len(private["heaviest_tokens"]) == 3
    topics = {key.partition("/")[0] for key in private["positions"]}
    assert topics == {settings.topic_purchases, settings.topic_assignments}


def has_both_commands(audit: Path, assignment: str, deletion: str) -> None:
    lines = [orjson.loads(line) for line in audit.read_text().splitlines()]
    assert [(each["action"], each["event_id"], each["outcome"]) for each in lines] == [
        ("assignment", assignment, "accepted"),
        ("deletion", deletion, "accepted"),
    ]
    user = pwd.getpwuid(os.getuid()).pw_name
    assert {each["who"] for each in lines} == {f"user {user}"}
    assert "c1" not in {*lines[1].values()}


async def test_show_for_people_names_the_heaviest_tokens(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(encode(Purchase("e1", "c1", NOW, (Item("p", "pets/dog"),))))
    await answer(shop, "replay", path, "--kind", "purchases")
    code, out, _ = await run(shop, "show", "c1")
    assert code == 0
    assert b"category:pets/dog" in out
    assert f"{shop.settings.topic_purchases}/file-".encode() in out


async def test_replay_exits_with_3_when_lines_were_unreadable(shop: Shop, tmp_path: Path) -> None:
    path, letters = tmp_path / "history.jsonl", tmp_path / "letters.jsonl"
    path.write_bytes(encode(Purchase("e1", "c1", NOW, (Item("p", "tools"),))) + b"\n{\n")
    code, out, err = await run(
        shop, "replay", path, "--kind", "purchases", "--dead-letters", letters, "--json"
    )
    assert (code, err) == (3, "")
    summary = orjson.loads(out)
    assert summary["unreadable"] == {"not_json": 1}
    assert summary["unreadable_examples"]["not_json"]["line"] == 2
    assert letters.read_bytes().count(b"\n") == 1


async def test_simulate_sends_as_many_events_as_asked(shop: Shop) -> None:
    summary = await answer(shop, "simulate", "--count", "40", "--rate", "1000", "--seed", "3")
    assert summary["events"] == 40
    topics = shop.settings.input_topics[:3]
    assert sum([len(await shop.read(topic)) for topic in topics]) == 40


async def test_topics_of_another_size_end_a_worker_with_2_and_what_to_do(
    shop: Shop, real_kafka: object, tmp_path: Path
) -> None:
    wrong = shop.settings.model_copy(update={"partitions": shop.settings.partitions + 1})
    worker = WorkerProcess(wrong, tmp_path / "worker.log")
    code = await asyncio.to_thread(worker.process.wait, 60)
    assert code == 2
    (line,) = worker.log.read_text().splitlines()
    assert "STREAM_PERSONA_PARTITIONS" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_worker_with_0_even_while_it_starts(
    shop: Shop, tmp_path: Path, number: signal.Signals
) -> None:
    away = shop.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    worker = WorkerProcess(away.model_copy(update={"log_level": "DEBUG"}), tmp_path / "worker.log")
    await eventually(lambda: "asyncio" in worker.log.read_text(), 60, "it does not start")
    assert await asyncio.to_thread(worker.stop, number) == 0
