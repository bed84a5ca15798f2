"""The answers that dashboards draw, from what the followers have found. Pure, but for the clock."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from stream_persona.api.dashboard.history import State
from stream_persona.api.dashboard.persona_counts import EDGES
from stream_persona.api.dashboard.personas import reliability
from stream_persona.domain.events import milliseconds
from stream_persona.store import worker_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_persona.api.dashboard.label_queue import Candidate
    from stream_persona.api.dashboard.persona_counts import Tally
    from stream_persona.api.dashboard.personas import Defining
    from stream_persona.api.dashboard.population_scan import Census
    from stream_persona.api.dashboard.workers import Reports
    from stream_persona.api.model_reader import Model
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.model.predictor import Predictor as Weights
    from stream_persona.store.worker_status import ModelStatus

_WINDOW: Final = 60
_ALARMS: Final = 20


class Pulse:
    """Counts changes over the last minute; ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, int]] = deque(maxlen=_WINDOW)

    def beat(self) -> None:
        """A change is heard."""
        now = int(self._clock())
        number = self._seconds.pop()[1] if self._seconds and self._seconds[-1][0] == now else 0
        self._seconds.append((now, number + 1))

    @property
    def per_minute(self) -> int:
        """How many were."""
        since = int(self._clock()) - _WINDOW
        return sum(number for second, number in self._seconds if second > since)


def mix(tally: Tally, personas: Sequence[str]) -> dict[str, Any]:
    """How many shoppers are what: the part of ``/v1/overview`` that the census answers."""
    shoppers, ambiguous = tally.shoppers, tally.of(None).shoppers
    return {
        "shoppers": shoppers,
        "ambiguous": ambiguous,
        "ambiguous_share": min(1.0, ambiguous / shoppers) if shoppers else None,
        "assigned": tally.assigned,
        "mix": {persona: tally.of(persona).shoppers for persona in personas},
    }


def state(
    census: Census, reports: Reports, lag_events: int | None, personas: Sequence[str]
) -> State:
    """How all stands, for the history; of shoppers nothing before they were counted."""
    known = mix(census.tally, personas) if census.counted else {}
    current = worker_status.figures(reports.current) if reports.current else None
    return State(
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
            model.name: worker_status.figures(model)["recent_log_loss"]
            for model in reports.models
            if model.name != worker_status.CURRENT
        },
    )


def limits(weights: Weights, taxonomy: Taxonomy) -> dict[str, float]:
    """The confidence from which a persona is named, and the probability of a candidate.

    As ``change`` has them: the policy's own as long as too few customers are labelled to measure
    them. A threshold of 1 names nobody.
    """
    policy = taxonomy.policy
    threshold = policy.min_confidence if weights.threshold is None else weights.threshold
    floor = weights.candidate_floor
    if floor is None:
        floor = (1.0 - policy.candidate_coverage) / len(taxonomy.names)
    return {"threshold": min(1.0, threshold), "candidate_floor": floor}


def portraits(
    taxonomy: Taxonomy, model: Model, census: Census, current: ModelStatus | None, lifts: Defining
) -> dict[str, Any]:
    """The answer of ``/v1/portraits``."""
    ambiguous = census.tally.of(None)
    return {
        "counted": census.counted,
        **limits(model.weights, taxonomy),
        "edges": EDGES,
        "personas": [
            {
                "name": persona.name,
                "title": persona.title or persona.name,
                "description": persona.description,
                "labelled": model.labelled.get(persona.name, 0),
                **_group(census, persona.name),
                **_judged(current, row),
                "lifts": [
                    {"feature": feature, "value": value, "lift": lift}
                    for feature, value, lift in lifts.get(persona.name, ())
                ],
            }
            for row, persona in enumerate(taxonomy.personas)
        ],
        "ambiguous": {"shoppers": ambiguous.shoppers, "confidence": ambiguous.bins},
    }


def _group(census: Census, persona: str) -> dict[str, Any]:
    group = census.tally.of(persona)
    return {
        "shoppers": group.shoppers,
        "assigned": group.assigned,
        "mean_confidence": group.mean_confidence,
        "confidence": group.bins,
    }


def _judged(current: ModelStatus | None, row: int) -> dict[str, Any]:
    bins = reliability(current.reliability[row]) if current else []
    return {"trials": sum(each["trials"] for each in bins), "reliability": bins}


def model(taxonomy: Taxonomy, learned: Model, reports: Reports) -> dict[str, Any]:
    """The answer of ``/v1/model``."""
    weights, alive = learned.weights, reports.alive
    alarms = [(at, each.name, trial) for each in reports.models for at, trial in each.alarms]
    return {
        "model_version": weights.version,
        "taxonomy_version": taxonomy.version,
        "labelled": weights.customers,
        "labels": {persona: learned.labelled.get(persona, 0) for persona in taxonomy.names},
        **limits(weights, taxonomy),
        "target_precision": taxonomy.policy.target_precision,
        "oldest_record_seconds": max((w.oldest_record_seconds for w in alive), default=None),
        "sweeping": any(worker.sweeping for worker in alive),
        "workers": [
            {
                "worker": worker.worker,
                "at": worker.at,
                "started_at": worker.started_at,
                "partitions": len(worker.partitions),
                "events_per_second": reports.rate(worker.worker),
            }
            for worker in alive
        ],
        "models": [_figures(each) for each in reports.models],
        "alarms": [
            {"model": name, "at": at, "trial": trial}
            for at, name, trial in sorted(alarms, reverse=True)[:_ALARMS]
        ],
        "confusion": {
            "personas": taxonomy.names,
            "counts": reports.current.confusion if reports.current else [],
        },
    }


def _figures(each: ModelStatus) -> dict[str, Any]:
    figures = worker_status.figures(each)
    return {
        "name": each.name, **figures, "alarms": len(each.alarms), "failure": each.failure
    }  # fmt: skip


def queued(candidate: Candidate) -> dict[str, Any]:
    """A shopper in the answer of ``/v1/queue``."""
    return {
        "customer_id": candidate.customer_id,
        "information": candidate.information,
        "evidence": candidate.evidence,
        "distribution": candidate.distribution,
        "candidates": candidate.candidates,
        "updated_at": milliseconds(datetime.fromisoformat(candidate.updated_at)),
    }
