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
def _next(s):
    """The state s after one step of xoshiro256++, and 64 random bits."""
    s0, s1, s2, s3 = s
    word = _rotl(s0 + s3, 23) + s0
    t = s1 << uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    return (s0, s1, s2, _rotl(s3, 45)), word


@njit(forceinline=True)
def _uniform(s):
    """The state after it, and a number uniform in (0, 1]."""
    s, word = _next(s)
    return s, ((word >> uint64(11)) + 1) * (1.0 / 9007199254740992.0)


@njit
def _edge(s, i, u):
    """The rare part of the ziggurat: the tail, or the wedge of layer i; NaN asks to try again."""
    if i == 0:
        while True:
            s, one = _uniform(s)
            s, other = _uniform(s)
            x, y = -math.log(one) / _R, -math.log(other)
            if y + y > x * x:
                return s, -(_R + x) if u < 0.0 else _R + x
    x = u * _X[i]
    above = math.exp(-0.5 * (_X[i] * _X[i] - x * x))
    below = math.exp(-0.5 * (_X[i + 1] * _X[i + 1] - x * x))
    s, share = _uniform(s)
    return s, x if below + share * (above - below) < 1.0 else math.nan


@njit(forceinline=True)
def _normal(s):
    """The state after it, and a standard normal: sign and place from the high bits, the layer from the low seven."""
    while True:
        s, word = _next(s)
        u = (word >> uint64(11)) * (2.0 / 9007199254740992.0) - 1.0
        i = word & uint64(127)
        if abs(u) < _RATIO[i]:
            return s, u * _X[i]
        s, x = _edge(s, i, u)
        if not math.isnan(x):
            return s, x


@njit(forceinline=True)
def _load(state):
    return state[0], state[1], state[2], state[3]


@njit(forceinline=True)
def _store(state, s):
    state[0], state[1], state[2], state[3] = s


@njit
def next_word(state):
    """64 random bits (xoshiro256++)."""
    s, word = _next(_load(state))
    _store(state, s)
    return word


@njit
def uniform(state):
    """Uniform in (0, 1]."""
    s, x = _uniform(_load(state))
    _store(state, s)
    return x


@njit
def normal(state):
    """Standard normal."""
    s, x = _normal(_load(state))
    _store(state, s)
    return x


@njit
def fill_normal(state, out, n):
    """The next n normals into `out`."""
    s = _load(state)
    for i in range(n):
        s, out[i] = _normal(s)
    _store(state, s)


@njit
def chi_square_constants(df):
    """What `chi_square` divides and takes roots for, which many draws with the same df share."""
    shape = 0.5 * df if df >= 2.0 else 0.5 * df + 1.0
    d = shape - 1.0 / 3.0
    return d, 1.0 / math.sqrt(9.0 * d)


@njit
def chi_square(state, df, constants):
    """Chi-square with df >= 0 degrees of freedom, any real number, 0 where df = 0; `constants` are those of df."""
    if df <= 0.0:
        return 0.0
    s, boost = _load(state), 1.0
    if df < 2.0:
        s, u = _uniform(s)
        boost = u ** (1.0 / (0.5 * df))
    d, c = constants
    while True:
        s, x = _normal(s)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            s, u = _uniform(s)
            # inside for certain, without a logarithm; or inside. log v loses digits where c is small: with P = 1e12
            # it is c³-small beside 1
            if u < 1.0 - 0.0331 * (x * x) * (x * x) or math.log(u) < 0.5 * x * x + d * (
                1.0 - v + math.log(v)
            ):
                _store(state, s)
                return 2.0 * d * v * boost
