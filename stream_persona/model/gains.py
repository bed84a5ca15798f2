"""Gains: how strongly each view's evidence counts for each persona after n events.

The gain of a view for a persona is a sum of saturating curves, g_1 * n / (n + 1) + g_2 * n / (n +
16) + g_3 * n / (n + 256), with no g below 0; a persona has a bias as well, which grows as n / (n +
20). ``gain_fitting`` fits them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Events at which the curves of a gain have half their height.
HALF_HEIGHTS: Final = (1.0, 16.0, 256.0)
#: Events at which a bias has half its height.
BIAS_EVENTS: Final = 20.0
#: Gains per view and curve, for all personas alike, used until there are labelled customers enough
#: to fit them.
_DEFAULT: Final = ((0.67, 0.0, 0.0), (0.0, 0.06, 0.24), (0.055, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Gains:
    """The heights of each view's curves for each persona, none below 0, and the personas' biases.

    ``heights[view][curve][persona]`` for three views, ``bias[persona]``.
    """

    heights: tuple[tuple[tuple[float, ...], ...], ...]
    bias: tuple[float, ...]
    _columns: Floats = field(init=False, repr=False, compare=False)
    _bias: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hold the heights as an array as well, (views, curves, 1, personas), and the biases."""
        object.__setattr__(self, "_columns", np.array(self.heights)[:, :, None, :])
        object.__setattr__(self, "_bias", np.array(self.bias))

    @classmethod
    def default(cls, classes: int) -> Self:
        """Return the gains that serve while there are too few labelled customers to fit them."""
        heights = tuple(tuple((height,) * classes for height in view) for view in _DEFAULT)
        return cls(heights, (0.0,) * classes)

    def compute(self, events: Floats) -> Floats:
        """Return each view's gain for each persona after n events, (3, rows, C)."""
        # Term by term, not as a matrix product: a row's bits must not depend on the rows around.
        terms = [
            self._columns[:, curve] * saturate(events, half)[:, None]
            for curve, half in enumerate(HALF_HEIGHTS)
        ]
        return np.asarray(sum(terms))

    def compute_for_one(self, events: float) -> Floats:
        """As ``at``, for one number of events, (3, C)."""
        columns = self._columns
        found = columns[:, 0, 0] * (events / (events + HALF_HEIGHTS[0]))
        for curve, half in enumerate(HALF_HEIGHTS[1:], 1):
            found += columns[:, curve, 0] * (events / (events + half))
        return np.asarray(found)

    def compute_bias(self, events: Floats) -> Floats:
        """Return what the biases add to the logits after n events, (rows, C)."""
        return np.asarray(self._bias * saturate(events, BIAS_EVENTS)[:, None])

    def compute_bias_for_one(self, events: float) -> Floats:
        """As ``compute_bias``, for one number of events, (C,)."""
        return np.asarray(self._bias * (events / (events + BIAS_EVENTS)))


def saturate(events: Floats, half: float) -> Floats:
    """Return n / (n + half) of each number of events."""
    return np.asarray(events / (events + half))
