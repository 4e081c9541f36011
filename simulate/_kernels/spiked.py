"""Section 9: the band of K of signals in noise at any P, in O(W²) per step.

Noise orthogonal to the signal directions is kept as coordinates in an orthonormal frame of the span of the last W
vectors: a lower trapezoidal matrix, oldest row first. A new vector is normal in that frame plus a chi-distributed
length along a new axis; when the oldest row leaves, Givens rotations make the rest trapezoidal again.
"""

import math

import numpy as np
from numba import boolean, float64, njit, uint64, void

from spectral_edge.simulate._kernels.random import chi_square, chi_square_constants, normal


@njit
def _forget_oldest(frame, rows, axes):
    """Drop row 0 and rotate the axes so that row i is again zero beyond axis i; return the rows left."""
    for i in range(1, rows):
        for j in range(min(i + 1, axes)):
            frame[i - 1, j] = frame[i, j]
        for j in range(i + 1, axes):
            frame[i - 1, j] = 0.0
    rows -= 1
    for i in range(min(rows, axes - 1)):
        x, y = frame[i, i], frame[i, i + 1]
        length = math.sqrt(x * x + y * y)
        if length == 0.0:
            continue
        cos, sin = x / length, y / length
        frame[i, i], frame[i, i + 1] = length, 0.0
        for l in range(i + 1, rows):
            x, y = frame[l, i], frame[l, i + 1]
            frame[l, i], frame[l, i + 1] = cos * x + sin * y, cos * y - sin * x
    return rows


@njit
def _add_vector(state, frame, rows, axes, df, nu, phi, remaining):
    """Append a row: the autoregression of the rows before plus fresh noise; `axes` is the most there can be."""
    for j in range(axes):
        frame[rows, j] = 0.0
    for i in range(min(rows, phi.size)):
        for j in range(min(rows - i, axes)):
            frame[rows, j] += phi[i] * frame[rows - 1 - i, j]
    scale = nu * math.sqrt(remaining)
    m = min(rows, axes)
    for j in range(m):
        frame[rows, j] += scale * normal(state)
    if m < axes:
        frame[rows, m] = scale * math.sqrt(chi_square(state, df - m, chi_square_constants(df - m)))
    return rows + 1


@njit
def _bring_to_norm(frames, rows, axes, along, at):
    """Scale the newest vector, row `rows` of the frames and slot `at` of `along`, to length 1."""
    total = 0.0
    for b in range(frames.shape[0]):
        for j in range(axes[b]):
            total += frames[b, rows, j] * frames[b, rows, j]
        for i in range(along.shape[0]):
            total += along[i, b, at] * along[i, b, at]
    if total == 0.0:
        return
    factor = 1.0 / math.sqrt(total)
    for b in range(frames.shape[0]):
        for j in range(axes[b]):
            frames[b, rows, j] *= factor
        for i in range(along.shape[0]):
            along[i, b, at] *= factor


@njit(
    void(
        uint64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[::1], float64[::1],
        float64[:, ::1], float64[::1], boolean, float64[:, ::1],
    ),
    cache=True,
)  # fmt: skip
def band(state, signals, weights, dims, nus, norms, phi, remaining, fixed, out):
    """Fill `out` (T, W + 1) with the inner products of update t and update t - l.

    `signals` (T, k) are amplitudes; `weights` (k, blocks) the component of each direction in each block of noise,
    with `dims` and `nus` (blocks,) the dimension and standard deviation of a block; `norms` (T,) scales the noise;
    `phi` (T, m), m <= W, and `remaining` (T,) are the autoregression's coefficients and innovation variances of each
    update. Where `fixed`, each noise vector is brought to length 1 before `norms` scales it and the next follows.
    """
    T, k = signals.shape
    blocks, W, order = dims.size, out.shape[1] - 1, phi.shape[1]
    df, axes = np.empty(blocks), np.empty(blocks, dtype=np.int64)
    for b in range(blocks):
        used = 0
        for j in range(k):
            used += weights[j, b] != 0.0
        df[b] = dims[b] - used
        axes[b] = int(min(float(W + 1), math.floor(df[b])))
    frames = np.zeros((blocks, W + 2, W + 1))
    ring = W + 1
    along = np.zeros((k, blocks, ring))  # noise along the signal directions, the last W + 1
    rows = 0
    for t in range(T):
        if rows == W + 1:
            for b in range(blocks):
                rows = _forget_oldest(frames[b], W + 1, axes[b])
        for b in range(blocks):
            _add_vector(state, frames[b], rows, axes[b], df[b], nus[b], phi[t], remaining[t])
            for j in range(k):
                if weights[j, b] != 0.0:
                    value = nus[b] * math.sqrt(remaining[t]) * normal(state)
                    for i in range(min(t, order)):
                        value += phi[t, i] * along[j, b, (t - 1 - i) % ring]
                    along[j, b, t % ring] = value
        if fixed:
            _bring_to_norm(frames, rows, axes, along, t % ring)
        rows += 1
        for l in range(min(t, W) + 1):
            total = 0.0
            for b in range(blocks):
                for j in range(min(rows - l, axes[b])):
                    total += frames[b, rows - 1, j] * frames[b, rows - 1 - l, j]
            total *= norms[t] * norms[t - l]
            for j in range(k):
                for b in range(blocks):
                    w = weights[j, b]
                    if w != 0.0:
                        now = signals[t, j] * w + norms[t] * along[j, b, t % ring]
                        total += now * (signals[t - l, j] * w + norms[t - l] * along[j, b, (t - l) % ring])
            out[t, l] = total
