"""A session of the demo: the study assigned, the half-year played, the changes received."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from stream_persona.demo.display import DemoStatus, Display
from stream_persona.demo.feeder import Feeder
from stream_persona.demo.playback import Playback
from stream_persona.demo.report import Report
from stream_persona.demo.results import Results
from stream_persona.demo.study import Study
from stream_persona.domain.events import ASSIGNMENT
from stream_persona.settings import Settings

#: Seconds without a change after which the system is at rest, and the most to wait for that. A
#: worker publishes its share of the model every two seconds at most, and then settles thresholds.
_QUIET: Final = 3.0
_SETTLE: Final = 10.0
#: Seconds between two updates of the display, and the window of "events a second".
_FRAME: Final = 0.25
_WINDOW: Final = 5.0
#: The share of time spent waiting for the worker from which on the feed counts as slowed.
_SLOWED: Final = 0.1
#: Public records read at a time.
_CHUNK: Final = 500


class Session:
    """Feeds a running system, receives its changes and measures both.

    ``started`` is when the demo began, by ``clock``.
    """

    def __init__(
        self,
        settings: Settings,
        study: Study,
        feeder: Feeder,
        playback: Playback,
        *,
        started: float,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._study = study
        self._feeder = feeder
        self._playback = playback
        self._started, self._clock = started, clock
        self._results = Results(study)
        self._fed_at = clock()
        self._consumed_at = self._fed_at
        self._first_change: float | None = None
        self._first_name: float | None = None
        self._last_change = self._fed_at
        self._past: deque[tuple[float, int, float]] = deque()

    async def assign(self) -> None:
        """Feed the study's first assignments, and wait until they are consumed."""
        self._fed_at = self._clock()
        for assignment in self._study.list_first():
            await self._feeder.send(ASSIGNMENT, assignment)
        await self._feeder.drain()

    async def play(self, *, until: float | None, endless: bool) -> None:
        """Play the journey, as ``Playback.run`` does, and wait until all of it is consumed."""
        await self._playback.run(self._feeder, until=until, endless=endless)
        await self._feeder.drain()
        self._consumed_at = self._clock()
        await self._wait_for_rest()

    async def listen(self, changes: PubSub) -> None:
        """Receive changes, for ever."""
        while True:
            message = await changes.get_message(ignore_subscribe_messages=True, timeout=1.0)
            if message is not None:
                self._last_change = self._clock()
                self._first_change = self._first_change or self._last_change
                change = orjson.loads(message["data"])
                if self._first_name is None and _names_a_prediction(change):
                    self._first_name = self._last_change
                self._results.add_change(change)

    async def update(self, display: Display) -> None:
        """Keep the display up to date, for ever."""
        while True:
            await self._feeder.refresh_backlog()
            display.update(self._describe_status())
            await asyncio.sleep(_FRAME)

    async def report(self, redis: Redis, *, interrupted: bool) -> Report:
        """Return the figures so far, with the public record of each shopper as it is now."""
        await self._feeder.refresh_backlog()
        await self._read_records(redis)
        results, feeder, playback = self._results, self._feeder, self._playback
        holdout, changes = results.score_holdout(), results.changes
        end = max(self._consumed_at, self._fed_at) if not interrupted else self._clock()
        seconds = end - self._fed_at
        return Report(
            events=feeder.backlog.consumed,
            events_per_second=feeder.backlog.consumed / seconds if seconds else 0.0,
            shoppers=results.shoppers,
            changes=changes.total(),
            ambiguous_share=results.ambiguous / results.shoppers if results.shoppers else None,
            holdout_accuracy=holdout.accuracy,
            majority_accuracy=holdout.majority_accuracy,
            seconds_to_first_change=self._count_seconds_to(self._first_change),
            seconds_to_first_name=self._count_seconds_to(self._first_name),
            broker=f"embedded: the mock cluster of confluent-kafka {version('confluent-kafka')}",
            redis=f"embedded: {_name_server(await redis.info('server'))}",
            holdout_shoppers=len(self._study.held_back),
            holdout_judged=holdout.evaluated,
            holdout_log_loss=holdout.log_loss,
            prior_log_loss=holdout.prior_log_loss,
            holdout_named=holdout.named,
            holdout_named_accuracy=holdout.named_accuracy,
            named=results.named,
            assigned=len(self._study.assigned),
            sim_shoppers=results.synthetic,
            changes_by_cause=dict(changes),
            produced=dict(zip(self._settings.input_topics, feeder.produced, strict=True)),
            produced_bytes=feeder.produced_bytes,
            event_days=playback.days,
            journey_days=playback.total_days,
            days_per_second=playback.speed,
            waited_seconds=feeder.waited_seconds,
            seconds=self._clock() - self._started,
            interrupted=interrupted,
        )

    def _count_seconds_to(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self._started

    async def _wait_for_rest(self) -> None:
        """Wait until no change has come for a while."""
        deadline = self._clock() + _SETTLE
        while self._clock() < min(deadline, self._last_change + _QUIET):  # noqa: ASYNC110
            await asyncio.sleep(_FRAME)  # there is no event for nothing

    async def _read_records(self, redis: Redis) -> None:
        prefix = f"{self._settings.prefix}persona:"
        customers = [*self._study.assigned, *self._study.held_back, *self._results.customers]
        for start in range(0, len(customers), _CHUNK):
            chunk = customers[start : start + _CHUNK]
            records = await redis.mget([prefix + customer for customer in chunk])
            for customer, record in zip(chunk, records, strict=True):
                if record is not None:
                    self._results.add_record(customer, orjson.loads(record))

    def _describe_status(self) -> DemoStatus:
        results, now = self._results, self._clock()
        self._past.append((now, self._feeder.backlog.consumed, self._feeder.waited_seconds))
        while len(self._past) > 2 and self._past[1][0] < now - _WINDOW:  # noqa: PLR2004
            self._past.popleft()
        began, before, waited = self._past[0]
        seconds = max(now - began, _FRAME)
        return DemoStatus(
            seconds=now - self._started,
            clock=self._playback.position + self._feeder.shift,
            events=self._feeder.backlog.consumed,
            events_per_second=(self._feeder.backlog.consumed - before) / seconds,
            slowed=self._feeder.waited_seconds - waited > _SLOWED * seconds,
            shoppers=results.shoppers,
            named=results.named,
            ambiguous=results.ambiguous,
            synthetic=results.synthetic,
            changes=results.changes.total(),
            holdout=results.score_holdout(),
            recent=tuple(results.recent),
        )


def _names_a_prediction(change: Mapping[str, Any]) -> bool:
    """Whether a change names a persona that was predicted, not assigned."""
    current = change["current"]
    return current["persona"] is not None and current["source"] == "predicted"


def _name_server(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
