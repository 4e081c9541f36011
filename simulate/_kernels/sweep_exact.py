"""Many gap equations at once, on all cores, by the closed form. One column of numbers per trajectory, as in `sweep`."""

import math

import numpy as np
from numba import float64, int64, njit

from spectral_edge.simulate._kernels import exact, exact_minimum

_SOLVE = int64(exact.COLUMNS, int64, int64, float64, float64[:, ::1])
_RESULTS = (exact.FIRST, exact.SECOND, exact.LAST, exact.SMALLEST, exact.COUNT)


@njit(_SOLVE, nogil=True, cache=True)
def solve_part(columns, start, stop, marginal, out):
    """Fill `out` for the trajectories from `start` to `stop`; return how many."""
    w, task = np.zeros(exact.ROWS * exact.BLOCK), np.zeros(exact_minimum.TASK_ROWS * exact.BLOCK)
    indices = np.zeros(2 * exact.BLOCK, np.int64)
    chosen, inner = indices[: exact.BLOCK], indices[exact.BLOCK :]
    for at in range(start, stop, exact.BLOCK):
        n = min(exact.BLOCK, stop - at)
        exact.load(columns, at, n, w)
        exact.count(exact.whole(n), w, marginal)
        exact.cross(n, w, chosen, inner, task)
        exact_minimum.lower(n, w, chosen, inner, task)
        for c in range(5):
            row = _RESULTS[c]
            for i in range(n):
                out[c, at + i] = w[row + i]
        for i in range(n):
            out[5, at + i] = 0.0 if math.isfinite(w[exact.LAST + i]) else 2.0
            out[6, at + i] = columns[9][at + i]
    return stop - start
