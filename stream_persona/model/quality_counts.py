"""The counts and sums that a model's figures are made of: those of several workers add up.

They stand apart from what counts (``model.evaluation``): who reads reports needs none of River's
metrics and detectors, which take longer to import than all else together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from stream_persona.domain.record import MILLION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Trials that the recent figures cover.
WINDOW: Final = 500
#: Equal bins of confidence in which calibration is measured.
BINS: Final = 10
#: The newest alarms, whose times are kept.
ALARMS: Final = 20


class Bin(NamedTuple):
    """Trials whose confidence fell into one bin: how many, how many right, confidence summed.

    All are counts; ``confidence`` is in millionths.
    """

    trials: int = 0
    right: int = 0
    confidence: int = 0


class QualityCounts(NamedTuple):
    """The counts and sums that figures are made of; losses are summed, in nats.

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


def pool_bins(rows: Iterable[Sequence[Bin]]) -> list[Bin]:
    """Add up the bins of several personas, or models, bin by bin."""
    return [Bin(*map(sum, zip(*same, strict=True))) for same in zip(*rows, strict=True)]


def compute_calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error; NaN without trials.

    It is the mean gap between confidence and accuracy of the bins, weighted by their trials.

    >>> compute_calibration_error([Bin(), Bin(trials=4, right=3, confidence=3_500_000)])
    0.125
    """
    trials = sum(each.trials for each in bins)
    if not trials:
        return math.nan
    return sum(abs(each.confidence / MILLION - each.right) for each in bins) / trials
