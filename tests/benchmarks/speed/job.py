"""The job of ``make bench``: the shoppers, what they do, and the log that every system reads.

Customers are active by Zipf's law (the r-th of them in proportion to 1/r), every twentieth is
labelled, and events are 20 % purchases, 60 % browses and 20 % engagements of about 300 bytes.
``produce`` puts them once onto topics that stay; a system reads them with a group of its own.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import orjson
from confluent_kafka import Producer

from stream_persona.domain import taxonomy
from stream_persona.domain.events import ASSIGNMENT, BROWSE, ENGAGEMENT, PURCHASE
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.settings import Settings

#: Days that the log lasts, and the event time of its first event in epoch milliseconds: it is of
#: now, since evidence of long ago has faded by the clock, and names nobody.
DAYS = 10
BEGAN = (time.time_ns() // 86_400_000_000_000 - DAYS) * 86_400_000
#: Shares of the kinds.
MIX = {PURCHASE: 0.2, BROWSE: 0.6, ENGAGEMENT: 0.2}
#: Of every so many customers, by activity, one is labelled; which of them.
EVERY, WHICH = 20, 7
#: Bytes of an event, which an unread field fills up to.
SIZE = 300
#: How often a shopper does what its persona prefers.
LOYALTY = 0.6
#: Tokens of an event with one attribute, on average, and of one from ``FEW_FIELDS``.
TOKENS = 10
FEW_FIELDS = ("category", "brand", "action", "channel", "campaign")

_CHUNK = 20_000
_AISLES, _BRANDS, _PRODUCTS = 8, 100, 2_000
_ACTIONS = ("view",) * 12 + ("search",) * 3 + ("add_to_cart",) * 3 + ("wishlist",)
_REACTIONS = ("open", "open", "open", "click", "click", "redeem", "dismiss")
_CHANNELS = ("email", "push", "onsite", "ad")
_AGENT = (
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36 " * 3
)


@dataclass(frozen=True)
class Job:
    """How much of what; ``tokens`` are an event's, on average, ``personas`` 2 to 24.

    At most so many ``assignments`` are in the log: all labelled customers, if there is room.
    """

    events: int = 200_000
    customers: int = 20_000
    personas: int = 8
    tokens: int = TOKENS
    assignments: int = 1_000_000
    seed: int = 1

    @cached_property
    def taxonomy(self) -> Taxonomy:
        return taxonomy.parse(self.taxonomy_text())

    def taxonomy_text(self) -> str:
        """A taxonomy file: each persona has a department of its own, two aisles are seeds."""
        lines = []
        for persona in range(self.personas):
            seeds = ", ".join(f'"dept-{persona}/aisle-{aisle}"' for aisle in range(2))
            lines += ["[[persona]]", f'name = "persona-{persona}"']
            lines += [f"seeds = {{ category = [{seeds}] }}"]
        if self.tokens < TOKENS:
            fields = ", ".join(f'"{field}"' for field in FEW_FIELDS)
            lines += ["[features]", f"fields = [{fields}]"]
        return "\n".join(lines)

    def write_taxonomy(self, folder: Path) -> Path:
        path = folder / "taxonomy.toml"
        path.write_text(self.taxonomy_text())
        return path

    @property
    def attributes(self) -> int:
        """How many an event has."""
        return max(0, self.tokens - TOKENS + 1)

    @cached_property
    def order(self) -> np.ndarray:
        """Customer by rank of activity: being active has nothing to do with the name."""
        return np.random.default_rng(self.seed).permutation(self.customers)

    def name(self, rank: int) -> str:
        return f"C{self.order[rank]:07d}"

    def labelled(self) -> Iterator[tuple[str, str]]:
        """Customers with the persona that they are assigned: the one they behave like."""
        for rank in range(WHICH, self.customers, EVERY):
            yield self.name(rank), f"persona-{self.persona(rank)}"

    def persona(self, rank: int) -> int:
        return int(self.order[rank]) % self.personas

    def messages(self, began: int = BEGAN, step: float | None = None) -> Iterator["Sent"]:
        """Kind, customer and value of all events; ``step`` is in milliseconds of event time."""
        rng = np.random.default_rng(self.seed)
        step = DAYS * 86_400_000 / self.events if step is None else step
        given = list(islice(self.labelled(), self.assignments))
        behaviour = max(0, self.events - len(given))
        places = iter(sorted(rng.integers(0, behaviour + 1, len(given)).tolist()))
        place, number = next(places, None), 0
        for index, sent in enumerate(self._behaviour(rng, behaviour, began, step)):
            while place is not None and place <= index:
                yield assignment(number, *given[number], at=began + round(index * step))
                place, number = next(places, None), number + 1
            yield sent
        for rest in range(number, len(given)):
            yield assignment(rest, *given[rest], at=began + round(behaviour * step))

    def _behaviour(
        self, rng: np.random.Generator, number: int, began: int, step: float
    ) -> Iterator["Sent"]:
        activity = np.cumsum(1 / np.arange(1, self.customers + 1))
        for start in range(0, number, _CHUNK):
            size = min(_CHUNK, number - start)
            ranks = np.searchsorted(activity, rng.random(size) * activity[-1])
            kinds = rng.choice(list(MIX), size, p=list(MIX.values()))
            drawn = rng.integers(0, 1 << 31, (size, 24)).tolist()
            for row, (rank, kind) in enumerate(zip(ranks.tolist(), kinds.tolist(), strict=True)):
                at = began + round((start + row) * step)
                yield self._event(start + row, kind, rank, at, drawn[row])

    def _event(self, number: int, kind: int, rank: int, at: int, drawn: list[int]) -> "Sent":
        name, persona = self.name(rank), self.persona(rank)
        event: dict[str, object] = {"event_id": f"e{number:09d}", "customer_id": name}
        event["occurred_at"] = at
        if kind == PURCHASE:
            items = [self._item(persona, drawn[3 * i :]) for i in range(1 + drawn[20] % 3)]
            event |= {"order_id": f"o{number:09d}", "items": items}
        elif kind == BROWSE:
            action = _ACTIONS[drawn[20] % len(_ACTIONS)]
            event |= {"action": action, "product": self._item(persona, drawn)}
        else:
            action = _REACTIONS[drawn[20] % len(_REACTIONS)]
            event |= {"channel": _CHANNELS[drawn[0] % 4], "action": action}
            event["campaign"] = f"campaign-{drawn[1] % 20}"
        if self.attributes:
            event["attributes"] = {
                f"facet-{i}": f"value-{(drawn[21] >> i % 24) % 8}" for i in range(self.attributes)
            }
        return kind, name, filled(orjson.dumps(event))

    def _item(self, persona: int, drawn: list[int]) -> dict[str, object]:
        loyal = drawn[0] % 1_000 < 1_000 * LOYALTY
        dept = persona if loyal else drawn[0] // 1_000 % self.personas
        return {
            "product_id": f"p{drawn[1] % _PRODUCTS:04d}",
            "category": f"dept-{dept}/aisle-{drawn[1] % _AISLES}",
            "brand": f"brand-{drawn[2] % _BRANDS}",
            "price": drawn[1] % 10_000 / 100,
            "quantity": 1 + drawn[2] % 3,
        }


#: Kind, customer and value of a message.
Sent = tuple[int, str, bytes]


def filled(value: bytes) -> bytes:
    """The event with an unknown field that brings it to ``SIZE`` bytes."""
    room = SIZE - len(value) - len(b',"agent":""')
    return value[:-1] + b',"agent":"' + _AGENT[:room] + b'"}' if room > 0 else value


def assignment(number: int, name: str, persona: str, at: int) -> Sent:
    fields = {"assignment_id": f"a{number:07d}", "customer_id": name, "occurred_at": at}
    return ASSIGNMENT, name, orjson.dumps({**fields, "persona": persona, "source": "bench"})


def producer(settings: Settings, linger_ms: int = 20) -> Producer:
    """One that partitions as Java's, so that every event arrives at its customer's home."""
    return Producer({
        "bootstrap.servers": settings.brokers,
        "partitioner": "murmur2_random",
        "linger.ms": linger_ms,
        "batch.size": 500_000,
        "queue.buffering.max.messages": 500_000,
        "log_level": 3,
    })  # fmt: skip


def produce(job: Job, settings: Settings) -> int:
    """Put the whole log onto the input topics; how many bytes it has."""
    to, topics, size = producer(settings), settings.input_topics, 0
    messages = job.messages()
    while chunk := list(islice(messages, _CHUNK)):
        for kind, name, value in chunk:
            size += len(value)
            to.produce(topics[kind], value, name)
        to.flush()
    return size
