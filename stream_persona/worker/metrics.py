"""The worker's metrics for Prometheus: a closed list, so that dashboards can rely on it.

A ``Metrics`` object owns its registry: two workers in one process (tests) don't share metrics.
"""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any

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


class Metrics:
    """Every metric that a worker exports; an attribute is named as its metric's name ends."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix: dict[str, Any] = {"namespace": "stream_persona", "registry": self.registry}
        self.events = Counter("events", "Events applied, by kind", ["kind"], **prefix)
        self.redelivered = Counter("redelivered", "Events seen before, by position", **prefix)
        self.duplicates = Counter("duplicates", "Events seen before, by event id", **prefix)
        self.dropped = Counter("dropped", "Events older than their customer's deletion", **prefix)
        self.dead_letters = Counter("dead_letters", "Unreadable, by reason", ["reason"], **prefix)
        self.anomalies = Counter(
            "anomalies",
            "Events and lines of orders that are left out or count for less, by reason",
            ["reason"], **prefix,
        )  # fmt: skip
        for anomaly in Anomaly:
            self.anomalies.labels(anomaly.value)
        self.expired_events = Counter(
            "expired_events", "Events that their topic dropped before they were read", **prefix
        )
        self.rerouted = Counter("rerouted", "Events forwarded to their home partition", **prefix)
        self.changes = Counter(
            "changes", "Persona changes published, by cause", ["cause"], **prefix
        )
        self.fenced = Counter(
            "fenced", "Writes refused: another worker owns the partition", **prefix
        )
        self.rollbacks = Counter(
            "rollbacks", "Times that Redis came back older and was read into again", **prefix
        )
        self.adopted = Counter(
            "adopted_changes", "Published changes that Redis had lost, taken over from the topic",
            **prefix,
        )  # fmt: skip
        self.reread = Counter(
            "reread_events", "Offsets read again because Redis had come back older", **prefix
        )
        self.batch_seconds = Histogram(
            "batch_seconds", "One batch, from fetch to ack", buckets=_SECONDS, **prefix
        )
        self.change_seconds = Histogram(
            "change_seconds", "From an event's arrival on the broker to its change's publication",
            buckets=_SECONDS, **prefix,
        )  # fmt: skip
        self.due_seconds = Histogram(
            "due_seconds", "From when an assignment ended, or evidence had faded, to its change",
            buckets=_SECONDS, **prefix,
        )  # fmt: skip
        self.dropped_scrapes = Counter(
            "dropped_scrapes", "Connections to the metrics that were closed unanswered", **prefix
        )
        self.cached = Gauge("cached_records", "Customer records in memory", **prefix)
        self.labelled = Gauge(
            "labelled_customers", "Customers in this worker's model part", **prefix
        )
        self.partitions = Gauge("owned_partitions", "Partitions this worker owns", **prefix)
        self.model_refresh = Histogram(
            "model_refresh_seconds",
            "Merging the parts, deriving weights",
            buckets=_SECONDS,
            **prefix,
        )
        self.ambiguity_threshold = Gauge(
            "ambiguity_threshold", "Confidence from which a persona is named", **prefix
        )
        self.candidate_floor = Gauge(
            "candidate_floor", "Probability from which on a persona is a candidate", **prefix
        )
        self.oldest_record_age = Gauge(
            "oldest_record_age_seconds",
            "How far the oldest public record is behind the model", **prefix,
        )  # fmt: skip
        self.damaged = Counter(
            "damaged", "What was found damaged in Redis, by what it is", ["what"], **prefix
        )
        self.incomplete = Counter(
            "incomplete_records",
            "Damaged records of which the topics may not hold everything", **prefix,
        )  # fmt: skip
        self.swept = Counter("swept", "Customers scored again because the model moved", **prefix)
        by_model: dict[str, Any] = {"labelnames": ["model"], **prefix}
        self.trials = Counter(
            "trials", "Assignments that a model's prediction was judged on", **by_model
        )
        self.drift_alarms = Counter(
            "drift_alarms", "Times that a model's log-loss has risen for good", **by_model
        )
        self.log_loss = Gauge("log_loss", "Prequential log-loss over all trials", **by_model)
        self.recent_log_loss = Gauge(
            "recent_log_loss", "Prequential log-loss over the last 500 trials", **by_model
        )
        self.prior_log_loss = Gauge(
            "prior_log_loss", "Log-loss of the class shares on the same trials", **by_model
        )
        self.accuracy = Gauge("accuracy", "Prequential accuracy over all trials", **by_model)
        self.recent_accuracy = Gauge(
            "recent_accuracy", "Prequential accuracy over the last 500 trials", **by_model
        )
        self.macro_f1 = Gauge("macro_f1", "Prequential macro-F1 over all trials", **by_model)
        self.calibration_error = Gauge(
            "calibration_error", "Expected calibration error over all trials", **by_model
        )

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


def numbers_by_label(metric: Counter | Gauge) -> dict[str, int]:
    """The numbers of a metric by the values of its label; of one without a label, under ''."""
    (family,) = metric.collect()
    return {
        "".join(sample.labels.values()): int(sample.value)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def bounds_and_counts(histogram: Histogram) -> tuple[list[float], list[int]]:
    """The upper bounds of buckets; and the number of observations in each and above all bounds."""
    (family,) = histogram.collect()
    upto = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    numbers = [0, *(int(sample.value) for sample in upto)]
    bounds = [float(sample.labels["le"]) for sample in upto[:-1]]
    return bounds, [higher - lower for lower, higher in pairwise(numbers)]
