"""Many gap equations at once, on all cores: integrated, or by the closed form. One row of numbers a trajectory."""

import math

import numpy as np
from numba import boolean, float64, njit, prange, void

from spectral_edge.simulate._kernels import exact
from spectral_edge.simulate._kernels.gap import COEFFICIENTS, integrate

#: Columns of the input and of the output.
INPUT = ("g0", "d0", "h_k", "h_next", "p_k", "p_next", "eta", "omega", "W", "t_max")
OUTPUT = ("collapse_time", "reopen_time", "gap", "minimal_gap", "crossings", "status", "reached")

_INTEGRATE = void(COEFFICIENTS, boolean, float64[:, ::1], float64, float64, float64, float64[:, ::1])
_SOLVE = void(float64[:, ::1], float64, float64[:, ::1])


def _integrate_rows(coefficients, varying, rows, max_step, rtol, atol, out):
    for i in prange(rows.shape[0]):
        g, d, h1, h2, p1, p2, eta, omega, W, t_max = (
            rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3], rows[i, 4],
            rows[i, 5], rows[i, 6], rows[i, 7], rows[i, 8], rows[i, 9],
        )  # fmt: skip
        nothing, crossings = np.empty(0), np.full(2, np.nan)
        status, reached, _, n, minimum, last, _ = integrate(
            coefficients, varying, (h1, h2, p1, p2, eta), g, d, omega, W, t_max, max_step, rtol, atol,
            5_000_000, nothing, nothing, nothing, crossings,
        )  # fmt: skip
        out[i, 0], out[i, 1], out[i, 2] = crossings[0], crossings[1], last
        out[i, 3] = 0.0 if n > 0 else max(0.0, minimum)
        out[i, 4], out[i, 5], out[i, 6] = n, status, reached
        if not varying:  # the regime belongs to the equation, not to t_max
            out[i, 4] = exact.solve(g, d, h1, h2, p1, p2, eta, omega, W, t_max, False)[2]
            if out[i, 4] == 0 and exact.is_marginal(h1, h2, p1, p2, omega, W, 1e-9):
                out[i, 4] = -1


def _solve_rows(rows, marginal, out):
    for i in prange(rows.shape[0]):
        h1, h2, p1, p2, omega, W = rows[i, 2], rows[i, 3], rows[i, 4], rows[i, 5], rows[i, 7], rows[i, 8]
        first, second, count, last, smallest = exact.solve(
            rows[i, 0], rows[i, 1], h1, h2, p1, p2, rows[i, 6], omega, W, rows[i, 9], True
        )
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = first, second, last, smallest
        out[i, 4] = -1 if count == 0 and exact.is_marginal(h1, h2, p1, p2, omega, W, marginal) else count
        out[i, 5] = 0.0 if math.isfinite(last) else 2.0
        out[i, 6] = rows[i, 9]


# On all cores, and for one thread of an executor's own: the same source.
integrate_rows = njit(_INTEGRATE, parallel=True, cache=True)(_integrate_rows)
integrate_rows_alone = njit(_INTEGRATE, nogil=True, cache=True)(_integrate_rows)
solve_rows = njit(_SOLVE, parallel=True, cache=True)(_solve_rows)
solve_rows_alone = njit(_SOLVE, nogil=True, cache=True)(_solve_rows)
