"""Health findings: what is wrong with the deployment, in sentences for its dashboard. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from stream_persona.api.dashboard.workers import ALIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

Component = Literal[
    "deployment",
    "keys",
    "catalogue",
    "redis",
    "storage",
    "kafka",
    "workers",
    "stream",
    "events",
    "labels",
]
#: Components whose findings name addresses, files or values of settings: for operators alone.
_OF_OPERATORS: Final = {
    "deployment": "This API and the workers do not agree",
    "keys": "The file of keys can't be used, those of before stay valid",
    "catalogue": "The catalogue's file can't be used, that of before stays in use",
    "storage": "Something is wrong with what Redis holds",
}

_REDIS: Final = "Redis does not answer: what you see may be old."
_KAFKA: Final = (
    "Kafka does not answer: nothing new can come in, and assignments and deletions can't be sent."
)


class HealthFinding(TypedDict):
    """The component that something is wrong with (``part`` in JSON), and one sentence."""

    part: Component
    message: str


@dataclass(frozen=True, slots=True)
class Damage:
    """What is damaged in Redis.

    ``found`` is what the workers have met since they started, ``incomplete`` of how many records of
    it the topics may not hold everything; ``public`` are the public records that can't be read now.
    """

    found: int = 0
    incomplete: int = 0
    public: int = 0

    def describe(self) -> Iterator[str]:
        """Yield sentences, without their full stops.

        >>> list(Damage(1).describe())
        ['1 entry in Redis was damaged and is restored: the workers log which']
        """
        if self.found:
            entries = _count(self.found, "entry", "entries")
            was, has = ("was", "is") if self.found == 1 else ("were", "are")
            yield f"{entries} in Redis {was} damaged and {has} restored: the workers log which"
        if self.incomplete:
            customers = _count(self.incomplete, "customer", "customers")
            yield f"The topics may not hold all of {customers} whose record was damaged"
        if self.public:
            records = _count(self.public, "public record", "public records")
            yield f"{records} can't be read: workers write such ones again within the hour"


def check_health(
    *,
    disagreement: str | None,
    redis_away: bool,
    storage: Sequence[str],
    kafka_away: bool,
    silence: float,
    waiting: int | None,
    stalled: float | None,
) -> list[HealthFinding]:
    """List all that is wrong; a cause comes before its effects.

    ``disagreement`` is what this API sees otherwise than the workers, ``storage`` are sentences on
    how Redis may lose what it holds. ``silence`` is in seconds since any worker's last report,
    ``waiting`` in events, ``stalled`` in seconds for which these have waited without one being
    worked off.
    """
    findings: list[HealthFinding] = []
    if disagreement is not None:
        message = f"{disagreement[:1].upper()}{disagreement[1:]}."
        findings.append({"part": "deployment", "message": message})
    if redis_away:
        findings.append({"part": "redis", "message": _REDIS})
    else:
        findings += make_findings("storage", storage)
    if kafka_away:
        findings.append({"part": "kafka", "message": _KAFKA})
    if silence >= ALIVE and not redis_away:  # workers report through Redis
        message = f"No worker has reported for {_format_duration(silence)}: personas don't move."
        findings.append({"part": "workers", "message": message})
    if stalled is not None:
        findings.append({"part": "stream", "message": _describe_stall(waiting or 0, stalled)})
    return findings


def make_findings(part: Component, sentences: Iterable[str]) -> list[HealthFinding]:
    """Make a finding of each sentence, which has no full stop."""
    return [{"part": part, "message": f"{sentence}."} for sentence in sentences]


def hide_details(findings: Iterable[HealthFinding]) -> list[HealthFinding]:
    """Hide what only operators may see."""
    return [
        {"part": each["part"], "message": f"{_OF_OPERATORS[each['part']]}: its operators see more."}
        if each["part"] in _OF_OPERATORS else each
        for each in findings
    ]  # fmt: skip


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {many}"


def _describe_stall(waiting: int, seconds: float) -> str:
    events = _count(waiting, "event waits", "events wait")
    lasted = _format_duration(seconds)
    return f"The stream stands still: {events} and none was worked off for {lasted}."


def _format_duration(seconds: float) -> str:
    """Print seconds up to two minutes, then minutes up to two hours, then hours.

    >>> _format_duration(119.9), _format_duration(600), _format_duration(86_400)
    ('119 s', '10 min', '24 h')
    """
    minutes = int(seconds // 60)
    if minutes < 2:  # noqa: PLR2004
        return f"{int(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004
