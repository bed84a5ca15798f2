"""A shop whose servers fail while events come in, and what must be true of it afterwards."""

import asyncio
import random
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from stream_persona.domain import record_codec
from stream_persona.domain.events import (
    KINDS,
    Assignment,
    Browse,
    Engagement,
    Event,
    Item,
    Purchase,
    encode,
)
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.shop import Shop, WorkerProcess, environment
from tests.support.waiting import eventually

NOW = 1_764_000_000_000
CATEGORIES = ("baby/diapers", "pets/dog", "tools", "electronics/audio", "office/paper", "books")
PERSONAS = ("parent_of_young_kids", "pet_owner", "home_improver", "gadget_lover")
CUSTOMERS = 60

#: Seconds that a worker may take to start, or to go on.
PATIENCE = 40.0


def events(seed: int = 1) -> Iterator[Event]:
    """What shoppers do, without an end; every event has an id of its own."""
    rnd, number = random.Random(seed), 0
    while True:
        number += 1
        yield _event(rnd, f"e{seed}-{number}", f"c{rnd.randrange(CUSTOMERS)}")


def _event(rnd: random.Random, name: str, customer: str) -> Event:
    at = NOW + rnd.randrange(30 * 86_400_000)
    taste = (int(customer[1:]) + rnd.randrange(2)) % len(CATEGORIES)
    item = Item(f"p{rnd.randrange(30)}", CATEGORIES[taste], price=rnd.choice([2.5, 9.0, 80.0]))
    match rnd.randrange(12):
        case 0:
            return Assignment(name, customer, at, PERSONAS[int(customer[1:]) % 4], "study")
        case 1 | 2:
            return Purchase(name, customer, at, (item,))
        case 3:
            return Engagement(name, customer, at, "email", "click", campaign="spring")
        case _:
            return Browse(name, customer, at, "view", item)


class Worker(WorkerProcess):
    """A worker process, and what it has told since somebody looked last."""

    seen = 0

    def told(self) -> str:
        return self.log.read_text()[self.seen :]

    def goes_on(self) -> bool:
        return self.process.poll() is None

    async def says(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until the log has a text in its new lines; what stands before is old then."""
        await eventually(lambda: text in self.told(), seconds, f"no {text!r} in: {self.told()}")
        self.seen += self.told().index(text) + len(text)

    async def ends(self, sentence: str, code: int = 1, seconds: float = 30.0) -> None:
        """It ends by itself, with a code and one sentence on why."""
        await eventually(lambda: not self.goes_on(), seconds, f"it goes on: {self.told()}")
        told = self.told()
        assert self.process.returncode == code, told[-2_000:]
        last = told.splitlines()[-1]
        assert sentence in last, told[-2_000:]
        assert told.count(last) == 1, told[-4_000:]
        assert "stream_persona.errors" not in told  # as a stack would end


@asynccontextmanager
async def api(settings: Settings, log: Path) -> AsyncIterator[httpx.AsyncClient]:
    """``stream-persona api`` as a process, and a client of it."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream_persona", "api",
            env=environment(settings), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        listening = re.compile(r"listening on (http://\S+)")
        await eventually(lambda: listening.search(log.read_text()), PATIENCE, "no API")
        address = listening.findall(log.read_text())[0]
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            yield client
    finally:
        process.kill()
        await process.wait()


class Trouble:
    """One deployment in trouble: a flow of events, worker processes, and the oracle."""

    def __init__(self, settings: Settings, shop: Shop, directory: Path) -> None:
        self.settings, self.shop = settings, shop
        self.sent = 0
        self._directory = directory
        self._workers: list[Worker] = []
        self._flow = events()

    def start(self, **overrides: object) -> Worker:
        """A worker that is just starting."""
        settings = self.settings.model_copy(update=overrides)
        log = self._directory / f"worker-{len(self._workers)}.log"
        self._workers.append(Worker(settings, log))
        return self._workers[-1]

    async def stop(self) -> None:
        """Let the last worker end as an operator does."""
        assert await asyncio.to_thread(self._workers[-1].stop) == 0

    async def worker(self, **overrides: object) -> Worker:
        """One that works: the last one, if it does with the deployment's own settings."""
        if overrides or not self._workers or not self._workers[-1].goes_on():
            self.start(**overrides)
            await self.send(40)
            await self.shop.at_rest(PATIENCE)
        self._workers[-1].seen = len(self._workers[-1].log.read_text())
        return self._workers[-1]

    def rename(self) -> None:
        """From now on it is another deployment on the same topics: prefix and group are new."""
        new = {name: f"new-{getattr(self.settings, name)}" for name in ("prefix", "group")}
        self.settings = self.settings.model_copy(update=new)
        self.shop.settings = self.settings

    async def send(self, number: int) -> None:
        """So many events, all at once."""
        await self.shop.produce(*(next(self._flow) for _ in range(number)))
        self.sent += number

    @asynccontextmanager
    async def flowing(self, rate: float = 150.0) -> AsyncIterator[None]:
        """Events all the time; a broker that is away gets them when it is back."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.brokers, enable_idempotence=True,
            request_timeout_ms=120_000,
        )  # fmt: skip
        await producer.start()
        sending: list[asyncio.Future[object]] = []
        flow = asyncio.create_task(self._feed(producer, rate, sending))
        try:
            yield
        finally:
            flow.cancel()
            await asyncio.gather(flow, return_exceptions=True)
            await asyncio.wait_for(asyncio.gather(*sending), PATIENCE)
            await producer.stop()

    async def _feed(
        self, producer: AIOKafkaProducer, rate: float, sending: list[asyncio.Future[object]]
    ) -> None:
        """A broker that is away takes what waits for it in any order, which must not matter."""
        while True:
            event = next(self._flow)
            topic = self.settings.input_topics[KINDS.index(type(event))]
            sent = producer.send_and_wait(topic, encode(event), event.customer_id.encode())
            sending.append(asyncio.ensure_future(sent))
            self.sent += 1
            await asyncio.sleep(1 / rate)

    async def more(self, number: int) -> None:
        """Wait until so many more events were sent: that is how long a fault lasts."""
        end = self.sent + number
        await eventually(lambda: self.sent >= end, PATIENCE, "the flow has stopped")

    async def exact(self) -> None:
        """Everything is applied, once: records are the fold, changes have no hole."""
        await self.folded()
        await self.public_records()

    async def folded(self) -> None:
        """Records are the fold of what the topics hold, and nothing was unreadable."""
        await self.shop.at_rest(PATIENCE)
        oracle, mark = await self.shop.oracle(), self.shop.taxonomy.fingerprint
        assert await self.shop.folded() == {
            n: record_codec.encode_folded(r, mark) for n, r in oracle.items()
        }
        assert await self.shop.read(self.settings.topic_dead_letters) == []

    async def public_records(self) -> None:
        """Revisions without a hole, never two contents under one id."""
        contents: dict[str, bytes] = {}
        revisions: dict[str, list[int]] = {}
        for record in await self.shop.read(self.settings.topic_changes):
            change = orjson.loads(record.value)
            assert contents.setdefault(change["change_id"], record.value) == record.value
            revisions.setdefault(change["customer_id"], []).append(change["revision"])
        for said in revisions.values():
            assert sorted(set(said)) == list(range(1, max(said) + 1))
            assert said[-1] == max(said)

    def close(self) -> None:
        for worker in self._workers:
            worker.stop(signal.SIGKILL)


@asynccontextmanager
async def trouble(settings: Settings, redis: Redis, directory: Path) -> AsyncIterator[Trouble]:
    """A deployment whose topics exist, and whose workers end with the block."""
    await prepare(settings)
    shop = Trouble(settings, Shop(settings, redis), directory)
    try:
        yield shop
    finally:
        shop.close()
