"""Modes of a rolling window, followed by their directions: a run's K in, ranks and overlaps out."""

import math

import numpy as np
from numba import float64, int64, njit, void

#: Share of the largest squared norm, per vector, below which what is left of one is rounding.
ROUNDING = 4 * float(np.finfo(np.float64).eps)


@njit(int64(float64[:, ::1], int64, int64, float64[:, ::1], float64[:, ::1], float64[::1]), cache=True)
def coordinates(band, first, n, G, C, left):
    """Coordinates of n updates from `first` on, in rows of C, in an orthonormal basis; returns its dimension.

    A Cholesky factor of their Gram matrix, largest remainder first, so that no entry of a column exceeds its pivot.
    """
    largest = 0.0
    for i in range(n):
        for j in range(i + 1):
            G[i, j] = G[j, i] = band[first + i, i - j]
        left[i] = G[i, i]
        largest = max(largest, left[i])
    for m in range(n):
        pivot = 0
        for i in range(1, n):
            if left[i] > left[pivot]:
                pivot = i
        if not left[pivot] > ROUNDING * n * largest:
            return m
        length = math.sqrt(left[pivot])
        for i in range(n):
            inner = G[i, pivot]
            for a in range(m):
                inner -= C[i, a] * C[pivot, a]
            C[i, m] = inner / length
        C[pivot, m] = length
        for i in range(n):
            left[i] -= C[i, m] * C[i, m]
        left[pivot] = 0.0
    return n


@njit(void(float64[::1], float64[:, ::1], int64, int64, int64, float64[::1]), cache=True)
def combine(weights, C, first, n, m, out):
    """`out` becomes the sum of n rows of C from `first` on, weighted."""
    for a in range(m):
        out[a] = 0.0
    for s in range(n):
        for a in range(m):
            out[a] += weights[s] * C[first + s, a]


@njit(float64(float64[::1], float64[::1], int64), cache=True)
def dot(x, y, m):
    """Inner product of two vectors of m coordinates."""
    total = 0.0
    for a in range(m):
        total += x[a] * y[a]
    return total


@njit(void(float64[:, ::1], int64, int64), cache=True)
def orthonormal(V, j, m):
    """Make row j of V orthogonal to the rows above it, twice for safety, and of length 1."""
    for _ in range(2):
        for i in range(j):
            inner = dot(V[i], V[j], m)
            for a in range(m):
                V[j, a] -= inner * V[i, a]
        length = math.sqrt(dot(V[j], V[j], m))
        if length > 0.0:
            for a in range(m):
                V[j, a] /= length


@njit(void(float64[:, ::1], int64, int64, int64[::1]), cache=True)
def match(inner, W, q, rank):
    """Give each mode (row of `inner`) the one of q ranks that it is most like, the surest first.

    Where a mode has more than half of its direction in one rank no other can, so among those that are followed no
    other assignment is better. Modes that are left over get the ranks that are, in order.
    """
    taken = np.zeros(W, np.bool_)
    rank[:W] = -1
    for _ in range(q):
        best, mode, place = 0.0, -1, -1
        for i in range(W):
            for j in range(q):
                if rank[i] < 0 and not taken[j] and abs(inner[i, j]) > best:
                    best, mode, place = abs(inner[i, j]), i, j
        if mode < 0:
            break
        rank[mode] = place
        taken[place] = True
    place = 0
    for i in range(W):
        if rank[i] < 0:
            while taken[place]:
                place += 1
            rank[i] = place
            taken[place] = True


@njit(
    int64(float64[::1], float64[:, ::1], float64, float64[:, ::1], int64, int64, float64[:, ::1]), cache=True
)
def directions(lam, u, least, C, first, m, V):
    """Rows of V become the directions of a window, first row of C `first`, that can be told; returns how many."""
    W = len(lam)
    for q in range(W):
        if not lam[q] > least:
            return q
        combine(u[q], C, first, W, m, V[q])
        orthonormal(V, q, m)
    return W


@njit(
    void(
        float64[:, :, ::1], float64[:, ::1], int64, int64, int64, float64, float64[:, ::1], int64, int64, float64[::1],
        float64[::1],
    ),
    cache=True,
)  # fmt: skip
def recall(ring, strength, i, age, t, least, C, size, m, combined, direction):
    """`direction` becomes what is remembered of mode i, of length 1, or 0 where nothing is."""
    memory, W = ring.shape[0], ring.shape[2]
    combined[:size] = 0.0
    for back in range(1, age + 1):
        entry, start = (t - back) % memory, min(t, memory) - back
        if strength[entry, i] > least:
            for s in range(W):
                combined[start + s] += ring[entry, i, s]
    combine(combined, C, 0, size, m, direction)
    length = math.sqrt(dot(direction, direction, m))
    for a in range(m):
        direction[a] = direction[a] / length if length > 0.0 else 0.0


@njit(
    void(
        float64[:, ::1], int64, int64, float64, float64[:, ::1], float64[:, :, ::1],
        int64[:, ::1], float64[:, ::1], float64[:, ::1], int64[:, ::1],
    ),
    cache=True,
)  # fmt: skip
def follow(band, W, memory, rtol, lam, u, rank, overlap, pair, partner):
    """Fill `rank`, `overlap`, `pair` and `partner`, (n, W), of the modes of all windows: see `simulate.follow_modes`.

    `band` holds lags up to W + memory - 1; `lam` (n, W) and `u` (n, W, W), eigenvectors in the rows, are the windows'
    eigenpairs, largest first. What is remembered of a mode is a ring of combinations of the updates of its window.
    """
    reach = W + memory
    G, C, left = np.empty((reach, reach)), np.empty((reach, reach)), np.empty(reach)
    V, inner = np.empty((W, reach)), np.zeros((W, W))
    ring, strength, age = np.zeros((memory, W, W)), np.zeros((memory, W)), np.zeros(W, np.int64)
    combined, direction, swings = np.empty(reach), np.empty(reach), np.zeros(W)
    for t in range(len(lam)):
        first, entry = max(0, t - memory), t % memory
        size = t + W - first
        m = coordinates(band, first, size, G, C, left)
        least = 0.0
        for i in range(size):
            least = max(least, rtol * rtol * W * G[i, i])
        q = directions(lam[t], u[t], least, C, t - first, m, V)
        for i in range(W):
            recall(ring, strength, i, age[i], t, least, C, size, m, combined, direction)
            for j in range(q):
                inner[i, j] = dot(direction, V[j], m)
        match(inner, W, q, rank[t])
        for i in range(W):
            place = rank[t, i]
            overlap[t, i], pair[t, i], partner[t, i] = 0.0, 0.0, -1
            if place >= q:
                age[i] = 0
                continue
            beside = 0.0
            for j in (place - 1, place + 1):
                if 0 <= j < q and inner[i, j] ** 2 > beside:
                    beside, partner[t, i] = inner[i, j] ** 2, j
            overlap[t, i] = inner[i, place] ** 2 if t > 0 else 1.0
            pair[t, i] = overlap[t, i] + beside
            swings[i] += ((1.0 if t > 0 and place != rank[t - 1, i] else 0.0) - swings[i]) / (2 * memory)
            if swings[i] > 0.5:  # from window to window it is taken for another: the two cannot be told apart
                overlap[t, i], pair[t, i], swings[i] = 0.0, 0.0, 0.0
            if pair[t, i] <= 0.5:  # lost: what is remembered from here on is another mode
                age[i] = 0
            scale = math.copysign(1.0, inner[i, place]) / math.sqrt(lam[t, place])
            for s in range(W):
                ring[entry, i, s] = scale * u[t, place, s]
            strength[entry, i] = lam[t, place]
            age[i] = min(age[i] + 1, memory)


@njit(
    void(
        float64[:, :, ::1], int64, int64, float64, float64[:, :, ::1], float64[:, :, :, ::1],
        int64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1], int64[:, :, ::1],
    ),
    cache=True,
)  # fmt: skip
def follow_each(bands, W, memory, rtol, lam, u, rank, overlap, pair, partner):
    """`follow` of several sequences of one length."""
    for i in range(len(bands)):
        follow(bands[i], W, memory, rtol, lam[i], u[i], rank[i], overlap[i], pair[i], partner[i])
