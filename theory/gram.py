"""K, the inner products of a run's updates: full or banded, and the windows cut from it.

One convention serves the whole project. With T updates,

* a **square** array (T, T) is the full K, ``K[s, t] = <delta_s, delta_t>``;
* an array (T, L + 1) with L + 1 < T is a **band**, ``K[t, l] = <delta_t, delta_{t-l}>``,
  NaN where l > t.

A band as wide as T would be square: keep the full K then.

A recording that was taken up again without the updates it had kept has a **gap**: the inner products of updates
before it with updates after it are not known, and NaN. A window that reaches over a gap has no spectrum (NaN).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory.checks import FloatArray, whole


def inner_products(K: ArrayLike) -> FloatArray:
    """Check that `K` has one of the two shapes, finite where it must be.

    Parameters
    ----------
    K : array_like, (T, T) full or (T, L + 1) banded
        Inner products of the updates, parameter units squared.

    Returns
    -------
    ndarray, float64, same shape

    Raises
    ------
    ValueError
        If the shape is neither, or an entry that is neither padding nor across a gap is not finite, or a
        norm is negative.

    Examples
    --------
    >>> inner_products([[2.0, 0.5], [0.5, 1.0]]).shape
    (2, 2)
    """
    try:
        array = np.asarray(K, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("K must be an array of numbers") from None
    if array.ndim != 2 or array.size == 0 or array.shape[1] > array.shape[0]:
        raise ValueError(f"K must be square (T, T) or a band (T, L + 1) with L + 1 < T, got {array.shape}")
    finite = np.isfinite(array)
    if not finite.all() and not finite[known(array)].all():
        raise ValueError("K must be finite (a band may be NaN only where l > t, any K only across a gap)")
    if np.any(norms_squared(array) < 0):
        raise ValueError("K must have a non-negative diagonal, got a negative squared norm")
    return array


def is_full(K: FloatArray) -> bool:
    """Whether `K` is a full (square) K rather than a band."""
    return bool(K.shape[0] == K.shape[1])


def stretch_starts(K: FloatArray) -> NDArray[np.int64]:
    """First update of the uninterrupted stretch that each update belongs to, (T,); all 0 without a gap.

    Examples
    --------
    >>> stretch_starts(np.array([[2.0, np.nan], [2.0, 1.0], [2.0, np.nan], [2.0, 1.0]]))
    array([0, 0, 2, 2])
    """
    T = K.shape[0]
    if T < 2 or max_lag(K) == 0:
        return np.zeros(T, dtype=np.int64)
    broken = np.isnan(np.diagonal(K, -1) if is_full(K) else K[1:, 1])
    return np.maximum.accumulate(np.where(np.append(False, broken), np.arange(T), 0))


def known(K: FloatArray) -> NDArray[np.bool_]:
    """Which entries of `K` are neither padding nor across a gap, in the shape of `K`."""
    starts = stretch_starts(K)
    if is_full(K):
        return np.asarray(starts[:, None] == starts)
    return np.asarray(np.arange(K.shape[1]) <= (np.arange(len(K)) - starts)[:, None])


def max_lag(K: FloatArray) -> int:
    """Largest lag, the largest distance of s and t, that `K` holds."""
    return int(K.shape[1] - 1)


def norms_squared(K: FloatArray) -> FloatArray:
    """Squared norms of the updates, (T,), parameter units squared."""
    return np.array(np.diagonal(K) if is_full(K) else K[:, 0])


def lagged(K: FloatArray, lag: int) -> FloatArray:
    """Return <delta_t, delta_{t-lag}> for t = lag … T-1, (T - lag,), parameter units squared.

    Examples
    --------
    >>> lagged(np.array([[2.0, 0.5], [0.5, 1.0]]), 1)
    array([0.5])
    """
    lag = whole("lag", lag, 0, max_lag(K))
    return np.array(np.diagonal(K, -lag) if is_full(K) else K[lag:, lag])


def merged(K: ArrayLike, n: int) -> FloatArray:
    """Return K of the run as it would be had only every `n`-th snapshot been taken: exact, updates simply add.

    Parameters
    ----------
    K : array_like, (T, T) or (T, M + 1) with M >= 2n - 1
        Inner products of the updates, parameter units squared.
    n : int
        Updates that become one; those left over at the end are dropped.

    Returns
    -------
    ndarray, (T // n, T // n) or (T // n, (M + 1) // n)
        Inner products of the sums; NaN where an update across a gap takes part.

    Raises
    ------
    ValueError
        If `n` is not a whole number from 1 on, or leaves fewer than two updates or no lag.

    Notes
    -----
    Section 0 of docs/theory.md: δ is a difference of snapshots, so differences over longer stretches are sums.

    Examples
    --------
    >>> merged(np.diag([1.0, 2.0, 3.0, 4.0]), 2)
    array([[3., 0.],
           [0., 7.]])
    """
    array = inner_products(K)
    T, width = array.shape
    n = whole("n", n, 1, min(T, width) // 2)
    m = T // n
    if is_full(array):
        return np.asarray(array[: m * n, : m * n].reshape(m, n, m, n).sum(axis=(1, 3)))
    lags = width // n
    found = np.full((m, lags), np.nan)
    for lag in range(min(lags, m)):
        total = np.zeros(m - lag)
        for a in range(n):
            for b in range(n):
                apart = lag * n + a - b  # ⟨δ_(tn+a), δ_((t-lag)n+b)⟩; symmetric where the lag is 0
                later = np.arange(lag, m) * n + a if apart >= 0 else np.arange(m) * n + b
                total += array[later, abs(apart)]
        found[lag:, lag] = total
    return found


def as_band(K: ArrayLike, L: int) -> FloatArray:
    """Return the band of lags 0 … `L` of `K` (section 0).

    Parameters
    ----------
    K : array_like, (T, T) or (T, M + 1) with M >= L
    L : int
        Largest lag to keep, at most T - 2.

    Returns
    -------
    ndarray, (T, L + 1)
        ``[t, l] = <delta_t, delta_{t-l}>``, NaN where l > t.

    Raises
    ------
    ValueError
        If `L` is larger than what `K` holds, or so large that the band would be square.

    Examples
    --------
    >>> as_band(np.diag([1.0, 2.0, 3.0]), 1)
    array([[ 1., nan],
           [ 2.,  0.],
           [ 3.,  0.]])
    """
    array = inner_products(K)
    T = array.shape[0]
    L = whole("L", L, 0, min(max_lag(array), T - 2))
    if not is_full(array):
        return array[:, : L + 1].copy()
    band = np.full((T, L + 1), np.nan)
    for lag in range(L + 1):
        band[lag:, lag] = np.diagonal(array, -lag)
    return band


def window_blocks(K: ArrayLike, W: int, first: int = 0, count: int | None = None) -> FloatArray:
    """Cut the Gram matrices of consecutive full windows out of `K` (section 0).

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to W - 1
    W : int
        Window, at least 1 and at most T.
    first : int
        Index of the first window wanted; window i holds updates i … i + W - 1, oldest first.
    count : int, optional
        Number of windows, by default all that remain.

    Returns
    -------
    ndarray, (count, W, W), parameter units squared
        Symmetric Gram matrices G_t = X_t X_t^T.

    Raises
    ------
    ValueError
        If `K` does not hold the lags or the windows asked for.

    Examples
    --------
    >>> window_blocks(np.diag([1.0, 2.0, 3.0]), 2)[1]
    array([[2., 0.],
           [0., 3.]])
    """
    array = inner_products(K)
    T = array.shape[0]
    W = whole("W", W, 1, T)
    if max_lag(array) < W - 1:
        raise ValueError(f"W must be at most {max_lag(array) + 1} for this band of K, got {W}")
    total = T - W + 1
    first = whole("first", first, 0, total)
    number = total - first if count is None else whole("count", count, 0, total - first)
    s, t = np.indices((W, W))
    if is_full(array):
        block, onward = s * T + t, T + 1
    else:
        block, onward = np.maximum(s, t) * array.shape[1] + np.abs(s - t), array.shape[1]
    # places in the array laid out flat: of all blocks that of the first, moved on; far quicker than pairs of indices
    return array.ravel().take(block + onward * np.arange(first, first + number)[:, None, None])
