"""Section 8: the Krylov bound, as published and as it holds, and other claims that carry a number."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive, whole


def krylov_count(h: ArrayLike, eta: ArrayLike, W: ArrayLike) -> NDArray[np.int64]:
    """[T] Number of fast modes, K = #{j : h_j >= 1/(eta·W)} (8.1).

    Parameters
    ----------
    h : array_like, (..., n)
        Curvatures.
    eta, W : array_like, (...)
        Learning rate and window.

    Returns
    -------
    ndarray of int, (...)
        The published bound is k* <= K. It is false, and so is K + 1, without a noise floor:
        `krylov_guaranteed` has the form that holds.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> int(krylov_count([5.0, 1.0, 0.1], eta=0.1, W=10))
    2
    """
    threshold = 1 / (positive("eta", eta) * positive("W", W))
    return np.count_nonzero(finite("h", h) >= threshold[..., None], axis=-1)


def slow_mode_bound(h: ArrayLike, first: ArrayLike, eta: ArrayLike, W: int) -> FloatArray:
    """[D] Bound beta on sigma_{K+2} of the quadratic model without noise (8.1).

    Parameters
    ----------
    h : array_like, (..., n)
        Curvatures: eigenvalues of the Hessian, eta·h_j <= 2 for the slow ones (which is not a restriction,
        those have eta·h_j < 1/W).
    first : array_like, (..., n)
        Components <delta_{t-W+1}, e_j> of the oldest update of the window, parameter units.
    eta : array_like, (...)
        Learning rate.
    W : int
        Window, at least 2.

    Returns
    -------
    ndarray, (...), parameter units
        sqrt(W(W² - 1)/12)·sqrt(sum_slow (eta·h_j)²·first_j²). A slow mode of negative curvature grows, and
        its term carries the further factor (1 - eta·h_j)^{2(W-2)}.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(slow_mode_bound([5.0, 0.1], [1.0, 1.0], eta=0.1, W=10).round(4))
    0.0908
    """
    h, first = finite("h", h), finite("first", first)
    eta, W = positive("eta", eta), whole("W", W, 2)
    x = eta[..., None] * h
    slow = x < 1 / W
    steepest = np.abs(x) * np.where(x < 0, (1 - np.minimum(x, 0.0)) ** (W - 2), 1.0)
    return np.asarray(
        np.sqrt(W * (W**2 - 1) / 12) * np.sqrt(np.where(slow, (steepest * first) ** 2, 0.0).sum(axis=-1))
    )


def krylov_guaranteed(
    R: ArrayLike, sigma_W: ArrayLike, beta: ArrayLike, noise_norm: ArrayLike
) -> NDArray[np.bool_]:
    """[D] Whether k* <= K + 1 is guaranteed: R·sigma_W > beta + ||N||_op (8.1, corrected).

    Parameters
    ----------
    R : array_like
        Largest ratio of the window.
    sigma_W : array_like
        Its smallest singular value, parameter units.
    beta : array_like
        `slow_mode_bound`, parameter units.
    noise_norm : array_like
        Operator norm of the noise in the window, about nu(sqrt(P) + sqrt(W)).

    Returns
    -------
    ndarray of bool

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    >>> bool(krylov_guaranteed(4.0, 1.0, 0.5, 1.2)), bool(krylov_guaranteed(1.2, 1.0, 0.5, 1.2))
    (True, False)
    """
    return np.asarray(
        positive("R", R) * nonnegative("sigma_W", sigma_W)
        > nonnegative("beta", beta) + nonnegative("noise_norm", noise_norm)
    )


def quadratic_window(h: ArrayLike, first: ArrayLike, eta: float, W: int) -> FloatArray:
    """[D] Updates of gradient descent on a quadratic, in the eigenbasis: first_j·(1 - eta·h_j)^s (8.1).

    Parameters
    ----------
    h, first, eta, W
        As `slow_mode_bound`.

    Returns
    -------
    ndarray, (W, n), parameter units
        Row s is the update s steps after the oldest.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> quadratic_window([5.0, 0.0], [1.0, 2.0], eta=0.1, W=2)
    array([[1. , 2. ],
           [0.5, 2. ]])
    """
    factor = 1 - float(positive("eta", eta)) * finite("h", h)
    return np.asarray(finite("first", first) * factor ** np.arange(whole("W", W, 2))[:, None])


def projection_error(dimension: ArrayLike) -> FloatArray:
    """[D] Standard deviation of ln R under a Gaussian projection to few dimensions, large gap (8.6).

    Parameters
    ----------
    dimension : array_like
        Dimensions d kept, positive.

    Returns
    -------
    ndarray, dimensionless
        1/sqrt(d): both singular values are scaled by independent sqrt(chi²_d/d). An error of 5.7 % is no
        bound.

    Raises
    ------
    ValueError
        If `dimension` is not positive.

    Examples
    --------
    >>> float(projection_error(100))
    0.1
    """
    return np.asarray(1 / np.sqrt(positive("dimension", dimension)))
