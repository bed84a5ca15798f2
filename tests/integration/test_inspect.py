"""``inspect`` on a topic of a real broker that has the faults of the field, without a Redis."""

import asyncio
import sys
import time
from typing import Any, Final

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from stream_persona.settings import Settings
from tests.support.servers import PARTITIONS, Kafka, declare_topics
from tests.support.shop import environment
from tests.support.waiting import patience

DOG: Final = {"product_id": "P1", "category": "dog/food", "price": 3.0}
FOREIGN: Final = {"product_id": "P", "item_category": "dog", "qty": 2, "unit_price": 3.5}
YEN: Final = {"product_id": "P", "category": "cat", "price": 1_920}


def order(number: str, customer: str, at: object, item: dict[str, Any], **more: Any) -> bytes:
    event = {"event_id": number, "customer_id": customer, "occurred_at": at, "items": [item]}
    return orjson.dumps(event | more)


def faults() -> list[bytes | None]:
    """Messages with ten faults."""
    now = time.time_ns() // 1_000_000
    return [
        *(order(f"s{n}", f"S{n}", now // 1_000, DOG) for n in range(3)),  # 1: seconds
        order("far", "F", 2_366_841_600_000, DOG),  # 2: a clock in 2045
        order("n1", "undefined", now, DOG),  # 3: nobody
        order("n2", "guest", now, DOG),
        *[order("o1", "R", now - 7_200_000, DOG)] * 2,  # 4: a retry
        *(order(f"u{n}", "E", now, DOG, order_id="O-1") for n in range(5)),  # 5: an edited order
        order("a1", "É", now, DOG | {"category": "/Élevage > Pâtée &amp; Co"}),  # 6: spellings
        order("a2", "É", now, DOG | {"category": "Élevage/Pâtée & Co"}),
        *(order(f"y{n}", f"Y{n}", now, YEN) for n in range(20)),  # 7: a currency without cents
        order("r", "B", now, DOG | {"quantity": -1}),  # 8: a returned line
        *(order(f"f{n}", f"C{n}", now, FOREIGN) for n in range(4)),  # 9: foreign fields
        *(order("session", "V", now + n, DOG) for n in range(6)),  # 10: ids of sessions
        None,
        b"{",
    ]


EXPECTED: Final = {
    "epoch seconds, and read as such": 3,
    "lie in the future": 1,
    "stand for nobody": 2,
    "each counts once": 1,
    "orders come again": 5,
    "spelled in several ways": 2,
    "are returns": 1,
    "items[].item_category to items[].category": 4,
    "items[].qty to items[].quantity": 4,
    "items[].unit_price to items[].price": 4,
    "an event_id of its own": 6,
    "without a value": 1,
}


async def run(settings: Settings, *arguments: str) -> tuple[int, bytes, str]:
    """Exit code, standard output and standard error of the command; Redis is away."""
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_persona", "inspect", *arguments,
        env=environment(away),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), patience(60))
    return process.returncode or 0, out, err.decode()


async def groups(settings: Settings) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    try:
        return {name for name, _ in await admin.list_consumer_groups()}
    finally:
        await admin.close()


@pytest.fixture
async def faulty(settings: Settings, kafka: Kafka) -> Settings:
    """Settings whose purchases have the faults, on a topic that dates nothing."""
    config = {"message.timestamp.type": "CreateTime"}
    await declare_topics(kafka, [settings.topic_purchases], PARTITIONS, config)
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:
        for value in faults():
            key = b"C" if value is None else None  # the client sends none without both
            await producer.send(settings.topic_purchases, value, key, partition=0)
    return settings


async def test_each_fault_of_a_topic_is_found_and_counted(faulty: Settings, kafka: Kafka) -> None:
    code, out, err = await run(faulty, faulty.topic_purchases, "--json")
    assert (code, err) == (0, "")
    (report,) = orjson.loads(out)["inputs"]
    assert report["readable"]["messages"] == report["readable"]["held"] == len(faults())
    found = {each["suggestion"]: each["concerns"] for each in report["suggestions"]}
    for words, count in EXPECTED.items():
        assert [n for text, n in found.items() if words in text] == [count], words
    assert report["contents"]["prices"]["most"] == 1_920
    if kafka.kind != "embedded":
        assert any("message.timestamp.type=LogAppendTime" in text for text in found)
    assert faulty.group not in await groups(faulty)


async def test_the_latest_messages_of_a_topic_are_read_and_shown(faulty: Settings) -> None:
    code, out, _ = await run(faulty, faulty.topic_purchases, "--limit", "9")
    assert code == 0
    assert f"9 of {len(faults())}" in out.decode()


async def test_a_topic_that_does_not_exist_ends_with_2_and_a_sentence(faulty: Settings) -> None:
    code, out, err = await run(faulty, f"{faulty.topic_purchases}x")
    assert (code, out) == (2, b"")
    assert f"is it {faulty.topic_purchases}?" in err
    assert err.count("\n") == 1
