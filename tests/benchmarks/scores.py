"""How good probabilities are, for one split and over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Bins of the expected calibration error (Guo, Pleiss, Sun, Weinberger, ICML 2017).
BINS = 10
#: A bin of fewer predictions does not show how often its confidence is right.
LEAST_IN_BIN = 150
MEASURES = ("log_loss", "accuracy", "macro_f1", "ece", "selective_accuracy")


@dataclass
class Score:
    """Of one split after n events; ``bins`` (3, BINS): how many, sum of confidence, right ones."""

    log_loss: float
    accuracy: float
    macro_f1: float
    selective_accuracy: float
    bins: Floats


def log_loss(p: Floats, labels: Ints) -> float:
    """Mean negative log-probability of the true class, at most that of 1e-12."""
    return float(-np.log(np.clip(p[np.arange(len(labels)), labels], 1e-12, 1.0)).mean())


def score(p: Floats, labels: Ints) -> Score:
    """The score of probabilities (rows, classes) for these labels."""
    named, confidence = p.argmax(axis=1), p.max(axis=1)
    right = (named == labels).astype(np.float64)
    surest = np.argsort(-confidence, kind="stable")[: max(len(labels) // 2, 1)]
    number = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    weights = (None, confidence, right)
    bins = np.stack([np.bincount(number, weight, BINS) for weight in weights]).astype(np.float64)
    return Score(
        log_loss(p, labels), float(right.mean()), macro_f1(named, labels, p.shape[1]),
        float(right[surest].mean()), bins,
    )  # fmt: skip


def macro_f1(named: Ints, labels: Ints, classes: int) -> float:
    """The mean F1 over the classes; 0 for one that is neither named nor true."""
    both = np.bincount(labels[named == labels], minlength=classes)
    total = np.bincount(named, minlength=classes) + np.bincount(labels, minlength=classes)
    return float((2 * both / np.maximum(total, 1)).mean())


def calibration_error(bins: Floats) -> float:
    """Mean distance of confidence and accuracy over the bins, by how many are in each."""
    return float(np.abs(bins[1] - bins[2]).sum() / max(bins[0].sum(), 1.0))


def list_reliability(bins: Floats) -> list[dict[str, float]]:
    """List the bins that hold any: the mean confidence said, the share right, and how many."""
    return [
        {"said": confidence / number, "right": right / number, "number": number}
        for number, confidence, right in bins.T.tolist()
        if number
    ]


def worst_gap(bins: Floats, least: int = LEAST_IN_BIN) -> float:
    """Return the greatest distance of confidence and accuracy over bins of ``least`` or more.

    NaN when no bin holds as many.
    """
    full = bins[:, bins[0] >= least]
    return float(np.abs((full[1] - full[2]) / full[0]).max()) if full.size else float("nan")


@dataclass
class Sheet:
    """A model's scores on one task: by time, over the splits; and what it costs."""

    scores: dict[str, list[Score]] = field(default_factory=dict)
    learn_us: list[float] = field(default_factory=list)
    predict_us: list[float] = field(default_factory=list)
    single_us: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)

    def add(self, time: str, scored: Score) -> None:
        self.scores.setdefault(time, []).append(scored)

    def bins(self, times: Sequence[str] = ()) -> Floats:
        """The bins of all splits, over all times or some."""
        chosen = times or tuple(self.scores)
        bins = [each.bins for time in chosen for each in self.scores[time]]
        return np.asarray(np.sum(bins, axis=0))

    def mean(self, measure: str, time: str) -> float:
        """Mean over the splits; the calibration error is that of all splits' predictions."""
        if measure == "ece":
            return calibration_error(self.bins((time,)))
        return float(np.mean([getattr(each, measure) for each in self.scores[time]]))

    def report(self) -> dict[str, object]:
        """Figures for the report: of each measure by time, and the costs."""
        costs = {
            name: float(np.mean(values))
            for name in ("learn_us", "predict_us", "single_us", "bytes")
            if (values := getattr(self, name))
        }
        figures = {
            measure: {time: self.mean(measure, time) for time in self.scores}
            for measure in MEASURES
        }
        spread = {
            time: float(np.std([s.log_loss for s in found])) for time, found in self.scores.items()
        }
        splits = max((len(found) for found in self.scores.values()), default=0)
        return {
            **figures,
            "log_loss_spread": spread,
            "ece_pooled": calibration_error(self.bins()),
            "splits": splits,
            **costs,
        }
