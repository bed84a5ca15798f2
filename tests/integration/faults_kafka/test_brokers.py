"""The broker or its topics fail while events come in: nothing is lost or counted twice.

All tests share one broker that may die, and each has a deployment of its own on it. A broker that
is silent is one behind a proxy (``tests/support/slow_proxy.py``) that passes nothing on.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.machines import Broker
from tests.support.faulty_deployment import FaultyDeployment, faulty_deployment
from tests.support.kafka_admin import SHORT, dead
from tests.support.servers import Redis, client_of, settings_for
from tests.support.slow_proxy import SlowProxy

pytestmark = pytest.mark.faults


async def test_a_broker_that_dies_and_comes_back_is_waited_for(
    shop: FaultyDeployment, broker: Broker
) -> None:
    worker = await shop.worker()
    async with shop.flowing():
        async with dead(broker):
            await shop.more(100)
        await shop.more(100)
    await shop.check()
    assert worker.is_running()


async def test_a_broker_that_stays_away_ends_the_worker_and_the_next_one_goes_on(
    shop: FaultyDeployment, broker: Broker
) -> None:
    worker = await shop.worker(retry_seconds=SHORT)
    async with shop.flowing():
        async with dead(broker):
            await worker.ends("Kafka")
        shop.start()
        await shop.more(100)
    await shop.check()


async def test_a_silent_broker_is_waited_for_and_in_the_end_ends_even_an_idle_worker(
    shop: FaultyDeployment, broker: Broker
) -> None:
    async with SlowProxy.of_kafka(broker) as proxy:
        worker = await shop.worker(brokers=proxy.address, retry_seconds=6.0)
        async with shop.flowing():
            proxy.freeze()
            await shop.more(300)
            proxy.unfreeze()
        await shop.check()
        assert worker.is_running()
        proxy.freeze()
        await worker.ends("no Kafka broker answered for 6 s")
        proxy.unfreeze()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small], check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a small file system")
    yield small
    subprocess.run(["umount", "--lazy", small], check=True)


async def test_a_broker_whose_disk_is_full_is_treated_as_one_that_is_away(
    small_disk: Path, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    full = Broker()
    monkeypatch.undo()
    try:
        await asyncio.to_thread(full.wait_until_ready)
        settings = settings_for(full, redis_server.url, retry_seconds=5.0)
        async with (
            client_of(settings.redis_url) as redis,
            faulty_deployment(settings, redis, tmp_path) as shop,
        ):
            worker = await shop.worker()
            async with shop.flowing():
                fill(small_disk / "ballast")
                await worker.ends("Kafka", seconds=40)
                assert shutil.disk_usage(small_disk).free == 0
                assert full._process.poll() is not None
                (small_disk / "ballast").unlink()
                await asyncio.to_thread(full.end, signal.SIGKILL)
                await asyncio.to_thread(full.start_again)
                shop.start()
            await shop.check()
    finally:
        full.close()


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
