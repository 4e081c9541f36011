"""Section 10: modes in a window in closed form: a quadratic loss (10.2), two that meet (10.5), a smooth run (10.8)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, finite, nonnegative, pair, positive, whole


def damping_exchange_time(
    d: ArrayLike, h: ArrayLike, *, eta: ArrayLike, omega: ArrayLike = 0.0
) -> FloatArray:
    """[D] When two modes of a quadratic loss meet: damping alone, in discrete steps (10.2).

    Parameters
    ----------
    d : array_like, (..., 2), parameter units
        Strengths, positive.
    h : array_like, (..., 2)
        Curvatures.
    eta, omega : array_like, (...)
        Learning rate and decoupled weight decay.

    Returns
    -------
    ndarray, (...), steps
        ln(d_k/d_{k+1})/ln(|1 - eta(h_{k+1} + omega)|/|1 - eta(h_k + omega)|); NaN = never.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(damping_exchange_time([2.0, 1.0], [1.0, 19.5], eta=0.1).round(2))  # the second oscillates
    12.82
    """
    d, h = positive("d", pair("d", d)), pair("h", h)
    kappa = positive("eta", eta)[..., None] * (h + finite("omega", omega)[..., None])
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.log(np.abs(1 - kappa))
        time = np.log(d[..., 0] / d[..., 1]) / (factor[..., 1] - factor[..., 0])
    return np.where(np.isfinite(time) & (time >= 0), time, np.nan)


def sgd_strength(s: ArrayLike, h: ArrayLike, *, eta: ArrayLike, W: ArrayLike) -> FloatArray:
    """[D] Root mean square strength that gradient noise keeps up along an eigenvector of H (10.2).

    Parameters
    ----------
    s : array_like
        Variance of the gradient noise along it, independent from step to step.
    h : array_like
        Curvature, 0 < eta·h < 2.
    eta, W : array_like
        Learning rate and window.

    Returns
    -------
    ndarray, parameter units
        sqrt(W·eta²(s + h²·Var theta)) = eta·sqrt(2W·s/(2 - eta·h)); the stationary strength of 3.2 has
        sqrt(W·s/h) instead.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(sgd_strength(1.0, 1.0, eta=0.01, W=10).round(4))
    0.0317
    """
    s, h, eta, W = nonnegative("s", s), positive("h", h), positive("eta", eta), positive("W", W)
    if np.any(eta * h >= 2):
        raise ValueError("h must be below 2/eta: above it gradient descent diverges")
    return np.asarray(eta * np.sqrt(2 * W * s / (2 - eta * h)))


class Sharpness(NamedTuple):
    """How sharply two geometric modes can exchange in a window (10.5), each (...).

    Attributes
    ----------
    cosine : ndarray
        Size of the cosine of their courses in time over the window.
    ratio : ndarray
        Smallest ratio of the two singular values, where the strengths are equal.
    """

    cosine: FloatArray
    ratio: FloatArray


def exchange_sharpness(factor: ArrayLike, W: int) -> Sharpness:
    """[D] Smallest ratio to which two modes that decay as factor^s bring their singular values (10.5).

    Parameters
    ----------
    factor : array_like, (..., 2)
        Factors per record, 1 - eta(h + omega) for gradient descent; not 0.
    W : int
        Window, at least 2.

    Returns
    -------
    Sharpness
        ratio = sqrt((1 + c)/(1 - c)), c the cosine: near 1 for a drift beside an oscillation, far from it for two
        drifts, which share their course in time. Levels repel by as much (4.1).

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> exchange_sharpness([[0.99, -0.95], [0.99, 0.9]], 10).ratio.round(2)
    array([1.03, 7.57])
    """
    q = pair("factor", factor)
    if np.any(q == 0):
        raise ValueError("factor must not be 0: such a mode is gone after one record")
    courses = q[..., None] ** np.arange(whole("W", W, 2))
    courses = courses / np.linalg.norm(courses, axis=-1, keepdims=True)
    cosine = np.minimum(np.abs(np.sum(courses[..., 0, :] * courses[..., 1, :], axis=-1)), 1.0)
    with np.errstate(divide="ignore"):
        return Sharpness(cosine, np.sqrt((1 + cosine) / (1 - cosine)))


def smooth_spectrum(lengths: ArrayLike, W: int, interval: ArrayLike = 1.0) -> FloatArray:
    """[D] Singular values of a window of updates that vary smoothly: a Taylor expansion (10.8).

    Parameters
    ----------
    lengths : array_like, (..., m), m <= W
        Lengths of the update per step (parameter units per step) and of its derivatives in time, each only as far as
        it is orthogonal to the ones before it (per step² …).
    W : int
        Window, at least 2.
    interval : array_like, (...)
        Steps r from one record to the next.

    Returns
    -------
    ndarray, (..., m), parameter units
        To leading order in r: sigma_{i+1} = r^{i+1}·length_i·c_i/i!, c_i² = (i!)⁴/((2i)!(2i+1)!)·prod_{|l|<=i} (W + l).
        So sigma_1/sigma_2 = sqrt(12/(W² - 1))·tau/r, tau = length_0/length_1: the gap ratio of a smooth run measures
        the record interval.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> sigma = smooth_spectrum([1.0, 0.01], 10, interval=[1.0, 10.0])
    >>> (sigma[:, 0] / sigma[:, 1]).round(2)
    array([34.82,  3.48])
    """
    lengths, W, interval = nonnegative("lengths", lengths), whole("W", W, 2), positive("interval", interval)
    if lengths.ndim == 0 or not 0 < lengths.shape[-1] <= W:
        raise ValueError(f"lengths must hold 1 to W = {W} of them, got shape {lengths.shape}")
    sizes, square = [], float(W)
    for i in range(lengths.shape[-1]):  # c_i/i!, by what one degree more puts to its square
        if i > 0:
            square *= (W**2 - i**2) / (4 * (4 * i**2 - 1))
        sizes.append(np.sqrt(square))
    return np.asarray(lengths * np.array(sizes) * interval[..., None] ** np.arange(1, len(sizes) + 1))
