"""The first day: what producers really send is read as it was meant, or it is counted and shown.

Each row of ``tests.support.field`` is something that was once misread in silence. All rows are sent
at once, to topics whose brokers set the time of a message and to such that believe the producer's,
as Kafka does unless it is asked otherwise. What files hold, what a page shows of long titles and
what clients are asked is tried in ``tests/unit/files``, ``tests/browser/test_long_names`` and
``tests/unit/client/test_odd_input``.
"""

import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio
from confluent_kafka import Producer

from stream_persona.domain import record_codec
from stream_persona.domain.events import Deletion
from stream_persona.domain.record import Record
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.worker.startup import prepare
from tests.support.api import becomes_ready, calling
from tests.support.field import PATHLESS, ROWS, Row, now_ms
from tests.support.servers import Kafka, Redis, client_of, declare_topics, settings_for
from tests.support.shop import Shop, WorkerProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class FirstDay:
    """What a worker made of all rows."""

    shop: Shop
    records: dict[str, Record]
    public: dict[str, dict[str, object]]
    letters: dict[str, str]
    metrics: str

    def tokens(self, customer: str) -> set[int]:
        """The slots in which a customer's record counts something."""
        return set((self.records[customer].counts.keys & np.uint32(0xFFFF)).tolist())

    def slots(self, tokens: tuple[str, ...]) -> set[int]:
        tokenizer = Tokenizer(self.shop.taxonomy)
        return {tokenizer.find_slot(*token.split(":", 1)) for token in tokens}

    def anomalies(self, reason: str) -> float:
        found = re.search(rf'anomalies_total{{reason="{reason}"}} (\S+)', self.metrics)
        return float(found[1]) if found else 0.0


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["LogAppendTime", "CreateTime"])
async def day(
    request: pytest.FixtureRequest,
    kafka: Kafka,
    redis_server: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[FirstDay]:
    settings = settings_for(kafka, redis_server.url)
    clocks = {
        "message.timestamp.type": request.param,
        "message.timestamp.after.max.ms": str(2**63 - 1),
    }
    await declare_topics(kafka, settings.input_topics, settings.partitions, clocks)
    await prepare(settings)
    log = tmp_path_factory.mktemp("first-day") / "worker.log"
    async with client_of(settings.redis_url) as redis:
        shop = Shop(settings, redis)
        send_all(shop)
        worker = WorkerProcess(settings, log)
        try:
            await shop.at_rest()
            yield await look(shop, log)
        finally:
            worker.stop(signal.SIGKILL)


def send_all(shop: Shop) -> None:
    names, now = shop.taxonomy.names, now_ms()
    for codec in ("none", "lz4"):
        producer = Producer({
            "bootstrap.servers": shop.settings.brokers, "compression.type": codec,
            "partitioner": "murmur2_random",
        })  # fmt: skip
        for row in ROWS:
            for sent in row.send(now, names) if row.codec == codec else ():
                topic = getattr(shop.settings, f"topic_{sent.topic}")
                producer.produce(topic, sent.data, sent.key, timestamp=sent.at or 0)
        assert producer.flush(30) == 0


async def look(shop: Shop, log: Path) -> FirstDay:
    keys = await shop.keys("persona-state:*")
    blobs = {key.partition("persona-state:")[2]: await shop.redis.get(key) for key in keys}
    letters = {
        (raw.key or b"").decode(): dict(raw.headers)["reason"].decode()
        for raw in await shop.read(shop.settings.topic_dead_letters)
    }
    async with httpx.AsyncClient() as client:
        address = re.findall(r"metrics on (\S+)", log.read_text())[0]
        metrics = (await client.get(address)).text
    return FirstDay(
        shop,
        record_codec.decode_records(blobs, shop.taxonomy.fingerprint),
        {name: await shop.public(name) or {} for name in blobs},
        letters,
        metrics,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.tried)
async def test_what_the_field_sends_is_read_as_it_was_meant(day: FirstDay, row: Row) -> None:
    found, names = day.records, day.shop.taxonomy.names
    evidence = {name: day.public[name]["evidence"] for name in row.evidence}
    assert evidence == pytest.approx(dict(row.evidence), rel=0.001)
    assert all(day.public[n]["evidence"] >= least for n, least in row.at_least.items())
    assert not set(row.absent) & set(found)
    assert {n: found[n].find_active_label() for n in row.label} == {
        n: names[index] for n, index in row.label.items()
    }
    assert len({frozenset(day.tokens(name)) for name in row.alike}) == bool(row.alike)
    assert len({frozenset(day.tokens(name)) for name in row.apart}) == len(row.apart)
    for name, tokens in row.holds.items():
        assert day.slots(tokens) <= day.tokens(name)
    for name, tokens in row.lacks.items():
        assert not day.slots(tokens) & day.tokens(name)
    assert {n: day.letters.get(n) for n in row.letters} == dict(row.letters)
    for reason, least in row.anomalies.items():
        assert day.anomalies(reason) >= least


async def test_an_assignment_that_expires_while_nothing_comes_pins_nobody_any_more(
    day: FirstDay,
) -> None:
    async def is_predicted() -> bool:
        record = await day.shop.public("C19")
        return record is not None and record["source"] == "predicted"

    await eventually(is_predicted, 20, "still assigned")


async def test_a_deletion_leaves_nobody_whose_clock_runs_ahead(day: FirstDay) -> None:
    names = [name for row in ROWS for name in row.forgotten]
    assert names
    await day.shop.produce(*(Deletion(f"d-{name}", name, now_ms()) for name in names))
    await day.shop.at_rest()
    assert [await day.shop.public(name) for name in names] == [None] * len(names)
    assert not [name for name in names if await day.shop.keys(f"persona-state:{name}")]


async def test_a_customer_whose_id_no_path_can_hold_is_deleted_over_http(day: FirstDay) -> None:
    async with calling(day.shop.settings) as client:
        await becomes_ready(client)
        for name in PATHLESS:
            answer = await client.delete("/v1/customers", params={"customer_id": name})
            assert answer.status_code == 202
        await day.shop.at_rest()
    assert [await day.shop.public(name) for name in PATHLESS] == [None] * len(PATHLESS)
