"""Argument checks shared by every floor: one message, naming what came and what is wanted."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def finite(name: str, value: ArrayLike) -> FloatArray:
    """`value` as float64, every entry finite, or a ``ValueError`` that names `name`."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number or an array of numbers, got {_shown(value)}") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {_shown(value)}")
    return array


def positive(name: str, value: ArrayLike) -> FloatArray:
    """`value` as float64, every entry finite and > 0."""
    array = finite(name, value)
    if not np.all(array > 0):
        raise ValueError(f"{name} must be positive, got {_shown(value)}")
    return array


def nonnegative(name: str, value: ArrayLike) -> FloatArray:
    """`value` as float64, every entry finite and >= 0."""
    array = finite(name, value)
    if not np.all(array >= 0):
        raise ValueError(f"{name} must not be negative, got {_shown(value)}")
    return array


def whole(name: str, value: Any, minimum: int, maximum: int | None = None) -> int:
    """`value` as an int within [minimum, maximum]; integral floats such as ``1e8`` are welcome."""
    try:
        number: int | None = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number != value or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {_shown(value)}")
    if number < minimum or (maximum is not None and number > maximum):
        wanted = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        raise ValueError(f"{name} must be {wanted}, got {_shown(value)}")
    return number


def pair(name: str, value: Any) -> FloatArray:
    """`value` as a float64 array whose last axis has length 2 (modes k and k+1), finite."""
    array = finite(name, value)
    if array.ndim == 0 or array.shape[-1] != 2:
        raise ValueError(f"{name} must be a pair (modes k and k+1), got shape {array.shape}")
    return array


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """`value` if it is one of `options`."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {_shown(value)}")
    return str(value)
