"""Damage in Redis: whatever is damaged is restored or left out, and no process ends of it."""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import httpx
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stream_persona.domain import record_codec
from stream_persona.domain.events import Assignment, Browse, Deletion, Event, Item
from stream_persona.domain.record import Record
from stream_persona.kafka.partitioner import find_home_partition
from stream_persona.model.shard import is_intact
from stream_persona.pipeline.messages import encode_public_record
from tests.support import shoppers
from tests.support.api import api_process
from tests.support.constants import DAY
from tests.support.constants import RECENT as NOW
from tests.support.servers import Kafka
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually, patience

LABELLED, RELABELLED, DELETED, BACK = "c3", "c4", "c5", "c6"
BROWSING, IDLE, AWAY = "u1", "u2", "u3"
DAMAGED = (LABELLED, RELABELLED, DELETED, BACK, BROWSING, IDLE, AWAY)


def browse(name: str, customer: str, at: int = NOW) -> Browse:
    return Browse(name, customer, at, "view", Item("p", "books"))


def story() -> list[Event]:
    """Sixty shoppers, most of them labelled, and four who are not; two are deleted."""
    found = list(islice(shoppers.events(3), 900))
    found += [browse(f"b{n}", f"u{n % 4}", NOW + n) for n in range(80)]
    found += [Assignment("r", RELABELLED, NOW + 40 * DAY, None)]
    found += [Deletion(f"d-{name}", name, NOW + 60 * DAY) for name in (DELETED, BACK)]
    return found


def comeback() -> list[Event]:
    """What happens later, which is now: after the deletions arrived. The idle ones do nothing."""
    later = time.time_ns() // 1_000_000
    return [
        browse("l1", LABELLED, later), browse("l2", BROWSING, later), browse("l3", BACK, later),
        Assignment("l4", RELABELLED, later, "student"), browse("l5", DELETED, NOW),
    ]  # fmt: skip


async def elsewhere(shop: Shop, customer: str) -> None:
    """Send an event of a customer to a partition that is not their home."""
    home, number = find_home_partition(customer, shop.settings.partitions), shop.settings.partitions
    await shop.produce(browse("off", customer, NOW + DAY), partition=(home + 1) % number)


async def opened(shop: Shop) -> dict[str, bytes | None]:
    """The folded part of all records and markers; None for one that is damaged."""
    found: dict[str, bytes | None] = {}
    for kind in ("persona-deleted", "persona-state"):
        for key in await shop.keys(f"{kind}:*"):
            name, blob = key.partition(f"{kind}:")[2], await shop.redis.get(key)
            records, _ = record_codec.decode_intact({name: blob or b""}, shop.taxonomy.fingerprint)
            found[name] = fold(shop, records[name]) if name in records else None
    return found


def fold(shop: Shop, record: Record) -> bytes:
    return record_codec.encode_folded(record, shop.taxonomy.fingerprint)


async def equals_the_oracle(shop: Shop, seconds: float = 60) -> None:
    """Wait until records, markers and the model are what the topics fold to."""
    await shop.at_rest()
    oracle = await shop.oracle()
    expected = {name: fold(shop, record) for name, record in oracle.items()}
    wrong: list[str] = []

    async def is_whole() -> bool:
        found = await opened(shop)
        wrong[:] = [n for n in expected | found if expected.get(n) != found.get(n)]
        return (
            not wrong
            and await shards_are_intact(shop)
            and await shop.model() == shop.model_of(oracle)
        )

    await eventually(is_whole, seconds, lambda: f"not restored: {wrong or 'the model'}")


async def shards_are_intact(shop: Shop) -> bool:
    blobs = [await shop.redis.get(key) for key in await shop.keys("persona-model:*")]
    return all(is_intact(blob[8:], blob[:8]) for blob in blobs)


async def damage(shop: Shop, *keys: str) -> None:
    """Flip a bit in the middle of values."""
    for key in keys:
        name = f"{shop.settings.prefix}{key}"
        blob = bytearray(await shop.redis.get(name) or b"")
        assert blob, f"nothing is stored as {key}"
        blob[len(blob) // 2] ^= 32
        await shop.redis.set(name, bytes(blob), keepttl=True)


async def damage_records(shop: Shop) -> None:
    markers = {name for name in DAMAGED if not await stored(shop, f"persona-state:{name}")}
    assert markers == {DELETED, BACK}
    for name in DAMAGED:
        kind = "persona-deleted" if name in markers else "persona-state"
        await damage(shop, f"{kind}:{name}")


async def stored(shop: Shop, key: str) -> bool:
    return bool(await shop.redis.exists(f"{shop.settings.prefix}{key}"))


async def ask(client: httpx.AsyncClient, names: Sequence[str]) -> set[int]:
    """Ask for customers in every way there is; return the statuses of the answers."""
    found = set()
    for name in names:
        for path in ("persona", "flips", "activity"):
            found.add((await client.get(f"/v1/customers/{name}/{path}")).status_code)
        query = {"where": {"customer_id": name}}
        found.add((await client.post("/api/v1/_predict", json=query)).status_code)
        body = {"customer_id": name, "items": [{"id": "x", "score": 1.0}]}
        found.add((await client.post("/v1/rank", json=body)).status_code)
    return found


async def public_records_are_the_last_changes(shop: Shop) -> None:
    """Wait until every public record says what the private one does."""

    async def same() -> bool:
        for key in await shop.keys("persona-state:*"):
            name = key.partition("persona-state:")[2]
            public = await shop.redis.get(f"{shop.settings.prefix}persona:{name}")
            blobs = {name: await shop.redis.get(key)}
            record = record_codec.decode_records(blobs, shop.taxonomy.fingerprint)[name]
            assert record.published is not None
            if public != encode_public_record(name, record.published):
                return False
        return True

    await eventually(same, 60, "a public record is not written again")


async def changes_have_no_hole(shop: Shop) -> None:
    for name in DAMAGED:
        revision = 0
        for message in await shop.read(shop.settings.topic_changes):
            if message.key != name.encode():
                continue
            if message.value is None:
                revision = 0
                continue
            found = int(message.value.partition(b'"revision":')[2].partition(b",")[0])
            assert found in {revision, revision + 1}, (name, found, revision)
            revision = found


@pytest.mark.timeout(patience(300))
@pytest.mark.parametrize(
    "runs",
    [
        pytest.param(True, id="a worker runs"),
        pytest.param(False, id="none runs", marks=pytest.mark.faults),
    ],
)
async def test_damaged_records_are_restored_from_the_topics(
    shop: Shop, start_worker: Callable[[], WorkerProcess], tmp_path: Path, *, runs: bool
) -> None:
    worker = start_worker()
    await shop.produce(*story())
    await elsewhere(shop, AWAY)
    await equals_the_oracle(shop)
    if not runs:
        assert worker.stop() == 0
    with api_process(shop.settings, tmp_path / "api.log") as (_, address):
        async with httpx.AsyncClient(base_url=address, timeout=patience(20)) as client:
            await damage_records(shop)  # now: a worker that runs restores them in its own time
            asked = [name for name in DAMAGED if runs or name != IDLE]
            statuses = await ask(client, [*asked, "c7"])
            assert 503 in statuses
            assert statuses <= {200, 404, 503}
            assert await ask(client, ["c8"]) == {200}
            if not runs:
                worker = start_worker()
            await shop.produce(*comeback())
            await equals_the_oracle(shop)
            assert await ask(client, DAMAGED) <= {200, 404}

            async def is_shown() -> bool:
                return "damaged" in (await client.get("/v1/overview")).text

            await eventually(is_shown, 20, "the dashboard does not say that it was damaged")
    assert worker.process.poll() is None
    await changes_have_no_hole(shop)
    assert "Traceback" not in worker.log.read_text()
    assert await shop.keys("persona-damaged:*") == []


async def damage_all_but_records(shop: Shop) -> None:
    """Damage what is derived from records, and put a record of nobody beside them."""
    prefix, redis = shop.settings.prefix, shop.redis
    shards = [key.removeprefix(prefix) for key in await shop.keys("persona-model:*")]
    await damage(shop, *shards, f"persona:{IDLE}", f"persona:{LABELLED}")
    for number in range(shop.settings.partitions):
        await redis.set(f"{prefix}persona-pending:{number}", b'["c1", 7')
        await redis.sadd(f"{prefix}persona-labelled:{number}", b"\xff")
    for field in (b"brand:\xff", b"version"):
        await redis.hset(f"{prefix}persona-names:0", field, b"many")
    await redis.set(f"{prefix}persona-shown-names", b"\xff" * 20)
    for name in (b"\xff", b"worker"):
        await redis.hset(f"{prefix}persona-workers", name, b'{"worker": "\xff"}')
    for at, field in enumerate(["v", "w"]):
        await redis.xadd(f"{prefix}persona-history", {field: b'{"state": "\xff'}, id=f"{at + 1}-0")
    await redis.set(f"{prefix}persona-state:\xff".encode("latin-1"), b"what")


@pytest.mark.timeout(patience(300))
@pytest.mark.faults
async def test_whatever_else_is_damaged_is_written_again_or_left_out(
    shop: Shop, start_worker: Callable[[], WorkerProcess], tmp_path: Path
) -> None:
    worker = start_worker()
    await shop.produce(*story())
    await equals_the_oracle(shop)
    await public_records_are_the_last_changes(shop)
    assert worker.stop() == 0
    await damage_all_but_records(shop)
    with api_process(shop.settings, tmp_path / "api.log") as (_, address):
        async with httpx.AsyncClient(base_url=address, timeout=patience(20)) as client:
            for path in ("overview", "history", "portraits", "model", "queue"):
                assert (await client.get(f"/v1/{path}")).status_code == 200
            assert await ask(client, [IDLE, LABELLED]) == {200}
            worker = start_worker()
            await shop.redis.delete(f"{shop.settings.prefix}persona-state:\xff".encode("latin-1"))
            await equals_the_oracle(shop)

            await public_records_are_the_last_changes(shop)

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await eventually(ready, 30, "the API does not follow the model")
            for path in ("overview", "history", "portraits", "model", "queue"):
                assert (await client.get(f"/v1/{path}")).status_code == 200
    assert worker.process.poll() is None
    await shop.produce(browse("again", IDLE, NOW + DAY))
    await equals_the_oracle(shop)


@pytest.mark.timeout(patience(240))
@pytest.mark.faults
async def test_what_the_topics_no_longer_hold_is_set_aside_and_named(
    real_kafka: Kafka, shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    worker = start_worker()
    await shop.produce(*(browse(f"b{number}", IDLE, NOW + number) for number in range(9)))
    await shop.at_rest()
    assert worker.stop() == 0
    key, home = f"persona-state:{IDLE}", find_home_partition(IDLE, shop.settings.partitions)
    await damage(shop, key)
    blob = await shop.redis.get(f"{shop.settings.prefix}{key}")
    admin = AdminClient({"bootstrap.servers": real_kafka.brokers})
    for done in admin.delete_records(
        [TopicPartition(shop.settings.topic_browses, home, 5)]
    ).values():
        done.result(30)
    worker = start_worker()
    await shop.produce(browse("newest", IDLE, NOW + DAY))
    await equals_the_oracle(shop)
    assert (await shop.oracle())[IDLE].counts.clock == NOW + DAY
    assert await shop.redis.get(f"{shop.settings.prefix}persona-damaged:{IDLE}") == blob
    log = worker.log.read_text()
    assert f"persona-damaged:{IDLE}" in log
    assert worker.process.poll() is None
    await shop.produce(Deletion("d", IDLE, NOW + 2 * DAY))
    await equals_the_oracle(shop)
    assert await shop.keys("persona-damaged:*") == []
