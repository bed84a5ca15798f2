"""When a persona is named, and which ones remain possible when none is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_persona.domain.record import MILLION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.domain.taxonomy import Policy


def is_ambiguous(
    confidence: int, evidence: float, threshold: float, policy: Policy, *, named: bool
) -> bool:
    """Whether to fall back to the baseline: too little confidence, or too little evidence.

    ``confidence`` is in millionths. A shopper who is ``named`` already keeps the name until the
    confidence has fallen by the switch margin below the threshold, so that it does not flap.
    """
    least = threshold - (policy.switch_margin if named else 0.0)
    return confidence < least * MILLION or evidence < policy.min_evidence


def candidates(personas: Sequence[str], distribution: Sequence[int], floor: int) -> list[str]:
    """The personas of at least ``floor`` (in millionths); the likeliest always is one."""
    ranked = [(-share, persona) for share, persona in zip(distribution, personas, strict=True)]
    likely = [pair for pair in ranked if -pair[0] >= floor] or [min(ranked)]
    return [persona for _, persona in sorted(likely)]
