"""Judges from Redis's own figures whether it may evict or forget what it holds, or soon be full.

``INFO`` alone says nearly all of it: managed servers often refuse ``CONFIG``. What a server does
not say is unknown, and is not reported.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from redis.exceptions import NoPermissionError, ResponseError

from stream_persona.errors import TopologyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_persona.store.redis import RedisTables
    from stream_persona.store.redis_port import Store

logger = logging.getLogger(__name__)

#: Seconds between two looks of a worker.
LOOK_SECONDS: Final = 60.0
#: Shares of the memory from which on Redis is nearly full, and about to be.
NEARLY_FULL: Final = 0.8
ALMOST_FULL: Final = 0.9

Topic = Literal["eviction", "evicted", "persistence", "saving", "memory", "role"]


@dataclass(frozen=True, slots=True)
class RedisFinding:
    """What is wrong with one server: a sentence on one topic.

    ``fatal``: workers must not write to it. ``level`` grows as it gets worse.
    """

    server: str
    topic: Topic
    message: str
    level: int = 0
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class RedisLook:
    """What one look has found; ``unknown`` are servers, and commands that they refuse to answer."""

    findings: tuple[RedisFinding, ...] = ()
    unknown: tuple[str, ...] = ()


def check_server(server: str, info: Mapping[str, Any], schedule: str | None) -> list[RedisFinding]:
    """Judge a server by its ``INFO`` and its ``save`` setting, None where that is not known."""
    judged = (
        _judge_eviction(server, info), _judge_evicted(server, info), _judge_memory(server, info),
        _judge_persistence(server, info, schedule), _judge_saving(server, info, schedule),
        _judge_role(server, info),
    )  # fmt: skip
    return [finding for finding in judged if finding is not None]


def _judge_eviction(server: str, info: Mapping[str, Any]) -> RedisFinding | None:
    """Find a policy that may evict; without ``maxmemory`` it may after one ``CONFIG SET``."""
    policy = info.get("maxmemory_policy")
    if policy in {None, "noeviction"}:
        return None
    message = (
        f"Redis at {server} may evict keys (its maxmemory-policy is {policy}): they are records, "
        "not a cache; set maxmemory-policy to noeviction"
    )
    return RedisFinding(server, "eviction", message, fatal=True)


def _judge_evicted(server: str, info: Mapping[str, Any]) -> RedisFinding | None:
    number = int(info.get("evicted_keys", 0))
    if not number:
        return None
    keys = "1 key" if number == 1 else f"{number:,} keys"
    message = (
        f"Redis at {server} has evicted {keys} since it started: customers may be forgotten; "
        "replay the topics, then reset the count with CONFIG RESETSTAT"
    )
    return RedisFinding(server, "evicted", message, level=number)


def _judge_memory(server: str, info: Mapping[str, Any]) -> RedisFinding | None:
    """Judge the used share of ``maxmemory``, or without it of the machine's memory."""
    used, bound, name = info.get("used_memory"), info.get("maxmemory"), "maxmemory"
    if not bound:
        used, bound = info.get("used_memory_rss"), info.get("total_system_memory")
        name = "the machine's memory"
    if not used or not bound or used < NEARLY_FULL * bound:
        return None
    is_almost = used >= ALMOST_FULL * bound
    message = (
        f"Redis at {server} uses {min(used / bound, 9.99):.0%} of {name}"
        f"{', almost all' if is_almost else ''}: workers stop when it is full; give it more"
    )
    return RedisFinding(server, "memory", message, level=int(is_almost))


def _judge_persistence(
    server: str, info: Mapping[str, Any], schedule: str | None
) -> RedisFinding | None:
    if info.get("aof_enabled") != 0 or schedule is None or schedule.strip():
        return None
    message = (
        f"Redis at {server} keeps nothing on disk: a restart forgets all personas and labels; "
        "set appendonly yes"
    )
    return RedisFinding(server, "persistence", message)


def _judge_saving(
    server: str, info: Mapping[str, Any], schedule: str | None
) -> RedisFinding | None:
    """Judge what keeps the data: the append-only file, or snapshots where there is none."""
    if info.get("aof_enabled") == 1:
        names = ("aof_last_write_status", "aof_last_bgrewrite_status")
        is_failing, file = any(info.get(name) == "err" for name in names), "append-only file"
    else:
        is_failing, file = info.get("rdb_last_bgsave_status") == "err", "snapshot"
    if not is_failing or (file == "snapshot" and schedule == ""):
        return None
    message = (
        f"Redis at {server} failed to write its {file}: what came in since is in memory alone, "
        "and it may refuse writes; read its log, free the disk"
    )
    return RedisFinding(server, "saving", message)


def _judge_role(server: str, info: Mapping[str, Any]) -> RedisFinding | None:
    if info.get("role") != "slave":
        return None
    message = (
        f"Redis at {server} is a replica, which takes no writes; "
        "let STREAM_PERSONA_REDIS_URL lead to its primary"
    )
    return RedisFinding(server, "role", message)


async def look_at_redis(tables: RedisTables) -> RedisLook:
    """Look at each server that takes writes.

    Raises:
        UnavailableError: Redis stayed away.
    """
    return await tables.ask(_look)


def refuse_eviction(look: RedisLook) -> None:
    """Raise what no worker may go on with.

    Raises:
        TopologyError: a server may evict keys.
    """
    for finding in look.findings:
        if finding.fatal:
            raise TopologyError(finding.message)


async def _look(store: Store) -> RedisLook:
    answers = await store.ask_masters(("INFO",), ("CONFIG GET", "save"))
    findings: list[RedisFinding] = []
    unknown: list[str] = []
    for server, (info, config) in answers.items():
        refused = [
            f"{command} of {server}"
            for command, answer in (("INFO", info), ("CONFIG GET", config))
            if _is_refused(answer)
        ]
        unknown += refused
        if not _is_refused(info):
            findings += check_server(
                server, info, None if _is_refused(config) else _find_schedule(config)
            )
    return RedisLook(tuple(findings), tuple(unknown))


def _is_refused(answer: object) -> bool:
    """Whether a server refuses a command: a right is missing, or there is no such command.

    Raises:
        Exception: it did not answer for another reason, which may pass.
    """
    if not isinstance(answer, Exception):
        return False
    is_unknown = isinstance(answer, ResponseError) and "unknown" in str(answer).lower()
    if isinstance(answer, NoPermissionError) or is_unknown:
        return True
    raise answer


def _find_schedule(config: Mapping[bytes | str, bytes | str]) -> str | None:
    """Return when snapshots are saved ("" for never); None where the server does not say."""
    found = config.get("save", config.get(b"save"))
    return found.decode() if isinstance(found, bytes) else found


class RedisWatch:
    """Looks at Redis again and again, and logs what has changed."""

    def __init__(self, tables: RedisTables) -> None:
        self._tables = tables
        self._look = RedisLook()

    @property
    def sentences(self) -> list[str]:
        """What was wrong at the last look."""
        return [finding.message for finding in self._look.findings]

    async def look_for_workers(self) -> None:
        """Look once, for a process that writes.

        Raises:
            TopologyError: a server may evict keys.
            UnavailableError: Redis stayed away.
        """
        await self.look()
        refuse_eviction(self._look)

    async def look(self) -> None:
        """Look once.

        Raises:
            UnavailableError: Redis stayed away.
        """
        before, self._look = self._look, await look_at_redis(self._tables)
        for refused in _subtract(self._look.unknown, before.unknown):
            logger.info("it is unknown whether Redis may forget: it refuses %s", refused)
        known = {(each.server, each.topic): each.level for each in before.findings}
        now = {(each.server, each.topic) for each in self._look.findings}
        for finding in self._look.findings:
            if not finding.fatal and finding.level > known.get((finding.server, finding.topic), -1):
                logger.warning("%s", finding.message)
        for server, topic in _subtract(known, now):
            logger.info("Redis at %s is well again: %s", server, topic)


def _subtract(these: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    return [each for each in these if each not in others]
