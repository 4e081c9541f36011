"""Many gap equations by the closed form. One column of numbers per trajectory."""

import numpy as np
from numba import njit

from spectral_edge.simulate._kernels import exact, exact_minimum


@njit(exact.SOLVE, nogil=True, cache=True)
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
        exact.write(columns, at, n, w, out)
    return stop - start
