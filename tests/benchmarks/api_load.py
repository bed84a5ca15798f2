"""Asks one HTTP server the same thing again and again, from a process of its own.

``--callers`` keep-alive connections each ask again as soon as they were answered, for ``--seconds``
after ``--warm`` ones that do not count. The request comes on stdin, as its bytes; the figures are
the last line of stdout, as JSON.
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


class Tally:
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
        if set(self.statuses) != {b"200"}:
            raise RuntimeError(f"not every answer is 200: {dict(self.statuses)}")
        p50, p99 = np.percentile(self.seconds, [50, 99]) * 1e3
        return {
            "requests": len(self.seconds),
            "requests_per_second": len(self.seconds) / took,
            "p50_ms": float(p50),
            "p99_ms": float(p99),
        }


class Caller(asyncio.Protocol):
    """One connection with one request on its way."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._heard = b""
        self._began = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if whole(self._heard):
            self._tally.note(self._heard, time.perf_counter() - self._began)
            self._ask()

    def _ask(self) -> None:
        self._heard, self._began = b"", time.perf_counter()
        self._transport.write(self._request)


def whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return length is not None and len(body) >= int(length[1])


async def load(options: argparse.Namespace, request: bytes) -> dict[str, Any]:
    tally, loop = Tally(), asyncio.get_running_loop()
    for _ in range(options.callers):
        await loop.create_connection(lambda: Caller(request, tally), options.host, options.port)
    await asyncio.sleep(options.warm)
    tally.clear()
    began = time.perf_counter()
    await asyncio.sleep(options.seconds)
    return tally.figures(time.perf_counter() - began)


def measured(
    address: tuple[str, int], request: bytes, callers: int, seconds: float
) -> dict[str, Any]:
    """What such a process tells."""
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
