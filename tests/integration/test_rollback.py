"""A Redis that comes back older is read into again: at rest it is as if it never had been older."""

import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import orjson
import pytest

from stream_persona.domain import record_codec
from stream_persona.domain.events import Assignment, Browse, Deletion, Event, Item, Purchase
from stream_persona.settings import Settings
from tests.chaos.judge import describe_difference
from tests.support.constants import CATEGORIES, DAY, GENERIC_PERSONAS, HOUR, SECOND
from tests.support.constants import RECENT as NOW
from tests.support.older_redis import Snapshot
from tests.support.processing import decode_folded
from tests.support.redis_cluster import RedisCluster, port_of
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually, patience

CUSTOMERS = [f"c{number}" for number in range(60)]


def story(seed: int, number: int) -> Iterator[Event]:
    """Behaviour of all customers, labels that come, change and go, and some deletions.

    Half of the behaviour is of clocks that are hours ahead: where its topics hold arrivals, what
    comes after a deletion counts.
    """
    rnd, now = random.Random(seed), time.time_ns() // 1_000_000
    for n in range(number):
        name, at = rnd.choice(CUSTOMERS), NOW + seed * DAY + n * 60_000
        ahead = now + seed * HOUR + n * SECOND
        at = at if n % 2 else ahead
        item = Item(f"p{rnd.randrange(30)}", rnd.choice(CATEGORIES), price=rnd.choice([2.5, 80.0]))
        drawn = rnd.random()
        if drawn < 0.08:
            persona = rnd.choice([*GENERIC_PERSONAS[:4], None])
            yield Assignment(f"a{seed}-{n}", name, at, persona, "study")
        elif drawn < 0.1:
            yield Deletion(f"d{seed}-{n}", name, NOW)
        elif drawn < 0.5:
            yield Purchase(f"e{seed}-{n}", name, at, (item,))
        else:
            yield Browse(f"e{seed}-{n}", name, at, "view", item)


async def is_as_the_oracle(shop: Shop) -> None:
    """Check records, model, public records and changes of a shop at rest."""
    records = await shop.oracle()
    expected = {
        name: record_codec.encode_folded(record, shop.taxonomy.fingerprint)
        for name, record in records.items()
        if not record.is_marker
    }

    found: dict[str, bytes] = {}

    async def folded() -> bool:
        found.clear()
        found.update(await shop.folded())
        return found == expected

    def difference() -> str:
        wrong = [name for name in CUSTOMERS if found.get(name) != expected.get(name)]
        known = [name for name in wrong if name in expected and name in found]
        read = [decode_folded(found[name], shop.taxonomy.fingerprint) for name in known]
        lines = [describe_difference(r, records[n]) for n, r in zip(known, read, strict=True)]
        return f"of {wrong}: {lines[:5]}"

    await eventually(folded, 30, difference)
    await shop.at_rest()

    async def model_agrees() -> bool:
        return await shop.model() == shop.model_of(records)

    await eventually(model_agrees, 20, "the published model is not the fold of the records")

    wrong: list[str] = []

    async def published() -> bool:
        wrong[:] = [line async for line in differing_changes(shop)]
        return not wrong

    await eventually(published, 20, lambda: "\n".join(wrong[:5]))


async def differing_changes(shop: Shop) -> AsyncIterator[str]:
    """Describe public records that are not the last published change, and revisions that lack."""
    last: dict[str, dict[str, Any] | None] = dict.fromkeys(CUSTOMERS)
    for raw in await shop.read(shop.settings.topic_changes):
        name = (raw.key or b"").decode()
        change = None if raw.value is None else orjson.loads(raw.value)
        before, last[name] = last[name], change
        if change and change["revision"] > (before["revision"] if before else 0) + 1:
            yield f"{name}: {change['revision']} follows {before and before['revision']}"
    for name, change in last.items():
        public = await shop.public(name)
        if change is None or public is None:
            if change is not public:
                yield f"{name}: {public} is stored, {change} was published"
            continue
        expected = change["current"] | {
            "revision": change["revision"], "why": change["why"],
            "updated_at": change["published_at"], "model_version": change["model_version"],
        }  # fmt: skip
        stored = {field: public[field] for field in expected}
        if stored != expected:
            yield f"{name}: {stored} is stored, {expected} was published"


def servers_of(settings: Settings, request: pytest.FixtureRequest, part: str) -> list[str]:
    """The servers that come back older: the one there is, or those of a Cluster."""
    if "redis_cluster" not in request.fixturenames and part == "all of it":
        return [settings.redis_url]
    cluster: RedisCluster = request.getfixturevalue("redis_cluster")
    nodes = cluster.nodes if part == "all of it" else [cluster.nodes[int(part[-1])]]
    return [f"redis://127.0.0.1:{port_of(node)}" for node in nodes]


#: One in each run of the tests, all of them with the faults.
CASES = [("server", "all of it", "alive")]
FAULTS = [
    ("server", "all of it", "stopped"), ("cluster", "all of it", "alive"),
    ("cluster", "master 1", "stopped"),
    ("cluster", "all of it", "stopped"), ("cluster", "master 0", "alive"),
    ("cluster", "master 1", "alive"), ("cluster", "master 2", "stopped"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("redis_kind", "part", "worker_is"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.faults) for case in FAULTS)],
    indirect=["redis_kind"],
)
async def test_a_redis_that_came_back_older_is_read_into_again(
    shop: Shop,
    start_worker: Callable[[], WorkerProcess],
    request: pytest.FixtureRequest,
    part: str,
    worker_is: str,
) -> None:
    worker = start_worker()
    await shop.produce(*story(1, 600))
    await shop.at_rest()
    prefix = shop.settings.prefix
    older = [Snapshot(url, prefix) for url in servers_of(shop.settings, request, part)]
    await shop.produce(*story(2, 600))
    await shop.at_rest()
    if worker_is == "stopped":
        assert worker.stop() == 0
    for snapshot in older:
        snapshot.put_back()
    if worker_is == "stopped":
        worker = start_worker()
    await shop.produce(*story(3, 300))
    await is_as_the_oracle(shop)
    assert worker.stop(signal.SIGTERM) == 0
    assert b"older" in worker.log.read_bytes()


@pytest.mark.faults
async def test_a_redis_that_has_lost_everything_ends_a_worker_and_is_rebuilt(
    shop: Shop, start_worker: Callable[[], WorkerProcess]
) -> None:
    worker = start_worker()
    empty = Snapshot(shop.settings.redis_url, "nobody-has-this-prefix:")
    await shop.produce(*story(1, 400))
    await shop.at_rest()
    before = await last_revisions(shop)
    empty.put_back_under(shop.settings.prefix)
    assert worker.process.wait(patience(30)) == 2
    assert b"stream-persona rebuild" in worker.log.read_bytes()
    late = start_worker()
    assert late.process.wait(patience(30)) == 2
    assert b"stream-persona rebuild" in late.log.read_bytes()

    summary = orjson.loads(await shop.run("rebuild", "--json"))
    assert summary["read"] == 400
    assert start_worker().process.poll() is None
    await shop.produce(*story(2, 200))
    await is_as_the_oracle(shop)
    after = await last_revisions(shop)
    assert all(after[name] >= before[name] for name in before.keys() & after.keys())


async def last_revisions(shop: Shop) -> dict[str, int]:
    found = {name: await shop.public(name) for name in CUSTOMERS}
    return {name: int(str(public["revision"])) for name, public in found.items() if public}
