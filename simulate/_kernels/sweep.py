"""Many gap equations at once, on all cores, integrated. One row of numbers a trajectory."""

import numpy as np
from numba import boolean, float64, njit, prange, void

from spectral_edge.simulate._kernels import exact
from spectral_edge.simulate._kernels.gap import COEFFICIENTS, integrate

#: Columns of the input and of the output.
INPUT = ("g0", "d0", "h_k", "h_next", "p_k", "p_next", "eta", "omega", "W", "t_max")
OUTPUT = ("collapse_time", "reopen_time", "gap", "minimal_gap", "crossings", "status", "reached")

_INTEGRATE = void(COEFFICIENTS, boolean, float64[:, ::1], float64, float64, float64, float64[:, ::1])


@njit
def _integrate_row(coefficients, varying, row, max_step, rtol, atol, out):
    g, d, h1, h2, p1, p2, eta, omega, W, t_max = (
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9],
    )  # fmt: skip
    nothing, crossings = np.empty(0), np.empty(2)
    crossings[0] = crossings[1] = np.nan
    status, reached, _, n, minimum, last, _ = integrate(
        coefficients, varying, (h1, h2, p1, p2, eta), g, d, omega, W, t_max, max_step, rtol, atol,
        5_000_000, nothing, nothing, nothing, crossings,
    )  # fmt: skip
    out[0], out[1], out[2] = crossings[0], crossings[1], last
    out[3] = 0.0 if n > 0 else max(0.0, minimum)
    out[4], out[5], out[6] = n, status, reached
    if not varying:  # the regime belongs to the equation, not to t_max
        out[4] = exact.solve(g, d, h1, h2, p1, p2, eta, omega, W, t_max, False)[2]
        if out[4] == 0 and exact.is_marginal(h1, h2, p1, p2, omega, 1e-9):
            out[4] = -1


def _integrate_rows(coefficients, varying, rows, max_step, rtol, atol, out):
    for i in prange(rows.shape[0]):
        _integrate_row(coefficients, varying, rows[i], max_step, rtol, atol, out[i])


# On all cores, and for one thread of an executor's own: the same source.
integrate_rows = njit(_INTEGRATE, parallel=True, cache=True)(_integrate_rows)
integrate_rows_alone = njit(_INTEGRATE, nogil=True, cache=True)(_integrate_rows)
