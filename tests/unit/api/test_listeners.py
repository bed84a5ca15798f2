"""Seats of listeners: so many in all, so many of one caller."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from stream_persona.api.bounds import Bounds
from stream_persona.api.listeners import ListenerSeats, name_caller


def refusal(seats: ListenerSeats, caller: str) -> str:
    with pytest.raises(HTTPException) as refused, seats.take(caller):
        pass
    assert refused.value.status_code == 429
    assert refused.value.headers == {"Retry-After": "5"}
    return refused.value.detail


def test_a_caller_has_so_many_seats_and_others_have_theirs() -> None:
    seats = ListenerSeats(Bounds(10, 3, 2))
    with ExitStack() as stack:
        stack.enter_context(seats.take("key 0"))
        with seats.take("key 0"):
            assert refusal(seats, "key 0").startswith("you have 2 streams of changes open")
            stack.enter_context(seats.take("key 1"))
            assert refusal(seats, "key 1").startswith("this process has 3 listeners")
        stack.enter_context(seats.take("key 0"))
    assert len(seats) == 0


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ({"state": {"caller": "key 1"}, "client": ("192.0.2.1", 1)}, "key 1"),
        ({"state": {"caller": SimpleNamespace(name="till")}}, "till"),
        ({"state": {"caller": None}, "client": ("192.0.2.1", 1)}, "address 192.0.2.1"),
        ({"client": None}, "address unknown"),
    ],
)
def test_a_caller_is_named_by_its_key_or_its_address(scope: dict[str, Any], name: str) -> None:
    assert name_caller(scope) == name


def test_a_seat_is_given_back_whatever_ends_the_stream() -> None:
    seats = ListenerSeats(Bounds(10, 1, 1))
    with pytest.raises(RuntimeError), seats.take("a"):
        raise RuntimeError
    with seats.take("a"):
        assert len(seats) == 1
    assert not seats._taken
