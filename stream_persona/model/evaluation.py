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
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from river import drift, metrics, utils

from stream_persona.domain.record import MILLION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Trials that the recent figures cover.
WINDOW: Final = 500
#: Equal bins of confidence in which calibration is measured.
BINS: Final = 10
#: The newest alarms, whose times are kept.
ALARMS: Final = 20
#: ADWIN expects bounded values: a loss counts at most so many times that of a uniform guess.
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
        self._loss = metrics.CrossEntropy()
        self._accuracy = metrics.Accuracy()
        self._macro_f1 = metrics.MacroF1()
        self._recent_loss: Any = utils.Rolling(metrics.CrossEntropy, WINDOW)
        self._recent_accuracy: Any = utils.Rolling(metrics.Accuracy, WINDOW)
        self._prior_loss = metrics.CrossEntropy()
        self._reliability = {persona: [Bin()] * BINS for persona in self._personas}
        self._detector = drift.ADWIN()
        self._worst = _MAX_LOSS * math.log(max(2, len(self._personas)))
        self._alarms = 0
        self._last_alarms: tuple[tuple[int, int], ...] = ()

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
        self._prior_loss.update(persona, {p: (n + 1) / total for p, n in self._seen.items()})
        self._seen[persona] += 1
        self._loss.update(persona, row)
        self._recent_loss.update(persona, row)
        self._accuracy.update(persona, named)
        self._recent_accuracy.update(persona, named)
        self._macro_f1.update(persona, named)
        self._count_confidence(named, row[named], right=named == persona)
        return self._detect_drift(row[persona], at)

    def snapshot(self) -> Quality:
        """Return the figures as they are now."""
        any_trial = self.trials > 0
        bins = pool_bins(self._reliability.values())
        return Quality(
            trials=self.trials,
            log_loss=self._loss.get() if any_trial else math.nan,
            accuracy=self._accuracy.get() if any_trial else math.nan,
            macro_f1=self._macro_f1.get() if any_trial else math.nan,
            ece=calibration_error(bins),
            recent_log_loss=self._recent_loss.get() if any_trial else math.nan,
            recent_accuracy=self._recent_accuracy.get() if any_trial else math.nan,
            prior_log_loss=self._prior_loss.get() if any_trial else math.nan,
            alarms=self._alarms,
            last_alarm_at_trial=self._last_alarms[-1][1] if self._last_alarms else 0,
            bins=tuple(bins),
        )

    def counts(self) -> QualityCounts:
        """Return the counts and sums as they are now."""
        trials, recent = self.trials, min(self.trials, WINDOW)
        return QualityCounts(
            trials=trials,
            loss=self._loss.get() * trials,
            prior_loss=self._prior_loss.get() * trials,
            recent=recent,
            recent_loss=self._recent_loss.get() * recent,
            recent_right=round(self._recent_accuracy.get() * recent),
            confusion=[
                [self._count_confusion(named, each) for each in self._seen] for named in self._seen
            ],
            reliability=[list(bins) for bins in self._reliability.values()],
            alarms=list(self._last_alarms),
        )

    def _count_confusion(self, named: str, assigned: str) -> int:
        """Count the customers of an assigned persona that were predicted as ``named``."""
        return int(self._macro_f1.cm.data.get(assigned, {}).get(named, 0))

    def _count_confidence(self, named: str, confidence: float, *, right: bool) -> None:
        bins, number = self._reliability[named], min(int(confidence * BINS), BINS - 1)
        last = bins[number]
        bins[number] = Bin(
            last.trials + 1, last.right + right, last.confidence + round(confidence * MILLION)
        )

    def _detect_drift(self, probability: float, at: int) -> bool:
        """Whether the loss has risen; a falling loss is drift as well, but no alarm."""
        before = self._detector.estimation
        loss = -math.log(max(probability, 1e-15))
        self._detector.update(min(loss / self._worst, 1.0))
        if not self._detector.drift_detected or self._detector.estimation <= before:
            return False
        self._alarms += 1
        self._last_alarms = (*self._last_alarms, (at, self.trials))[-ALARMS:]
        return True


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


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error; NaN without trials.

    It is the mean gap between confidence and accuracy of the bins, weighted by their trials.

    >>> calibration_error([Bin(), Bin(trials=4, right=3, confidence=3_500_000)])
    0.125
    """
    trials = sum(each.trials for each in bins)
    if not trials:
        return math.nan
    return sum(abs(each.confidence / MILLION - each.right) for each in bins) / trials
