"""Section 1: eigenvalues of the Gram matrix of every window of K, several windows in one vector."""

import math

import numpy as np
from numba import float64, int64, njit, void

from spectral_edge.simulate._kernels.eigen import LANES, rational_ql, sort_falling, tridiagonal

FULL, BAND, STACK = range(3)


@njit(fastmath={"nsz"}, error_model="numpy")
def _cut(K, layout, first, lanes, A, size):
    """Put the windows from `first` on into the lanes of A, each over the power of two `size` next to its trace.

    NaN in a window makes its `size` NaN, and an identity stands for it.
    """
    W = A.shape[0]
    for k in range(lanes):
        top, trace = (first + k) * (W if layout == STACK else 1), 0.0
        left = top if layout == FULL else 0
        for i in range(W):
            trace += K[top + i, 0 if layout == BAND else left + i]
        known, exponent = math.isfinite(trace), 0
        if known and trace > 0.0:
            exponent = math.frexp(trace)[1]
        factor = math.ldexp(1.0, -exponent)
        for i in range(W):
            for j in range(i + 1):
                x = K[top + i, i - j if layout == BAND else left + j] * factor
                known = known and math.isfinite(x)
                A[i, j, k] = x
        size[k] = math.ldexp(1.0, exponent) if known else math.nan
        if not known:
            for i in range(W):
                for j in range(i + 1):
                    A[i, j, k] = 1.0 if i == j else 0.0


@njit(void(float64[:, ::1], int64, float64[:, ::1]), fastmath={"nsz"}, error_model="numpy", cache=True)
def eigenvalues(K, layout, out):
    """Fill `out` (n, W) with the eigenvalues of the windows of K, largest first.

    K is `FULL` (T, T), a `BAND` (T, L + 1) or a `STACK` (nW, W) of n matrices one below the other. Below zero, where
    rounding left them, they count as zero. A window that holds NaN has NaN.
    """
    n, W = out.shape
    A, d, e = np.zeros((W, W, LANES)), np.empty((W, LANES)), np.empty((W, LANES))
    size, half, work = np.empty(LANES), np.empty(LANES), np.empty((6, LANES))
    for first in range(0, n, LANES):
        lanes = min(LANES, n - first)
        _cut(K, layout, first, lanes, A, size)
        tridiagonal(lanes, A, d, e, half)
        rational_ql(lanes, d, e, work)
        sort_falling(lanes, d)
        for k in range(lanes):
            for j in range(W):
                out[first + k, j] = max(d[j, k], 0.0) * size[k]
