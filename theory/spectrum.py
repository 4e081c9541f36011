"""Section 1: singular values of a window, the gap position k* and its ratio R. Mark [T]."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, nonnegative

EPS = float(np.finfo(np.float64).eps)


class GramSpectrum(NamedTuple):
    """Eigen-decomposition of Gram matrices (section 0), largest first.

    Attributes
    ----------
    lam : ndarray, (..., W)
        Eigenvalues, descending, clipped at 0; parameter units squared.
    u : ndarray, (..., W, W)
        Eigenvectors in the columns: ``u[..., :, j]`` belongs to ``lam[..., j]``.
    """

    lam: FloatArray
    u: FloatArray

    @property
    def sigma(self) -> FloatArray:
        """Singular values, (..., W), parameter units."""
        return np.sqrt(self.lam)


def gram_spectrum(G: ArrayLike) -> GramSpectrum:
    """Eigenvalues and eigenvectors of Gram matrices G = X X^T (section 0), largest first.

    Parameters
    ----------
    G : array_like, (..., W, W)
        Symmetric positive semi-definite, parameter units squared; the lower triangle is read. A matrix that
        holds NaN (a window across a gap of the recording) gives NaN.

    Returns
    -------
    GramSpectrum

    Raises
    ------
    ValueError
        If `G` is not a stack of square matrices.

    Notes
    -----
    Rounding leaves eigenvalues of size W·eps·lambda_1, so singular values taken from a Gram matrix
    are noise below sqrt(W·eps)·sigma_1: pass ``rtol=gram_rtol(W)`` to the functions below.

    Examples
    --------
    >>> gram_spectrum(np.diag([1.0, 4.0])).sigma
    array([2., 1.])
    """
    array = np.asarray(G, dtype=np.float64)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(f"G must be a stack of square matrices (..., W, W), got shape {array.shape}")
    missing = np.asarray(np.isnan(array).any(axis=(-2, -1)))
    if not missing.any():
        lam, u = np.linalg.eigh(array)
        return GramSpectrum(np.maximum(lam[..., ::-1], 0.0), u[..., ::-1])
    lam, u = gram_spectrum(np.where(missing[..., None, None], 0.0, array))
    return GramSpectrum(
        np.where(missing[..., None], np.nan, lam), np.where(missing[..., None, None], np.nan, u)
    )


def quadratic_forms(u: FloatArray, M: FloatArray) -> FloatArray:
    """u_jᵀMu_j of every mode, (..., W), of eigenvectors in the columns of `u` (..., W, W); NaN where M is infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((u * (M @ u)).sum(axis=-2))


def gram_rtol(W: int) -> float:
    """Rank tolerance (section 1), relative to sigma_1, of singular values taken from a W×W Gram matrix.

    Parameters
    ----------
    W : int
        Window.

    Returns
    -------
    float

    Examples
    --------
    >>> round(gram_rtol(4) / 2**-26, 12)
    2.0
    """
    return float(np.sqrt(W * EPS))


def descending(name: str, values: ArrayLike, minimum: int = 2) -> FloatArray:
    """Return `values` as float64 (..., W): non-negative, largest first; a row with NaN may pass."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers") from None
    if array.ndim == 0 or array.shape[-1] < minimum:
        raise ValueError(f"{name} must have at least {minimum} values on its last axis, got {array.shape}")
    if np.any(np.isinf(array)) or np.any(array < 0):
        raise ValueError(f"{name} must be finite and not negative")
    if np.any(array[..., 1:] > array[..., :-1]):
        raise ValueError(f"{name} must be sorted, largest first")
    return array


def ratio_profile(sigma: ArrayLike, rtol: float | None = None) -> FloatArray:
    """Consecutive ratios sigma_j/sigma_{j+1} (section 1); NaN where sigma_{j+1} is below the rank tolerance.

    Parameters
    ----------
    sigma : array_like, (..., W), descending
        Singular values, parameter units. A row holding NaN gives NaN.
    rtol : float, optional
        Only j with sigma_{j+1} > rtol·sigma_1 count. Default W·eps, right for singular values as given;
        use `gram_rtol` for those taken from a Gram matrix.

    Returns
    -------
    ndarray, (..., W - 1)

    Raises
    ------
    ValueError
        If `sigma` is negative, infinite, not descending, or has fewer than two values.

    Examples
    --------
    >>> ratio_profile([6.0, 3.0, 0.0])
    array([ 2., nan])
    """
    array = descending("sigma", sigma)
    tolerance = array.shape[-1] * EPS if rtol is None else float(nonnegative("rtol", rtol))
    counts = array[..., 1:] > tolerance * array[..., :1]
    counts &= ~np.any(np.isnan(array), axis=-1, keepdims=True)
    with np.errstate(over="ignore"):
        return np.divide(array[..., :-1], array[..., 1:], out=np.full(counts.shape, np.nan), where=counts)


def _first_maximum(score: FloatArray) -> FloatArray:
    """1-based position of the first maximum along the last axis, as float; NaN where all is NaN."""
    k = 1.0 + np.argmax(np.where(np.isnan(score), -np.inf, score), axis=-1)
    return np.where(np.all(np.isnan(score), axis=-1), np.nan, k)


def gap_position(sigma: ArrayLike, weighted: bool = False, rtol: float | None = None) -> FloatArray:
    """[T] Gap position k* = argmax_j sigma_j/sigma_{j+1}, ties to the smallest j.

    Parameters
    ----------
    sigma : array_like, (..., W), descending
        Singular values of the window, parameter units.
    weighted : bool
        The second reading: argmax_j (sigma_j/sum sigma)(sigma_j/sigma_{j+1}), for runs whose last
        singular values are noise.
    rtol : float, optional
        Rank tolerance relative to sigma_1, see `ratio_profile`.

    Returns
    -------
    ndarray, (...), float
        k* in 1 … W - 1; NaN where the numerical rank is below 2 or the row holds NaN.

    Raises
    ------
    ValueError
        As `ratio_profile`.

    Notes
    -----
    Section 1 of docs/theory.md.

    Examples
    --------
    >>> gap_position([[9.0, 8.0, 1.0], [5.0, 0.0, 0.0]])
    array([ 2., nan])
    """
    return _position(ratio_profile(sigma, rtol), sigma, weighted)


def _position(ratio: FloatArray, sigma: ArrayLike, weighted: bool) -> FloatArray:
    """The gap position, from the profile of ratios of `sigma`."""
    if weighted:
        array = np.asarray(sigma, dtype=np.float64)[..., :-1]
        ratio = ratio * array  # the common factor 1/sum(sigma) moves no maximum
    return _first_maximum(ratio)


def gap_ratio(sigma: ArrayLike, weighted: bool = False, rtol: float | None = None) -> FloatArray:
    """[T] Ratio R = sigma_{k*}/sigma_{k*+1} at the gap position (section 1).

    Parameters
    ----------
    sigma, weighted, rtol
        As `gap_position`; with ``weighted=True`` R is the plain ratio at the weighted position.

    Returns
    -------
    ndarray, (...), dimensionless
        At least 1; NaN where k* is.

    Raises
    ------
    ValueError
        As `ratio_profile`.

    Examples
    --------
    >>> float(gap_ratio([9.0, 8.0, 1.0]))
    8.0
    """
    ratio = ratio_profile(sigma, rtol)
    return _at(ratio, _position(ratio, sigma, weighted))


def _at(values: FloatArray, k_star: FloatArray) -> FloatArray:
    """values[..., k* - 1], NaN where k* is NaN."""
    index = np.where(np.isnan(k_star), 1.0, k_star).astype(np.intp) - 1
    picked = np.take_along_axis(values, index[..., None], axis=-1)[..., 0]
    return np.where(np.isnan(k_star), np.nan, picked)


def amplitude_gap(sigma: ArrayLike, weighted: bool = False, rtol: float | None = None) -> FloatArray:
    """[T] Amplitude gap g = sigma_{k*} - sigma_{k*+1} (section 1), parameter units.

    Parameters
    ----------
    sigma, weighted, rtol
        As `gap_position`.

    Returns
    -------
    ndarray, (...)

    Raises
    ------
    ValueError
        As `ratio_profile`.

    Examples
    --------
    >>> float(amplitude_gap([9.0, 8.0, 1.0]))
    7.0
    """
    k_star = gap_position(sigma, weighted, rtol)
    array = np.asarray(sigma, dtype=np.float64)
    return _at(array[..., :-1] - array[..., 1:], k_star)


def eigenvalue_gap(sigma: ArrayLike, weighted: bool = False, rtol: float | None = None) -> FloatArray:
    """[T] Eigenvalue gap lambda_{k*} - lambda_{k*+1} (section 1), lambda = sigma², parameter units squared.

    Parameters
    ----------
    sigma, weighted, rtol
        As `gap_position`.

    Returns
    -------
    ndarray, (...)

    Raises
    ------
    ValueError
        As `ratio_profile`.

    Examples
    --------
    >>> float(eigenvalue_gap([9.0, 8.0, 1.0]))
    63.0
    """
    k_star = gap_position(sigma, weighted, rtol)
    array = np.asarray(sigma, dtype=np.float64)
    # (s - t)(s + t): no cancellation between squares
    return _at((array[..., :-1] - array[..., 1:]) * (array[..., :-1] + array[..., 1:]), k_star)


def subleading_gap(sigma: ArrayLike) -> FloatArray:
    """[T] Sub-leading gap g_23 = lambda_2 - lambda_3 (section 1), parameter units squared.

    Parameters
    ----------
    sigma : array_like, (..., W), descending, W >= 3

    Returns
    -------
    ndarray, (...)
        NaN for a row holding NaN among the two.

    Raises
    ------
    ValueError
        As `ratio_profile`, or if W < 3.

    Examples
    --------
    >>> float(subleading_gap([9.0, 2.0, 1.0]))
    3.0
    """
    array = descending("sigma", sigma, minimum=3)
    second, third = array[..., 1], array[..., 2]
    return np.asarray((second - third) * (second + third))
