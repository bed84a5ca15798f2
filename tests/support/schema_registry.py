"""Registries of schemas for tests: Apicurio, fetched with Maven; and a stand-in that fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from stream_persona.demo.embedded import find_free_port
from tests.support.kafka_node import kafka_cache
from tests.support.waiting import wait_until

VERSION = "3.0.9"
START_SECONDS = 60.0
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"


class Apicurio:
    """A registry on a free port that answers Confluent's API; what it holds goes with it."""

    def __init__(self, log: Path) -> None:
        folder, port = _libraries(), find_free_port()
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        jar = next(folder.glob("*-runner.jar"))
        environment = {**os.environ, "QUARKUS_HTTP_PORT": str(port)}
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                ["java", "-Xmx300m", "-jar", jar.name], cwd=folder, env=environment,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_until(self._answers, START_SECONDS, f"the registry did not start, see {log}")

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/subjects").status_code == httpx.codes.OK
        return False

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def can_run_apicurio() -> bool:
    return bool(shutil.which("java") and (_cache().exists() or shutil.which("mvn")))


def _cache() -> Path:
    return kafka_cache().with_name(f"apicurio-{VERSION}")


def _libraries() -> Path:
    """The folder of the registry's jars, fetched with Maven the first time, whole or not at all."""
    cache = _cache()
    if not cache.exists():
        print(f"Fetching Apicurio {VERSION} with Maven, once ...", file=sys.__stderr__)
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as unfinished:
            options = ["-q", "-B", f"-Dmaven.repo.local={unfinished}/maven"]
            goal = ["dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={unfinished}"]
            subprocess.run(["mvn", *options, *goal], check=True, cwd=unfinished)
            target = Path(unfinished, "registry")
            shutil.unpack_archive(next(Path(unfinished).glob("*.tar.gz")), target, filter="data")
            with suppress(OSError):  # another run was quicker
                target.rename(cache)
    return cache


class StandIn:
    """What a stand-in for a registry holds, and what was asked of it.

    ``status`` is what it answers with instead, as long as it is set.
    """

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.status = 0
        self.asked: list[str] = []
        self.logins: set[str | None] = set()
        self.url = ""


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Run a server that has schemas by their number, in Confluent's API."""
    stand_in = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(stand_in))
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler_of(stand_in: StandIn) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stand_in.asked.append(self.path)
            stand_in.logins.add(self.headers["Authorization"])
            number = int(self.path.partition("?")[0].rpartition("/")[2])
            found = stand_in.schemas.get(number)
            status, answer = (200, found) if found else (404, {"error_code": 40403})
            if stand_in.status:
                status, answer = stand_in.status, {"error_code": stand_in.status}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Print nothing."""

    return Handler
