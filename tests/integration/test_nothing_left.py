"""After a deletion: a walk over everything that a busy shop keeps, says and logs."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from stream_persona.api import create_api
from stream_persona.api.changes import ChangeFeed
from stream_persona.domain.events import Assignment, Browse, Engagement, Event, Item, Purchase
from stream_persona.kafka.partitioner import find_home_partition
from tests.support.api import CATEGORIES, NOW, basket, becomes_ready
from tests.support.catalogues import lines, row
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually, patience

GONE = "CUST-gone-5813"
WORDS = ("zanzikibble", "brandolino", "campaigna", "johnsmith6586", "sku-unheard", "oddities")
SECRETS = (GONE, *WORDS)
PRODUCT = "p"
OTHERS = [f"c{number}" for number in range(24)]


def busy_shop() -> list[Event]:
    """A few dozen customers who do much the same."""
    happened: list[Event] = []
    for number, name in enumerate(OTHERS):
        persona, category = list(CATEGORIES.items())[number % len(CATEGORIES)]
        happened += [basket(f"b-{name}-{n}", name, category, "food", at=NOW + n) for n in range(3)]
        happened.append(Browse(f"s-{name}", name, NOW, "search", query="kibble"))
        if number % 2:
            happened.append(Assignment(f"a-{name}", name, NOW, persona, "test"))
    return happened


def told_by_one() -> list[Event]:
    """What one customer alone has told the shop, in every field that a text fits into."""
    query, brand, campaign, engraving, product, category = WORDS
    item = Item(product, f"{category}/rare", brand, 4.0, attributes={"engraving": engraving})
    return [
        *(Purchase(f"gp-{n}", GONE, NOW + n, (item,)) for n in range(3)),
        Browse("gs", GONE, NOW + 3, "search", query=f"{query} kibble"),
        Browse("gv", GONE, NOW + 4, "view", product=item),
        Engagement("ge", GONE, NOW + 5, "email", "click", campaign=campaign),
        Assignment("ga", GONE, NOW + 6, "student", "test"),
    ]


def secrets_in(content: bytes | str) -> set[str]:
    text = content.encode() if isinstance(content, str) else content
    return {secret for secret in SECRETS if secret.encode() in text}


async def walk_redis(redis: Redis, prefix: str) -> dict[str, set[str]]:
    """What every key holds of the secrets, by key; of any type, in its name too."""
    found = {}
    async for key in redis.scan_iter(f"{prefix}*", count=1_000):
        kind = (await redis.type(key)).decode()
        if kind == "string":
            held = [await redis.get(key)]
        elif kind == "hash":
            held = [part for pair in (await redis.hgetall(key)).items() for part in pair]
        elif kind == "set":
            held = list(await redis.smembers(key))
        elif kind == "zset":
            held = list(await redis.zrange(key, 0, -1))
        else:
            assert kind == "stream"
            held = [repr(await redis.xrange(key)).encode()]
        if there := secrets_in(b"\0".join([key, *(each or b"" for each in held)])):
            found[key.decode().removeprefix(prefix)] = there
    return found


def params_of(path: str, name: str) -> dict[str, str]:
    """The parameters that a route takes about a customer, and what they ask for at most."""
    of_customer = path.startswith(("/v1/customers/", "/v1/recommendations"))
    named = {"customer_id": name} if of_customer and "{customer_id}" not in path else {}
    if path.startswith("/v1/recommendations"):
        return named | {"own": "2", "ambiguous": "mixture"}
    return {"product_id": PRODUCT} if path == "/v1/catalogue/bought-together" else named


async def walk_routes(client: httpx.AsyncClient) -> dict[str, set[str]]:
    """What every GET of the API's own description answers of the secrets, asked about others."""
    found = {}
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert len(paths) > 15
    for path, methods in paths.items():
        if "get" not in methods or path == "/v1/changes":
            continue
        for name in OTHERS[:2]:
            named = path.replace("{customer_id}", name).replace("{product_id}", PRODUCT)
            answer = await client.get(named, params=params_of(path, name))
            assert answer.status_code == 200, path
            if there := secrets_in(answer.content):
                found[path] = there
    for name in OTHERS:
        query = {"where": {"customer_id": name}, "select": ["$p", "$why", "persona"]}
        item = {"product_id": PRODUCT, "category": "oddi", "brand": "b"}
        asked = [
            client.post("/api/v1/_predict", json=query),
            client.post("/v1/rank", json={"customer_id": name, "items": [item], "own": 2.0}),
            client.get(f"/v1/customers/{name}/persona"),
        ]
        for answer in await asyncio.gather(*asked):
            if there := secrets_in(answer.content):
                found[str(answer.request.url.path)] = there
    return found


async def listened(feed: ChangeFeed, last_id: str | None = None) -> bytes:
    """What a new listener to `/v1/changes?recent=200` is given at once."""
    received = b""
    async with aclosing(feed.listen(last_id, recent=200, heartbeat=0.1)) as stream:
        async for piece in stream:
            received += piece
            if piece.startswith(b":"):
                break
    return received


async def walk_topics(shop: Shop) -> dict[str, set[str]]:
    """What topics hold of the secrets beyond what the table of personal data says."""
    topics, found = shop.settings, {}
    for topic in (topics.topic_reroutes, topics.topic_dead_letters, topics.topic_changes):
        held = await shop.read(topic)
        if topic == topics.topic_changes:  # until it is compacted
            own = [raw.value for raw in held if raw.key == GONE.encode()]
            assert own[-1] is None
            held = [raw for raw in held if raw.key != GONE.encode()]
        if there := secrets_in(b"\0".join(part or b"" for r in held for part in (r.key, r.value))):
            found[topic] = there
    return found


def without_marker(found: Iterable[str]) -> set[str]:
    """The keys beside the one that remembers the deletion, for as long as the settings say."""
    return {*found} - {f"persona-deleted:{GONE}"}


def tombstone() -> bytes:
    return b'data: {"customer_id":"%s","deleted":true}' % GONE.encode()


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[tuple[httpx.AsyncClient, ChangeFeed]]:
    """An API that is ready, and its feed of changes."""
    api = create_api(shop.settings, shop.taxonomy)
    transport = httpx.ASGITransport(api)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        await becomes_ready(client)
        yield client, api.state.dependencies.feed


async def tells_nothing(client: httpx.AsyncClient, feed: ChangeFeed) -> None:
    """No route tells anything of the customer; others' changes are there."""
    changes = await listened(feed)
    assert (secrets_in(changes), b'"c1"' in changes) == (set(), True)
    (first, *_) = re.findall(rb"id: (\w+)", changes)
    missed = await listened(feed, first.decode())
    assert secrets_in(missed.replace(tombstone(), b"")) == set()
    assert await walk_routes(client) == {}
    assert (await client.get(f"/v1/customers/{GONE}/persona")).status_code == 404


@pytest.mark.timeout(patience(180))
async def test_a_deletion_leaves_nothing_behind_but_what_the_table_says(
    shop: Shop,
    start_worker: Callable[[], WorkerProcess],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG, "stream_persona")
    caplog.set_level(logging.INFO, "stream_persona.audit")  # whose lines name customers at DEBUG
    catalogue = tmp_path / "catalogue.jsonl"
    catalogue.write_bytes(lines([row(title="Thing", product_id=PRODUCT, category="oddi")]))
    changed = {"tastes": True, "catalogue": catalogue}
    shop.settings = shop.settings.model_copy(update=changed)
    worker, prefix = start_worker(), shop.settings.prefix
    home = find_home_partition(GONE, shop.settings.partitions)
    await shop.produce(*busy_shop(), *told_by_one())
    await shop.at_rest()
    async with serving(shop) as (client, feed):
        before = await walk_redis(shop.redis, prefix)
        assert {GONE, *WORDS} - {"sku-unheard"} <= set().union(*before.values())
        assert before.keys() >= {f"persona{kind}:{GONE}" for kind in ("", "-tastes")}
        assert f"persona-names:{home}" in before
        assert GONE.encode() in await listened(feed)
        assert (await client.delete(f"/v1/customers/{GONE}")).status_code == 202
        await shop.at_rest()

        async def nothing_left() -> bool:
            return not without_marker(await walk_redis(shop.redis, prefix))

        await eventually(nothing_left, 20, "something is left in Redis")
        await tells_nothing(client, feed)
    async with serving(shop) as (client, feed):  # another one, which reads the topic
        await tells_nothing(client, feed)
    (metrics,) = re.findall(r"metrics on (http://\S+)", worker.log.read_text())
    async with httpx.AsyncClient() as client:
        assert secrets_in((await client.get(metrics)).content) == set()
    assert worker.stop() == 0
    assert secrets_in(worker.log.read_bytes()) == set()
    assert secrets_in(caplog.text) == set()
    assert await walk_topics(shop) == {}
    assert without_marker(await walk_redis(shop.redis, prefix)) == set()
