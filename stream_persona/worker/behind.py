"""Customers whose records are behind what was published of them: Redis came back older.

Such a record took the last change over from the topic (``pipeline.adoption``), while the events
that led to it have yet to be read again. Decided before, an assigned customer would be published as
predicted, and as assigned again a moment later. So nothing is decided of these customers until
their partition has been read up to where its inputs ended when it was claimed.

Who is behind must outlive the owner: the next one finds records that know all that was published.
So beside a partition's offsets stands where the changes begin that were taken over, from the write
that takes the first of them over until their customers have been decided. The next owner reads the
topic of changes from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_persona.kafka.log_reader import EventLog

#: Ends the name under which that stands among the offsets; no topic's name can have it.
_BEHIND_SINCE: Final = ":behind-since"
#: Seconds after which they are decided all the same: a log may end in what no reader is given, and
#: the change that was taken over becomes older meanwhile.
LONGEST_SECONDS: Final = 60.0


def name_behind_since(changes: str) -> str:
    """Name the entry among the offsets that says since which change customers are behind.

    It is that change's offset of the topic ``changes`` and 1 more; 0, or none, if nobody is behind.
    """
    return f"{changes}{_BEHIND_SINCE}"


@dataclass(frozen=True, slots=True)
class BehindCustomers:
    """The ``customers`` of a partition that are behind until reading has reached ``ends``.

    ``since`` is in seconds of the worker's monotonic clock.
    """

    customers: frozenset[str]
    ends: Mapping[str, int]
    since: float

    def have_caught_up(self, offsets: Mapping[str, int], now: float) -> bool:
        """Whether everything was read again by the partition's ``offsets``, or it took too long."""
        is_read = all(offsets.get(topic, 0) >= end for topic, end in self.ends.items())
        return is_read or now - self.since >= LONGEST_SECONDS


async def find_behind(
    customers: Iterable[str], partition: int, topics: Iterable[str], log: EventLog, now: float
) -> BehindCustomers | None:
    """Find until where a partition's topics have to be read; None where no customer is behind.

    Raises:
        UnavailableError: the broker did not say where its logs end.
    """
    behind = frozenset(customers)
    if not behind:
        return None
    ends = await log.find_ends([TopicPartition(topic, partition) for topic in topics])
    return BehindCustomers(behind, {tp.topic: end for tp, end in ends.items()}, now)
