"""Many gap equations at once, on all cores, integrated. One column of numbers per trajectory."""

import numpy as np
from numba import float64, int64, njit, prange, types, void

from spectral_edge.simulate._kernels import exact, taylor
from spectral_edge.simulate._kernels.gap import COEFFICIENTS, integrate

#: Rows of the input and of the output.
INPUT = ("g0", "d0", "h_k", "h_next", "p_k", "p_next", "eta", "omega", "W", "t_max")
OUTPUT = ("collapse_time", "reopen_time", "gap", "minimal_gap", "crossings", "status", "reached", "steps")

MAX_STEPS = 5_000_000
_FEW, _MANY = 16, 1024  # trajectories that a thread takes at a time
_INTEGRATE = void(COEFFICIENTS, exact.COLUMNS, float64, float64, float64, float64[:, ::1])
_TAYLOR = void(types.FunctionType(taylor.PART), exact.COLUMNS, float64, float64, float64[:, ::1])


@njit
def _integrate_block(coefficients, columns, start, stop, max_step, rtol, atol, out):
    crossings, nothing = np.empty(2), np.empty(0)
    for i in range(start, stop):
        c = (columns[2][i], columns[3][i], columns[4][i], columns[5][i], columns[6][i])
        crossings[0] = crossings[1] = np.nan
        found = integrate(
            coefficients, c, columns[0][i], columns[1][i], columns[7][i], columns[8][i], columns[9][i],
            max_step, rtol, atol, MAX_STEPS, nothing, nothing, nothing, crossings,
        )  # fmt: skip
        out[0, i], out[1, i], out[2, i], out[3, i] = crossings[0], crossings[1], found.gap, found.minimum
        out[4, i], out[5, i], out[6, i], out[7, i] = found.crossings, found.status, found.reached, found.steps


@njit(_INTEGRATE, parallel=True, cache=True)
def integrate_rows(coefficients, columns, max_step, rtol, atol, out):
    """Fill `out` on all cores, with coefficients of time."""
    n = columns[0].size
    for i in prange((n + _FEW - 1) // _FEW):
        stop = min(n, (i + 1) * _FEW)
        _integrate_block(coefficients, columns, i * _FEW, stop, max_step, rtol, atol, out)


@njit(_INTEGRATE, nogil=True, cache=True)
def integrate_rows_alone(coefficients, columns, max_step, rtol, atol, out):
    """The same for one thread of an executor's own; a function apart, because numba's cache goes by the name."""
    _integrate_block(coefficients, columns, 0, columns[0].size, max_step, rtol, atol, out)


@njit(_TAYLOR, parallel=True, cache=True)
def taylor_rows(part, columns, rtol, atol, out):
    """Fill `out` on all cores, with constants. `part`, a first-class function, is not compiled again into this one."""
    n, nothing = columns[0].size, np.empty(0)
    for i in prange((n + _MANY - 1) // _MANY):
        stop = min(n, (i + 1) * _MANY)
        part(columns, i * _MANY, stop, np.inf, MAX_STEPS, rtol, atol, nothing, nothing, nothing, out)


@njit(int64(exact.COLUMNS, float64, float64[:, ::1]), nogil=True, cache=True)
def count_rows(columns, marginal, out):
    """All crossings there will ever be, in place of those until t_max: a regime belongs to the equation."""
    n, w = columns[0].size, np.empty(exact.ROWS * exact.BLOCK)
    for start in range(0, n, exact.BLOCK):
        size = min(exact.BLOCK, n - start)
        exact.load(columns, start, size, w)
        exact.count(exact.whole(size), w, marginal)
        for i in range(size):
            out[4, start + i] = w[exact.COUNT + i]
    return n
