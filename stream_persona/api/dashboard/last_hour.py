"""What was odd about the last hour's events, in words for its dashboard. Pure.

Each reason has its sentence once: the page shows it beside the number, and where the number is more
than a share of the events, it is a health finding.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stream_persona.domain.anomaly import Anomaly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream_persona.store.last_hour import LastHour

#: The reason of dead letters among the anomalies.
LETTERS: Final = "dead_letter"
#: Fewer raise no finding, whatever their share, unless the reason raises one for each.
LEAST: Final = 20
#: Rollbacks closer than this are one that several workers saw; most whose times are shown.
_SAME_MS: Final = 60_000
_SHOWN: Final = 3
#: Most reasons of letters, and most personas, that a sentence names.
_NAMED: Final = 5


class AnomalyText(NamedTuple):
    """The words of a reason: its number in a row, what it is of the events, and what to do.

    From ``share`` of the events on it is a health finding; with None each one is.
    """

    one: str
    many: str
    predicate: str
    advice: str
    share: float | None


_INSPECT: Final = "`stream-persona inspect TOPIC` shows it"
_CHECK: Final = "`stream-persona sources check FILE --try DOCUMENT` shows how one is read"

#: By reason, in the order in which they are shown.
REASONS: Final[Mapping[str, AnomalyText]] = {
    LETTERS: AnomalyText(
        "1 unreadable", "{} unreadable", "could not be read",
        "the topic of dead letters holds each with its reason, and "
        f"{_INSPECT} for a whole topic", 0.01,
    ),
    Anomaly.NOBODY: AnomalyText(
        "1 belonged to nobody", "{} belonged to nobody",
        "belong to nobody and are ignored",
        "ids such as undefined, guest or a blank stand for no customer; does a page send events "
        f"before it knows its shopper? {_INSPECT}", 0.1,
    ),
    Anomaly.RETRY: AnomalyText(
        "1 retry", "{} retries", "are retries and do not count",
        f"one event_id on many events: a session's id? {_INSPECT}", 0.2,
    ),
    Anomaly.EDITED_ORDER: AnomalyText(
        "1 update of an order", "{} updates of orders",
        "are of orders that had counted already, and do not count again",
        f"one order_id on many orders: a basket's id, or a shop's? {_INSPECT}", 0.2,
    ),
    Anomaly.EXCESS: AnomalyText(
        "1 beyond a customer's minute", "{} beyond a customer's minute",
        "are more than what counts of one customer in a minute",
        "a bot, a test, or one id for many shoppers? The heaviest ids are listed on the page Now, "
        "with a way to forget them", None,
    ),
    Anomaly.FUTURE: AnomalyText(
        "1 from the future", "{} from the future",
        "are dated later than can be, and count as of their arrival or not at all",
        f"a fast clock, or times in another unit or zone? {_INSPECT}", 0.01,
    ),
    Anomaly.FADED: AnomalyText(
        "1 too old to count", "{} too old to count",
        "are so much older than their customers' newest ones that they have no weight",
        "an old backlog, or one event of a fast clock that made all others old? " + _INSPECT, 0.05,
    ),
    Anomaly.FORGOTTEN: AnomalyText(
        "1 older than a deletion", "{} older than a deletion",
        "are older than their customers' deletions, and left out",
        "that is right for late ones; many come of a producer that sends old events again, or of "
        f"a deletion that is dated too late: {_INSPECT}", 0.1,
    ),
    Anomaly.RETURNED_LINE: AnomalyText(
        "1 returned line", "{} returned lines",
        "are lines of negative quantity or price, and left out of their orders",
        f"returns? If not, a sign is the wrong way round: {_INSPECT}", 0.2,
    ),
    Anomaly.UNINFORMATIVE: AnomalyText(
        "1 without meaning", "{} without meaning",
        "have no field that says anything about a persona",
        f"fields of other names, such as item_category for category? {_INSPECT}", 0.2,
    ),
    Anomaly.UNWEIGHTED: AnomalyText(
        "1 of a signal without weight", "{} of signals without weight",
        "are of signals to which the taxonomy gives no weight",
        "if that is not meant so, give them one under [signals]", 0.5,
    ),
    Anomaly.UNMAPPED: AnomalyText(
        "1 that no source takes", "{} that no source takes",
        "are documents that no source of their topic takes, and are left out",
        f"the conditions in the file of sources leave them out: {_CHECK}", 0.2,
    ),
    Anomaly.UNKNOWN_EVENT: AnomalyText(
        "1 of an unknown name", "{} of unknown names",
        "are foreign events of names that their preset does not know, and are left out",
        f"a [[source]] with expressions before the preset's reads them: {_CHECK}", 0.5,
    ),
    Anomaly.NOT_OF_INTEREST: AnomalyText(
        "1 that is no behaviour", "{} that are no behaviour",
        "are foreign events, such as page views, that are none of ours, and are left out",
        f"that is right for most sites; deploy/README.md says what is read of each: {_CHECK}",
        0.98,
    ),
    Anomaly.NOT_BOUGHT: AnomalyText(
        "1 refund or cancelled order", "{} refunds, cancelled orders and tests",
        "are refunds, cancelled orders and test orders, and are left out",
        f"a shop of tests on the topic? {_CHECK}", 0.2,
    ),
    Anomaly.ROBOT: AnomalyText(
        "1 of a robot", "{} of robots",
        "are of robots, as the tool that sent them says, and are left out",
        f"a crawler visits the shop, or its monitoring? {_CHECK}", 0.5,
    ),
    Anomaly.IDENTITY_LINK: AnomalyText(
        "1 customer under two ids", "{} customers under two ids",
        "say that two ids are one customer, and are kept apart from events",
        f"many come of a page that identifies on each view: {_CHECK}", 0.5,
    ),
}  # fmt: skip


def describe_hour(hour: LastHour) -> dict[str, Any]:
    """Describe the last hour: a part of ``/v1/overview``."""
    return {
        "events": hour.read,
        "odd": [_describe(reason, number, hour.read) for reason, number in _count(hour).items()],
        "dead_letters": hour.letters,
        "rollbacks": [{"at": at, "events": events} for at, events in hour.rollbacks],
        "heaviest": [
            {"customer_id": name, "events": events, "share": _compute_share(events, hour.read)}
            for name, events in hour.heaviest
        ],
    }


def find_excesses(hour: LastHour) -> Iterator[str]:
    """Yield a sentence for each reason that takes more than its share, without full stops."""
    for reason, number in _count(hour).items():
        words = REASONS.get(reason)
        if words is None or not _is_trouble(number, hour.read, words):
            continue
        letters = f" ({_list(hour.letters)})" if reason == LETTERS else ""
        share = _format_percent(_compute_share(number, hour.read))
        events = f"the last hour's {hour.read:,} events"
        yield f"{share} of {events} ({number:,}) {words.predicate}{letters}: {words.advice}"


def describe_rollbacks(rollbacks: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yield a sentence if Redis has come back older lately, without its full stop.

    >>> list(describe_rollbacks([(43_380_000, 300), (43_381_500, 45)]))
    ['Redis came back older at 12:03 UTC; 345 events were read again']
    """
    if not rollbacks:
        return
    times = [at for at, _ in rollbacks]
    first = [at for n, at in enumerate(times) if not n or at - times[n - 1] > _SAME_MS]
    shown = [datetime.fromtimestamp(at / 1_000, UTC).strftime("%H:%M") for at in first[-_SHOWN:]]
    earlier = "" if len(first) <= _SHOWN else f", and {len(first) - _SHOWN} times before"
    events = sum(number for _, number in rollbacks)
    again = f"{events:,} events were" if events != 1 else "1 event was"
    yield f"Redis came back older at {' and '.join(shown)} UTC{earlier}; {again} read again"


def describe_unknown_labels(labels: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence if labels are of personas that the taxonomy does not know.

    >>> list(describe_unknown_labels({"old": 35}))[0]
    '35 labels are of personas that the taxonomy does not know: old (35). Add renamed_from = \
["old"] to the persona that took its place'
    """
    number = sum(labels.values())
    if not number:
        return
    are = f"{number:,} labels are" if number != 1 else "1 label is"
    what = "a persona" if len(labels) == 1 and number == 1 else "personas"
    first = min(labels, key=lambda name: (-labels[name], name))
    yield (
        f"{are} of {what} that the taxonomy does not know: {_list(labels)}. "
        f'Add renamed_from = ["{first}"] to the persona that took its place'
    )


def _count(hour: LastHour) -> dict[str, int]:
    """Count the last hour's anomalies and letters, in the order in which they are shown."""
    found = hour.anomalies | {LETTERS: sum(hour.letters.values())}
    known = [reason for reason in REASONS if found.get(reason)]
    others = sorted(reason for reason in found if reason not in REASONS and found[reason])
    return {str(reason): found[reason] for reason in [*known, *others]}


def _describe(reason: str, number: int, read: int) -> dict[str, Any]:
    words = REASONS.get(reason)
    text, about = f"{number:,} {reason}", ""  # counted by a worker of another release
    if words is not None:
        text = words.one if number == 1 else words.many.format(f"{number:,}")
        about = f"They {words.predicate}: {words.advice}."
    share = _compute_share(number, read)
    return {"reason": reason, "count": number, "share": share, "text": text, "about": about}


def _is_trouble(number: int, read: int, words: AnomalyText) -> bool:
    if words.share is None:
        return number > 0
    return number >= LEAST and _compute_share(number, read) >= words.share


def _compute_share(number: int, read: int) -> float:
    """Compute a share, at most 1: an event may have several lines or labels."""
    return min(1.0, number / read) if read else 0.0


def _format_percent(share: float) -> str:
    """Print a share.

    >>> _format_percent(0.0001), _format_percent(0.051), _format_percent(1.0)
    ('Under 0.1 %', '5.1 %', '100 %')
    """
    if share < 0.001:  # noqa: PLR2004
        return "Under 0.1 %"
    return f"{100 * share:.{1 if share < 0.1 else 0}f} %"  # noqa: PLR2004


def _list(numbers: Mapping[str, int]) -> str:
    """List the greatest numbers by name.

    >>> _list({"a": 1, "b": 1_200})
    'b (1,200), a (1)'
    """
    by_number = sorted(numbers.items(), key=lambda each: (-each[1], each[0]))
    more = ", ..." if len(by_number) > _NAMED else ""
    return ", ".join(f"{name} ({number:,})" for name, number in by_number[:_NAMED]) + more
