"""A deployment whose servers fail while events come in, and what must hold afterwards."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import orjson
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from stream_persona.domain import record_codec
from stream_persona.domain.events import KINDS, encode
from stream_persona.settings import Settings
from stream_persona.worker.startup import prepare
from tests.support.shop import Shop, WorkerProcess, environment
from tests.support.shoppers import events
from tests.support.waiting import eventually, patience

#: Seconds that a worker may take to start, or to go on.
PATIENCE = 40.0


class Worker(WorkerProcess):
    """A worker process, and the part of its log that no test has looked at yet."""

    seen = 0

    def new_log(self) -> str:
        return self.log.read_text()[self.seen :]

    def is_running(self) -> bool:
        return self.process.poll() is None

    async def logs(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until the new part of the log has a text; from then on it begins behind that."""
        await eventually(
            lambda: text in self.new_log(), seconds, lambda: f"no {text!r} in: {self.new_log()}"
        )
        self.seen += self.new_log().index(text) + len(text)

    async def ends(self, sentence: str, code: int = 1, seconds: float = 30.0) -> None:
        """Wait until it ends by itself, with a code and one sentence on why."""
        await eventually(
            lambda: not self.is_running(), seconds, lambda: f"still running: {self.new_log()}"
        )
        log = self.new_log()
        assert self.process.returncode == code, log[-2_000:]
        last = log.splitlines()[-1]
        assert sentence in last, log[-2_000:]
        assert log.count(last) == 1, log[-4_000:]
        assert "stream_persona.errors" not in log  # as a stack would end


@asynccontextmanager
async def api(settings: Settings, log: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run ``stream-persona api`` as a process; yields a client of it."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream_persona", "api",
            env=environment(settings), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        listening = re.compile(r"listening on (http://\S+)")
        await eventually(lambda: listening.search(log.read_text()), PATIENCE, "no API")
        address = listening.findall(log.read_text())[0]
        async with httpx.AsyncClient(base_url=address, timeout=patience(20)) as client:
            yield client
    finally:
        process.kill()
        await process.wait()


class FaultyDeployment:
    """A deployment whose servers fail: a flow of events, worker processes, and the oracle."""

    def __init__(self, settings: Settings, shop: Shop, directory: Path) -> None:
        self.settings, self.shop = settings, shop
        self.sent = 0
        self._directory = directory
        self._workers: list[Worker] = []
        self._flow = events()

    def start(self, **overrides: object) -> Worker:
        """Start a worker, without waiting for it."""
        settings = self.settings.model_copy(update=overrides)
        log = self._directory / f"worker-{len(self._workers)}.log"
        self._workers.append(Worker(settings, log))
        return self._workers[-1]

    async def stop(self) -> None:
        """Stop the last worker as an operator does."""
        assert await asyncio.to_thread(self._workers[-1].stop) == 0

    async def worker(self, **overrides: object) -> Worker:
        """Return a worker that works: the last one, unless it ended or ``overrides`` are given."""
        if overrides or not self._workers or not self._workers[-1].is_running():
            self.start(**overrides)
            await self.send(40)
            await self.shop.at_rest(PATIENCE)
        self._workers[-1].seen = len(self._workers[-1].log.read_text())
        return self._workers[-1]

    def rename(self) -> None:
        """Become another deployment on the same topics: prefix and group are new."""
        new = {name: f"new-{getattr(self.settings, name)}" for name in ("prefix", "group")}
        self.settings = self.settings.model_copy(update=new)
        self.shop.settings = self.settings

    async def send(self, number: int) -> None:
        """Send so many events, all at once."""
        await self.shop.produce(*(next(self._flow) for _ in range(number)))
        self.sent += number

    @asynccontextmanager
    async def flowing(self, rate: float = 150.0) -> AsyncIterator[None]:
        """Send events all the time; a broker that is away gets them when it is back."""
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
            await asyncio.wait_for(asyncio.gather(*sending), patience(PATIENCE))
            await producer.stop()

    async def _feed(
        self, producer: AIOKafkaProducer, rate: float, sending: list[asyncio.Future[object]]
    ) -> None:
        """A broker that was away takes the waiting events in any order, which must not matter."""
        while True:
            event = next(self._flow)
            topic = self.settings.input_topics[KINDS.index(type(event))]
            sent = producer.send_and_wait(topic, encode(event), event.customer_id.encode())
            sending.append(asyncio.ensure_future(sent))
            self.sent += 1
            await asyncio.sleep(1 / rate)

    async def more(self, number: int) -> None:
        """Wait until so many more events were sent, which is how long a fault lasts."""
        end = self.sent + number
        await eventually(lambda: self.sent >= end, PATIENCE, "the flow has stopped")

    async def check(self) -> None:
        """Assert that every event was applied once, and that revisions have no hole."""
        await self.check_records()
        await self.check_changes()

    async def check_records(self) -> None:
        """Assert that records are the fold of the topics, and that nothing was unreadable."""
        await self.shop.at_rest(PATIENCE)
        oracle, mark = await self.shop.oracle(), self.shop.taxonomy.fingerprint
        assert await self.shop.folded() == {
            n: record_codec.encode_folded(r, mark) for n, r in oracle.items()
        }
        assert await self.shop.read(self.settings.topic_dead_letters) == []

    async def check_changes(self) -> None:
        """Assert that revisions have no hole, and that no id stands for two contents."""
        contents: dict[str, bytes] = {}
        revisions: dict[str, list[int]] = {}
        for record in await self.shop.read(self.settings.topic_changes):
            change = orjson.loads(record.value)
            assert contents.setdefault(change["change_id"], record.value) == record.value
            revisions.setdefault(change["customer_id"], []).append(change["revision"])
        for published in revisions.values():
            assert sorted(set(published)) == list(range(1, max(published) + 1))
            assert published[-1] == max(published)

    def close(self) -> None:
        for worker in self._workers:
            worker.stop(signal.SIGKILL)


@asynccontextmanager
async def faulty_deployment(
    settings: Settings, redis: Redis, directory: Path
) -> AsyncIterator[FaultyDeployment]:
    """A deployment whose topics exist, and whose workers end with the block."""
    await prepare(settings)
    deployment = FaultyDeployment(settings, Shop(settings, redis), directory)
    try:
        yield deployment
    finally:
        deployment.close()


#: Begins a deployment with settings of its own.
Deploy = Callable[..., AbstractAsyncContextManager[FaultyDeployment]]
