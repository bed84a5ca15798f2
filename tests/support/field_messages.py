"""Messages as producers in the field send them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

#: The kinds of input, by the names of their topics in ``Settings``.
PURCHASES, BROWSES, ASSIGNMENTS = "purchases", "browses", "assignments"
#: A clock that was never set: the middle of 2045, in milliseconds.
FAR: Final = 2_382_000_000_000
DOG_FOOD: Final = {"product_id": "P1", "category": "dog/food", "price": 3.0}


@dataclass(frozen=True)
class Sent:
    """A message of a row: ``value`` is JSON unless it is bytes; ``at`` is the producer's clock."""

    topic: str
    key: str | None
    value: Any
    at: int | None = None

    @property
    def data(self) -> bytes | None:
        return (
            self.value
            if self.value is None or isinstance(self.value, bytes)
            else orjson.dumps(self.value)
        )


#: Makes the messages of a time and of the taxonomy's personas.
Sender = Callable[[int, Sequence[str]], list[Sent]]


@dataclass(frozen=True)
class Row:
    """What was tried, as messages at a time (epoch ms), and what is right for the customers.

    ``send`` makes the messages of a time and the taxonomy's personas. ``evidence`` are effective
    events, ``at_least`` so many or more, ``absent`` have no record, ``label`` are indices of
    the taxonomy's personas, ``alike`` have equal tokens and ``apart`` have not, ``holds`` and
    ``lacks`` are tokens of a customer, ``letters`` are reasons of dead letters by customer,
    ``anomalies`` are reasons that count at least so many, and ``forgotten`` are gone after a
    deletion of now. ``codec`` is that of the producer.
    """

    tried: str
    send: Sender
    evidence: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    label: Mapping[str, int] = field(default_factory=dict)
    alike: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    holds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    letters: Mapping[str, str] = field(default_factory=dict)
    anomalies: Mapping[str, int] = field(default_factory=dict)
    forgotten: tuple[str, ...] = ()
    codec: str = "none"


def order(customer: str, name: str, at: Any, *items: dict[str, Any], **more: Any) -> Sent:
    value = {
        "event_id": name,
        "customer_id": customer,
        "occurred_at": at,
        "items": list(items) or [DOG_FOOD],
        **more,
    }
    return Sent(PURCHASES, customer, value)


def look(customer: str, name: str, at: Any, action: str = "view", **more: Any) -> Sent:
    value = {"event_id": name, "customer_id": customer, "occurred_at": at, "action": action, **more}
    return Sent(BROWSES, customer, value)


def assign(customer: str, name: str, at: Any, persona: str, **more: Any) -> Sent:
    value = {
        "assignment_id": name,
        "customer_id": customer,
        "occurred_at": at,
        "persona": persona,
        **more,
    }
    return Sent(ASSIGNMENTS, customer, value)


def in_every_unit(now: int, _: Sequence[str]) -> list[Sent]:
    units = [now, now // 1_000, now / 1_000, now * 1_000, now * 1_000_000]
    return [order("C1", f"u{number}", at) for number, at in enumerate(units)]


def spelled(customer: str, key: str, *spellings: str) -> Callable[[int, Sequence[str]], list[Sent]]:
    def send(now: int, _: Sequence[str]) -> list[Sent]:
        return [
            order(f"{customer}-{number}", "s", now, {"product_id": "P", key: spelling})
            for number, spelling in enumerate(spellings)
        ]

    return send


def widen(text: str) -> str:
    """Write ASCII letters in full width, as Japanese keyboards do."""
    return "".join(chr(ord(each) + 0xFEE0) if each.isascii() else each for each in text)
