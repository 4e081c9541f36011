"""Many gap equations at once, on all cores, by the closed form. One row of numbers a trajectory, as in `sweep`."""

import math

from numba import float64, njit, prange, void

from spectral_edge.simulate._kernels import exact

_SOLVE = void(float64[:, ::1], float64, float64[:, ::1])


@njit
def _solve_row(row, marginal, out):
    h1, h2, p1, p2, omega, W = row[2], row[3], row[4], row[5], row[7], row[8]
    first, second, count, last, smallest = exact.solve(
        row[0], row[1], h1, h2, p1, p2, row[6], omega, W, row[9], True
    )
    out[0], out[1], out[2], out[3] = first, second, last, smallest
    out[4] = -1 if count == 0 and exact.is_marginal(h1, h2, p1, p2, omega, marginal) else count
    out[5] = 0.0 if math.isfinite(last) else 2.0
    out[6] = row[9]


def _solve_rows(rows, marginal, out):
    for i in prange(rows.shape[0]):
        _solve_row(rows[i], marginal, out[i])


solve_rows = njit(_SOLVE, parallel=True, cache=True)(_solve_rows)
solve_rows_alone = njit(_SOLVE, nogil=True, cache=True)(_solve_rows)
