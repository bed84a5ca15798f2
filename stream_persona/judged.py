"""Counts of judged predictions: those of several workers, models or personas add up.

``quality`` keeps them, ``status`` carries them; it needs nothing of River.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from stream_persona.domain.record import MILLION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Equal bins of confidence in which calibration is measured.
BINS: Final = 10
#: Alarms whose times are kept, the newest ones.
ALARMS: Final = 20


class Bin(NamedTuple):
    """Trials whose confidence fell into one bin: how many, how many right, confidence summed.

    All are counts; ``confidence`` is in millionths.
    """

    trials: int = 0
    right: int = 0
    confidence: int = 0


class Tally(NamedTuple):
    """What the figures are made of: counts, and losses summed, in nats.

    ``recent`` are the trials of the window. ``confusion`` counts by the persona that was named and
    then by the assigned one, ``reliability`` has ``BINS`` bins for each that was named; personas
    are in the taxonomy's order. ``alarms`` are the last ones: time, number of the trial.
    """

    trials: int
    loss: float
    prior_loss: float
    recent: int
    recent_loss: float
    recent_right: int
    confusion: list[list[int]]
    reliability: list[list[Bin]]
    alarms: list[tuple[int, int]]


def pooled(rows: Iterable[Sequence[Bin]]) -> list[Bin]:
    """The bins of several personas, or models, added up bin by bin."""
    return [Bin(*map(sum, zip(*same, strict=True))) for same in zip(*rows, strict=True)]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the bins' gaps between confidence and accuracy, weighted."""
    trials = sum(each.trials for each in bins)
    if not trials:
        return math.nan
    return sum(abs(each.confidence / MILLION - each.right) for each in bins) / trials
