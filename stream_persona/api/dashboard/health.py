"""Health findings: what is wrong with the deployment, in sentences for its dashboard. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypedDict

from stream_persona.api.dashboard.workers import ALIVE

Component = Literal["deployment", "redis", "storage", "kafka", "workers", "stream"]

_REDIS: Final = "Redis does not answer: what you see may be old."
_KAFKA: Final = (
    "Kafka does not answer: nothing new can come in, and assignments and deletions can't be sent."
)


class HealthFinding(TypedDict):
    """The component that something is wrong with (``part`` in JSON), and one sentence."""

    part: Component
    message: str


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
        findings += ({"part": "storage", "message": f"{sentence}."} for sentence in storage)
    if kafka_away:
        findings.append({"part": "kafka", "message": _KAFKA})
    if silence >= ALIVE and not redis_away:  # workers report through Redis
        message = f"No worker has reported for {_duration(silence)}: personas don't move."
        findings.append({"part": "workers", "message": message})
    if stalled is not None:
        findings.append({"part": "stream", "message": _describe_stall(waiting or 0, stalled)})
    return findings


def _describe_stall(waiting: int, seconds: float) -> str:
    events = "1 event waits" if waiting == 1 else f"{waiting:,} events wait"
    return f"The stream stands still: {events} and none was worked off for {_duration(seconds)}."


def _duration(seconds: float) -> str:
    """Print seconds up to two minutes, then minutes up to two hours, then hours.

    >>> _duration(119.9), _duration(600), _duration(86_400)
    ('119 s', '10 min', '24 h')
    """
    minutes = int(seconds // 60)
    if minutes < 2:  # noqa: PLR2004
        return f"{int(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004
