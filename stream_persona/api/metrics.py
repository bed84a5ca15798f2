"""The API's metrics for Prometheus: a closed list, in a registry of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream_persona.api.shop.products import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stream_persona.api.shop.catalogue import Facts

#: Why connections are closed: none is free; to make room; a head, a body or a reader took too long.
DROPPED: Final = ("full", "evicted", "head", "body", "unread")
#: Methods of HTTP (RFC 9110, RFC 5789); anybody can make up others.
METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
#: Statuses that are counted singly, others by their class.
STATUSES: Final = frozenset(
    {200, 202, 204, 206, 303, 304, 307, 400, 401, 403, 404, 405, 408, 409, 413, 415, 416, 422, 429}
    | {431, 500, 503}
)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ApiMetrics:
    """Every metric of the API; an attribute's name is the end of the metric's, or close to it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix: dict[str, Any] = {"namespace": "stream_persona_api", "registry": self.registry}
        self.requests = Counter(
            "requests", "Requests begun to be answered", ["method", "route", "status"], **prefix
        )
        self.seconds = Histogram(
            "seconds", "From a request to the start of its answer", ["route"],
            buckets=_SECONDS, **prefix,
        )  # fmt: skip
        self.connections = Gauge("connections", "Connections of callers", **prefix)
        self.dropped = Counter(
            "dropped_connections", "Connections closed before their caller was done, by reason",
            ["reason"], **prefix,
        )  # fmt: skip
        for reason in DROPPED:
            self.dropped.labels(reason)
        self.listeners = Gauge("listeners", "Open streams of changes", **prefix)
        self.changes = Gauge("changes_heard", "Changes received since the start", **prefix)
        self.labelled = Gauge("labelled_customers", "Customers that the model learned", **prefix)
        self.collected = Counter(
            "collected_events", "Events that were posted, by what became of each", ["outcome"],
            namespace="stream_persona", registry=self.registry,
        )  # fmt: skip
        self.refusals = Counter("refusals", "Calls refused at the door", ["status"], **prefix)
        self.keys_broken = Gauge(
            "keys_file_broken", "Whether the file of keys can't be used as it is now", **prefix
        )
        self.catalogue = Gauge("catalogue_products", "Products of the catalogue", **prefix)
        self.catalogue_skipped = Gauge(
            "catalogue_skipped_rows", "Rows of the catalogue's file left out, by reason",
            ["reason"], **prefix,
        )  # fmt: skip
        for reason in REASONS:
            self.catalogue_skipped.labels(reason)
        self.catalogue_broken = Gauge(
            "catalogue_file_broken", "Whether the catalogue's file can't be used as it is now",
            **prefix,
        )  # fmt: skip
        self.ready = Gauge("ready", "Whether a part that is needed is there", ["part"], **prefix)

    def show_catalogue(self, facts: Facts | None, *, is_broken: bool) -> None:
        """Show what the catalogue in use was read from."""
        self.catalogue_broken.set(is_broken)
        if facts is not None:
            self.catalogue.set(facts.products)
            for reason in REASONS:
                self.catalogue_skipped.labels(reason).set(facts.skipped.get(reason, 0))


class RequestMetricsMiddleware:
    """Middleware that counts and times requests by the template of their route.

    ``clock`` gives seconds that never go back.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: ApiMetrics,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._series: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and observe how its answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock()

        async def observe_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._observe(scope, message["status"], self._clock() - started)
            await send(message)

        await self._app(scope, receive, observe_and_send)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        counted = str(status) if status in STATUSES else f"{str(status)[:1]}xx"
        requests, times = self._find(method if route != "unmatched" else "any", route, counted)
        requests.inc()
        times.observe(seconds)

    def _find(self, method: str, route: str, status: str) -> tuple[Counter, Histogram]:
        """Return the series of labels, a closed list: to look up labels costs 5 us each time."""
        found = self._series.get((method, route, status))
        if found is None:
            metrics = self._metrics
            found = metrics.requests.labels(method, route, status), metrics.seconds.labels(route)
            self._series[method, route, status] = found
        return found
