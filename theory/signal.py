"""Section 3: the flow of one signal strength, in closed form.

d' = -eta(h + omega)d + eta·W·p/d; in u = d² the flow is linear. The source strength p is an effective, fitted
quantity (3.1): for plain SGD d² = W·eta²·mean(p) holds identically, which is not the stationary W·p/(h + omega).
"""

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory import crossing
from spectral_edge.theory.checks import FloatArray, finite, nonnegative, pair, positive


def damping(h: ArrayLike, eta: ArrayLike, omega: ArrayLike) -> FloatArray:
    """[T] Damping rate kappa = eta(h + omega) of a mode, per step (3.2).

    Parameters
    ----------
    h, omega : array_like
        Curvature and decoupled weight decay.
    eta : array_like
        Learning rate, positive.

    Returns
    -------
    ndarray, per step

    Raises
    ------
    ValueError
        If an argument is not finite or `eta` not positive.

    Examples
    --------
    >>> float(damping(2.0, 0.1, 0.5))
    0.25
    """
    return np.asarray(positive("eta", eta) * (finite("h", h) + finite("omega", omega)))


def signal_flow(
    d0: ArrayLike, t: ArrayLike, *, h: ArrayLike, p: ArrayLike, eta: ArrayLike, omega: ArrayLike, W: ArrayLike
) -> FloatArray:
    """[D] Signal strength at time t under constant coefficients (3.2).

    Parameters
    ----------
    d0 : array_like
        Strength at t = 0, parameter units, not negative.
    t : array_like
        Time in steps, not negative. All arguments broadcast.
    h, p : array_like
        Curvature and (effective) gradient power of the mode; p not negative.
    eta, omega, W : array_like
        Learning rate, weight decay, window.

    Returns
    -------
    ndarray, parameter units
        sqrt(u* + (u0 - u*)e^{-2 kappa t}), u* = W·p/(h + omega); at kappa = 0, sqrt(u0 + 2·eta·W·p·t).

    Raises
    ------
    ValueError
        If an argument is not finite or out of its range.

    Examples
    --------
    >>> float(signal_flow(1.0, 1e9, h=3.0, p=4.0, eta=1e-3, omega=1.0, W=9).round(12))
    3.0
    """
    d0, t, p = nonnegative("d0", d0), nonnegative("t", t), nonnegative("p", p)
    x = np.asarray(2 * damping(h, eta, omega) * t)
    source = 2 * positive("eta", eta) * positive("W", W) * p
    with np.errstate(over="ignore"):
        return np.asarray(np.sqrt(d0**2 * np.exp(-x) + source * t * crossing.decayed(x)))


def stationary_strength(h: ArrayLike, p: ArrayLike, omega: ArrayLike, W: ArrayLike) -> FloatArray:
    """[D] Stationary strength d* = sqrt(W·p/(h + omega)) (3.2, 8.2).

    Parameters
    ----------
    h, p : array_like
        Curvature and gradient power.
    omega, W : array_like
        Weight decay and window.

    Returns
    -------
    ndarray, parameter units
        NaN where h + omega <= 0: there is no equilibrium.

    Raises
    ------
    ValueError
        If an argument is not finite or out of its range.

    Examples
    --------
    >>> float(stationary_strength(3.0, 4.0, 1.0, 9))
    3.0
    """
    stiffness = finite("h", h) + finite("omega", omega)
    power = positive("W", W) * nonnegative("p", p)
    stiffness, power = np.broadcast_arrays(stiffness, power)
    return np.sqrt(np.divide(power, stiffness, out=np.full(power.shape, np.nan), where=stiffness > 0))


def equilibrium_gap(h: ArrayLike, p: ArrayLike, omega: ArrayLike, W: ArrayLike) -> FloatArray:
    """[D] Exact equilibrium gap g* = d_k* - d_{k+1}* (3.5).

    Parameters
    ----------
    h, p : array_like, (..., 2)
        Curvature and gradient power of modes k and k+1.
    omega, W : array_like, (...)
        Weight decay and window.

    Returns
    -------
    ndarray, (...), parameter units
        Negative: the modes end in the other order. NaN where one has no equilibrium.

    Raises
    ------
    ValueError
        If `h` or `p` is not a pair, or an argument is out of its range.

    Examples
    --------
    >>> float(equilibrium_gap([3.0, 8.0], [4.0, 1.0], 1.0, 9))
    2.0
    """
    omega, W = finite("omega", omega)[..., None], positive("W", W)[..., None]
    d = stationary_strength(pair("h", h), pair("p", p), omega, W)
    return np.asarray(d[..., 0] - d[..., 1])
