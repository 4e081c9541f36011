"""What a Gram sequence must satisfy; one message each."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory.gram import known, norms_squared, stretch_starts, window_blocks

Floats = NDArray[np.float64]

#: Relative size of a negative eigenvalue of K, or of an asymmetry, that rounding can explain.
ROUNDING = 1e-6


def checked_K(K: ArrayLike) -> Floats:
    """A finite, symmetric, positive semi-definite K (T, T), or such a band (T, W_max + 1), as a copy.

    Across a gap (`theory.gram`) it is NaN.
    """
    try:
        array = np.array(K, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("K must be an array of numbers") from None
    if array.ndim != 2 or len(array) < 2 or not 2 <= array.shape[1] <= len(array):
        raise ValueError(f"K must be (T, T) or a band (T, W_max + 1) with T ≥ 2, got shape {array.shape}")
    T, width = array.shape
    inside = known(array)
    if width == T:
        if not np.isfinite(array[inside]).all():
            raise ValueError("K must be finite, got NaN or infinity")
        array[~inside] = np.nan
        scale = np.abs(array[inside]).max()
        asymmetry = np.abs((array - array.T)[inside]).max()
        if asymmetry > ROUNDING * scale:
            raise ValueError(
                f"K must be symmetric, got an asymmetry of {asymmetry:.3g} in entries up to {scale:.3g}"
            )
        array = (array + array.T) / 2
    else:
        if not np.isfinite(array[inside]).all():
            raise ValueError("K must be finite inside the band, got NaN or infinity")
        array[~inside] = np.nan
    for piece in stretches(array):
        _require_positive_semidefinite(piece)
    return array


def stretches(K: Floats) -> list[Floats]:
    """K of every uninterrupted stretch of a run."""
    starts = np.unique(stretch_starts(K)).tolist()
    return [cut(K, first, last) for first, last in pairwise([*starts, len(K)])]


def cut(K: Floats, first: int, last: int) -> Floats:
    """K of the updates `first` … `last` - 1; full where they are no more than the band is wide."""
    T, width = K.shape
    if width == T:
        return K[first:last, first:last]
    n = last - first
    if n > width:
        return np.where(np.arange(width) <= np.arange(n)[:, None], K[first:last], np.nan)
    s, t = np.indices((n, n))
    return np.asarray(K[first + np.maximum(s, t), np.abs(s - t)])


def _require_positive_semidefinite(K: Floats) -> None:
    # The widest blocks that the band holds cover every entry of it; a full K is one block.
    width = K.shape[1]
    total = len(K) - width + 1
    some = max(1, (1 << 22) // width**2)  # a long run's blocks would fill the memory
    parts = [(first, min(some, total - first)) for first in range(0, total, some)]
    # Succeeds where no eigenvalue is below -ROUNDING/2 times the largest entry, which is no larger than the largest
    # eigenvalue: as strict as what follows, at a tenth of its cost.
    allowed = 0.5 * ROUNDING * norms_squared(K).max()
    try:
        for part in parts:
            np.linalg.cholesky(window_blocks(K, width, *part) + allowed * np.eye(width))
        return
    except np.linalg.LinAlgError:
        pass
    extremes = []
    for part in parts:
        eigenvalues = np.linalg.eigvalsh(window_blocks(K, width, *part))
        extremes.append((eigenvalues.min(), np.abs(eigenvalues).max()))
    lowest, highest = min(low for low, _ in extremes), max(high for _, high in extremes)
    if lowest < -ROUNDING * highest:
        raise ValueError(
            f"K must be positive semi-definite, got an eigenvalue of {lowest:.3g} beside {highest:.3g}"
        )


def increasing(name: str, steps: ArrayLike, length: int) -> NDArray[np.int64]:
    """`steps` as (length,) int64, strictly increasing."""
    array = np.asarray(steps)
    if array.shape != (length,):
        raise ValueError(f"{name} must have one entry per record, ({length},), got shape {array.shape}")
    if array.dtype.kind not in "iuf" or not (np.isfinite(array) & (array == np.floor(array))).all():
        raise ValueError(f"{name} must be whole numbers, got {array[:3]} … of type {array.dtype}")
    whole_steps = array.astype(np.int64)
    if not (np.diff(whole_steps) > 0).all():
        first = int(np.argmax(np.diff(whole_steps) <= 0))
        raise ValueError(
            f"{name} must increase, got {whole_steps[first]} followed by {whole_steps[first + 1]}"
        )
    return whole_steps


def checked_extra(
    T: int,
    metrics: Mapping[str, ArrayLike] | None = None,
    probes: Mapping[str, ArrayLike] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Metrics and probes with one entry per update, and the configuration."""
    checked: dict[str, Any] = {"metrics": {}, "probes": {}, "config": dict(config or {})}
    for group, values in (("metrics", metrics or {}), ("probes", probes or {})):
        for name, value in values.items():
            array = np.asarray(value, dtype=np.float64)
            if array.ndim == 0 or len(array) != T:
                raise ValueError(
                    f"{group}[{name!r}] must have one entry per update, ({T},), got shape {array.shape}"
                )
            checked[group][name] = array
    return checked
