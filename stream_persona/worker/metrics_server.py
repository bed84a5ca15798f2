"""Serves a worker's metrics; whoever connects can't hold more than a few threads, nor for long.

``prometheus_client`` starts a thread for each connection and lets it wait for ever, which is also
what would take the files that the worker needs for Redis and Kafka.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from stream_persona.listening import explain_listening

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from stream_persona.worker.metrics import Metrics

logger = logging.getLogger(__name__)

#: Connections that may wait for a request's head, and as many again that are being answered.
MOST_WAITING: Final = 32
#: Seconds until the head is there, and as many again for the answer to be taken.
SCRAPE_SECONDS: Final = 10.0
#: Bytes of a request's line and headers together.
SCRAPE_HEAD_BYTES: Final = 16_384


def serve(metrics: Metrics, host: str, port: int) -> tuple[int, Callable[[], None]]:
    """Serve ``/metrics`` on ``port``, or on a free one when it is taken.

    Returns:
        The port, and a function that stops serving.

    Raises:
        SettingsError: this machine can't listen there.
    """
    try:
        server = _listen(metrics, host, port)
    except (OSError, UnicodeError) as error:  # the latter: no name of a host
        raise explain_listening(error, "METRICS", host, port) from None
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    logger.info("metrics on http://%s:%d/metrics", host, server.server_port)
    return server.server_port, close


def try_host(host: str) -> None:
    """Listen on a free port of the host, and stop at once.

    Raises:
        SettingsError: it is no address of this machine.
    """
    try:
        socket.create_server((host, 0), family=_find_family(host)).close()
    except (OSError, UnicodeError) as error:
        raise explain_listening(error, "METRICS", host, 0) from None


def _find_family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _listen(metrics: Metrics, host: str, port: int) -> MetricsServer:
    try:
        return MetricsServer(metrics, host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        logger.warning("metrics port %d is taken, using a free one", port)
        return MetricsServer(metrics, host, 0)


class _ScrapeRequest(WSGIRequestHandler):
    """A request, of which the head is bounded; it logs nothing."""

    server: MetricsServer

    def setup(self) -> None:
        super().setup()
        self.rfile = _BoundedHead(self.rfile)  # type: ignore[assignment, arg-type]

    def get_environ(self) -> dict[str, Any]:
        self.server.begin_answer(self.connection)
        return super().get_environ()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        pass


class _BoundedHead:
    """A reader of lines, which ends a request whose head is too long."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = SCRAPE_HEAD_BYTES

    def readline(self, limit: int = -1) -> bytes:
        most = self._left + 1
        line = self._file.readline(most if limit < 0 else min(limit, most))
        self._left -= len(line)
        if self._left < 0:
            raise ConnectionError("the head is too long")
        return line

    def close(self) -> None:
        self._file.close()


class MetricsServer(ThreadingMixIn, WSGIServer):
    """The server; a connection that waits for its head makes room for a new one."""

    daemon_threads = True
    #: Of the kernel: connections that are not accepted yet. With the five of the library, a scrape
    #: would have to try again for seconds while others connect.
    request_queue_size = 128

    def __init__(
        self, metrics: Metrics, host: str, port: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Listen; ``clock`` gives seconds that never go back.

        Raises:
            OSError: this machine can't listen there.
        """
        self.address_family = _find_family(host)
        self._dropped = metrics.dropped_scrapes
        self._clock = clock
        self._lock = Lock()
        #: Connections and since when; those that were ended stay until their threads have.
        self._waiting: dict[socket.socket, float] = {}
        self._answering: dict[socket.socket, float] = {}
        self._ended: set[socket.socket] = set()
        super().__init__((host, port), _ScrapeRequest)
        self.set_app(make_wsgi_app(metrics.registry))

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in the library
        """Answer in a thread, unless there are too many."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self._end(next(iter(self._waiting)))
            is_full = max(len(self._ended), len(self._answering)) >= MOST_WAITING
            if not is_full:
                self._waiting[request] = self._clock()
        if is_full:
            self._dropped.inc()
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def begin_answer(self, request: socket.socket) -> None:
        """Note that a request's head is there: it has to make no room any more."""
        with self._lock:
            if self._waiting.pop(request, None) is not None:
                self._answering[request] = self._clock()

    def service_actions(self) -> None:
        """End what takes too long; called twice a second."""
        with self._lock:
            latest = self._clock() - SCRAPE_SECONDS
            for held in (self._waiting, self._answering):
                for request in [each for each, since in held.items() if since <= latest]:
                    self._end(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as in the library
        """Close a connection; its thread has ended, or was never begun."""
        with self._lock:
            self._waiting.pop(request, None)
            self._answering.pop(request, None)
            self._ended.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - as in the library
        """Ignore errors of callers that have disconnected, or were disconnected."""
        logger.debug("a scrape from %s failed", client_address)

    def _end(self, request: socket.socket) -> None:
        """Wake a thread that waits for its caller: what it waits for fails."""
        self._waiting.pop(request, None)
        self._answering.pop(request, None)
        self._ended.add(request)
        self._dropped.inc()
        try:
            request.shutdown(socket.SHUT_RDWR)
        except OSError:  # its caller was quicker
            logger.debug("a scrape had ended", exc_info=True)
