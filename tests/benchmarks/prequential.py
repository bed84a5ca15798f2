"""By calendar: labels arrive over the stream; each is predicted first and learned after.

The pipeline applies day by day what happens. A household's label arrives on a day drawn evenly over
the stream; at the end of that day the household is predicted by the model as it stands, then it is
learned and stays learned, with its record as it grows. The calibration is renewed every week.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from stream_persona.domain.events import KINDS, Assignment, Event, get_event_time
from stream_persona.domain.features import compute_profiles
from stream_persona.domain.record import Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.calibration import Calibration, fit_calibration
from stream_persona.model.calibration_panel import Member
from stream_persona.model.estimator import derive_from
from stream_persona.model.shard import PANEL
from stream_persona.model.statistics import Sums
from stream_persona.model.weights import Weights
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery
from tests.benchmarks.tasks import FEATURES, TAXONOMY, key_and_fold, load

#: Task to the group whose events it sees.
TASKS = {"B7": ("B7",), "L4": ("L4",)}
_DAY = 86_400_000
_WEEK = 7
_LEAST_CLASSES = 5


@dataclass
class Month:
    """Log-losses, and whether the persona named was right, of ours and of the prior."""

    losses: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "prior": []})
    right: dict[str, list[bool]] = field(default_factory=lambda: {"ours": [], "prior": []})

    def add(self, name: str, p: Sequence[float], label: int) -> None:
        self.losses[name].append(-float(np.log(max(p[label], 1e-12))))
        self.right[name].append(int(np.argmax(p)) == label)

    def report(self) -> dict[str, Any]:
        models = {
            name: {"log_loss": float(np.mean(losses)), "accuracy": float(np.mean(self.right[name]))}
            for name, losses in self.losses.items()
        }
        return {"labels": len(self.losses["ours"]), **models}


class Stream:
    """The records, the sums over labelled households, and the weights of the moment."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.taxonomy = taxonomy_of(classes)
        self.tokenizer = Tokenizer(self.taxonomy)
        self.classes = tuple(classes)
        self.records: dict[str, Record] = {}
        self.labelled: dict[str, str] = {}
        self.sums = Sums()
        self.calibration = Calibration()
        self.weights: Weights = derive_from(self.sums.stack(self.classes), self.classes)
        self.offsets = [0] * len(KINDS)

    def apply_events(self, happened: Sequence[Event]) -> None:
        """Apply events and assignments, and learn from them."""
        deliveries = [self._delivery(event) for event in happened]
        outcome = process.apply_events(deliveries, self.records, self.taxonomy, self.tokenizer)
        self.records |= outcome.records
        for update in outcome.model_updates:
            _, fold = key_and_fold(update.customer_id)
            self.sums.add(replace(update.part, fold=fold), update.persona, update.sign)

    def _delivery(self, event: Event) -> Delivery:
        kind = KINDS.index(type(event))
        self.offsets[kind] += 1
        return Delivery.of(event, kind, 0, self.offsets[kind])

    def predict(self, customer: str) -> tuple[list[float], list[float]]:
        """Of ours and of the prior."""
        counts = self.records.get(customer, Record()).counts
        prior = np.exp(self.weights.log_prior)
        row = self.weights.predict_probabilities(compute_profiles([counts], FEATURES))[0]
        return row.tolist(), (prior / prior.sum()).tolist()

    def refresh(self, *, calibrate: bool) -> None:
        """New weights from the sums."""
        if calibrate:
            self.calibration = self._calibrated()
        stacked = self.sums.stack(self.classes)
        self.weights = self.calibration.derive_weights(stacked, self.classes)

    def _calibrated(self) -> Calibration:
        known = sorted(name for name in self.labelled if has_counts(self.records.get(name)))
        seen = compute_profiles([self.records[name].counts for name in known], FEATURES)
        panel = [
            Member(*key_and_fold(name), self.labelled[name], seen.select_row(row))
            for row, name in enumerate(known)
        ]
        panel = sorted(panel, key=lambda member: member.key)[:PANEL]
        return fit_calibration(panel, self.sums.stack(self.classes), self.classes)


def has_counts(record: Record | None) -> bool:
    """Whether a record holds any behaviour."""
    return record is not None and len(record.counts.keys) > 0


def taxonomy_of(classes: Sequence[str]) -> Taxonomy:
    """Personas of these names; a taxonomy has five at least, and some task fewer."""
    spare = [f"spare-{i}" for i in range(_LEAST_CLASSES - len(classes))]
    personas = [{"name": name} for name in (*classes, *spare)]
    features = TAXONOMY.features.model_dump(mode="json")
    return Taxonomy.model_validate({"persona": personas, "features": features})


def days(known: Mapping[str, Sequence[Event]]) -> Iterator[tuple[int, list[Event]]]:
    """Each day (since 1970) and its events, in the order of time."""
    by_day: dict[int, list[Event]] = {}
    for events in known.values():
        for event in events:
            by_day.setdefault(get_event_time(event) // _DAY, []).append(event)
    for day in range(min(by_day), max(by_day) + 1):
        yield day, sorted(by_day.get(day, []), key=get_event_time)


def run(name: str, seed: int = 0) -> dict[str, Any]:
    """The months of one task, and the whole."""
    by_task, known = load(TASKS[name])
    labels = {customer: by_task[name][customer] for customer in sorted(known)}
    calendar = list(days(known))
    first, last = calendar[0][0], calendar[-1][0]
    drawn = np.random.default_rng(seed).integers(first, last + 1, len(labels)).tolist()
    arrivals: dict[int, list[str]] = {}
    for customer, day in zip(labels, drawn, strict=True):
        arrivals.setdefault(day, []).append(customer)
    stream = Stream(sorted(set(labels.values())))
    months: dict[str, Month] = {}
    for day, happened in calendar:
        stream.apply_events(happened)
        month = datetime.fromtimestamp(day * _DAY / 1_000, UTC).strftime("%Y-%m")
        for both in (months.setdefault(month, Month()), months.setdefault("all", Month())):
            predict(stream, arrivals.get(day, []), labels, both)
        label(stream, arrivals.get(day, []), labels, day)
        stream.refresh(calibrate=(day - first) % _WEEK == 0)
    whole = months.pop("all").report()
    return {"months": {at: month.report() for at, month in months.items()}, **whole}


def predict(stream: Stream, customers: Sequence[str], labels: Mapping[str, str], to: Month) -> None:
    """Predict households whose labels arrive."""
    for customer in customers:
        label = stream.classes.index(labels[customer])
        for name, p in zip(("ours", "prior"), stream.predict(customer), strict=True):
            to.add(name, p, label)


def label(stream: Stream, customers: Sequence[str], labels: Mapping[str, str], day: int) -> None:
    """Let their assignments arrive."""
    at = (day + 1) * _DAY - 1
    stream.apply_events([Assignment(f"A-{c}", c, at, labels[c]) for c in customers])
    stream.labelled |= {customer: labels[customer] for customer in customers}
