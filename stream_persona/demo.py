"""The demo: a whole system on this machine, and a year's second half of real shoppers through it.

Broker and Redis server are embedded, worker and API are processes of their own. The study's
assignments are fed first; the held-back households are predicted and judged as the events come.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import sys
import time
import webbrowser
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from redis.asyncio import Redis
from rich.console import Console

from stream_persona import journey as complete_journey
from stream_persona.children import Child, child
from stream_persona.demo_view import Status, View, table, view_on
from stream_persona.embedded import PARTITIONS, EmbeddedBroker, EmbeddedRedis, free_port
from stream_persona.errors import StreamPersonaError, UnavailableError
from stream_persona.events import ASSIGNMENT
from stream_persona.feed import Feeder
from stream_persona.playback import DAY, Playback
from stream_persona.scoreboard import Scoreboard
from stream_persona.settings import Settings, load_settings
from stream_persona.simulate import Simulator
from stream_persona.taxonomy import load as load_taxonomy
from stream_persona.taxonomy import shipped

T = TypeVar("T")

#: Bytes of a partition that may wait for the worker: half of what the embedded broker keeps.
_LIMIT: Final = 2_500_000
#: Share of the bounded demo's time that the half-year is to fit in.
_PLAYED: Final = 0.8
#: Seconds that worker and API have to get ready, and the worker to consume the rest at the end.
_READY: Final = 60.0
_DRAIN: Final = 60.0
#: Seconds without a change after which nothing more is expected, and the most to wait for them.
_QUIET: Final = 1.0
_SETTLE: Final = 5.0
_FRAME: Final = 0.25
#: Seconds that "events a second" looks back.
_WINDOW: Final = 5.0


@dataclass(frozen=True)
class Options:
    """What may be chosen. ``started`` is when the command began, of ``time.monotonic``.

    ``for_seconds`` bounds the demo; ``speed`` is in days of event time a second, by default one,
    or what lets the half-year fit in the bounded demo. ``shoppers`` are the synthetic ones and
    ``rate`` is how many events a second they send together.
    """

    for_seconds: float | None = None
    speed: float | None = None
    browser: bool = True
    json: bool = False
    report: Path = Path("build/reports/demo.json")
    shoppers: int = 200
    rate: float = 20.0
    seed: int = 1
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Report:
    """The demo's figures, as in its JSON file.

    ``events`` counts what the worker consumed, all topics together, ``produced`` what was fed,
    by topic; ``waited_seconds`` is how long the feed stood still for the worker. Shoppers and
    shares are of real shoppers; ``None`` where there was nobody to judge.
    """

    events: int
    events_per_second: float
    shoppers: int
    changes: int
    ambiguous_share: float | None
    holdout_accuracy: float | None
    majority_accuracy: float | None
    seconds_to_first_change: float | None
    broker: str
    redis: str
    holdout_shoppers: int
    holdout_judged: int
    holdout_log_loss: float | None
    prior_log_loss: float | None
    holdout_named: int
    holdout_named_accuracy: float | None
    named: int
    assigned: int
    sim_shoppers: int
    changes_by_cause: dict[str, int]
    produced: dict[str, int]
    produced_bytes: int
    event_days: float
    days_per_second: float
    waited_seconds: float
    seconds: float
    interrupted: bool
