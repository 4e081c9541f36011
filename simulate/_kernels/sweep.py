"""Many gap equations at once, on all cores, integrated. One column of numbers per trajectory."""

import numpy as np
from numba import boolean, float64, njit, prange, void

from spectral_edge.simulate._kernels import exact
from spectral_edge.simulate._kernels.gap import COEFFICIENTS, integrate

#: Rows of the input and of the output.
INPUT = ("g0", "d0", "h_k", "h_next", "p_k", "p_next", "eta", "omega", "W", "t_max")
OUTPUT = ("collapse_time", "reopen_time", "gap", "minimal_gap", "crossings", "status", "reached")

_INTEGRATE = void(COEFFICIENTS, boolean, exact.COLUMNS, float64, float64, float64, float64, float64[:, ::1])
_PART = 16  # trajectories that a thread takes at a time


@njit
def _integrate_one(coefficients, varying, columns, i, max_step, rtol, atol, crossings, out):
    c = (columns[2][i], columns[3][i], columns[4][i], columns[5][i], columns[6][i])
    nothing = np.empty(0)
    crossings[0] = crossings[1] = np.nan
    found = integrate(
        coefficients, varying, c, columns[0][i], columns[1][i], columns[7][i], columns[8][i], columns[9][i],
        max_step, rtol, atol, 5_000_000, nothing, nothing, nothing, crossings,
    )  # fmt: skip
    out[0, i], out[1, i], out[2, i] = crossings[0], crossings[1], found.gap
    out[3, i] = 0.0 if found.crossings > 0 else max(0.0, found.minimum)
    out[4, i], out[5, i], out[6, i] = found.crossings, found.status, found.reached


@njit
def _integrate_block(coefficients, varying, columns, start, n, max_step, rtol, atol, marginal, out):
    crossings = np.empty(2)
    for i in range(start, start + n):
        _integrate_one(coefficients, varying, columns, i, max_step, rtol, atol, crossings, out)
    if not varying:  # the regime belongs to the equation, not to t_max
        w = np.empty(exact.ROWS * exact.BLOCK)
        exact.load(columns, start, n, w)
        exact.count(exact.whole(n), w, marginal)
        for i in range(n):
            out[4, start + i] = w[exact.COUNT + i]


@njit(_INTEGRATE, parallel=True, cache=True)
def integrate_rows(coefficients, varying, columns, max_step, rtol, atol, marginal, out):
    """Fill `out` on all cores."""
    n = columns[0].size
    for i in prange((n + _PART - 1) // _PART):
        start = i * _PART
        size = min(_PART, n - start)
        _integrate_block(coefficients, varying, columns, start, size, max_step, rtol, atol, marginal, out)


@njit(_INTEGRATE, nogil=True, cache=True)
def integrate_rows_alone(coefficients, varying, columns, max_step, rtol, atol, marginal, out):
    """The same for one thread of an executor's own; a function apart, because numba's cache goes by the name."""
    n = columns[0].size
    for start in range(0, n, _PART):
        size = min(_PART, n - start)
        _integrate_block(coefficients, varying, columns, start, size, max_step, rtol, atol, marginal, out)
