"""River's metrics and detector of drift, of one model.

They import scipy's statistics and pandas: longer than all else that a worker needs together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from river import drift, metrics, utils

from stream_persona.model.quality_counts import WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping


class RiverFigures:
    """What ``evaluation.Prequential`` updates with each trial."""

    def __init__(self) -> None:
        self._loss = metrics.CrossEntropy()
        self._accuracy = metrics.Accuracy()
        self._macro_f1 = metrics.MacroF1()
        self._recent_loss: Any = utils.Rolling(metrics.CrossEntropy, WINDOW)
        self._recent_accuracy: Any = utils.Rolling(metrics.Accuracy, WINDOW)
        self._prior_loss = metrics.CrossEntropy()
        self.detector = drift.ADWIN()

    def update(
        self, persona: str, row: dict[str, float], named: str, prior: dict[str, float]
    ) -> None:
        """Count a trial: the truth, the probabilities, the likeliest, and the classes' shares."""
        self._prior_loss.update(persona, prior)
        self._loss.update(persona, row)
        self._recent_loss.update(persona, row)
        self._accuracy.update(persona, named)
        self._recent_accuracy.update(persona, named)
        self._macro_f1.update(persona, named)

    def get(self) -> list[float]:
        """Return loss, accuracy, macro-F1, the recent loss and accuracy, and the prior's loss."""
        figures = (
            self._loss, self._accuracy, self._macro_f1, self._recent_loss, self._recent_accuracy,
            self._prior_loss,
        )  # fmt: skip
        return [figure.get() for figure in figures]

    def count(self, named: str, assigned: str) -> int:
        """Count the trials with this prediction and this truth."""
        rows: Mapping[str, Mapping[str, float]] = self._macro_f1.cm.data
        return int(rows.get(assigned, {}).get(named, 0))
