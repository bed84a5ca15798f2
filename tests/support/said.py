"""What is said of shoppers, as the API reads it: public records, changes, workers' reports."""

from typing import Any

import msgspec
import orjson

from stream_persona.api.dashboard.persona_counts import Change
from stream_persona.model.evaluation import BINS, Bin
from stream_persona.store.worker_status import ModelStatus, WorkerStatus
from tests.support.builders import PERSONAS

Json = dict[str, Any]


def posterior(
    persona: str | None = "parent", confidence: float = 0.9, source: str = "predicted"
) -> Json:
    """What is said of a shopper; the rest of the confidence is shared by the other personas."""
    likeliest = persona or PERSONAS[0]
    rest = (1.0 - confidence) / (len(PERSONAS) - 1)
    shares = {name: confidence if name == likeliest else rest for name in PERSONAS}
    return {
        "persona": persona, "confidence": confidence, "ambiguous": persona is None,
        "source": source, "distribution": shares,
    }  # fmt: skip


def told(persona: str = "parent") -> Json:
    """What is said of a shopper whose persona was assigned."""
    return posterior(persona, 1.0, "assigned")


def record(customer_id: str, said: Json | None = None, **parts: Any) -> bytes:
    """A public record."""
    whole = {
        "customer_id": customer_id, **(said or posterior()), "candidates": ["parent"],
        "why": [], "evidence": 12.0, "revision": 1, "updated_at": "2025-11-24T16:00:00.000Z",
        "model_version": "m", "taxonomy_version": "t", **parts,
    }  # fmt: skip
    return orjson.dumps(whole)


def message(customer_id: str, current: Json | None, previous: Json | None = None) -> Json:
    """A message of the channel; without ``current`` it is a deletion's."""
    if current is None:
        return {"customer_id": customer_id, "deleted": True}
    return {
        "change_id": f"{customer_id}-change", "customer_id": customer_id, "current": current,
        "previous": previous,
    }  # fmt: skip


def change(customer_id: str, current: Json | None, previous: Json | None = None) -> Change:
    """The same, as it is counted."""
    return msgspec.convert(message(customer_id, current, previous), Change)


def judged(name: str = "current", **parts: Any) -> ModelStatus:
    """A model's counts; of no trial unless they are given."""
    size = len(PERSONAS)
    none: Json = {
        "trials": 0, "loss": 0.0, "prior_loss": 0.0, "recent": 0, "recent_loss": 0.0,
        "recent_right": 0, "confusion": [[0] * size for _ in PERSONAS],
        "reliability": [[Bin()] * BINS for _ in PERSONAS], "alarms": [],
    }  # fmt: skip
    return ModelStatus(name, **none | parts)


def report(worker: str = "w", at: int = 0, **parts: Any) -> WorkerStatus:
    """A worker's report."""
    plain: Json = {
        "worker": worker, "at": at, "started_at": 0, "partitions": [0, 1],
        "personas": list(PERSONAS), "events": 0, "changes": {}, "dead_letters": 0,
        "redelivered": 0, "rerouted": 0, "change_bounds": [0.1, 0.5, 1.0],
        "change_counts": [0, 0, 0, 0], "labelled": 0, "threshold": None, "candidate_floor": None,
        "oldest_record_seconds": 0.0, "sweeping": False, "models": [judged()],
    }  # fmt: skip
    return WorkerStatus(**plain | parts)
