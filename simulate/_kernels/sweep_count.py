"""How often gaps with constant coefficients will ever cross zero, by the closed form."""

import numpy as np
from numba import float64, int64, njit

from spectral_edge.simulate._kernels import exact


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
