"""Exponential and logarithm without branches, so that a loop over them becomes vector instructions."""

import math
from typing import Any

import numpy as np
from numba import njit

_FAST = {"contract", "nsz"}
_MAGIC = 6755399441055744.0  # 1.5·2^52: adding it rounds to a whole number, kept in the low bits
_LOG2E, _LN2_HI, _LN2_LO = 1.4426950408889634, 0.693147180369123816490, 1.90821492927058770002e-10
_C = tuple(1.0 / math.factorial(n) for n in range(14))


def inner(function: Any = None, **options: Any) -> Any:
    """As `njit`, for what only kernels call: without the entrance for Python, which takes long to compile."""
    settings: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **options}
    made: Any = njit(**settings)
    return made if function is None else made(function)


def merged(function: Any) -> Any:
    """As `inner`, for what calls the stages of one kernel: compiled as a part of that, once, and not by itself too."""
    return inner(function, inline="always")


@inner(fastmath=_FAST, forceinline=True)
def min_of(a, b):
    """The lesser number, as the processor's one instruction for it."""
    return a if a < b else b


@inner(fastmath=_FAST, forceinline=True)
def max_of(a, b):
    """The greater number, likewise."""
    return a if a > b else b


@inner(fastmath=_FAST, forceinline=True, error_model="numpy")
def exponential(y):
    """e^y and e^y - 1, each to rounding; y from -700 on stands for all below, from 709 on both are infinite."""
    x = y if y > -700.0 else -700.0
    x = x if x < 709.0 else 709.0
    shifted = x * _LOG2E + _MAGIC
    n = shifted - _MAGIC
    f = (x - n * _LN2_HI) - n * _LN2_LO
    s = f * f
    # Taylor to f^13, |f| <= ln(2)/2, in two halves that do not wait for one another
    even = s * (_C[2] + s * (_C[4] + s * (_C[6] + s * (_C[8] + s * (_C[10] + s * _C[12])))))
    odd = s * (_C[3] + s * (_C[5] + s * (_C[7] + s * (_C[9] + s * (_C[11] + s * _C[13])))))
    small = f + (even + f * odd)
    power = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)  # 2^n
    e, m = power + power * small, (power - 1.0) + power * small
    return (e if y < 709.0 else math.inf), (m if y < 709.0 else math.inf)


@njit(fastmath=_FAST, forceinline=True, error_model="numpy")
def log(x):
    """Logarithm of a positive normal number, to 1e-13 of itself; near 1, too."""
    bits = np.float64(x).view(np.int64)
    # the exponent that leaves a mantissa in [sqrt(1/2), sqrt(2))
    n = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = np.int64(bits - (n << 52)).view(np.float64)
    z = (m - 1.0) / (m + 1.0)
    s = z * z
    series = 1 / 9 + s * (1 / 11 + s * (1 / 13 + s * (1 / 15 + s * (1 / 17))))
    return n * 0.6931471805599453 + 2.0 * z * (1.0 + s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * series))))
