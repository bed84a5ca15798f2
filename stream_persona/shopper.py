"""What clients are told of a shopper, and of a change; typed, frozen, from the public JSON.

It needs ``orjson`` alone.
"""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from stream_persona.ranking import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Why a lookup has no persona: nobody knows the customer; the model is not sure; Redis did not
#: answer in time; what is stored there is no public record. And why a ranking is the baseline
#: besides: the customer is held out, or the items' scores are no numbers.
UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE = "unknown", "ambiguous", "unreachable", "unreadable"
HOLDOUT: Final = "holdout"
FALLBACKS: Final = (UNKNOWN, AMBIGUOUS, UNREACHABLE, UNREADABLE, HOLDOUT)

#: Customers whose last revision a watcher remembers, to tell repetitions.
WATCHED: Final = 100_000

_NOTHING: Mapping[str, float] = MappingProxyType({})


class Shopper(NamedTuple):
    """What is known of a customer. ``persona`` None means: rank as you would without it.

    ``fallback`` says why there is no persona, None where there is one. ``distribution`` has a
    probability for each persona, also while none is named; ``candidates`` are those that remain
    possible. ``evidence`` is the decayed number of events, ``revision`` that of the last change.
    """

    customer_id: str
    persona: str | None = None
    fallback: str | None = UNKNOWN
    confidence: float = 0.0
    ambiguous: bool = True
    source: str = "predicted"
    distribution: Mapping[str, float] = _NOTHING
    candidates: tuple[str, ...] = ()
    why: tuple[Reason, ...] = ()
    evidence: float = 0.0
    revision: int = 0
    updated_at: str = ""
    model_version: str = ""
    taxonomy_version: str = ""


class Change(NamedTuple):
    """A change of a customer's persona, or their deletion (``deleted``, with nothing else).

    ``previous`` is the persona named before; None, like ``persona``, while none was.
    """

    customer_id: str
    revision: int = 0
    persona: str | None = None
    previous: str | None = None
    cause: str = ""
    confidence: float = 0.0
    ambiguous: bool = True
    source: str = "predicted"
    distribution: Mapping[str, float] = _NOTHING
    why: tuple[Reason, ...] = ()
    change_id: str = ""
    occurred_at: str = ""
    published_at: str = ""
    deleted: bool = False


def parsed(customer_id: str, blob: bytes | None) -> Shopper:
    """The shopper of a public record; whatever the bytes are, no exception."""
    if blob is None:
        return Shopper(customer_id)
    try:
        return _shopper(customer_id, orjson.loads(blob))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Shopper(customer_id, fallback=UNREADABLE)


def _shopper(customer_id: str, record: dict[str, Any]) -> Shopper:
    persona = record["persona"]
    return Shopper(
        customer_id,
        persona,
        AMBIGUOUS if persona is None else None,
        record["confidence"],
        record["ambiguous"],
        record["source"],
        MappingProxyType(record["distribution"]),
        tuple(record["candidates"]),
        _reasons(record),
        record["evidence"],
        record["revision"],
        record["updated_at"],
        record["model_version"],
        record["taxonomy_version"],
    )


def _reasons(record: dict[str, Any]) -> tuple[Reason, ...]:
    return tuple([Reason(why["feature"], why["value"], why["lift"]) for why in record["why"]])


class Changes:
    """Reads the messages of ``persona-changes``, each change once.

    A change may be delivered twice, with the same revision. A deletion lets revisions begin again.
    Of the ``remembered`` customers who changed last, that is told apart; of others it may not be.
    """

    def __init__(self, remembered: int = WATCHED) -> None:
        self._last: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._most = remembered

    def read(self, key: bytes | None, value: bytes | None) -> Change | None:
        """The change in a message; None for a repetition, and for what is no change."""
        customer = (key or b"").decode(errors="replace")
        if value is None:
            self._last.pop(customer, None)
            return Change(customer, deleted=True)
        try:
            change = _change(orjson.loads(value))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        revision, change_id = self._last.get(customer, (0, ""))
        if change.revision < revision or change.change_id == change_id:
            return None
        self._last[customer] = (change.revision, change.change_id)
        self._last.move_to_end(customer)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return change


def _change(message: dict[str, Any]) -> Change:
    current, previous = message["current"], message["previous"]
    return Change(
        message["customer_id"],
        message["revision"],
        current["persona"],
        previous["persona"] if previous else None,
        message["cause"],
        current["confidence"],
        current["ambiguous"],
        current["source"],
        MappingProxyType(current["distribution"]),
        _reasons(message),
        message["change_id"],
        message["occurred_at"],
        message["published_at"],
    )


class Recent:
    """Shoppers that were looked up lately, until they change. Not for several threads at once.

    An answer that was on its way while its customer changed is not kept: ``asking`` before, and
    ``keep`` after with what it gave.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, Shopper] = OrderedDict()
        self._asked: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._clock = 0
        #: Whether changes are heard of; while they are not, nothing is kept.
        self.fresh = False

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, customer_id: str) -> Shopper | None:
        """What is kept of a customer."""
        found = self._kept.get(customer_id)
        if found is not None:
            self._kept.move_to_end(customer_id)
        return found

    def asking(self, customer_id: str) -> int:
        """Note that a customer is about to be looked up; call ``keep`` with the result."""
        self._clock += 1
        self._asked[customer_id] = self._asked.get(customer_id, 0) + 1
        return self._clock

    def keep(self, asked: int, shopper: Shopper) -> None:
        """Keep an answer, unless its customer has changed since it was ``asked``."""
        customer = shopper.customer_id
        changed = self._changed.get(customer, 0)
        self._asked[customer] -= 1
        if not self._asked[customer]:
            del self._asked[customer]
            self._changed.pop(customer, None)
        if not self.fresh or changed > asked or shopper.fallback in {UNREACHABLE, UNREADABLE}:
            return
        self._kept[customer] = shopper
        self._kept.move_to_end(customer)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, customer_id: str) -> None:
        """A customer has changed."""
        self._clock += 1
        self._kept.pop(customer_id, None)
        if customer_id in self._asked:
            self._changed[customer_id] = self._clock

    def begin(self, *, fresh: bool) -> None:
        """Changes are heard of from now on, or not any more: what is kept may be old."""
        self.fresh = fresh
        self._clock += 1
        self._kept.clear()
        self._changed.update(dict.fromkeys(self._asked, self._clock))
