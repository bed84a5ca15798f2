"""Samples of every ten seconds, and the charts that dashboards draw of them over time. Pure.

The API process that is first stores a bucket's sample in Redis. Samples hold personas by name, so
that they can still be read after the taxonomy has changed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream_persona.api.dashboard.persona_counts import CountedChange

#: Seconds of a bucket, and the same in milliseconds.
STEP: Final = 10
STEP_MS: Final = 1_000 * STEP

#: Separates the two personas of a flow: no name holds it. An empty name is ambiguous.
_TO: Final = ":"


class Snapshot(Struct, omit_defaults=True, gc=False):
    """The key figures at one time; None where one was unknown."""

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
    """The snapshot (``state`` in Redis) at the end of a bucket, and the changes within it.

    ``flows`` are numbers of shoppers by ``from:to``; thousands of samples are kept, so each has
    few objects.
    """

    state: Snapshot
    changes: int = 0
    flows: dict[str, int] = {}


class Bucket:
    """Ten seconds from epoch ms ``start`` on. ``whole``: changes were received throughout."""

    def __init__(self, start: int, *, whole: bool) -> None:
        self.start = start
        self.whole = whole
        self._changes = 0
        self._flows: Counter[str] = Counter()

    def add(self, change: CountedChange) -> None:
        """Count a change, and its flow between personas; a shopper's first change has none."""
        if change.current is None:
            return
        self._changes += 1
        if change.previous is not None and change.previous.persona != change.current.persona:
            was, now = change.previous.persona or "", change.current.persona or ""
            self._flows[f"{was}{_TO}{now}"] += 1

    def build_sample(self, snapshot: Snapshot) -> Sample:
        """Build the sample to store."""
        return Sample(snapshot, self._changes, dict(self._flows))


def find_bucket(ms: int) -> int:
    """Return the start of the bucket that a time lies in; both in epoch ms."""
    return ms - ms % STEP_MS


def build_chart(
    samples: Mapping[int, Sample], since: int, until: int, personas: Sequence[str]
) -> dict[str, Any]:
    """Answer ``/v1/history``: samples by their starts, from bucket ``since`` to ``until``.

    It begins with the first sample that exists. A bucket without a sample is null throughout.
    """
    known = [at for at in samples if since <= at <= until]
    times = range(min(known), until + 1, STEP_MS) if known else range(0)
    rows = [samples.get(at) for at in times]

    def build_columns(
        names: Iterable[str], get: Callable[[Sample, str], object]
    ) -> dict[str, list[object]]:
        return {name: [None if row is None else get(row, name) for row in rows] for name in names}

    challengers = sorted({name for at in known for name in samples[at].state.challengers})
    return {
        "step_seconds": STEP,
        "at": list(times),
        "mix": build_columns(personas, lambda row, name: (row.state.mix or {}).get(name)),
        **build_columns(["changes"], lambda row, _: row.changes),
        **build_columns(_SERIES, lambda row, name: getattr(row.state, name)),
        "challengers": build_columns(
            challengers, lambda row, name: row.state.challengers.get(name)
        ),
        "flows": _sum_flows([samples[at] for at in known]),
    }


_SERIES: Final = (
    "ambiguous", "shoppers", "events_per_second", "lag_events", "change_p99_ms", "log_loss",
    "prior_log_loss", "accuracy",
)  # fmt: skip


def _sum_flows(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Sum the flows of all samples, the greatest first."""
    summed: Counter[str] = Counter()
    for sample in samples:
        summed.update(sample.flows)
    ends = [(*flow.partition(_TO), number) for flow, number in summed.most_common()]
    return [{"from": was or None, "to": now or None, "count": n} for was, _, now, n in ends]
