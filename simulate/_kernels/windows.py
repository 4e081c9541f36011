"""Section 1: eigenpairs of the Gram matrix of every window of K, several windows in one vector."""

import math

import numpy as np
from numba import float64, int64, njit, void

from spectral_edge.simulate._kernels.eigen import LANES, implicit_ql, rotation, sort_falling, tridiagonal

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


@njit(
    void(float64[:, ::1], int64, float64[:, ::1], float64[:, :, ::1]),
    fastmath={"nsz"}, error_model="numpy", cache=True,
)  # fmt: skip
def eigenpairs(K, layout, lam, u):
    """Fill `lam` (n, W) with the eigenvalues of the windows of K, largest first, `u` (n, W, W) with their vectors.

    K is `FULL` (T, T), a `BAND` (T, L + 1) or a `STACK` (nW, W) of n matrices one below the other. Eigenvectors go to
    the columns; where `u` is empty, none are made. Below zero, where rounding left them, eigenvalues count as zero. A
    window that holds NaN has NaN.
    """
    n, W = lam.shape
    rows = W if u.shape[0] > 0 else 0
    A, d, e = np.zeros((W, W, LANES)), np.empty((W, LANES)), np.empty((W, LANES))
    size, halves, work = np.empty(LANES), np.empty((W, LANES)), np.empty((6, LANES))
    Z, order = np.empty((W, W, LANES)), np.empty(W, dtype=np.int64)
    for first in range(0, n, LANES):
        lanes = min(LANES, n - first)
        _cut(K, layout, first, lanes, A, size)
        tridiagonal(lanes, A, d, e, halves)
        if rows > 0:
            rotation(lanes, A, halves, work[0], Z)
        implicit_ql(lanes, d, e, Z, rows, work)
        for j in range(W):
            for k in range(lanes):
                size[k] = math.nan if math.isnan(d[j, k]) else size[k]
        if rows == 0:
            sort_falling(lanes, d)
            for k in range(lanes):
                for j in range(W):
                    lam[first + k, j] = max(d[j, k], 0.0) * size[k]
            continue
        for k in range(lanes):
            for j in range(W):
                i = j
                while i > 0 and d[order[i - 1], k] < d[j, k]:
                    order[i] = order[i - 1]
                    i -= 1
                order[i] = j
            for j in range(W):
                c = order[j]
                lam[first + k, j] = max(d[c, k], 0.0) * size[k]
                for i in range(W):
                    u[first + k, i, j] = Z[c, i, k] if size[k] > 0.0 else math.nan
