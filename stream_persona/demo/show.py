"""The demo once everything runs: the study assigned, the half-year played, the changes heard."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from importlib.metadata import version
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from stream_persona.demo.feeder import Feeder
from stream_persona.demo.playback import Playback
from stream_persona.demo.report import Report
from stream_persona.demo.scoreboard import Scoreboard
from stream_persona.demo.study import Study
from stream_persona.demo.view import Status, View
from stream_persona.domain.events import ASSIGNMENT
from stream_persona.settings import Settings

#: Seconds without a change after which the system is at rest, and the most to wait for that. A
#: worker publishes its share of the model every two seconds at most, and then settles thresholds.
_QUIET: Final = 3.0
_SETTLE: Final = 10.0
#: Seconds between two drawings, and those that "events a second" looks back.
_FRAME: Final = 0.25
_WINDOW: Final = 5.0
#: Share of the time spent waiting for the worker that counts as slowed.
_SLOWED: Final = 0.1
#: Public records read at a time.
_CHUNK: Final = 500


class Show:
    """Feeds a running system, listens to it and keeps the score.

    ``started`` is when the demo began, of ``time.monotonic``.
    """

    def __init__(
        self, settings: Settings, study: Study, feeder: Feeder, playback: Playback, started: float
    ) -> None:
        self._settings = settings
        self._study = study
        self._feeder = feeder
        self._playback = playback
        self._started = started
        self._board = Scoreboard(study)
        self._fed_at = time.monotonic()
        self._consumed_at = self._fed_at
        self._first_change: float | None = None
        self._last_change = self._fed_at
        self._past: deque[tuple[float, int, float]] = deque()

    async def assign(self) -> None:
        """Feed the study's first assignments, and wait until they are learned."""
        self._fed_at = time.monotonic()
        for assignment in self._study.first():
            await self._feeder.send(ASSIGNMENT, assignment)
        await self._feeder.drained()

    async def play(self, *, until: float | None, endless: bool) -> None:
        """Play what ``Playback.run`` says, and wait until all of it is consumed."""
        await self._playback.run(self._feeder, until=until, endless=endless)
        await self._feeder.drained()
        self._consumed_at = time.monotonic()
        await self._rest()

    async def listen(self, changes: PubSub) -> None:
        """Hear changes, for ever."""
        while True:
            message = await changes.get_message(ignore_subscribe_messages=True, timeout=1.0)
            if message is not None:
                self._last_change = time.monotonic()
                self._first_change = self._first_change or self._last_change
                self._board.hear(orjson.loads(message["data"]))

    async def paint(self, view: View) -> None:
        """Show how things stand, for ever."""
        while True:
            await self._feeder.ask()
            view.show(self._status())
            await asyncio.sleep(_FRAME)

    async def report(self, redis: Redis, *, interrupted: bool) -> Report:
        """The figures so far; of each shopper what a lookup returns now."""
        await self._feeder.ask()
        await self._look_up(redis)
        board, feeder, playback = self._board, self._feeder, self._playback
        judgement, changes = board.judge(), board.changes
        end = max(self._consumed_at, self._fed_at) if not interrupted else time.monotonic()
        seconds = end - self._fed_at
        first = self._first_change
        return Report(
            events=feeder.backlog.consumed,
            events_per_second=feeder.backlog.consumed / seconds if seconds else 0.0,
            shoppers=board.shoppers,
            changes=changes.total(),
            ambiguous_share=board.ambiguous / board.shoppers if board.shoppers else None,
            holdout_accuracy=judgement.accuracy,
            majority_accuracy=judgement.majority_accuracy,
            seconds_to_first_change=None if first is None else first - self._started,
            broker=f"embedded: the mock cluster of confluent-kafka {version('confluent-kafka')}",
            redis=f"embedded: {_server(await redis.info('server'))}",
            holdout_shoppers=len(self._study.held_back),
            holdout_judged=judgement.judged,
            holdout_log_loss=judgement.log_loss,
            prior_log_loss=judgement.prior_log_loss,
            holdout_named=judgement.named,
            holdout_named_accuracy=judgement.named_accuracy,
            named=board.named,
            assigned=len(self._study.assigned),
            sim_shoppers=board.synthetic,
            changes_by_cause=dict(changes),
            produced=dict(zip(self._settings.input_topics, feeder.produced, strict=True)),
            produced_bytes=feeder.produced_bytes,
            event_days=playback.days,
            journey_days=playback.length,
            days_per_second=playback.speed,
            waited_seconds=feeder.waited,
            seconds=time.monotonic() - self._started,
            interrupted=interrupted,
        )

    async def _rest(self) -> None:
        """Wait until no change has come for a while."""
        deadline = time.monotonic() + _SETTLE
        while time.monotonic() < min(deadline, self._last_change + _QUIET):  # noqa: ASYNC110
            await asyncio.sleep(_FRAME)  # no event says that nothing happened

    async def _look_up(self, redis: Redis) -> None:
        prefix = f"{self._settings.prefix}persona:"
        customers = [*self._study.assigned, *self._study.held_back, *self._board.customers]
        for begin in range(0, len(customers), _CHUNK):
            chunk = customers[begin : begin + _CHUNK]
            records = await redis.mget([prefix + customer for customer in chunk])
            for customer, record in zip(chunk, records, strict=True):
                if record is not None:
                    self._board.look_up(customer, orjson.loads(record))

    def _status(self) -> Status:
        board, now = self._board, time.monotonic()
        self._past.append((now, self._feeder.backlog.consumed, self._feeder.waited))
        while len(self._past) > 2 and self._past[1][0] < now - _WINDOW:  # noqa: PLR2004
            self._past.popleft()
        begin, before, waited = self._past[0]
        seconds = max(now - begin, _FRAME)
        return Status(
            seconds=now - self._started,
            clock=self._playback.clock,
            events=self._feeder.backlog.consumed,
            events_per_second=(self._feeder.backlog.consumed - before) / seconds,
            slowed=self._feeder.waited - waited > _SLOWED * seconds,
            shoppers=board.shoppers,
            named=board.named,
            ambiguous=board.ambiguous,
            synthetic=board.synthetic,
            changes=board.changes.total(),
            judgement=board.judge(),
            recent=tuple(board.recent),
        )


def _server(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
