"""The logarithm of a token's share, with the same bits on every machine."""

from __future__ import annotations

from decimal import Context
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: The gain inside the logarithm of a share: p = log(1 + 200 q).
LOG_GAIN: Final = 200.0

_LOG_STEPS = 2_048


@cache
def _log_table() -> tuple[Floats, Floats]:
    """Natural logarithms of 0.5 + i / 4096, correctly rounded (``decimal``), i = 0 .. 2048.

    Beside them are the steps from each to the next.
    """
    exact = Context(prec=40)
    values = [
        exact.ln(exact.divide(exact.create_decimal(_LOG_STEPS + i), 2 * _LOG_STEPS))
        for i in range(_LOG_STEPS + 1)
    ]
    table = np.array([float(value) for value in values])
    return table, table[1:] - table[:-1]


def compute_log_share(share: Floats) -> Floats:
    """Compute ``log(1 + 200 q)`` to 1e-7, in basic arithmetic: the same bits on every CPU.

    >>> compute_log_share(np.array([0.0, 0.01, 0.5, 1.0])).round(6).tolist()
    [0.0, 1.098612, 4.615121, 5.303305]

    numpy's own ``log1p`` may differ in its last bit between CPU generations, and what is summed
    into a model has to be subtracted again, perhaps on another machine.
    """
    mantissa, exponent = np.frexp(1.0 + LOG_GAIN * share)
    position = (mantissa - 0.5) * (2 * _LOG_STEPS)
    index = position.astype(np.int64)  # below 2048, as a mantissa is below 1
    table, steps = _log_table()
    rest = table[index] + steps[index] * (position - index)
    return np.asarray(rest - exponent * table[0])  # table[0] is -log(2)
