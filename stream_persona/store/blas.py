"""Limits the threads of the linear algebra that weights are derived with."""

from __future__ import annotations

import numpy  # noqa: F401, ICN001 - only libraries that are loaded can be limited
import scipy.linalg  # noqa: F401 - the same
from threadpoolctl import threadpool_limits


def limit_blas_threads() -> None:
    """Give BLAS one thread in this process, from now on: each that follows the model begins so.

    Its threads wait by spinning, so matrices as small as the model's take several of them twice as
    long as one. And each number of threads rounds differently: processes that derive the same
    weights, bit for bit, must use the same number.
    """
    threadpool_limits(1, user_api="blas")
