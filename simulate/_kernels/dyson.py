"""Section 4: singular values of a W×P matrix with drift in its own basis and white noise, exact in law at any P.

The state is the singular values alone: noise is invariant under rotations, so a step starts from diag(d). It adds a
W×W Gaussian block where the matrix lives and, for the P - W other dimensions, a triangular factor with the same Gram
matrix (Bartlett); the drift before and after is the closed form 3.2 for half a step (Strang).
"""

import math

import numpy as np
from numba import float64, int64, njit, prange, uint64, void

from spectral_edge.simulate._kernels.eigen import eigenvalues
from spectral_edge.simulate._kernels.random import chi_square, fill_normal


@njit(fastmath={"contract", "nsz", "reassoc"})
def _gram_after_noise(state, d, size, extra, width, drawn, block, gram):
    """Lower triangle of the Gram matrix of [diag(d) + size·Z, size·B], B of `extra` columns."""
    W = d.size
    for i in range(W):
        for j in range(i + 1):
            gram[i, j] = 0.0
    used = W * W
    fill_normal(state, drawn, used + (width * (2 * W - width - 1)) // 2)
    for l in range(W + width):  # columns of the matrix; those of B are zero above the diagonal
        first = max(0, l - W)
        column = block[l]
        if l < W:
            for i in range(W):
                column[i] = size * drawn[l * W + i]
            column[l] += d[l]
        else:
            column[first] = size * math.sqrt(chi_square(state, extra - first))
            for i in range(first + 1, W):
                column[i] = size * drawn[used]
                used += 1
        for i in range(first, W):
            x, row = column[i], gram[i]
            for j in range(first, i + 1):
                row[j] += x * column[j]


@njit
def _drift(u, decay, source):
    """Half a step of 3.2 for the squares u, largest first; coefficients belong to the rank."""
    W = u.size
    for j in range(W):
        u[j] = u[j] * decay[j] + source[j]
    for i in range(1, W):
        x, j = u[i], i - 1
        while j >= 0 and u[j] < x:
            u[j + 1] = u[j]
            j -= 1
        u[j + 1] = x


@njit
def _path(state, d0, decay, source, size, extra, n_steps, stride, sigma, closest):
    """One path: fill `sigma` (records, W) and `closest` (W - 1,)."""
    W = d0.size
    width = int64(min(float(W), extra))
    block, gram, drawn = np.zeros((2 * W, W)), np.zeros((W, W)), np.empty(2 * W * W)
    u, d, lam, work = np.empty(W), np.empty(W), np.empty(W), np.empty(W)
    for j in range(W):  # loops, not array expressions: they compile in a fraction of the time
        d[j], u[j] = d0[j], d0[j] * d0[j]
        sigma[0, j] = d0[j]
        if j > 0:
            closest[j - 1] = d0[j - 1] - d0[j]
    for step in range(1, n_steps + 1):
        _drift(u, decay, source)
        for j in range(W):
            d[j] = math.sqrt(u[j])
        _gram_after_noise(state, d, size, extra, width, drawn, block, gram)
        fine = eigenvalues(gram, lam, work)
        for j in range(W):
            u[j] = max(lam[W - 1 - j], 0.0) if fine else math.nan
        _drift(u, decay, source)
        for j in range(W):
            d[j] = math.sqrt(u[j])
        for j in range(W - 1):
            closest[j] = min(closest[j], d[j] - d[j + 1])
        if step % stride == 0:
            for j in range(W):
                sigma[step // stride, j] = d[j]


@njit(
    void(
        uint64[:, ::1], float64[::1], float64[::1], float64[::1], float64, float64, int64, int64,
        float64[:, :, ::1], float64[:, ::1],
    ),
    parallel=True, cache=True,
)  # fmt: skip
def paths(states, d0, decay, source, size, extra, n_steps, stride, sigma, closest):
    """Fill `sigma` (paths, records, W) every `stride` steps and `closest` (paths, W - 1), the smallest gaps met."""
    for i in prange(states.shape[0]):
        _path(states[i], d0, decay, source, size, extra, n_steps, stride, sigma[i], closest[i])
