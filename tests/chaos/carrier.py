"""Damages messages on their way: sent twice, unreadable, or to a partition not their home.

Delays and the order across topics are the shop's (``shopfloor``). All of it is drawn from a seed,
so the stream of one seed is the same to the byte on every run.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from stream_persona.domain.events import ASSIGNMENT, Assignment, encode
from stream_persona.kafka.partitioner import find_home_partition
from tests.chaos.shopfloor import Sent

#: Shares of messages that are sent twice, that go elsewhere, and after which one is unreadable.
TWICE, ELSEWHERE, UNREADABLE = 0.03, 0.015, 0.003
#: How much later a copy is sent, at most, as a share of the shop's time; and one in ten of them.
SOON, MUCH_LATER = 0.002, 0.5

BROKEN: tuple[bytes | None, ...] = (
    None, b"", b"{", b'{"event_id": "\xff"}', b"[]", b"{}", b"[" * 2_000,
    b'{"event_id": "e", "customer_id": "", "occurred_at": 1}',
    b'{"event_id": "e", "customer_id": "c", "occurred_at": "yesterday"}',
)  # fmt: skip


def carry(messages: Sequence[Sent], seed: int, partitions: int) -> list[Sent]:
    """Return the messages as they reach the broker; ``note`` names what was done to each."""
    rnd = random.Random(f"carrier {seed}")
    found: list[Sent] = []
    for sent in messages:
        message = sent
        if rnd.random() < ELSEWHERE:
            away = (
                find_home_partition(message.customer, partitions) + rnd.randrange(1, partitions)
            ) % partitions
            message = replace(message, partition=away, note="elsewhere")
        found.append(message)
        if rnd.random() < TWICE:  # a retry goes to the same partition
            later = message.sent + rnd.uniform(0, MUCH_LATER if rnd.random() < 0.1 else SOON)
            found.append(replace(message, sent=later, note="duplicate"))
        if rnd.random() < UNREADABLE:
            found.append(_unreadable(message, rnd))
    return sorted(found, key=lambda message: message.sent)


def _unreadable(beside: Sent, rnd: random.Random) -> Sent:
    if rnd.random() < 0.1:
        value = Assignment(f"u{rnd.random()}", beside.customer, 1, "astronaut")
        beside = replace(beside, kind=ASSIGNMENT, value=encode(value))
    else:
        beside = replace(beside, value=rnd.choice(BROKEN))
    return replace(beside, note="unreadable", ends_after=None)


def count_notes(messages: Sequence[Sent]) -> Counter[str]:
    """Count the messages by what was done to them, and those that came late or out of order."""
    counted = Counter(message.note for message in messages if message.note)
    counted["delayed"] = sum(message.sent - message.happened > 0.001 for message in messages)
    counted["out_of_order"] = sum(_out_of_order(messages))
    return counted


def _out_of_order(messages: Sequence[Sent]) -> Iterator[bool]:
    """For each message, whether one of its customer that happened later was sent before it."""
    newest: dict[str, float] = {}
    for message in messages:
        last = newest.get(message.customer, 0.0)
        yield message.happened < last
        newest[message.customer] = max(last, message.happened)
