"""Measures how good predictions are: prequentially, over assignments, score first, learn after.

A customer who is assigned a persona was predicted a moment before, by weights that did not include
the answer (A. P. Dawid, "Statistical theory: the prequential approach", JRSS A, 1984). The figures
are River's, and so is the detector of drift (ADWIN: Bifet, Gavaldà, SDM 2007). Detectors and
running means can't be unlearned: they hold numbers of trials and nothing of any customer, they
may raise an alarm, and no prediction depends on them. What the figures are made of is kept as
counts and sums as well (``QualityCounts``): those of several workers add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from stream_persona.domain.record import MILLION
from stream_persona.model.quality_counts import (
    ALARMS,
    BINS,
    WINDOW,
    Bin,
    QualityCounts,
    compute_calibration_error,
    pool_bins,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.model.river_figures import RiverFigures

#: ADWIN expects bounded values: a loss is capped at this multiple of a uniform guess's.
_MAX_LOSS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Quality:
    """A model's figures over all trials so far; those of no trials are NaN.

    Losses are in nats; a probability of 0 counts as 1e-15. ``prior_log_loss`` is that of the
    class shares seen before each trial. ``ece`` is the expected calibration error over ``bins``.
    ``recent`` figures are over the last ``WINDOW`` trials, ``last_alarm_at_trial`` is 0 when there
    was no alarm.
    """

    trials: int
    log_loss: float
    accuracy: float
    macro_f1: float
    ece: float
    recent_log_loss: float
    recent_accuracy: float
    prior_log_loss: float
    alarms: int
    last_alarm_at_trial: int
    bins: tuple[Bin, ...]


def import_figures() -> type[RiverFigures]:
    """Import what the first trial needs: it takes half a second, and may be done in a thread."""
    from stream_persona.model.river_figures import RiverFigures  # noqa: PLC0415 - it is slow

    return RiverFigures


class Prequential:
    """Judges the predictions of one model, assignment by assignment.

    >>> quality = Prequential(["parent", "student"])
    >>> quality.judge("parent", [0.8, 0.2])
    False
    >>> quality.judge("student", [0.6, 0.4])
    False
    >>> figures = quality.snapshot()
    >>> figures.trials, figures.accuracy, round(figures.log_loss, 3), round(figures.ece, 3)
    (2, 0.5, 0.57, 0.4)
    """

    def __init__(self, personas: Sequence[str]) -> None:
        self._personas = tuple(personas)
        self._seen = dict.fromkeys(self._personas, 0)
        self._reliability = {persona: [Bin()] * BINS for persona in self._personas}
        self._worst = _MAX_LOSS * math.log(max(2, len(self._personas)))
        self._alarms = 0
        self._last_alarms: tuple[tuple[int, int], ...] = ()

    @cached_property
    def _river(self) -> RiverFigures:
        """River's figures, made with the first trial: a process without any starts without them."""
        return import_figures()()

    @property
    def trials(self) -> int:
        """The number of predictions judged."""
        return sum(self._seen.values())

    def judge(self, persona: str, probabilities: Sequence[float], at: int = 0) -> bool:
        """Score one prediction against the truth; whether that raises an alarm of drift.

        ``probabilities`` are in the order of the personas; ``at`` is the alarm's time, in epoch ms.
        """
        row = dict(zip(self._personas, map(float, probabilities), strict=True))
        named = max(row, key=row.__getitem__)
        total = self.trials + len(self._personas)
        prior = {p: (n + 1) / total for p, n in self._seen.items()}
        self._river.update(persona, row, named, prior)
        self._seen[persona] += 1
        self._count_confidence(named, row[named], right=named == persona)
        return self._detect_drift(row[persona], at)

    def snapshot(self) -> Quality:
        """Return the figures as they are now."""
        bins = pool_bins(self._reliability.values())
        log_loss, accuracy, macro_f1, recent_log_loss, recent_accuracy, prior_log_loss = (
            self._river.get() if self.trials else [math.nan] * 6
        )
        return Quality(
            trials=self.trials,
            log_loss=log_loss,
            accuracy=accuracy,
            macro_f1=macro_f1,
            ece=compute_calibration_error(bins),
            recent_log_loss=recent_log_loss,
            recent_accuracy=recent_accuracy,
            prior_log_loss=prior_log_loss,
            alarms=self._alarms,
            last_alarm_at_trial=self._last_alarms[-1][1] if self._last_alarms else 0,
            bins=tuple(bins),
        )

    def get_counts(self) -> QualityCounts:
        """Return the counts and sums as they are now."""
        trials, recent = self.trials, min(self.trials, WINDOW)
        loss, _, _, recent_loss, recent_accuracy, prior_loss = (
            self._river.get() if trials else [0.0] * 6
        )
        return QualityCounts(
            trials=trials,
            loss=loss * trials,
            prior_loss=prior_loss * trials,
            recent=recent,
            recent_loss=recent_loss * recent,
            recent_right=round(recent_accuracy * recent),
            confusion=[
                [self._count_confusion(named, each) for each in self._seen] for named in self._seen
            ],
            reliability=[list(bins) for bins in self._reliability.values()],
            alarms=list(self._last_alarms),
        )

    def _count_confusion(self, named: str, assigned: str) -> int:
        """Count the customers of an assigned persona that were predicted as ``named``."""
        return self._river.count(named, assigned) if self.trials else 0

    def _count_confidence(self, named: str, confidence: float, *, right: bool) -> None:
        bins, number = self._reliability[named], min(int(confidence * BINS), BINS - 1)
        last = bins[number]
        bins[number] = Bin(
            last.trials + 1, last.right + right, last.confidence + round(confidence * MILLION)
        )

    def _detect_drift(self, probability: float, at: int) -> bool:
        """Whether the loss has risen; a falling loss is drift as well, but no alarm."""
        detector = self._river.detector
        before = detector.estimation
        loss = -math.log(max(probability, 1e-15))
        detector.update(min(loss / self._worst, 1.0))
        if not detector.drift_detected or detector.estimation <= before:
            return False
        self._alarms += 1
        self._last_alarms = (*self._last_alarms, (at, self.trials))[-ALARMS:]
        return True
