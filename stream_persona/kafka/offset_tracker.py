"""How far a partition may be committed when its batches are acked in any order.

Pure arithmetic on offsets. A batch is what one fetch brought from one partition; it is known by
the offset of its last record.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

_UNKNOWN: Final = -1


class _Unacked(NamedTuple):
    start: int  # where reading goes on if this batch is never acked
    records: int
    size: int


class CommitPosition:
    """How far one partition may be committed: the end of its prefix of acked batches.

    Offsets may have gaps anywhere. A batch that starts before the end of what was delivered means
    that the consumer has sought back: what comes now replaces un-acked batches from there on.
    """

    __slots__ = ("_end", "_unacked", "unacked_bytes", "unacked_records")

    def __init__(self) -> None:
        self._end = _UNKNOWN  # every record before it was delivered
        self._unacked: OrderedDict[int, _Unacked] = OrderedDict()
        self.unacked_records = 0
        self.unacked_bytes = 0

    @property
    def committable(self) -> int | None:
        """The offset to commit; ``None`` while no prefix is known to be done."""
        start = next(iter(self._unacked.values())).start if self._unacked else self._end
        return start if start > 0 else None

    def deliver(self, first: int, last: int, *, records: int, position: int, size: int = 0) -> None:
        """Note that a batch of offsets ``first`` to ``last`` goes out; ``position`` is read next.

        ``size`` is the bytes of its values.
        """
        start = self._forget_from(first) if first < self._end else self._end
        self._unacked[last] = _Unacked(start, records, size)
        self._end = max(last + 1, position)
        self.unacked_records += records
        self.unacked_bytes += size

    def ack(self, last: int) -> None:
        """Note that the batch that ends with ``last`` is done; an unknown one changes nothing."""
        batch = self._unacked.pop(last, None)
        if batch is not None:
            self.unacked_records -= batch.records
            self.unacked_bytes -= batch.size

    def pass_to(self, position: int) -> None:
        """Note that no record lies between the last batch and ``position``.

        The markers at the end of transactions are passed like this.
        """
        self._end = max(self._end, position)

    def _forget_from(self, first: int) -> int:
        replaced = [last for last in self._unacked if last >= first]
        starts = [self._unacked[last].start for last in replaced]
        for last in replaced:
            self.ack(last)
        return min([first, *starts])
