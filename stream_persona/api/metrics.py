"""The API's figures for Prometheus: a closed list, in a registry of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Figures:
    """Every figure that the API shows; the attribute names are the metric names' ends."""

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
        self.listeners = Gauge("listeners", "Open streams of changes", **prefix)
        self.changes = Gauge("changes_heard", "Changes heard since the start", **prefix)
        self.labelled = Gauge("labelled_customers", "Customers that the model learned", **prefix)
        self.ready = Gauge("ready", "Whether a part that is needed is there", ["part"], **prefix)


class Timed:
    """Middleware that counts requests by the template of their route, and times them."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and count how its answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"], time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, counted)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if route != "unmatched" else "any"
        self._figures.requests.labels(method, route, str(status)).inc()
        self._figures.seconds.labels(route).observe(seconds)
