"""The head of an answer goes with what follows in its turn of the event loop, and no later."""

import asyncio
from typing import Any, cast

from stream_persona.api.joined_writes import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Transport:
    """A transport that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.asked.append(data)

    def close(self) -> None:
        self.asked.append("close")

    def abort(self) -> None:
        self.asked.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.asked

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def make() -> tuple[Transport, JoinedWrites]:
    transport = Transport()
    return transport, JoinedWrites(cast("asyncio.Transport", transport))


async def test_a_head_goes_with_its_body_in_one_write() -> None:
    transport, joined = make()
    for data in (HEAD, b"body", b"", b"more"):
        joined.write(data)
    assert transport.asked == [HEAD + b"body", b"more"]
    await asyncio.sleep(0)
    assert transport.asked == [HEAD + b"body", b"more"]


async def test_the_head_of_a_stream_goes_at_the_end_of_the_turn() -> None:
    transport, joined = make()
    joined.write(HEAD)
    assert transport.asked == []
    await asyncio.sleep(0)
    assert transport.asked == [HEAD]
    joined.write(b"an event")
    assert transport.asked == [HEAD, b"an event"]


async def test_a_head_without_a_body_goes_with_the_end_of_its_answer() -> None:
    transport, joined = make()
    joined.write(HEAD)
    joined.write(b"")
    assert transport.asked == [HEAD]


async def test_a_head_goes_before_the_connection_is_closed() -> None:
    transport, joined = make()
    joined.write(HEAD)
    joined.close()
    assert transport.asked == [HEAD, "close"]
    assert joined.is_closing()
    await asyncio.sleep(0)
    assert transport.asked == [HEAD, "close"]


async def test_all_else_is_the_transports_own() -> None:
    transport, joined = make()
    info: Any = joined.get_extra_info("socket")
    assert info == "the socket"
    joined.abort()
    assert transport.asked == ["abort"]
