"""Section 4: noise on the trajectory matrix makes neighbouring singular values repel."""

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive
from spectral_edge.theory.spectrum import descending


def dyson_drift(
    d: ArrayLike,
    *,
    h: ArrayLike,
    p: ArrayLike,
    eta: ArrayLike,
    omega: ArrayLike,
    W: ArrayLike,
    P: ArrayLike,
    nu: ArrayLike,
) -> FloatArray:
    """[D] Drift of the singular values under flow 3.1 and noise of variance nu² per entry and step (4).

    Parameters
    ----------
    d : array_like, (..., m), strictly descending, positive
        Singular values, parameter units; m = W for a whole window.
    h, p : array_like, (..., m)
        Curvature and gradient power attached to rank.
    eta, omega, W : array_like, (...)
        Learning rate, weight decay, window.
    P : array_like, (...)
        Number of parameters, above W.
    nu : array_like, (...)
        Noise per entry and square root of a step, parameter units.

    Returns
    -------
    ndarray, (..., m), parameter units per step
        -eta(h + omega)d + eta·W·p/d
        + (nu²/2)[(P - W)/d_j + sum_{i != j} (1/(d_j - d_i) + 1/(d_j + d_i))].

    Raises
    ------
    ValueError
        If an argument is out of its range or two singular values coincide.

    Notes
    -----
    Exact for dM = U diag(f_j) V^T dt + nu·dB (Bru 1989, beta = 1). An Euler scheme on it is not accurate:
    simulate the matrix. Section 4 of docs/theory.md.

    Examples
    --------
    >>> dyson_drift([2.0, 1.0], h=0.0, p=0.0, eta=1.0, omega=0.0, W=2, P=10, nu=1.0).round(4)
    array([2.6667, 3.6667])
    """
    d = descending("d", d, minimum=1)
    positive("d", d)
    if np.any(d[..., 1:] == d[..., :-1]):
        raise ValueError("d must be strictly descending: the drift is singular where two values meet")
    eta, omega = positive("eta", eta)[..., None], finite("omega", omega)[..., None]
    W, P, nu = positive("W", W)[..., None], positive("P", P)[..., None], nonnegative("nu", nu)[..., None]
    if np.any(P <= W):
        raise ValueError("P must exceed W")
    flow = -eta * (finite("h", h) + omega) * d + eta * W * nonnegative("p", p) / d
    return np.asarray(flow + nu**2 / 2 * ((P - W) / d + repulsion(d)))


def repulsion(d: ArrayLike) -> FloatArray:
    """[D] Sum over the others of 1/(d_j - d_i) + 1/(d_j + d_i) = 2 d_j/(d_j² - d_i²) (section 4).

    Parameters
    ----------
    d : array_like, (..., m), distinct, positive
        Singular values, parameter units.

    Returns
    -------
    ndarray, (..., m), per parameter unit

    Raises
    ------
    ValueError
        If `d` is not finite.

    Examples
    --------
    >>> repulsion([2.0, 1.0]).round(4)
    array([ 1.3333, -0.6667])
    """
    d = finite("d", d)
    own, other = d[..., :, None], d[..., None, :]
    apart = (own - other) * (own + other)
    np.einsum("...jj->...j", apart)[...] = np.inf
    return np.asarray((2 * own / apart).sum(axis=-1))


def gap_repulsion(lam_k: ArrayLike, lam_k1: ArrayLike, coupling: ArrayLike) -> FloatArray:
    """[T] Second-order push on lambda_k - lambda_{k+1} in one step: 2(v_k^T Delta C v_{k+1})²/gap (4.3).

    Parameters
    ----------
    lam_k, lam_k1 : array_like
        Two neighbouring eigenvalues, parameter units squared, lam_k > lam_k1.
    coupling : array_like
        v_k^T Delta C v_{k+1}, parameter units squared; its mean square per step under noise is
        nu²(lam_k + lam_k1).

    Returns
    -------
    ndarray, parameter units squared
        Always an opening.

    Raises
    ------
    ValueError
        Unless lam_k > lam_k1 >= 0.

    Examples
    --------
    >>> float(gap_repulsion(3.0, 1.0, 0.5))
    0.25
    """
    upper, lower = finite("lam_k", lam_k), nonnegative("lam_k1", lam_k1)
    if np.any(upper <= lower):
        raise ValueError("lam_k must exceed lam_k1")
    return np.asarray(2 * finite("coupling", coupling) ** 2 / (upper - lower))
