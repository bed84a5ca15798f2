"""A short form of ``make chaos``: one seed, every kind of fault once, on servers of its own."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import schedule, trial
from tests.chaos.shop_servers import Size
from tests.chaos.verdict import describe
from tests.support.kafka_node import can_run_kafka
from tests.support.servers import require_no_real
from tests.support.waiting import patience

SIZE = Size(events=8_000, customers=200, session=4.0)
SEED = 1


@pytest.fixture
def restartable() -> None:
    """Skip where no real servers can be started: others' may not be restarted."""
    if not can_run_kafka() or shutil.which("redis-server") is None:
        require_no_real("Kafka and Redis that may be restarted: Java 17, Maven, redis-server")
        pytest.skip("needs a Kafka and a Redis that it may restart")


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(patience(300))
@pytest.mark.parametrize(
    "sources", [False, pytest.param(True, marks=pytest.mark.faults)], ids=["ours", "sources"]
)
async def test_no_event_is_lost_or_counted_twice_whatever_dies(
    restartable: None, tmp_path: Path, sources: bool
) -> None:
    plan = schedule.plan(SEED, SIZE.events, len(schedule.SHORT))
    result = await trial.run(plan, replace(SIZE, sources=sources), tmp_path, print)
    assert describe(result.verdict.mismatches) == []
    assert set(result.injected) == set(schedule.SHORT)
    assert result.verdict.figures["deleted"] > 0
    assert result.notes["duplicate"] > 0
    assert result.verdict.figures["dead_letters"] > 0
