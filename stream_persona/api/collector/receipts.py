"""What becomes of the events of one request, as it is answered and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.anomaly import Anomaly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.kafka.producer import Message


class CollectOutcome(StrEnum):
    """What became of an event that was posted, or of a call of another's library."""

    #: The broker has it.
    ACCEPTED = "accepted"
    #: Its id stands for nobody.
    NOBODY = Anomaly.NOBODY.value
    #: It says that two ids are one customer: no event.
    IDENTITY_LINK = Anomaly.IDENTITY_LINK.value
    #: It is no event of ours, for one of these reasons.
    UNKNOWN_EVENT = Anomaly.UNKNOWN_EVENT.value
    NOT_OF_INTEREST = Anomaly.NOT_OF_INTEREST.value
    NOT_BOUGHT = Anomaly.NOT_BOUGHT.value
    #: It cannot be read, or its topic does not take one as large: the answer says why.
    REFUSED = "refused"
    #: The broker was away or busy: the caller was asked to send it again.
    UNSENT = "unsent"


#: The reasons for which a call is left out.
LEFT_OUT: Final = (
    CollectOutcome.UNKNOWN_EVENT,
    CollectOutcome.NOT_OF_INTEREST,
    CollectOutcome.NOT_BOUGHT,
)
#: Statuses: the broker has all, some, none of the events that it was to have.
_ALL, _SOME, _NONE = 202, 207, 400


@dataclass
class Receipt:
    """The events of one request: those to send, and what became of each of them.

    An event of a caller's, by its place in the request, may be several messages.
    """

    outcomes: dict[int, CollectOutcome] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    messages: list[tuple[int, Message]] = field(default_factory=list)

    def refuse(self, index: int, message: str) -> None:
        """Refuse an event, with a sentence."""
        self.outcomes[index] = CollectOutcome.REFUSED
        self.refused[index] = message

    @property
    def counts(self) -> Counter[CollectOutcome]:
        """How many events have each outcome."""
        return Counter(self.outcomes.values())

    @property
    def status(self) -> int:
        """The answer's status: not all is well if one of several was refused."""
        if not self.refused:
            return _ALL
        is_nothing_taken = not self.messages and len(self.refused) == len(self.outcomes)
        return _NONE if is_nothing_taken else _SOME

    @property
    def call_status(self) -> int:
        """The same for Segment's libraries."""
        return 200 if self.status == _ALL else self.status

    def as_answer(self) -> dict[str, Any]:
        """Return the answer's body: a problem where nothing could be taken."""
        counts = self.counts
        refused = [
            {"index": index, "message": text} for index, text in sorted(self.refused.items())
        ]
        if self.status == _NONE:
            return {"message": _describe(refused), "refused": refused}
        return {
            "accepted": counts[CollectOutcome.ACCEPTED], "ignored": counts[CollectOutcome.NOBODY],
            "refused": refused,
        }  # fmt: skip

    def as_call_answer(self) -> dict[str, Any]:
        """Return the body for Segment's libraries, with the word that their own servers answer."""
        if self.status == _NONE:
            return self.as_answer()
        counts = self.counts
        return {
            "success": not self.refused, "links": counts[CollectOutcome.IDENTITY_LINK],
            "left_out": {each: counts[each] for each in LEFT_OUT if counts[each]},
            **self.as_answer(),
        }  # fmt: skip


def _describe(refused: Sequence[dict[str, Any]]) -> str:
    first: str = refused[0]["message"]
    if len(refused) == 1:
        return first
    return f"none of {len(refused)} events could be taken; the first one: {first}"
