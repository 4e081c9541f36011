"""Random numbers inside kernels: xoshiro256++, normals by ziggurat, chi-square by Marsaglia and Tsang.

One state of four words for each path, so that a path does not depend on the thread that runs it.
"""

import math

import numpy as np
from numba import njit, uint64

_LAYERS = 128
_R, _V = 3.442619855899, 9.91256303526217e-3  # edge of the tail and area of a layer, for 128 layers


def _tables():
    """Edges x_0 > x_1 = r > … > x_128 = 0 of the layers under exp(-x²/2), and their ratios."""
    x = np.zeros(_LAYERS + 1)
    x[0], x[1] = _V * math.exp(0.5 * _R * _R), _R
    for i in range(2, _LAYERS):
        x[i] = math.sqrt(-2.0 * math.log(_V / x[i - 1] + math.exp(-0.5 * x[i - 1] ** 2)))
    return x, x[1:] / x[:-1]


_X, _RATIO = _tables()


@njit(forceinline=True)
def _rotl(x, k):
    return (x << uint64(k)) | (x >> uint64(64 - k))


@njit(forceinline=True)
def next_word(state):
    """64 random bits (xoshiro256++)."""
    result = _rotl(state[0] + state[3], 23) + state[0]
    t = state[1] << uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= t
    state[3] = _rotl(state[3], 45)
    return result


@njit(forceinline=True)
def uniform(state):
    """Uniform in (0, 1]."""
    return ((next_word(state) >> uint64(11)) + 1) * (1.0 / 9007199254740992.0)


@njit
def _edge(state, i, u):
    """The rare part of the ziggurat: the tail, or the wedge of layer i; NaN asks to try again."""
    if i == 0:
        while True:
            x, y = -math.log(uniform(state)) / _R, -math.log(uniform(state))
            if y + y > x * x:
                return -(_R + x) if u < 0.0 else _R + x
    x = u * _X[i]
    above = math.exp(-0.5 * (_X[i] * _X[i] - x * x))
    below = math.exp(-0.5 * (_X[i + 1] * _X[i + 1] - x * x))
    return x if below + uniform(state) * (above - below) < 1.0 else math.nan


@njit
def normal(state):
    """Standard normal: sign and place from the high bits, the layer from the low seven."""
    while True:
        word = next_word(state)
        u = (word >> uint64(11)) * (2.0 / 9007199254740992.0) - 1.0
        i = word & uint64(127)
        if abs(u) < _RATIO[i]:
            return u * _X[i]
        x = _edge(state, i, u)
        if not math.isnan(x):
            return x


@njit
def fill_normal(state, out, n):
    """The next n normals into `out`, as `normal` would give them, with the state held in registers."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    filled = 0
    while filled < n:
        word = _rotl(s0 + s3, 23) + s0
        t = s1 << uint64(17)
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s3 = _rotl(s3, 45)
        u = (word >> uint64(11)) * (2.0 / 9007199254740992.0) - 1.0
        layer = word & uint64(127)
        if abs(u) < _RATIO[layer]:
            out[filled] = u * _X[layer]
            filled += 1
        else:
            state[0], state[1], state[2], state[3] = s0, s1, s2, s3
            x = _edge(state, layer, u)
            s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
            if not math.isnan(x):
                out[filled] = x
                filled += 1
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3


@njit
def chi_square(state, df):
    """Chi-square with df >= 0 degrees of freedom, any real number; 0 where df = 0."""
    if df <= 0.0:
        return 0.0
    shape, boost = 0.5 * df, 1.0
    if shape < 1.0:
        boost = uniform(state) ** (1.0 / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(state)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            u = uniform(state)
            if u < 1.0 - 0.0331 * (x * x) * (x * x):  # inside for certain: no logarithm
                return 2.0 * d * v * boost
            # log v loses digits where c is small: with P = 1e12 it is c³-small beside 1
            if math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
                return 2.0 * d * v * boost
