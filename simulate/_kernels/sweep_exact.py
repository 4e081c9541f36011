"""Many gap equations at once, on all cores, by the closed form. One column of numbers a trajectory, as in `sweep`."""

import math

import numpy as np
from numba import float64, njit, prange, void

from spectral_edge.simulate._kernels import exact, exact_minimum

_SOLVE = void(exact.COLUMNS, float64, float64[:, ::1])
_RESULTS = (exact.FIRST, exact.SECOND, exact.LAST, exact.SMALLEST, exact.COUNT)


@njit
def _solve_block(columns, start, n, marginal, out, w, task, chosen, inner):
    exact.load(columns, start, n, w)
    exact.count(exact.whole(n), w, marginal)
    exact.cross(n, w, chosen, inner, task)
    exact_minimum.lower(n, w, chosen, inner, task)
    for c in range(5):
        row = _RESULTS[c]
        for i in range(n):
            out[c, start + i] = w[row + i]
    for i in range(n):
        out[5, start + i] = 0.0 if math.isfinite(out[2, start + i]) else 2.0
        out[6, start + i] = columns[9][start + i]


@njit
def _solve_part(columns, start, stop, marginal, out):
    w, task = np.zeros(exact.ROWS * exact.BLOCK), np.zeros(exact_minimum.TASK_ROWS * exact.BLOCK)
    chosen, inner = np.zeros(exact.BLOCK, np.int64), np.zeros(exact.BLOCK, np.int64)
    for block in range(start, stop, exact.BLOCK):
        _solve_block(columns, block, min(exact.BLOCK, stop - block), marginal, out, w, task, chosen, inner)


def _solve_rows(columns, marginal, out):
    n, part = columns[0].size, 4 * exact.BLOCK
    for i in prange((n + part - 1) // part):
        _solve_part(columns, i * part, min(n, (i + 1) * part), marginal, out)


solve_rows = njit(_SOLVE, parallel=True, cache=True)(_solve_rows)
solve_rows_alone = njit(_SOLVE, nogil=True, cache=True)(_solve_rows)
