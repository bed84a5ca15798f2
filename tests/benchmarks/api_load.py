"""Sends one request to an HTTP server again and again, from a process of its own.

``--callers`` keep-alive connections each send it again as soon as they have the answer, for
``--seconds`` after ``--warm`` ones that do not count. The request comes on
stdin, as its bytes; the figures are the last line of stdout, as JSON.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
#: Seconds beyond the measured ones that a run may take.
_PATIENCE = 60.0


class Measurements:
    """Seconds of each request, and how the answers began."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.seconds: list[float] = []
        self.statuses: Counter[bytes] = Counter()

    def note(self, answer: bytes, seconds: float) -> None:
        self.seconds.append(seconds)
        self.statuses[answer[9:12]] += 1

    def figures(self, took: float) -> dict[str, Any]:
        if not self.statuses or not set(self.statuses) <= {b"200", b"202"}:
            raise RuntimeError(f"not every answer is 200 or 202: {dict(self.statuses)}")
        p50, p99 = np.percentile(self.seconds, [50, 99]) * 1e3
        return {
            "requests": len(self.seconds),
            "requests_per_second": len(self.seconds) / took,
            "p50_ms": float(p50),
            "p99_ms": float(p99),
        }


class Caller(asyncio.Protocol):
    """One connection with one request on its way."""

    def __init__(self, request: bytes, measurements: Measurements) -> None:
        self._request = request
        self._measurements = measurements
        self._received = b""
        self._began = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if whole(self._received):
            self._measurements.note(self._received, time.perf_counter() - self._began)
            self._send()

    def _send(self) -> None:
        self._received, self._began = b"", time.perf_counter()
        self._transport.write(self._request)


def whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return length is not None and len(body) >= int(length[1])


async def load(options: argparse.Namespace, request: bytes) -> dict[str, Any]:
    measurements, loop = Measurements(), asyncio.get_running_loop()
    for _ in range(options.callers):
        await loop.create_connection(
            lambda: Caller(request, measurements), options.host, options.port
        )
    await asyncio.sleep(options.warm)
    measurements.clear()
    began = time.perf_counter()
    await asyncio.sleep(options.seconds)
    return measurements.figures(time.perf_counter() - began)


def measure_load(
    address: tuple[str, int], request: bytes, callers: int, seconds: float
) -> dict[str, Any]:
    """Run such a process, and return its figures."""
    host, port = address
    command = [sys.executable, "-m", "tests.benchmarks.api_load", "--host", host]
    command += ["--port", str(port), "--callers", str(callers), "--seconds", str(seconds)]
    ended = subprocess.run(
        command, input=request, stdout=subprocess.PIPE, check=True, timeout=seconds + _PATIENCE
    )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warm", type=float, default=0.5)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(load(options, sys.stdin.buffer.read()))), flush=True)


if __name__ == "__main__":
    main()
