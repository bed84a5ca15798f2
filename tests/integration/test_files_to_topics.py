"""Files of labels and of events, sent to the topics while a worker runs."""

import asyncio
import gzip
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.events import (
    BROWSE,
    PURCHASE,
    Assignment,
    Browse,
    Event,
    Item,
    Purchase,
    encode,
)
from stream_persona.domain.record import Record
from stream_persona.errors import InputError
from stream_persona.files.row_reader import KIND_NAMES
from stream_persona.ingestion.run import IngestRequest, ingest
from stream_persona.ingestion.summary import IngestSummary
from stream_persona.kafka.sender import SendCounts
from stream_persona.replay.run import BackfillRequest as ReplayRequest
from stream_persona.replay.run import backfill, hide
from stream_persona.worker.startup import prepare
from tests.support.constants import CATEGORIES, GENERIC_PERSONAS
from tests.support.constants import RECENT as NOW
from tests.support.event_files import line
from tests.support.events import browse, kind_of
from tests.support.servers import Kafka, Redis, client_of, settings_for
from tests.support.shop import Shop, WorkerProcess, environment
from tests.support.waiting import eventually, patience


@pytest.fixture
def worker(start_worker: Callable[..., WorkerProcess]) -> WorkerProcess:
    return start_worker()


async def start(shop: Shop, *arguments: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", *map(str, arguments), "--json",
        env=environment(shop.settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def run(shop: Shop, *arguments: str | Path, code: int = 0) -> Any:
    """What a command prints as JSON."""
    process = await start(shop, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), patience(60))
    assert process.returncode == code, err.decode()
    return orjson.loads(out)


async def send(shop: Shop, path: Path, **options: Any) -> IngestSummary:
    """Ingest a file in this process."""
    summary = IngestSummary()
    await ingest(
        shop.settings, shop.taxonomy, IngestRequest([path], **options), summary, hide, print
    )
    return summary


def history(customers: int = 12, events: int = 240) -> list[Event]:
    """Views and purchases of customers, and labels of some of them."""
    made: list[Event] = []
    for n in range(events):
        customer, at = f"c{n % customers}", NOW + n * 60_000
        item = Item(f"p{n % 7}", CATEGORIES[n % customers % len(CATEGORIES)], price=9.5)
        view = Browse(f"e{n}", customer, at, "view", item)
        made.append(view if n % 3 else Purchase(f"e{n}", customer, at, (item,)))
    labels = [Assignment(f"a{n}", f"c{n}", NOW, GENERIC_PERSONAS[n % 4]) for n in range(8)]
    return [*made, *labels]


async def counted(shop: Shop) -> dict[str, bytes]:
    """What the records have counted of behaviour, by whatever way it came."""
    mark = shop.taxonomy.fingerprint
    keys = await shop.keys("persona-state:*")
    names = [key.partition("persona-state:")[2] for key in keys]
    blobs = dict(zip(names, await shop.redis.mget(keys), strict=True))
    stored = record_codec.decode_records(blobs, mark)
    return {
        name: record_codec.encode_folded(Record(record.counts), mark)
        for name, record in stored.items()
    }


async def test_labels_of_a_file_are_what_lookups_return_and_twice_is_once(
    shop: Shop, worker: WorkerProcess, tmp_path: Path
) -> None:
    await shop.produce(*[Purchase(f"e{n}", f"c{n}", NOW, (Item("p", "tools"),)) for n in range(20)])
    labels = {f"c{n}": GENERIC_PERSONAS[n % 4] for n in range(20)}
    rows = "".join(f"{name.upper()};{customer}\r\n" for customer, name in labels.items())
    path = tmp_path / "labels.csv"
    path.write_bytes(gzip.compress(f"\ufeffpersona;customer_id\r\n{rows}".encode()))

    audit = tmp_path / "audit.log"
    shop.settings = shop.settings.model_copy(update={"audit_file": audit})
    receipt = await run(shop, "assign", "--file", path, "--source", "survey")
    assert (receipt["sent"], receipt["confirmed"], receipt["last_confirmed_line"]) == (20, 20, 21)

    async def assigned() -> bool:
        found = {name: await shop.public(name) for name in labels}
        return all(
            each and (each["source"], each["persona"]) == ("assigned", labels[name])
            for name, each in found.items()
        )

    await eventually(assigned, 60, "the labels did not arrive")
    await shop.at_rest()
    changes = await shop.size(shop.settings.topic_changes)
    public = {name: await shop.public(name) for name in labels}

    again = await run(shop, "assign", "--file", path, "--source", "survey")
    assert again["confirmed"] == 20
    await shop.at_rest()
    assert {name: await shop.public(name) for name in labels} == public
    assert await shop.size(shop.settings.topic_changes) == changes
    sent = [orjson.loads(m.value) for m in await shop.read(shop.settings.topic_assignments)]
    assert len(sent) == 40
    ids = {each["assignment_id"] for each in sent}
    assert len(ids) == 20
    assert {each["source"] for each in sent} == {"survey"}
    has_each_label_twice(audit, ids, labels)


def has_each_label_twice(audit: Path, ids: set[str], customers: Iterable[str]) -> None:
    """Look at what the log holds of two runs of one file: no customer is named."""
    lines = [orjson.loads(each) for each in audit.read_bytes().splitlines()]
    own = [each["event_id"] for each in lines if each["action"] == "assignment"]
    assert (len(own), {*own}) == (40, ids)
    assert {each["outcome"] for each in lines} == {"accepted"}
    assert len(lines) == 42  # and one for each file
    assert not set(customers) & {value for each in lines for value in each.values()}


async def test_good_labels_are_sent_without_mistakes_and_end_with_3(
    shop: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("customer_id,persona\nc1,pet_owner\nc2,dog\nc3,\nc4,pet_owner\n")
    await run(shop, "assign", "--file", path, code=2)
    assert await shop.size(shop.settings.topic_assignments) == 0
    receipt = await run(shop, "assign", "--file", path, "--skip-mistakes", code=3)
    assert (receipt["confirmed"], receipt["last_confirmed_line"]) == (2, 5)
    sent = [orjson.loads(m.value) for m in await shop.read(shop.settings.topic_assignments)]
    assert {each["customer_id"] for each in sent} == {"c1", "c4"}


async def test_an_ingested_file_gives_what_its_replay_gives_once_and_twice(
    shop: Shop, worker: WorkerProcess, kafka: Kafka, redis_server: Redis, tmp_path: Path
) -> None:
    rows = [orjson.loads(line(event, topic=KIND_NAMES[kind_of(event)])) for event in history()]
    (path := tmp_path / "history.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (copy := tmp_path / "copy.gz").write_bytes(gzip.compress(path.read_bytes()))
    (array := tmp_path / "array.json").write_bytes(orjson.dumps(rows))
    (mixed := tmp_path / "mixed.json").write_bytes(orjson.dumps(rows[::-1]))
    async with client_of(redis_server.url) as redis:
        other = Shop(settings_for(kafka, redis_server.url), redis)
        await prepare(other.settings)
        await backfill(other.settings, other.taxonomy, ReplayRequest([path]))
        records, model = await counted(other), await other.model()
        with pytest.raises(InputError, match="was replayed up to row 248"):
            await send(other, copy)

    async def as_replayed() -> bool:
        return await counted(shop) == records and await shop.model() == model

    summary = await send(shop, path)
    assert dict(summary.events) == {"browse": 160, "purchase": 80, "assignment": 8}
    assert summary.receipts[str(path)] == SendCounts(248, 248, 248)
    await eventually(as_replayed, 60, "it is not what a replay gives")
    for same in (copy, array):
        known = await send(shop, same)
        assert (known.already_ingested, known.receipts[str(same)].sent) == (248, 0)
    others = await send(shop, mixed)  # another content, and the events known by their ids
    assert (others.already_ingested, others.receipts[str(mixed)].confirmed) == (0, 248)
    await shop.at_rest()
    assert await as_replayed()


async def test_a_file_that_was_ingested_is_not_replayed(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(encode(each) + b"\n" for each in [browse("e1", NOW)]))
    await send(shop, path, kind=BROWSE)
    with pytest.raises(InputError, match="was ingested, at least in part, up to row 1"):
        await backfill(shop.settings, shop.taxonomy, ReplayRequest([path], BROWSE))


async def test_a_file_that_has_grown_sends_its_new_rows_alone(shop: Shop, tmp_path: Path) -> None:
    rows = [encode(browse(f"e{n}", NOW)) for n in range(4)]
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"\n".join(rows[:2]) + b"\n" + rows[2][:20])
    first = await send(shop, path, kind=BROWSE)
    assert (first.events.total(), dict(first.unreadable)) == (2, {"not_json": 1})
    same = await send(shop, path, kind=BROWSE)
    assert (same.already_ingested, same.unreadable_before, same.is_whole) == (2, 1, False)
    path.write_bytes(b"\n".join(rows))
    grown = await send(shop, path, kind=BROWSE)
    assert (grown.already_ingested, grown.events.total()) == (2, 2)
    sent = await shop.read(shop.settings.topic_browses)
    assert sorted(each.value for each in sent) == rows


async def test_a_kind_that_nothing_was_of_leaves_no_note(shop: Shop, tmp_path: Path) -> None:
    (path := tmp_path / "history.jsonl").write_bytes(encode(browse("e1", NOW)))
    wrong = await send(shop, path, kind=PURCHASE)
    assert (wrong.events.total(), wrong.is_whole) == (0, False)
    right = await send(shop, path, kind=BROWSE)
    assert (right.already_ingested, right.events.total(), right.is_whole) == (0, 1, True)


async def test_a_killed_run_goes_on_where_it_was(
    shop: Shop, worker: WorkerProcess, tmp_path: Path
) -> None:
    events = [Browse(f"e{n}", f"c{n % 5}", NOW + n, "search", query="dog") for n in range(2_000)]
    path = tmp_path / "browses.jsonl"
    path.write_bytes(b"".join(encode(event) + b"\n" for event in events))
    topic = shop.settings.topic_browses
    rate = 100  # the whole file takes twenty seconds: it is under way when the signal comes
    words = ("ingest", path, "--kind", "browses", "--rate", str(rate))
    killed = await start(shop, *words)

    async def some_were_noted() -> bool:
        return bool(await shop.keys("persona-files")) and await shop.size(topic) >= 200

    await eventually(some_were_noted, 60, "nothing was sent")
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()
    before = await shop.size(topic)
    assert before < 2_000

    interrupted = await start(shop, *words)

    async def goes_on() -> bool:
        return await shop.size(topic) > before + 100

    await eventually(goes_on, 60, "it does not go on")
    interrupted.send_signal(signal.SIGINT)
    out, err = await interrupted.communicate()
    assert interrupted.returncode == 1
    assert b"interrupted: give the same command again" in err
    line_of = orjson.loads(out)["last_confirmed_line"][str(path)]
    assert 0 < line_of < 2_000

    await ends_whole(shop, words, line_of, rate)
    sent = [orjson.loads(each.value)["event_id"] for each in await shop.read(topic)]
    assert set(sent) == {event.event_id for event in events}
    assert len(sent) <= 2_000 + 2 * rate // 10  # a tenth of a second of the rate, each time
    await count_once(shop)


async def count_once(shop: Shop) -> None:
    """Compare the customers of the file with others, of whom the same was sent once."""
    await shop.at_rest()
    other = [Browse(f"o{n}", f"d{n % 5}", NOW + n, "search", query="dog") for n in range(2_000)]
    await shop.produce(*other)
    await shop.at_rest()
    records = await counted(shop)
    assert len(records) == 10
    for name in "01234":
        assert records[f"c{name}"] == records[f"d{name}"]


async def ends_whole(shop: Shop, words: tuple[str | Path, ...], line_of: int, rate: int) -> None:
    """Give the command again, at any rate: it goes on behind the last line that was confirmed."""
    path = words[1]
    summary = await run(shop, *words[:-1], "0")
    assert line_of - rate // 10 <= summary["already_ingested"] <= line_of
    assert summary["already_ingested"] + summary["confirmed"] == 2_000
    assert summary["last_confirmed_line"] == {str(path): 2_000}
