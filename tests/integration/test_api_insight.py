"""What dashboards draw, behind real workers, a real Kafka and a real Redis."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from stream_persona.api.dashboard import history, lag, recorder, workers
from stream_persona.api.dashboard.lag import Backlog
from stream_persona.demo.embedded import PARTITIONS, EmbeddedBroker, EmbeddedRedis, free_port
from stream_persona.domain.events import Assignment, Browse, Deletion, Event, encode
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.integration.test_api import NOW, Hand, basket, becomes_ready, calling, hand, working
from tests.support.servers import Kafka, client_of
from tests.support.shop import Shop, WorkerProcess
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import eventually

Json = dict[str, Any]
__all__ = ["hand"]  # a fixture


async def asked(client: httpx.AsyncClient, path: str) -> Json:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


async def becomes(client: httpx.AsyncClient, seconds: float = 30, **wanted: object) -> Json:
    """The overview, once it has these figures."""
    found: Json = {}

    async def same() -> bool:
        found.update(await asked(client, "/v1/overview"))
        return all(found[name] == value for name, value in wanted.items())

    try:
        await eventually(same, seconds)
    except AssertionError:
        raise AssertionError(f"expected {wanted}, got {found}") from None
    return found


async def troubled(client: httpx.AsyncClient, *parts: str, seconds: float = 40) -> list[str]:
    """The sentences, once it is these parts that are in trouble."""
    found: list[Json] = []

    async def same() -> bool:
        found[:] = (await asked(client, "/v1/overview"))["troubles"]
        return {each["part"] for each in found} == set(parts)

    await eventually(same, seconds, f"expected {parts}, got {found}")
    return [each["message"] for each in found]


def population(number: int) -> list[Event]:
    """Shoppers who buy for children, for pets, or whatever comes."""
    tastes = ("baby/diapers", "pets/dog", "food")
    return [basket(f"e{n}", f"c{n:04}", *[tastes[n % 3]] * 5) for n in range(number)]


# --- the census ---


async def test_all_shoppers_are_counted(hand: Hand, settings: Settings) -> None:
    await hand.feed(*population(2_000))
    async with calling(settings) as client:
        found = await becomes(client, counted=True, shoppers=2_000)
        assert sum(found["mix"].values()) + found["ambiguous"] == 2_000
        assert found["ambiguous_share"] == found["ambiguous"] / 2_000
        portraits = await asked(client, "/v1/portraits")
        assert {each["name"]: each["shoppers"] for each in portraits["personas"]} == found["mix"]
        for each in portraits["personas"]:
            assert sum(each["confidence"]) == each["shoppers"]
        assert sum(portraits["ambiguous"]["confidence"]) == found["ambiguous"]
        queue = await asked(client, "/v1/queue?limit=100")
        told = [each["information"] for each in queue["shoppers"]]
        assert queue["counted"]
        assert told == sorted(told, reverse=True)
        for each in queue["shoppers"]:
            record = (await client.get(f"/v1/customers/{each['customer_id']}/persona")).json()
            assert record["ambiguous"]
            assert each["distribution"] == record["distribution"]


async def test_an_assignment_moves_the_figures_and_flows_at_once(
    hand: Hand, settings: Settings
) -> None:
    await hand.feed(*population(30))
    async with calling(settings) as client:
        await becomes_ready(client)
        before = await becomes(client, counted=True, shoppers=30)
        queue = (await asked(client, "/v1/queue"))["shoppers"]
        customer = queue[0]["customer_id"]
        await hand.feed(Assignment("a1", customer, NOW, "student"))
        await becomes(client, 5, assigned=1, ambiguous=before["ambiguous"] - 1)
        queue = (await asked(client, "/v1/queue"))["shoppers"]
        assert customer not in [each["customer_id"] for each in queue]
        told = await asked(client, "/v1/history?seconds=60")
        assert {"from": None, "to": "student", "count": 1} in told["flows"]
        assert sum(filter(None, told["changes"])) >= 1
        assert told["mix"]["student"][-1] == before["mix"]["student"] + 1
        student = (await asked(client, "/v1/portraits"))["personas"]
        assert [each["assigned"] for each in student if each["name"] == "student"] == [1]


async def test_who_is_deleted_leaves_the_queue_at_once_and_the_count_with_the_next_pass(
    hand: Hand, settings: Settings
) -> None:
    await hand.feed(*population(30))
    async with calling(settings) as client:
        await becomes_ready(client)
        await becomes(client, counted=True, shoppers=30)
        queue = (await asked(client, "/v1/queue"))["shoppers"]
        customer = queue[0]["customer_id"]
        await hand.feed(Deletion("d1", customer, NOW + 1))

        async def left() -> bool:
            now = (await asked(client, "/v1/queue"))["shoppers"]
            return customer not in [each["customer_id"] for each in now]

        await eventually(left, 5, "it stays in the queue")
        await becomes(client, 15, shoppers=29)


async def test_what_defines_a_persona_is_what_its_labelled_shoppers_buy(
    hand: Hand, settings: Settings
) -> None:
    events = population(60)
    labels = [
        Assignment(f"a{n}", f"c{n:04}", NOW, ("parent_of_young_kids", "pet_owner")[n % 3])
        for n in range(60)
        if n % 3 < 2
    ]
    await hand.feed(*events, *labels)
    async with calling(settings) as client:
        await becomes_ready(client)

        async def told() -> bool:
            found = (await asked(client, "/v1/portraits"))["personas"]
            lifts = {each["name"]: [lift["value"] for lift in each["lifts"]] for each in found}
            return (
                "baby/diapers" in lifts["parent_of_young_kids"]
                and "pets/dog" in (lifts["pet_owner"])
            )

        await eventually(told, 20, "it does not tell what defines them")


# --- history ---


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> int:
    """Milliseconds of a sample of the history: three seconds, not ten."""
    assert history.STEP_MS == 10_000
    for module in ("history", "recorder", "service"):
        monkeypatch.setattr(f"stream_persona.api.dashboard.{module}.STEP_MS", 3_000)
    for module in ("history", "service"):
        monkeypatch.setattr(f"stream_persona.api.dashboard.{module}.STEP", 3)
    return 3_000


async def test_two_processes_write_one_history(
    settings: Settings, short_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FRESH", 0.2)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(calling(settings)) for _ in range(2)]
        for client in clients:
            await becomes_ready(client)
        redis = await stack.enter_async_context(client_of(settings.redis_url))

        async def remembered() -> list[Any]:
            entries: list[Any] = await redis.xrange(f"{settings.prefix}persona-history")
            return entries

        async def two() -> bool:
            return len(await remembered()) >= 2

        await eventually(two, 45, "no history is remembered")
        times = [int(entry.partition(b"-")[0]) for entry, _ in await remembered()]
        assert times == list(range(times[0], times[-1] + 1, short_steps))
        for client in clients:
            told = await asked(client, "/v1/history")
            assert told["at"][: len(times)] == times
            assert told["changes"][: len(times)] == [0] * len(times)


@pytest.mark.parametrize("query", ["seconds=59", "seconds=21601", "seconds=x"])
async def test_history_is_asked_for_within_what_is_remembered(
    settings: Settings, query: str
) -> None:
    async with calling(settings) as client:
        response = await client.get(f"/v1/history?{query}")
        assert response.status_code == 400
        assert response.json()["message"].startswith("seconds: ")


# --- workers and what waits ---


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look every half a second, a pass every second: what they find is tested, not how often."""
    monkeypatch.setattr("stream_persona.api.dashboard.service.PERIOD", 1.0)
    monkeypatch.setattr("stream_persona.api.dashboard.service.INTERVAL", 0.5)
    monkeypatch.setattr("stream_persona.api.dashboard.workers.INTERVAL", 0.5)


@pytest.fixture
def soon_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream stands still after three seconds, and a worker is gone after eight."""
    assert (lag.STALLED, workers.ALIVE) == (10.0, 15.0)
    monkeypatch.setattr(lag, "STALLED", 3.0)
    for module in ("workers", "health"):
        monkeypatch.setattr(f"stream_persona.api.dashboard.{module}.ALIVE", 8.0)


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    await prepare(settings)
    async with client_of(settings.redis_url) as redis:
        yield Shop(settings, redis)


@pytest.fixture
def worker(shop: Shop, tmp_path: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(shop.settings, tmp_path / "worker.log")
    yield process
    process.stop(signal.SIGKILL)


def looks(number: int) -> list[Event]:
    return [Browse(f"b{n}", f"c{n % 7}", NOW + n, "search", query="shoes") for n in range(number)]


async def test_a_worker_is_told_of_and_at_rest_nothing_waits(
    shop: Shop, worker: WorkerProcess
) -> None:
    labels = [Assignment(f"a{n}", f"c{n}", NOW, "student") for n in range(7)]
    await shop.produce(*looks(300), *labels)
    async with calling(shop.settings) as client:
        await becomes(client, 60, workers=1, shoppers=7, assigned=7, lag_events=0)
        await shop.produce(*looks(200))

        async def counted() -> bool:
            return bool((await asked(client, "/v1/overview"))["events_per_second"])

        await eventually(counted, 20, "no events are counted")
        found = await becomes(client, 20, lag_events=0, lag_seconds=0.0, troubles=[])
        assert found["change_p99_ms"] > 0
        model = await asked(client, "/v1/model")
        (only,) = model["workers"]
        assert (only["partitions"], only["at"] > only["started_at"]) == (8, True)
        assert [each["name"] for each in model["models"]] == ["current"]
        assert model["models"][0]["trials"] == sum(map(sum, model["confusion"]["counts"])) == 7


async def test_a_stream_that_stands_still_is_told_until_it_goes_on(
    shop: Shop, worker: WorkerProcess, soon_told: None
) -> None:
    await shop.produce(*looks(10))
    async with calling(shop.settings) as client:
        await becomes(client, 60, workers=1, lag_events=0, troubles=[])
        worker.process.send_signal(signal.SIGSTOP)
        await shop.produce(*looks(40))
        found = await becomes(client, lag_events=40)
        assert found["troubles"] == []
        (sentence,) = await troubled(client, "stream")
        assert sentence.startswith("The stream stands still: 40 events wait and none was worked")
        assert (await asked(client, "/v1/overview"))["lag_seconds"] >= 2
        sentences = await troubled(client, "workers", "stream")
        assert "No worker has reported for 8 s: personas don't move." in sentences
        assert (await asked(client, "/v1/overview"))["workers"] == 0
        worker.process.send_signal(signal.SIGCONT)
        await troubled(client)
        await becomes(client, workers=1, lag_events=0, lag_seconds=0.0)


async def test_the_marks_that_transactions_leave_in_topics_do_not_wait_for_anybody(
    shop: Shop, worker: WorkerProcess, real_kafka: Kafka
) -> None:
    settings = shop.settings
    async with AIOKafkaProducer(
        bootstrap_servers=settings.brokers, transactional_id=f"{settings.group}-shop"
    ) as producer:
        for event in looks(20):
            async with producer.transaction():
                await producer.send(
                    settings.topic_browses, encode(event), event.customer_id.encode()
                )
    async with calling(settings) as client:
        await becomes(client, 60, shoppers=7, lag_events=0)


async def test_an_event_of_a_transaction_that_has_not_ended_waits_for_no_worker(
    shop: Shop, real_kafka: Kafka
) -> None:
    settings = shop.settings
    async with (
        calling(settings) as client,
        AIOKafkaProducer(
            bootstrap_servers=settings.brokers, transactional_id=f"{settings.group}-shop"
        ) as producer,
    ):
        await becomes(client, lag_events=0)
        async with producer.transaction():
            for event in looks(5):
                value = encode(event)
                await producer.send_and_wait(settings.topic_browses, value, b"c")
            await shop.produce(*looks(3), partition=0)
            await becomes(client, lag_events=3)


async def test_without_a_worker_that_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_persona.api.dashboard.health.ALIVE", 3.0)
    assert workers.ALIVE == 15.0
    async with calling(settings) as client:
        assert await troubled(client) == []
        (sentence,) = await troubled(client, "workers")
        assert sentence == "No worker has reported for 3 s: personas don't move."


async def test_a_topic_that_nobody_has_made_is_not_made_by_asking_what_waits(
    settings: Settings, real_kafka: Kafka
) -> None:
    async with calling(settings) as client:
        await becomes(client, lag_events=0, lag_seconds=0.0)
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:
        topics = await producer.client.fetch_all_metadata()
        assert not topics.topics() & set(settings.input_topics)


async def test_the_embedded_broker_tells_what_waits() -> None:
    with EmbeddedBroker() as broker:
        settings = Settings(_env_file=None, brokers=broker.address, partitions=PARTITIONS)
        backlog = Backlog(settings)
        await backlog.look()
        assert (backlog.away, backlog.events) == (False, 0)
        async with Redis() as unused:
            await Shop(settings, unused).produce(*looks(30))
        await backlog.look()
        assert (backlog.away, backlog.events) == (False, 30)
        await backlog.close()


# --- what is away ---


async def test_while_redis_is_away_the_dashboard_says_so_and_answers(
    settings: Settings, soon_told: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FRESH", 0.0)
    with EmbeddedRedis(shutil.which("redis-server")) as server:
        host, port = server.address.split(":")
        async with SlowProxy(host, int(port)) as proxy:
            own = settings.model_copy(update={"redis_url": f"redis://{proxy.address}/0"})
            async with working(own) as hand:
                await hand.feed(basket("e1", "c1", "pets/dog"))
            async with calling(own) as client:
                await becomes(client, shoppers=1, troubles=[])
                before = await asked(client, "/v1/history")
                proxy.freeze()
                (sentence,) = await troubled(client, "redis")
                assert sentence == "Redis does not answer: what you see may be old."
                for path in ("/v1/portraits", "/v1/model", "/v1/queue"):
                    await asked(client, path)
                assert (await asked(client, "/v1/overview"))["shoppers"] == 1
                assert (await client.get("/v1/history")).status_code in {200, 503}
                proxy.unfreeze()
                await troubled(client, "workers")
                assert (await asked(client, "/v1/history"))["at"] >= before["at"]


async def test_without_a_broker_the_dashboard_says_so_and_answers(
    settings: Settings, hand: Hand
) -> None:
    await hand.feed(basket("e1", "c1", "pets/dog"))
    away = settings.model_copy(update={"brokers": f"127.0.0.1:{free_port()}"})
    async with calling(away) as client:
        (sentence,) = await troubled(client, "kafka")
        assert sentence.startswith("Kafka does not answer: nothing new can come in")
        found = await asked(client, "/v1/overview")
        assert (found["lag_events"], found["lag_seconds"], found["shoppers"]) == (None, None, 1)


async def test_a_broker_that_falls_silent_is_told_of_until_it_answers(
    kafka: Kafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kafka.kind != "kafka":
        pytest.skip("needs a broker that tells its clients of a proxy")
    monkeypatch.setattr(lag, "PATIENCE", 2.0)
    async with SlowProxy.of_kafka(kafka) as proxy:  # type: ignore[arg-type]
        behind = settings.model_copy(update={"brokers": proxy.address})
        async with calling(behind) as client:
            await becomes(client, lag_events=0)
            proxy.freeze()
            await troubled(client, "kafka")
            proxy.unfreeze()
            await becomes(client, lag_events=0)
