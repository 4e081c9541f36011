"""Many gap equations with coefficients of time, on all cores. One column of numbers per trajectory."""

import numpy as np
from numba import float64, njit, prange, void

from spectral_edge.simulate._kernels.elementary import inner
from spectral_edge.simulate._kernels.exact import COLUMNS
from spectral_edge.simulate._kernels.gap import COEFFICIENTS, MAX_STEPS, integrate

_FEW = 16  # trajectories that a thread takes at a time
_INTEGRATE = void(COEFFICIENTS, COLUMNS, float64, float64, float64, float64[:, ::1])


@inner
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
