"""The broker and the Redis of a trial: real servers that are killed, paused and started again.

Each comes back on its own port with its own data, as a machine would. A killed process loses
nothing that it has handed to the kernel, so a broker's acknowledged records survive. Redis keeps
what it has acknowledged only with ``appendfsync always``; that it comes back older is a fault of
its own here (``Copy``, ``Store.follow``).
"""

import itertools
import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from stream_persona.demo.embedded import find_free_port
from tests.support.kafka_node import START_SECONDS, RealKafka, answers, kafka_libraries, version
from tests.support.waiting import patience, wait_until

START_AGAIN = """export CLASSPATH="$1/*"
exec java -Xmx768m kafka.Kafka server.properties
"""


class Broker(RealKafka):
    """A Kafka that can end and come back."""

    def end(self, number: signal.Signals) -> None:
        """Send SIGTERM or SIGKILL, and wait for the end."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        self._process.wait(timeout=patience(60))

    def start_again(self) -> None:
        """On the same directory and port; ready when it returns."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", START_AGAIN, "sh", str(kafka_libraries())],
                cwd=self._directory.name,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_until_ready()

    def pause(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def is_up(self) -> bool:
        return self._process.poll() is None and answers(self.brokers)


class Store:
    """A Redis with an append-only file.

    It may come back older: with files that were copied some time ago (``copy``, ``put_back``), or
    as a replica that has lost its link some time ago (``follow``, ``promote``).
    """

    def __init__(self) -> None:
        binary = shutil.which("redis-server")
        assert binary, "redis-server must be on the PATH"
        self._binary = binary
        self._directory = TemporaryDirectory(prefix="stream-persona-redis-")
        self.log = Path(self._directory.name) / "server.log"
        self._numbers = itertools.count()
        self._replica: subprocess.Popen[bytes] | None = None
        self._port = find_free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start_again()

    @staticmethod
    def description() -> str:
        return f"redis-server {version(shutil.which('redis-server'))}, appendfsync always"

    def start_again(self) -> None:
        """With the data that it had; ready, its file read, when it returns."""
        self._process = self._start(self._port, Path(self._directory.name))
        self._wait_until_ready()

    def copy(self) -> Path:
        """Copy the files as they are; an end that is half written is not read when they are."""
        copied = Path(self._directory.name) / f"copy-{next(self._numbers)}"
        shutil.copytree(Path(self._directory.name) / "appendonlydir", copied)
        return copied

    def put_back(self, copied: Path) -> None:
        """Let a server that has ended start with files that were copied."""
        files = Path(self._directory.name) / "appendonlydir"
        shutil.rmtree(files)
        copied.rename(files)
        self.start_again()

    def follow(self) -> None:
        """Start a replica, and cut its link once it is in sync: from then on it lags."""
        port, directory = (
            find_free_port(),
            Path(self._directory.name) / f"replica-{next(self._numbers)}",
        )
        directory.mkdir()
        self._replica = self._start(port, directory, "--replicaof", f"127.0.0.1 {self._port}")
        with redis.Redis(port=port) as replica:

            def in_sync() -> bool:
                with suppress(redis.RedisError):
                    state = replica.info()
                    written = not (
                        state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]
                    )
                    return state.get("master_link_status") == "up" and written
                return False

            wait_until(in_sync, START_SECONDS, "the replica does not come into sync")
            replica.replicaof("127.0.0.1", "1")  # nobody is there
        self._replica_at = port, directory

    def promote(self) -> None:
        """End the server; let the replica that lags take its place and its port."""
        assert self._replica is not None
        self.end(politely=False)
        port, directory = self._replica_at
        with redis.Redis(port=port) as replica:
            replica.replicaof("NO", "ONE")
            replica.shutdown(nosave=True)
        self._replica.wait(timeout=patience(60))
        self._replica = None
        self.put_back(directory / "appendonlydir")

    def _start(self, port: int, directory: Path, *more: str) -> subprocess.Popen[bytes]:
        options = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        options += ["--repl-diskless-sync-delay", "0", *more]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._binary, "--bind", "127.0.0.1", "--port", str(port), *options],
                cwd=directory,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        wait_until(lambda: self._says("PING") == "+PONG", START_SECONDS, "Redis did not start")

    def end(self, *, politely: bool) -> None:
        """SIGKILL, or ``SHUTDOWN`` as an operator would; waits for the end."""
        if politely:
            self._says("SHUTDOWN")
        else:
            self._process.kill()
        self._process.wait(timeout=patience(60))

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for process in filter(None, (self._process, self._replica)):
            process.kill()
            process.wait()
        self._directory.cleanup()

    def _says(self, command: str) -> str:
        """The first word of the reply; empty while the server does not answer."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5) as there:
            there.sendall(command.encode() + b"\r\n")
            return there.recv(64).decode().split()[0] if command != "SHUTDOWN" else ""
        return ""
