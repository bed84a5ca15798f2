"""What is judged from Redis's own figures, and what is left unsaid."""

from typing import Any

import pytest

from stream_persona.store.redis_health import check_server

WELL: dict[str, Any] = {
    "maxmemory_policy": "noeviction", "maxmemory": 1_000, "used_memory": 500, "aof_enabled": 1,
    "aof_last_write_status": "ok", "aof_last_bgrewrite_status": "ok",
    "rdb_last_bgsave_status": "ok", "role": "master", "evicted_keys": 0,
    "used_memory_rss": 2_000, "total_system_memory": 10_000,
}  # fmt: skip


def topics_of(schedule: str | None = "", **figures: Any) -> list[tuple[str, int]]:
    return [(each.topic, each.level) for each in check_server("a:1", WELL | figures, schedule)]


def test_a_server_that_is_well_has_no_findings() -> None:
    assert topics_of() == []


def test_nothing_is_said_of_a_server_that_says_nothing() -> None:
    assert check_server("a:1", {}, None) == []


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}, ("eviction", 0)),
        ({"maxmemory_policy": "volatile-ttl"}, ("eviction", 0)),
        ({"evicted_keys": 272}, ("evicted", 272)),
        ({"used_memory": 800}, ("memory", 0)),
        ({"used_memory": 900}, ("memory", 1)),
        ({"maxmemory": 0, "used_memory_rss": 8_000}, ("memory", 0)),
        ({"aof_enabled": 0}, ("persistence", 0)),
        ({"aof_last_write_status": "err"}, ("saving", 0)),
        ({"aof_last_bgrewrite_status": "err"}, ("saving", 0)),
        ({"role": "slave"}, ("role", 0)),
    ],
)
def test_each_fault_is_one_finding(figures: dict[str, Any], found: tuple[str, int]) -> None:
    assert topics_of(**figures) == [found]


@pytest.mark.parametrize(
    ("schedule", "status", "found"),
    [
        ("3600 1", "ok", []), ("3600 1", "err", [("saving", 0)]), ("", "err", [("persistence", 0)]),
        (None, "ok", []), (None, "err", [("saving", 0)]),
    ],
)  # fmt: skip
def test_snapshots_count_where_there_is_no_append_only_file(
    schedule: str | None, status: str, found: list[tuple[str, int]]
) -> None:
    assert topics_of(schedule, aof_enabled=0, rdb_last_bgsave_status=status) == found


def test_a_snapshot_that_failed_beside_an_append_only_file_is_no_finding() -> None:
    assert topics_of("3600 1", rdb_last_bgsave_status="err") == []


def test_79_percent_of_the_memory_are_no_finding() -> None:
    assert topics_of(used_memory=799) == []


def test_only_eviction_is_fatal() -> None:
    worst = WELL | {
        "maxmemory_policy": "allkeys-lru", "evicted_keys": 1, "used_memory": 999,
        "aof_enabled": 0, "role": "slave",
    }  # fmt: skip
    found = check_server("a:1", worst, "")
    assert [each.topic for each in found if each.fatal] == ["eviction"]
    assert len(found) == 5
    assert all("a:1" in each.message and not each.message.endswith(".") for each in found)
