"""What dashboards draw over time: a sample of every ten seconds, and their charts. Pure.

A sample is remembered in Redis by whichever API process is first; it tells of personas by name, so
that it can still be read after the taxonomy has changed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_persona.api.dashboard.persona_counts import Change

#: Seconds of a bucket, and the same in milliseconds.
STEP: Final = 10
STEP_MS: Final = 1_000 * STEP

#: Between the two personas of a flow: no name holds it, and none is empty, which is ambiguous.
_TO: Final = ":"


class State(Struct, omit_defaults=True, gc=False):
    """How all stood at one time; None where it was not known."""

    mix: dict[str, int] | None = None
    ambiguous: int | None = None
    shoppers: int | None = None
    events_per_second: float | None = None
    lag_events: int | None = None
    change_p99_ms: float | None = None
    log_loss: float | None = None
    prior_log_loss: float | None = None
    accuracy: float | None = None
    challengers: dict[str, float | None] = {}


class Sample(Struct, omit_defaults=True, gc=False):
    """How all stood at the end of a bucket, and what happened in it.

    ``flows`` are numbers of shoppers by ``from:to``; thousands of samples are kept, and so few
    objects for each.
    """

    state: State
    changes: int = 0
    flows: dict[str, int] = {}


class Bucket:
    """Ten seconds, from epoch ms ``start`` on; ``whole`` is whether all of them were heard."""

    def __init__(self, start: int, *, whole: bool) -> None:
        self.start = start
        self.whole = whole
        self._changes = 0
        self._flows: Counter[str] = Counter()

    def add(self, change: Change) -> None:
        """Count a change, and the way from a persona to another; a shopper's first has none."""
        if change.current is None:
            return
        self._changes += 1
        if change.previous is not None and change.previous.persona != change.current.persona:
            was, now = change.previous.persona or "", change.current.persona or ""
            self._flows[f"{was}{_TO}{now}"] += 1

    def sample(self, state: State) -> Sample:
        """What is remembered of it."""
        return Sample(state, self._changes, dict(self._flows))


def bucket_of(ms: int) -> int:
    """The start of the bucket that a time lies in; both in epoch ms."""
    return ms - ms % STEP_MS


def chart(
    samples: Mapping[int, Sample], since: int, until: int, personas: Sequence[str]
) -> dict[str, Any]:
    """The answer of ``/v1/history``: samples by their starts, from one bucket to another.

    It begins with the first that there is. A bucket that nobody has remembered is null throughout.
    """
    known = [at for at in samples if since <= at <= until]
    times = range(min(known), until + 1, STEP_MS) if known else range(0)
    rows = [samples.get(at) for at in times]
    states = [row.state if row else State() for row in rows]
    kept = [samples[at] for at in known]
    return {
        "step_seconds": STEP,
        "at": list(times),
        "mix": {name: [(state.mix or {}).get(name) for state in states] for name in personas},
        "changes": [row.changes if row else None for row in rows],
        **{name: [getattr(state, name) for state in states] for name in _SERIES},
        "challengers": {
            name: [state.challengers.get(name) for state in states]
            for name in sorted({name for state in states for name in state.challengers})
        },
        "flows": _flows(kept),
    }


_SERIES: Final = (
    "ambiguous", "shoppers", "events_per_second", "lag_events", "change_p99_ms", "log_loss",
    "prior_log_loss", "accuracy",
)  # fmt: skip


def _flows(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """All of them summed, the greatest first."""
    summed: Counter[str] = Counter()
    for sample in samples:
        summed.update(sample.flows)
    ends = [(*flow.partition(_TO), number) for flow, number in summed.most_common()]
    return [{"from": was or None, "to": now or None, "count": n} for was, _, now, n in ends]
