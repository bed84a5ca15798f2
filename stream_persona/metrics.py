"""The worker's figures for Prometheus: a closed list, so that dashboards can rely on it.

A ``Metrics`` object owns its registry: two workers in one process (tests) don't share figures.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Every figure that a worker shows; the attribute names are the metric names' ends."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix: dict[str, Any] = {"namespace": "stream_persona", "registry": self.registry}
        self.events = Counter("events", "Events applied, by kind", ["kind"], **prefix)
        self.redelivered = Counter("redelivered", "Events seen before, by position", **prefix)
        self.duplicates = Counter("duplicates", "Events seen before, by event id", **prefix)
        self.dropped = Counter("dropped", "Events older than their customer's deletion", **prefix)
        self.dead_letters = Counter("dead_letters", "Unreadable, by reason", ["reason"], **prefix)
        self.rerouted = Counter("rerouted", "Events forwarded to their home partition", **prefix)
        self.changes = Counter(
            "changes", "Persona changes published, by cause", ["cause"], **prefix
        )
        self.fenced = Counter(
            "fenced", "Writes refused: another worker owns the partition", **prefix
        )
        self.batch_seconds = Histogram(
            "batch_seconds", "One batch, from fetch to ack", buckets=_SECONDS, **prefix
        )
        self.change_seconds = Histogram(
            "change_seconds", "From an event's arrival on the broker to its change's publication",
            buckets=_SECONDS, **prefix,
        )  # fmt: skip
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


def serve(metrics: Metrics, port: int) -> tuple[int, Callable[[], None]]:
    """Serve ``/metrics`` on ``port``, or on a free one when it is taken; the port and a closer."""
    try:
        server, thread = start_http_server(port, "127.0.0.1", registry=metrics.registry)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        logger.warning("metrics port %d is taken, using a free one", port)
        server, thread = start_http_server(0, "127.0.0.1", registry=metrics.registry)

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    logger.info("metrics on http://127.0.0.1:%d/metrics", server.server_port)
    return server.server_port, close
