"""Section 4: singular values of a W×P matrix with drift in its own basis and white noise, exact in law at any P.

The state is the singular values alone: noise is invariant under rotations, so a step starts from diag(d). It adds a
W×W Gaussian block where the matrix lives and, for the P - W other dimensions, a triangular factor with the same Gram
matrix (Bartlett); the drift before and after is the closed form 3.2 for half a step (Strang). Up to LANES paths go
side by side, each with its own random numbers; the bits of a path do not depend on the others.
"""

import math

import numpy as np
from numba import float64, int64, njit, prange, types, uint64, void

from spectral_edge.simulate._kernels.eigen import LANES, rational_ql, sort_falling, tridiagonal
from spectral_edge.simulate._kernels.random import chi_square, chi_square_constants, fill_normal

_SAME = {"nsz"}  # flags that leave every lane its bits


@njit(fastmath=_SAME)
def _noise(state, size, extra, constants, drawn, k, block):
    """Lane k of the W×W Gaussian block (rows 0 … W-1 of `block`) and of the columns of the factor.

    Each column has a chi-square of its own, whose `constants` are there (width, 2).
    """
    W, width = block.shape[1], constants.shape[0]
    used = W * W
    fill_normal(state, drawn, used + (width * (2 * W - width - 1)) // 2)
    for l in range(W):
        for i in range(W):
            block[l, i, k] = size * drawn[l * W + i]
    for l in range(width):
        block[W + l, l, k] = size * math.sqrt(
            chi_square(state, extra - l, (constants[l, 0], constants[l, 1]))
        )
        for i in range(l + 1, W):
            block[W + l, i, k] = size * drawn[used]
            used += 1


@njit(fastmath=_SAME)
def _gram(lanes, block, width, gram):
    """Lower triangle of the Gram matrix of the columns of `block`; those of the factor are zero above the diagonal."""
    W = block.shape[1]
    for i in range(W):
        for j in range(i + 1):
            total = gram[i, j]
            for k in range(lanes):
                total[k] = 0.0
    for l in range(W + width):
        first = max(0, l - W)
        for i in range(first, W):
            x = block[l, i]
            for j in range(first, i + 1):
                y, total = block[l, j], gram[i, j]
                for k in range(lanes):
                    total[k] += x[k] * y[k]


@njit(fastmath=_SAME)
def _add_diagonal(lanes, u, block):
    """Add the singular values, roots of u, to the Gaussian block."""
    for j in range(u.shape[0]):
        diagonal, own = block[j, j], u[j]
        for k in range(lanes):
            diagonal[k] += math.sqrt(own[k])


@njit(fastmath=_SAME)
def _record(lanes, u, step, stride, sigma, closest):
    W = u.shape[0]
    for k in range(lanes):
        above = math.sqrt(u[0, k])
        for j in range(W):
            x = math.sqrt(u[j, k])
            if j > 0:
                closest[k, j - 1] = min(closest[k, j - 1], above - x)
            if step % stride == 0:
                sigma[k, step // stride, j] = x
            above = x


_SIDE_BY_SIDE = int64(
    uint64[:, ::1], float64[::1], float64[::1], float64[::1], float64, float64, int64, int64,
    float64[:, :, ::1], float64[:, ::1],
)  # fmt: skip


@njit(_SIDE_BY_SIDE, fastmath=_SAME, cache=True)
def side_by_side(states, d0, decay, source, size, extra, n_steps, stride, sigma, closest):
    """Paths side by side: fill `sigma` (lanes, records, W) and `closest` (lanes, W - 1); return how many."""
    lanes, W = states.shape[0], d0.size
    width = int(min(float(W), extra))
    constants = np.empty((width, 2))
    for l in range(width):
        constants[l] = chi_square_constants(extra - l)
    block, gram = np.zeros((2 * W, W, LANES)), np.zeros((W, W, LANES))
    u, e, halves = np.zeros((W, LANES)), np.zeros((W, LANES)), np.zeros((W, LANES))
    work, drawn = np.zeros((6, LANES)), np.empty(2 * W * W)
    for j in range(W):
        for k in range(lanes):
            u[j, k] = d0[j] * d0[j]
            sigma[k, 0, j] = d0[j]
            if j > 0:
                closest[k, j - 1] = d0[j - 1] - d0[j]
    for step in range(2 * n_steps):  # halves of steps
        for j in range(W):
            own, a, b = u[j], decay[j], source[j]
            for k in range(lanes):
                own[k] = own[k] * a + b
        if step % 2:
            sort_falling(lanes, u)
            _record(lanes, u, step // 2 + 1, stride, sigma, closest)
            continue
        for k in range(lanes):
            _noise(states[k], size, extra, constants, drawn, k, block)
        _add_diagonal(lanes, u, block)
        _gram(lanes, block, width, gram)
        tridiagonal(lanes, gram, u, e, halves)
        rational_ql(lanes, u, e, work)
        sort_falling(lanes, u)
        for j in range(W):
            own = u[j]
            for k in range(lanes):
                own[k] = 0.0 if own[k] < 0.0 else own[k]
    return lanes


@njit(
    void(
        types.FunctionType(_SIDE_BY_SIDE), int64, uint64[:, ::1], float64[::1], float64[::1], float64[::1], float64,
        float64, int64, int64, float64[:, :, ::1], float64[:, ::1],
    ),
    parallel=True, cache=True,
)  # fmt: skip
def paths(some, lanes, states, d0, decay, source, size, extra, n_steps, stride, sigma, closest):
    """Fill `sigma` (paths, records, W) every `stride` steps and `closest` (paths, W - 1), the smallest gaps met.

    `some` is `side_by_side`, for `lanes` paths, LANES at most; as a first-class function it is not compiled again.
    """
    n = states.shape[0]
    for i in prange((n + lanes - 1) // lanes):
        lo, hi = i * lanes, min(n, (i + 1) * lanes)
        some(states[lo:hi], d0, decay, source, size, extra, n_steps, stride, sigma[lo:hi], closest[lo:hi])
