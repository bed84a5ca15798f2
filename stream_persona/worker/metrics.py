"""The worker's metrics for Prometheus: a closed list, so that dashboards can rely on it.

A ``Metrics`` object owns its registry: two workers in one process (tests) don't share metrics.
"""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, get_args, get_type_hints

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream_persona.domain.anomaly import Anomaly
from stream_persona.domain.events import KINDS, REASONS
from stream_persona.pipeline.decision import CAUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from stream_persona.kafka.router import RoutedBatch
    from stream_persona.model.evaluation import Quality
    from stream_persona.pipeline.types import Outcome

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_timestamp = attrgetter("timestamp")


class Entry(NamedTuple):
    """A metric's name after the namespace, what it means, and its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


_BY_MODEL: Final = ("model",)


class Metrics:
    """Every metric that a worker exports: its annotations are the catalogue.

    An attribute is named as its metric's name ends.
    """

    events: Annotated[Counter, Entry("events", "Events applied, by kind", ("kind",))]
    redelivered: Annotated[Counter, Entry("redelivered", "Events seen before, by position")]
    duplicates: Annotated[Counter, Entry("duplicates", "Events seen before, by event id")]
    dropped: Annotated[Counter, Entry("dropped", "Events older than their customer's deletion")]
    dead_letters: Annotated[Counter, Entry("dead_letters", "Unreadable, by reason", ("reason",))]
    anomalies: Annotated[
        Counter,
        Entry(
            "anomalies",
            "Events and lines of orders that are left out or count for less, by reason",
            ("reason",),
        ),
    ]
    expired_events: Annotated[
        Counter, Entry("expired_events", "Events that their topic dropped before they were read")
    ]
    rerouted: Annotated[Counter, Entry("rerouted", "Events forwarded to their home partition")]
    changes: Annotated[Counter, Entry("changes", "Persona changes published, by cause", ("cause",))]
    fenced: Annotated[Counter, Entry("fenced", "Writes refused: another worker owns the partition")]
    rollbacks: Annotated[
        Counter, Entry("rollbacks", "Times that Redis came back older and was read into again")
    ]
    adopted: Annotated[
        Counter,
        Entry(
            "adopted_changes", "Published changes that Redis had lost, taken over from the topic"
        ),
    ]
    reread: Annotated[
        Counter, Entry("reread_events", "Offsets read again because Redis had come back older")
    ]
    batch_seconds: Annotated[Histogram, Entry("batch_seconds", "One batch, from fetch to ack")]
    change_seconds: Annotated[
        Histogram,
        Entry(
            "change_seconds", "From an event's arrival on the broker to its change's publication"
        ),
    ]
    due_seconds: Annotated[
        Histogram,
        Entry("due_seconds", "From when an assignment ended, or evidence had faded, to its change"),
    ]
    dropped_scrapes: Annotated[
        Counter, Entry("dropped_scrapes", "Connections to the metrics that were closed unanswered")
    ]
    cached: Annotated[Gauge, Entry("cached_records", "Customer records in memory")]
    labelled: Annotated[Gauge, Entry("labelled_customers", "Customers in this worker's model part")]
    partitions: Annotated[Gauge, Entry("owned_partitions", "Partitions this worker owns")]
    model_refresh: Annotated[
        Histogram, Entry("model_refresh_seconds", "Merging the parts, deriving weights")
    ]
    ambiguity_threshold: Annotated[
        Gauge, Entry("ambiguity_threshold", "Confidence from which a persona is named")
    ]
    candidate_floor: Annotated[
        Gauge, Entry("candidate_floor", "Probability from which on a persona is a candidate")
    ]
    oldest_record_age: Annotated[
        Gauge,
        Entry("oldest_record_age_seconds", "How far the oldest public record is behind the model"),
    ]
    damaged: Annotated[
        Counter, Entry("damaged", "What was found damaged in Redis, by what it is", ("what",))
    ]
    incomplete: Annotated[
        Counter,
        Entry("incomplete_records", "Damaged records of which the topics may not hold everything"),
    ]
    swept: Annotated[Counter, Entry("swept", "Customers scored again because the model moved")]
    trials: Annotated[
        Counter, Entry("trials", "Assignments that a model's prediction was judged on", _BY_MODEL)
    ]
    drift_alarms: Annotated[
        Counter,
        Entry("drift_alarms", "Times that a model's log-loss has risen for good", _BY_MODEL),
    ]
    log_loss: Annotated[Gauge, Entry("log_loss", "Prequential log-loss over all trials", _BY_MODEL)]
    recent_log_loss: Annotated[
        Gauge, Entry("recent_log_loss", "Prequential log-loss over the last 500 trials", _BY_MODEL)
    ]
    prior_log_loss: Annotated[
        Gauge, Entry("prior_log_loss", "Log-loss of the class shares on the same trials", _BY_MODEL)
    ]
    accuracy: Annotated[Gauge, Entry("accuracy", "Prequential accuracy over all trials", _BY_MODEL)]
    recent_accuracy: Annotated[
        Gauge, Entry("recent_accuracy", "Prequential accuracy over the last 500 trials", _BY_MODEL)
    ]
    macro_f1: Annotated[Gauge, Entry("macro_f1", "Prequential macro-F1 over all trials", _BY_MODEL)]
    calibration_error: Annotated[Gauge, Entry(
        "calibration_error", "Expected calibration error over all trials", _BY_MODEL
    )]  # fmt: skip

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"namespace": "stream_persona", "registry": self.registry}
        for attribute, hint in get_type_hints(Metrics, include_extras=True).items():
            kind, entry = get_args(hint)
            buckets = {"buckets": _SECONDS} if kind is Histogram else {}
            setattr(self, attribute, kind(*entry, **buckets, **options))
        for anomaly in Anomaly:
            self.anomalies.labels(anomaly.value)

    def record_batch(
        self,
        batch: Sequence[ConsumerRecord],
        routed: RoutedBatch,
        outcome: Outcome,
        seconds: float,
        now: int,
    ) -> None:
        """Count what came of a batch, published at ``now`` (epoch ms) after so many seconds."""
        self._record_rejected(routed)
        for kind, number in enumerate(outcome.applied):
            if number:
                self.events.labels(KINDS[kind].__name__.lower()).inc(number)
        self.record_changes(outcome.causes)
        self.redelivered.inc(outcome.redelivered)
        self.duplicates.inc(outcome.duplicates)
        self.dropped.inc(outcome.dropped)
        self._record_anomalies(outcome.anomalies)
        self.batch_seconds.observe(seconds)
        if outcome.causes:
            oldest = min(map(_timestamp, batch))
            self.change_seconds.observe(max(0.0, (now - oldest) / 1_000))

    def _record_rejected(self, routed: RoutedBatch) -> None:
        """Count the messages of a batch that are not processed here."""
        for reason in routed.reasons:
            self.dead_letters.labels(reason if reason in REASONS else "other").inc()
        self.rerouted.inc(len(routed.reroutes))
        self._record_anomalies(routed.anomalies)

    def _record_anomalies(self, numbers: Mapping[str, int]) -> None:
        """Count what was odd, by reason."""
        for reason, number in numbers.items():
            self.anomalies.labels(reason).inc(number)

    def record_changes(self, causes: Iterable[int]) -> None:
        """Count published changes by what caused them."""
        for cause in causes:
            self.changes.labels(CAUSES[cause]).inc()

    def record_quality(self, model: str, quality: Quality) -> None:
        """Show how good the predictions of a model were: ``current``, or a challenger's name."""
        self.log_loss.labels(model).set(quality.log_loss)
        self.recent_log_loss.labels(model).set(quality.recent_log_loss)
        self.prior_log_loss.labels(model).set(quality.prior_log_loss)
        self.accuracy.labels(model).set(quality.accuracy)
        self.recent_accuracy.labels(model).set(quality.recent_accuracy)
        self.macro_f1.labels(model).set(quality.macro_f1)
        self.calibration_error.labels(model).set(quality.ece)


def read_by_label(metric: Counter | Gauge) -> dict[str, int]:
    """Read a metric's numbers by the values of its label; without a label, under ''."""
    (family,) = metric.collect()
    return {
        "".join(sample.labels.values()): int(sample.value)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def read_histogram(histogram: Histogram) -> tuple[list[float], list[int]]:
    """Read the upper bounds of buckets, and the observations in each and above all bounds."""
    (family,) = histogram.collect()
    upto = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    numbers = [0, *(int(sample.value) for sample in upto)]
    bounds = [float(sample.labels["le"]) for sample in upto[:-1]]
    return bounds, [higher - lower for lower, higher in pairwise(numbers)]
