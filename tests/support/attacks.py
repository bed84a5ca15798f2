"""Callers that mean no good: many connections, and what they send on them."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

#: In what is sent, the address that it is sent to: the API looks at it.
HERE = b"HERE"
LISTEN = b"GET /v1/changes HTTP/1.1\r\nHost: HERE\r\n\r\n"
HALF_A_HEAD = b"GET /v1/personas HTTP/1.1\r\nHost: HERE\r\nX-Wait: "
HALF_A_BODY = (
    b"POST /v1/rank HTTP/1.1\r\nHost: HERE\r\nContent-Type: application/json\r\n"
    b'Content-Length: 900\r\n\r\n{"customer_id": "'
)


@contextmanager
def connections(address: str, number: int, sending: bytes = b"") -> Iterator[list[socket.socket]]:
    """Hold so many connections open, each after it has sent the same."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    url = httpx.URL(address)
    sending = sending.replace(HERE, url.netloc)
    with ExitStack() as stack:
        held = []
        for _ in range(number):
            held.append(stack.enter_context(socket.create_connection((url.host, url.port), 10)))
            if sending:
                try:
                    held[-1].sendall(sending)
                except OSError:  # refused already
                    continue
        yield held


def statuses(held: list[socket.socket]) -> list[str]:
    """What each connection was answered so far, '' for nothing: the status of its first answer."""
    found = []
    for each in held:
        each.settimeout(2)
        try:
            found.append(each.recv(4_096).decode("latin-1")[9:12])
        except OSError:
            found.append("")
    return found


def memory_of(pid: int) -> int:
    """A process's resident memory, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
