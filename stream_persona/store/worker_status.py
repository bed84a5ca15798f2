"""A worker's report of itself, as JSON, and the models of several reports added up.

Everything in a report is a count or a sum since the worker's start, so those of several workers add
up, and a rate is the difference of two reports. Workers come and go, and each judges the customers
of its own partitions: the figures are of those that run now, since they started.
"""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from typing import TYPE_CHECKING, Final, TypedDict

import msgspec
from msgspec import Struct, field

from stream_persona.model.quality_counts import (
    ALARMS,
    BINS,
    Bin,
    QualityCounts,
    compute_calibration_error,
    pool_bins,
)
from stream_persona.store.last_hour import LastHour

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The name of the model in use, among the names of the challengers.
CURRENT: Final = "current"


class ModelStatus(Struct):
    """How good one model's predictions were: its name and its ``quality_counts.QualityCounts``.

    ``alarms`` are pairs of epoch ms and number of the trial. ``failure`` is empty, or the reason
    why the model has been taken out.
    """

    name: str
    trials: int
    loss: float
    prior_loss: float
    recent: int
    recent_loss: float
    recent_right: int
    confusion: list[list[int]]
    reliability: list[list[Bin]]
    alarms: list[tuple[int, int]]
    failure: str = ""

    @classmethod
    def of(cls, name: str, counts: QualityCounts, failure: str = "") -> ModelStatus:
        """Make the status of the model of this name."""
        return cls(name, *counts, failure)


class WorkerStatus(Struct):
    """One worker at one time (``at``, like ``started_at`` in epoch ms).

    ``events`` are those applied, ``changes`` those published, by cause. ``change_counts`` are
    batches by the seconds from an event's arrival to its change's publication: up to each of
    ``change_bounds`` (and above the one before), and above the last one. ``damaged`` is what it
    found damaged in Redis, ``incomplete`` of how many records the topics may not hold everything.
    ``unknown_labels`` counts the labelled customers of its partitions by a persona that the
    taxonomy does not know. Unlike all others, what is in ``last_hour`` is of the last hour alone.
    """

    worker: str
    at: int
    started_at: int
    partitions: list[int]
    personas: list[str]
    events: int
    changes: dict[str, int]
    dead_letters: int
    redelivered: int
    rerouted: int
    change_bounds: list[float]
    change_counts: list[int]
    labelled: int
    threshold: float | None
    candidate_floor: float | None
    oldest_record_seconds: float
    sweeping: bool
    models: list[ModelStatus]
    damaged: int = 0
    incomplete: int = 0
    unknown_labels: dict[str, int] = {}
    last_hour: LastHour = field(default_factory=LastHour)

    def __post_init__(self) -> None:
        """Refuse tables that are of other personas, or of another release.

        Raises:
            ValueError: a table has not as many entries as there are personas, bins or bounds.
        """
        size = len(self.personas)
        for model in self.models:
            _check_shape("confusion", model.confusion, size, size)
            _check_shape("reliability", model.reliability, size, BINS)
        _check_shape("change_counts", [self.change_counts], 1, len(self.change_bounds) + 1)


class ModelFigures(TypedDict):
    """The figures that a model's counts yield, losses in nats; None where there was no trial."""

    trials: int
    log_loss: float | None
    prior_log_loss: float | None
    accuracy: float | None
    macro_f1: float | None
    ece: float | None
    recent_log_loss: float | None
    recent_accuracy: float | None


def encode_report(status: WorkerStatus) -> bytes:
    """Return the report as JSON."""
    return msgspec.json.encode(status)


def decode_report(blob: bytes) -> WorkerStatus:
    """Return the report in a blob.

    Raises:
        msgspec.DecodeError: it holds none, or one of another release.
    """
    return msgspec.json.decode(blob, type=WorkerStatus)


def merge_models(statuses: Iterable[WorkerStatus], personas: Sequence[str]) -> list[ModelStatus]:
    """Add up the models of all workers by name: the one in use comes first, then the others.

    Tables are in the order of ``personas``; what a worker counted of other personas is left out.
    """
    by_name: dict[str, list[ModelStatus]] = defaultdict(list)
    for status in statuses:
        for model in status.models:
            by_name[model.name].append(_align(model, status.personas, personas))
    names = sorted(by_name, key=lambda name: (name != CURRENT, name))
    return [reduce(add_models, by_name[name]) for name in names]


def add_models(one: ModelStatus, other: ModelStatus) -> ModelStatus:
    """Add up two models; order and grouping make no difference."""
    return ModelStatus(
        name=one.name,
        trials=one.trials + other.trials,
        loss=one.loss + other.loss,
        prior_loss=one.prior_loss + other.prior_loss,
        recent=one.recent + other.recent,
        recent_loss=one.recent_loss + other.recent_loss,
        recent_right=one.recent_right + other.recent_right,
        confusion=[
            [a + b for a, b in zip(*rows, strict=True)]
            for rows in zip(one.confusion, other.confusion, strict=True)
        ],
        reliability=[
            pool_bins(bins) for bins in zip(one.reliability, other.reliability, strict=True)
        ],
        alarms=sorted([*one.alarms, *other.alarms])[-ALARMS:],
        failure=max(one.failure, other.failure),
    )


def compute_figures(model: ModelStatus) -> ModelFigures:
    """Compute the figures of a model; River's metrics over the same trials are the same."""
    counted = sum(map(sum, model.confusion))
    right = sum(row[at] for at, row in enumerate(model.confusion))
    bins = pool_bins(model.reliability)
    return ModelFigures(
        trials=model.trials,
        log_loss=_divide(model.loss, model.trials),
        prior_log_loss=_divide(model.prior_loss, model.trials),
        accuracy=_divide(right, counted),
        macro_f1=_compute_macro_f1(model.confusion),
        ece=compute_calibration_error(bins) if any(each.trials for each in bins) else None,
        recent_log_loss=_divide(model.recent_loss, model.recent),
        recent_accuracy=_divide(model.recent_right, model.recent),
    )


def _compute_macro_f1(confusion: Sequence[Sequence[int]]) -> float | None:
    """Return the mean F1 of the personas that were named or assigned (River's ``MacroF1``)."""
    named, assigned = map(sum, confusion), map(sum, zip(*confusion, strict=True))
    both = [n + a for n, a in zip(named, assigned, strict=True)]
    f1 = [2 * confusion[at][at] / total for at, total in enumerate(both) if total]
    return _divide(sum(f1), len(f1))


def _divide(total: float, count: int) -> float | None:
    return total / count if count else None


def _align(model: ModelStatus, own: Sequence[str], personas: Sequence[str]) -> ModelStatus:
    """Return the model with its tables in another order of personas."""
    at = {persona: number for number, persona in enumerate(own)}
    none = [Bin()] * BINS
    confusion = [
        [model.confusion[at[n]][at[a]] if n in at and a in at else 0 for a in personas]
        for n in personas
    ]
    reliability = [list(model.reliability[at[n]]) if n in at else none for n in personas]
    return msgspec.structs.replace(model, confusion=confusion, reliability=reliability)


def _check_shape(name: str, table: Sequence[Sequence[object]], rows: int, columns: int) -> None:
    if len(table) != rows or any(len(row) != columns for row in table):
        message = f"{name}: expected {rows} rows of {columns}"
        raise ValueError(message)
