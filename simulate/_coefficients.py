"""Coefficients of the gap equation: constants or functions of time, made ready for the kernel."""

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any, NoReturn

import numpy as np

from spectral_edge.simulate._compiling import numba_settings
from spectral_edge.theory.checks import finite, nonnegative, pair, positive

Five = tuple[float, float, float, float, float]

_SIGNATURE = "UniTuple(float64, 5)(float64)"


def constants(h: Any, p: Any, eta: Any) -> Five | None:
    """The five constants (h_k, h_k+1, p_k, p_k+1, eta), checked; None where one is a function of time."""
    if any(callable(part) for value in (h, p, eta) for part in _parts(value)):
        return None
    h_k, h_next = _two("h", h)
    p_k, p_next = _two("p", p)
    nonnegative("p", p)
    rate = positive("eta", eta)
    if rate.ndim:
        raise ValueError(f"eta must be one number or a function of time, got shape {rate.shape}")
    return h_k, h_next, p_k, p_next, float(rate)


def _parts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _two(name: str, value: Any) -> tuple[float, float]:
    array = pair(name, value)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one pair (modes k and k+1), got shape {array.shape}")
    return float(array[0]), float(array[1])


@contextmanager
def compiled(h: Any, p: Any, eta: Any) -> Iterator[Callable[[float], Five]]:
    """The coefficients as one first-class function: jitted if numba can, else a call back into Python."""
    import numba

    for name, value in (("h", h), ("p", p)):
        if not callable(value) and len(_parts(value)) != 2:
            raise ValueError(f"{name} must be a pair or a function that returns one, got {value!r}")
    if numba_settings().DISABLE_JIT:
        function: Callable[[float], Five] | None = _in_python(h, p, eta)
    else:
        try:
            function = numba.njit(_SIGNATURE)(_combined(h, p, eta, numba.njit))
        except Exception:  # whatever numba cannot compile runs in Python, where a real mistake shows again
            function = None
    if function is not None:
        yield function
        return
    try:
        callback = _idle.pop()
    except IndexError:
        callback = _Callback()
    callback.function = _in_python(h, p, eta)
    try:
        yield callback.compiled
    finally:
        callback.function = None
        _idle.append(callback)


def _as_pair(value: Any, wrap: Callable[..., Any]) -> Callable[[float], tuple[float, float]]:
    if callable(value):
        both = wrap(value)

        def of_one(t: float) -> tuple[float, float]:
            values = both(t)
            return values[0], values[1]

        return wrap(of_one)
    first, second = (_as_function(part, wrap) for part in value)

    def of_two(t: float) -> tuple[float, float]:
        return first(t), second(t)

    return wrap(of_two)


def _as_function(value: Any, wrap: Callable[..., Any]) -> Callable[[float], float]:
    if callable(value):
        return wrap(value)
    constant = float(finite("a constant coefficient", value))

    def same(t: float) -> float:
        return constant

    return wrap(same)


def _combined(h: Any, p: Any, eta: Any, wrap: Callable[..., Any]) -> Callable[[float], Five]:
    """One function of time for all five; NaN where a part raises, or p or eta is negative."""
    curvature, power, rate = _as_pair(h, wrap), _as_pair(p, wrap), _as_function(eta, wrap)

    def coefficients(t: float) -> Five:
        try:
            h_k, h_next = curvature(t)
            p_k, p_next = power(t)
            step = rate(t)
        except Exception:
            return math.nan, math.nan, math.nan, math.nan, math.nan
        if p_k < 0.0 or p_next < 0.0 or step < 0.0:
            return math.nan, math.nan, math.nan, math.nan, math.nan
        return h_k, h_next, p_k, p_next, step

    return coefficients


def _in_python(h: Any, p: Any, eta: Any) -> Callable[[float], Five]:
    return _combined(h, p, eta, lambda function: function)


class _Callback:
    """A Python function of time, changed at will, behind one compiled function, which the kernel can call."""

    def __init__(self) -> None:
        import numba

        self.function: Callable[[float], Five] | None = None
        # by thread, since rows of a sweep are integrated side by side; a `local` forgets between calls from
        # threads that are not Python's
        self._latest: dict[int, Five] = {}
        call = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)(self._component)

        def coefficients(t: float) -> Five:
            return call(t, 0), call(t, 1), call(t, 2), call(t, 3), call(t, 4)

        self.compiled: Callable[[float], Five] = numba.njit(_SIGNATURE)(coefficients)

    def _component(self, t: float, index: int) -> float:
        if index == 0:  # evaluate once, hand out one number per call
            try:
                assert self.function is not None
                h_k, h_next, p_k, p_next, eta = self.function(t)
                self._latest[get_ident()] = float(h_k), float(h_next), float(p_k), float(p_next), float(eta)
            except Exception:
                self._latest[get_ident()] = math.nan, math.nan, math.nan, math.nan, math.nan
        return self._latest[get_ident()][index]


#: Callbacks that no integration uses now: to compile one takes longer than most integrations.
_idle: list[_Callback] = []


def complain(h: Any, p: Any, eta: Any, t: float) -> NoReturn:
    """Raise the ``ValueError`` that says which coefficient fails at time t, and how."""
    for name, function, sign in (
        ("h", _as_pair(h, lambda f: f), None),
        ("p", _as_pair(p, lambda f: f), "p"),
        ("eta", _as_function(eta, lambda f: f), "eta"),
    ):
        try:
            value = np.asarray(function(t), dtype=float)
        except Exception as error:
            raise ValueError(f"{name} raised {type(error).__name__} at t = {t:.6g}: {error}") from error
        if not np.all(np.isfinite(value)):
            raise ValueError(f"{name} must be finite, got {value} at t = {t:.6g}")
        if sign and np.any(value < 0):
            raise ValueError(f"{name} must not be negative, got {value} at t = {t:.6g}")
    raise ValueError(f"h, p or eta must be finite, got NaN from the compiled function at t = {t:.6g}")
