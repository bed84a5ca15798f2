"""Reports of workers, as the API reads them."""

from typing import Any

from stream_persona.model.quality_counts import BINS, Bin
from stream_persona.store.worker_status import ModelStatus, WorkerStatus
from tests.support.constants import PERSONAS


def model_status(name: str = "current", **parts: Any) -> ModelStatus:
    """A model's counts; of no trial unless they are given."""
    size = len(PERSONAS)
    none: dict[str, Any] = {
        "trials": 0, "loss": 0.0, "prior_loss": 0.0, "recent": 0, "recent_loss": 0.0,
        "recent_right": 0, "confusion": [[0] * size for _ in PERSONAS],
        "reliability": [[Bin()] * BINS for _ in PERSONAS], "alarms": [],
    }  # fmt: skip
    return ModelStatus(name, **none | parts)


def report(worker: str = "w", at: int = 0, **parts: Any) -> WorkerStatus:
    """A worker's report."""
    plain: dict[str, Any] = {
        "worker": worker, "at": at, "started_at": 0, "partitions": [0, 1],
        "personas": list(PERSONAS), "events": 0, "changes": {}, "dead_letters": 0,
        "redelivered": 0, "rerouted": 0, "change_bounds": [0.1, 0.5, 1.0],
        "change_counts": [0, 0, 0, 0], "labelled": 0, "threshold": None, "candidate_floor": None,
        "oldest_record_seconds": 0.0, "sweeping": False, "models": [model_status()],
    }  # fmt: skip
    return WorkerStatus(**plain | parts)
