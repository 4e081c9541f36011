"""Section 2: a planted signal in a window of noise, what is seen of it and what is recovered.

The model is X = sum_j d_j a_j b_j^T + N, W×P with P >> W, N i.i.d. N(0, nu²); c = W/P and
theta = d/(nu·sqrt(P)). Three scales, not one: detection nu(PW)^{1/4}, the noise floor nu·sqrt(P), and the
strength at which a direction in parameter space is recovered, again of order nu·sqrt(P).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, nonnegative, positive
from spectral_edge.theory.detection import noise_edges, noise_floor


def direction_scale(nu: ArrayLike, P: ArrayLike, W: ArrayLike) -> FloatArray:
    """[D] Strength d at which half of a parameter-space direction is recovered, <v, v_hat>² = 1/2 (2.3).

    Parameters
    ----------
    nu, P, W : array_like
        Noise per entry (parameter units), parameters, window.

    Returns
    -------
    ndarray, parameter units
        nu·sqrt(P)·sqrt((1 + sqrt(1 + 8W/P))/2), from theta^4 - theta² - 2c = 0.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> float(overlaps(direction_scale(1.0, 1e4, 10), 1.0, 1e4, 10).parameter.round(12))
    0.5
    """
    c = positive("W", W) / positive("P", P)
    return np.asarray(noise_floor(nu, P) * np.sqrt((1 + np.sqrt(1 + 8 * c)) / 2))


class Overlaps(NamedTuple):
    """Squared overlaps of a planted direction with the observed one (2.3b, 2.3c).

    Attributes
    ----------
    window : ndarray, in [0, 1)
        <u, u_hat>², in R^W.
    parameter : ndarray, in [0, 1)
        <v, v_hat>², in R^P.
    """

    window: FloatArray
    parameter: FloatArray


def _model(d: ArrayLike, name: str, nu: ArrayLike, P: ArrayLike, W: ArrayLike) -> tuple[FloatArray, ...]:
    value, nu, P, W = nonnegative(name, d), positive("nu", nu), positive("P", P), positive("W", W)
    if np.any(W > P):
        raise ValueError("W must not exceed P")
    return tuple(np.broadcast_arrays(value, nu, P, W))


def spike_forward(d: ArrayLike, nu: ArrayLike, P: ArrayLike, W: ArrayLike) -> FloatArray:
    """[D] Observed singular value of a planted one, in the limit (2.3).

    Parameters
    ----------
    d : array_like
        Signal strength, parameter units.
    nu, P, W : array_like
        Noise per entry (parameter units), parameters, window. At finite W, for d >= 2 nu(PW)^{1/4},
        W - 1 in place of W is closer.

    Returns
    -------
    ndarray, parameter units
        sqrt((d² + nu²P)(d² + nu²W))/d above nu(PW)^{1/4}; the edge nu(sqrt(P) + sqrt(W)) below.

    Raises
    ------
    ValueError
        If `d` is negative, another argument not positive, or W > P.

    Examples
    --------
    >>> float(spike_forward(0.0, 1.0, 100, 4)), float(spike_forward(20.0, 1.0, 100, 4)).__round__(4)
    (12.0, 22.4722)
    """
    d, nu, P, W = _model(d, "d", nu, P, W)
    safe = np.maximum(d, nu * (P * W) ** 0.25)  # at the threshold the formula gives the edge
    return np.asarray(np.hypot(safe, nu * np.sqrt(P)) * np.hypot(1.0, nu * np.sqrt(W) / safe))


def spike_inverse(sigma: ArrayLike, nu: ArrayLike, P: ArrayLike, W: ArrayLike) -> FloatArray:
    """[D] Signal strength behind an observed singular value, inverse of `spike_forward` (2.4).

    Parameters
    ----------
    sigma : array_like
        Observed singular value, parameter units.
    nu, P, W : array_like
        Noise per entry (known, or `estimate_nu` with its bias removed), parameters, window.

    Returns
    -------
    ndarray, parameter units
        NaN at or below the edge nu(sqrt(P) + sqrt(W)), where no strength can be told.

    Raises
    ------
    ValueError
        As `spike_forward`.

    Examples
    --------
    >>> float(spike_inverse(spike_forward(20.0, 1.0, 100, 4), 1.0, 100, 4).round(9))
    20.0
    """
    sigma, nu, P, W = _model(sigma, "sigma", nu, P, W)
    lower, upper = noise_edges(nu, P, W)
    above = sigma > upper
    safe = np.where(above, sigma, upper)
    # s ± 2nu²sqrt(PW) factor over the two edges: no cancellation near the threshold
    root = np.sqrt((safe - upper) * (safe + upper)) * np.sqrt((safe - lower) * (safe + lower))
    s = (safe - upper) * (safe + upper) + 2 * nu**2 * np.sqrt(P * W)
    return np.where(above, np.sqrt(0.5 * (s + root)), np.nan)


def overlaps(d: ArrayLike, nu: ArrayLike, P: ArrayLike, W: ArrayLike) -> Overlaps:
    """[D] Squared overlaps of the planted with the observed direction, in the limit (2.3).

    Parameters
    ----------
    d, nu, P, W
        As `spike_forward`.

    Returns
    -------
    Overlaps
        ``.window`` and ``.parameter``; 0 at or below nu(PW)^{1/4}.

    Raises
    ------
    ValueError
        As `spike_forward`.

    Examples
    --------
    >>> found = overlaps(3.0, 1e-2, 1e6, 10)  # far above d_crit, far below the floor
    >>> bool(found.window > 0.8), bool(found.parameter < 0.1)
    (True, True)
    """
    d, nu, P, W = _model(d, "d", nu, P, W)
    c, theta2 = W / P, (d / (nu * np.sqrt(P))) ** 2
    seen = theta2**2 > c
    safe = np.where(seen, theta2, 1.0)
    share = np.where(seen, 1 - c / safe**2, 0.0)
    return Overlaps(np.asarray(share * safe / (safe + c)), np.asarray(share * safe / (safe + 1)))
