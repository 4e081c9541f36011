"""Section 6: what each mode of the window contributes to the descent of the validation loss."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive


def mode_gradients(u: ArrayLike, sigma: ArrayLike, inner: ArrayLike) -> FloatArray:
    """[D] Gradient along each mode, G_j = <grad L, v_j> = sum_s u_js <grad L, delta_s>/sigma_j (6.1).

    Parameters
    ----------
    u : array_like, (..., W, W)
        Eigenvectors of the window's Gram matrix in the columns.
    sigma : array_like, (..., W)
        Singular values, parameter units.
    inner : array_like, (..., W)
        <grad L, delta_s> for the updates of the window, oldest first: nothing of size P is needed.

    Returns
    -------
    ndarray, (..., W), loss per parameter unit
        NaN where sigma_j = 0: that mode has no direction.

    Raises
    ------
    ValueError
        If an argument is not finite or `sigma` is negative.

    Examples
    --------
    >>> mode_gradients(np.eye(2), [2.0, 1.0], [4.0, 3.0])
    array([2., 3.])
    """
    sigma = nonnegative("sigma", sigma)
    along = np.einsum("...sj,...s->...j", finite("u", u), finite("inner", inner))
    sigma, along = np.broadcast_arrays(sigma, along)
    return np.divide(along, sigma, out=np.full(along.shape, np.nan), where=sigma > 0)


@dataclass(frozen=True)
class LossDecomposition:
    """Rate of descent of the validation loss, -dL_val/dt, split over the modes of a window.

    Attributes
    ----------
    modes : ndarray, (..., W), loss per step
        eta·G_j^train·G_j^val.
    importance : ndarray, (..., W), loss per parameter unit, squared
        [T] alpha_j·G_j^train·G_j^val (6.3), to be compared with the measured change of the loss when v_j is
        projected out of the parameters.
    outside : ndarray, (...), loss per step
        eta<(1 - Pi) grad L_train, (1 - Pi) grad L_val>; exactly total - sum(modes).
    total : ndarray, (...), loss per step
        eta<grad L_train, grad L_val>.
    stable : ndarray, (...), loss per step
        eta·sum_j alpha_j·G_j^train·G_j^val, what the thesis puts for `total` (6.2).
    bound : ndarray, (...), loss per step
        Guaranteed bound of |total - stable| (6.2).
    """

    modes: FloatArray
    importance: FloatArray
    outside: FloatArray
    total: FloatArray
    stable: FloatArray
    bound: FloatArray


def loss_decomposition(
    G_train: ArrayLike,
    G_val: ArrayLike,
    *,
    inner: ArrayLike,
    norm_train: ArrayLike,
    norm_val: ArrayLike,
    eta: ArrayLike,
    alpha: ArrayLike = 1.0,
) -> LossDecomposition:
    """[D] Split -dL_val/dt under gradient flow over the modes; [T] its stable part, with a bound (6.1, 6.2).

    Parameters
    ----------
    G_train, G_val : array_like, (..., W)
        Gradients of the two losses along the modes, as `mode_gradients` gives them.
    inner : array_like, (...)
        <grad L_train, grad L_val>.
    norm_train, norm_val : array_like, (...)
        Euclidean norms of the two gradients.
    eta : array_like, (...)
        Learning rate.
    alpha : array_like, (..., W)
        Stability coefficients in [0, 1].

    Returns
    -------
    LossDecomposition

    Raises
    ------
    ValueError
        If an argument is out of its range, or a gradient is shorter than its part along the modes.

    Examples
    --------
    >>> split = loss_decomposition(
    ...     [1.0, 2.0], [1.0, 1.0], inner=4.0, norm_train=3.0, norm_val=2.0, eta=0.5, alpha=[1.0, 0.5]
    ... )
    >>> float(split.total), float(split.outside), float(split.stable)
    (2.0, 0.5, 1.0)
    """
    train, val, alpha = finite("G_train", G_train), finite("G_val", G_val), nonnegative("alpha", alpha)
    if np.any(alpha > 1):
        raise ValueError("alpha must lie in [0, 1]")
    eta, inner = positive("eta", eta), finite("inner", inner)
    products = train * val
    left = _outside("norm_train", norm_train, train) * _outside("norm_val", norm_val, val)
    return LossDecomposition(
        modes=eta[..., None] * products,
        importance=np.asarray(alpha * products),
        outside=np.asarray(eta * (inner - products.sum(axis=-1))),
        total=np.asarray(eta * inner),
        stable=np.asarray(eta * (alpha * products).sum(axis=-1)),
        bound=np.asarray(eta * (((1 - alpha) * np.abs(products)).sum(axis=-1) + left)),
    )


def _outside(name: str, norm: ArrayLike, along: FloatArray) -> FloatArray:
    """Norm of what the modes leave of a gradient; rounding below zero is zero."""
    squared = nonnegative(name, norm) ** 2
    inside = (along**2).sum(axis=-1)
    if np.any(inside > squared * (1 + 1e-6)):
        raise ValueError(f"{name} must be at least the norm of the gradient along the modes")
    return np.asarray(np.sqrt(np.maximum(squared - inside, 0.0)))
