"""The answers that dashboards draw, from what the dashboard service has gathered. Pure."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from stream_persona.api.dashboard.history import Snapshot
from stream_persona.api.dashboard.persona_counts import EDGES
from stream_persona.api.dashboard.personas import list_reliability
from stream_persona.domain.events import to_milliseconds
from stream_persona.store import worker_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream_persona.api.dashboard.label_queue import LabelCandidate
    from stream_persona.api.dashboard.persona_counts import PersonaCounts
    from stream_persona.api.dashboard.personas import DefiningFeatures
    from stream_persona.api.dashboard.population_scan import Population
    from stream_persona.api.dashboard.workers import WorkerReports
    from stream_persona.api.model_reader import CurrentModel
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor
    from stream_persona.store.worker_status import ModelStatus, WorkerStatus

#: Seconds over which changes are counted, and most alarms of an answer.
_WINDOW: Final = 60
_ALARMS: Final = 20


class ChangeRate:
    """Counts changes over the last minute; ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, int]] = deque(maxlen=_WINDOW)

    def add(self) -> None:
        """Count a change that is received now."""
        now = int(self._clock())
        number = self._seconds.pop()[1] if self._seconds and self._seconds[-1][0] == now else 0
        self._seconds.append((now, number + 1))

    @property
    def per_minute(self) -> int:
        """How many changes were received."""
        since = int(self._clock()) - _WINDOW
        return sum(number for second, number in self._seconds if second > since)


def summarize(counts: PersonaCounts, personas: Sequence[str]) -> dict[str, Any]:
    """Summarize how many shoppers have which persona: a part of ``/v1/overview``."""
    shoppers, ambiguous = counts.shoppers, counts.copy_group(None).shoppers
    return {
        "shoppers": shoppers,
        "ambiguous": ambiguous,
        "ambiguous_share": min(1.0, ambiguous / shoppers) if shoppers else None,
        "assigned": counts.assigned,
        "mix": {persona: counts.copy_group(persona).shoppers for persona in personas},
    }


def take_snapshot(
    population: Population,
    reports: WorkerReports,
    lag_events: int | None,
    personas: Sequence[str],
) -> Snapshot:
    """Take a snapshot for the history; without shoppers before a first pass has counted them."""
    known = summarize(population.personas, personas) if population.counted else {}
    current = worker_status.compute_figures(reports.current) if reports.current else None
    return Snapshot(
        mix=known.get("mix"),
        ambiguous=known.get("ambiguous"),
        shoppers=known.get("shoppers"),
        events_per_second=reports.events_per_second,
        lag_events=lag_events,
        change_p99_ms=reports.change_p99_ms,
        log_loss=current["recent_log_loss"] if current else None,
        prior_log_loss=current["prior_log_loss"] if current else None,
        accuracy=current["recent_accuracy"] if current else None,
        challengers={
            model.name: worker_status.compute_figures(model)["recent_log_loss"]
            for model in reports.models
            if model.name != worker_status.CURRENT
        },
    )


def find_limits(weights: Predictor, taxonomy: Taxonomy) -> dict[str, float]:
    """Return the confidence from which personas are named, and the probability of a candidate.

    As in ``pipeline.decision``: the policy's own as long as too few customers are labelled to
    measure them. With a threshold of 1 no persona is named.
    """
    policy = taxonomy.policy
    threshold = policy.min_confidence if weights.threshold is None else weights.threshold
    floor = weights.candidate_floor
    if floor is None:
        floor = (1.0 - policy.candidate_coverage) / len(taxonomy.names)
    return {"threshold": min(1.0, threshold), "candidate_floor": floor}


def list_persona_limits(weights: Predictor, taxonomy: Taxonomy) -> dict[str, float]:
    """Return the confidence from which each persona is named: as high as that of all, or higher."""
    least = taxonomy.policy.min_confidence
    measured = zip(taxonomy.names, weights.thresholds, strict=True)
    return {name: min(1.0, least if own is None else own) for name, own in measured}


def describe_personas(
    taxonomy: Taxonomy,
    model: CurrentModel,
    population: Population,
    current: ModelStatus | None,
    features: DefiningFeatures,
) -> dict[str, Any]:
    """Answer ``/v1/portraits``. ``current`` is the status of the model in use."""
    ambiguous = population.personas.copy_group(None)
    thresholds = list_persona_limits(model.weights, taxonomy)
    return {
        "counted": population.counted,
        **find_limits(model.weights, taxonomy),
        "edges": EDGES,
        "personas": [
            {
                "name": persona.name,
                "title": persona.title or persona.name,
                "description": persona.description,
                "labelled": model.labelled.get(persona.name, 0),
                "threshold": thresholds[persona.name],
                **_describe_group(population, persona.name),
                **_describe_reliability(current, row),
                "lifts": [
                    {"feature": feature, "value": value, "lift": lift}
                    for feature, value, lift in features.get(persona.name, ())
                ],
            }
            for row, persona in enumerate(taxonomy.personas)
        ],
        "ambiguous": {"shoppers": ambiguous.shoppers, "confidence": ambiguous.bins},
    }


def _describe_group(population: Population, persona: str) -> dict[str, Any]:
    group = population.personas.copy_group(persona)
    return {
        "shoppers": group.shoppers,
        "assigned": group.assigned,
        "mean_confidence": group.mean_confidence,
        "confidence": group.bins,
    }


def _describe_reliability(current: ModelStatus | None, row: int) -> dict[str, Any]:
    bins = list_reliability(current.reliability[row]) if current else []
    return {"trials": sum(each["trials"] for each in bins), "reliability": bins}


def describe_model(
    taxonomy: Taxonomy, model: CurrentModel, reports: WorkerReports
) -> dict[str, Any]:
    """Answer ``/v1/model``."""
    weights, alive = model.weights, reports.alive
    return {
        "model_version": weights.version,
        "taxonomy_version": taxonomy.version,
        "labelled": weights.customers,
        "labels": {persona: model.labelled.get(persona, 0) for persona in taxonomy.names},
        **find_limits(weights, taxonomy),
        "thresholds": list_persona_limits(weights, taxonomy),
        "target_precision": taxonomy.policy.target_precision,
        "oldest_record_seconds": max((w.oldest_record_seconds for w in alive), default=None),
        "sweeping": any(worker.sweeping for worker in alive),
        "workers": [_describe_worker(worker, reports) for worker in alive],
        "models": [_describe_status(each) for each in reports.models],
        "alarms": _list_alarms(reports.models),
        "confusion": {
            "personas": taxonomy.names,
            "counts": reports.current.confusion if reports.current else [],
        },
    }


def _describe_worker(worker: WorkerStatus, reports: WorkerReports) -> dict[str, Any]:
    return {
        "worker": worker.worker,
        "at": worker.at,
        "started_at": worker.started_at,
        "partitions": len(worker.partitions),
        "events_per_second": reports.compute_rate(worker.worker),
    }


def _describe_status(status: ModelStatus) -> dict[str, Any]:
    figures = worker_status.compute_figures(status)
    return {
        "name": status.name, **figures, "alarms": len(status.alarms), "failure": status.failure
    }  # fmt: skip


def _list_alarms(models: Iterable[ModelStatus]) -> list[dict[str, Any]]:
    """List the alarms of all models, the newest first."""
    alarms = [(at, model.name, trial) for model in models for at, trial in model.alarms]
    newest = sorted(alarms, reverse=True)[:_ALARMS]
    return [{"model": name, "at": at, "trial": trial} for at, name, trial in newest]


def describe_candidate(candidate: LabelCandidate) -> dict[str, Any]:
    """Describe a shopper for ``/v1/queue``."""
    return {
        "customer_id": candidate.customer_id,
        "information": candidate.information,
        "evidence": candidate.evidence,
        "distribution": candidate.distribution,
        "candidates": candidate.candidates,
        "updated_at": to_milliseconds(datetime.fromisoformat(candidate.updated_at)),
    }
