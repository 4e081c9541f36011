"""Section 10: what a rolling window does from one record to the next, whatever the dynamics."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, positive, whole
from spectral_edge.theory.gram import inner_products, window_blocks
from spectral_edge.theory.spectrum import GramSpectrum, gram_rtol, gram_spectrum, quadratic_forms


class InOut(NamedTuple):
    """Energy that enters and leaves each mode of a window with the next record, parameter units squared (10.1).

    Attributes
    ----------
    entering : ndarray, (T - W, W)
        <v_j, delta_{t+1}>².
    leaving : ndarray, (T - W, W)
        <v_j, delta_{t-W+1}>² = lambda_j·u_{j1}².
    """

    entering: FloatArray
    leaving: FloatArray

    @property
    def change(self) -> FloatArray:
        """First-order change of lambda_j, (T - W, W)."""
        return self.entering - self.leaving


def in_out(K: ArrayLike, W: int) -> InOut:
    """[D] What the next record adds to each lambda_j and what the oldest takes away, from K alone (10.1).

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to W
        Inner products of the updates, parameter units squared.
    W : int
        Window, 2 <= W < T.

    Returns
    -------
    InOut
        Row i is the step from window i to window i + 1; NaN where a mode lies below the rank tolerance.

    Raises
    ------
    ValueError
        If `K` is malformed or does not hold lag W.

    Notes
    -----
    lambda_j = sum over the window of <v_j, delta_s>² exactly. The change is first order in C' - C: good where the
    updates that enter and leave are small against the gaps of the spectrum.

    Examples
    --------
    >>> found = in_out(np.diag([4.0, 9.0, 1.0]), 2)
    >>> found.entering[0], found.leaving[0]
    (array([0., 0.]), array([0., 4.]))
    """
    blocks, spectrum = _windows(K, W)
    resolved = _resolved(spectrum)
    inner = np.einsum("nsj,ns->nj", spectrum.u, blocks[:, :-1, -1])
    return InOut(inner**2 / resolved, resolved * spectrum.u[:, 0, :] ** 2)


def _windows(K: ArrayLike, W: int, last: bool = False) -> tuple[FloatArray, GramSpectrum]:
    """Blocks of W + 1 updates, and the spectra of their first (or last) W."""
    array = inner_products(K)
    blocks = window_blocks(array, whole("W", W, 2, len(array) - 1) + 1)
    return blocks, gram_spectrum(blocks[:, 1:, 1:] if last else blocks[:, :-1, :-1])


def _resolved(spectrum: GramSpectrum) -> FloatArray:
    """Eigenvalues, NaN below the rank tolerance of a Gram matrix."""
    lam = spectrum.lam
    return np.where(lam > gram_rtol(lam.shape[-1]) ** 2 * lam[..., :1], lam, np.nan)


def transport_rate(K: ArrayLike, W: int, lagged: bool = False) -> FloatArray:
    """[D] d_j'/d_j from K alone: every row becomes the next (10.6).

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to W
        Inner products of the updates, parameter units squared.
    W : int
        Window, 2 <= W < T.
    lagged : bool
        Put the previous shift in the place of the next: a forecast that uses nothing later than the window.

    Returns
    -------
    ndarray, (T - W, W), per record
        u_j^T (K_{t+1,t} - G_t) u_j/lambda_j: row i is the change from window i to window i + 1. Lagged, row i is known
        in window i + 1 and forecasts its change to window i + 2. NaN where a mode lies below the rank tolerance.

    Raises
    ------
    ValueError
        If `K` is malformed or does not hold lag W.

    Examples
    --------
    >>> X = 0.9 ** np.arange(6)[:, None] * np.array([[1.0, 2.0]])  # every row 0.9 times the last
    >>> transport_rate(X @ X.T, 3)[:, 0].round(6)
    array([-0.1, -0.1, -0.1])
    """
    blocks, spectrum = _windows(K, W, last=lagged)
    rows = slice(1, None) if lagged else slice(None, -1)
    shift = blocks[:, 1:, rows] - blocks[:, :-1, rows]
    return quadratic_forms(spectrum.u, shift) / _resolved(spectrum)


def optimizer_curvature(K_block: ArrayLike, response: ArrayLike) -> FloatArray:
    """[D] Curvature along each v_j as the optimiser sees it, v_j^T D^-1 H v_j (10.7).

    Parameters
    ----------
    K_block : array_like, (..., W, W)
        Gram matrix of the window, parameter units squared.
    response : array_like, (..., W, W)
        delta_s^T D^-1 H delta_r, D the optimiser's own preconditioner; NaN where it was not recorded.

    Returns
    -------
    ndarray, (..., W), per unit of the learning rate
        NaN where a mode lies below the rank tolerance.

    Raises
    ------
    ValueError
        If an argument has no such shape.

    Examples
    --------
    >>> optimizer_curvature(np.diag([4.0, 1.0]), np.diag([8.0, 3.0]))
    array([2., 3.])
    """
    spectrum, (M,) = gram_spectrum(K_block), _alike(K_block, response=response)
    return quadratic_forms(spectrum.u, M) / _resolved(spectrum)


class MetricModes(NamedTuple):
    """Modes of a window in the optimiser's metric D, each (..., W), NaN below the rank tolerance (10.7).

    Attributes
    ----------
    sigma : ndarray
        Singular values of X·D^(1/2).
    h : ndarray
        Curvature of the loss in the coordinates D^(1/2)·theta along them.
    G : ndarray or None
        Gradient along them.
    """

    sigma: FloatArray
    h: FloatArray
    G: FloatArray | None


def metric_modes(metric: ArrayLike, hessian: ArrayLike, gradient: ArrayLike | None = None) -> MetricModes:
    """[D] Strength, curvature and gradient of a window's modes in the optimiser's metric (10.7).

    Parameters
    ----------
    metric : array_like, (..., W, W)
        XDX^T, D positive: what takes the place of the Gram matrix.
    hessian : array_like, (..., W, W)
        XHX^T, the window Hessian of the plain loss; NaN where it was not recorded.
    gradient : array_like, (..., W), optional
        X·grad L, inner products of the gradient with the updates.

    Returns
    -------
    MetricModes

    Raises
    ------
    ValueError
        If an argument has no such shape.

    Notes
    -----
    In y = D^(1/2)·theta the optimiser steps along the plain gradient: D^(-1/2)HD^(-1/2) is its Hessian, symmetric and
    with the eigenvalues of D^-1 H.

    Examples
    --------
    >>> found = metric_modes(np.diag([4.0, 1.0]), np.diag([8.0, 3.0]), [2.0, 5.0])
    >>> found.h, abs(found.G)
    (array([2., 3.]), array([1., 5.]))
    """
    spectrum, (M,) = gram_spectrum(metric), _alike(metric, hessian=hessian)
    resolved = _resolved(spectrum)
    G = None
    if gradient is not None:
        values = np.asarray(gradient, dtype=np.float64)
        if values.shape[-1:] != spectrum.lam.shape[-1:]:
            raise ValueError(f"gradient must have one value per update, got shape {values.shape}")
        G = np.einsum("...sj,...s->...j", spectrum.u, values) / np.sqrt(resolved)
    h = quadratic_forms(spectrum.u, M) / resolved
    return MetricModes(np.sqrt(resolved), h, G)


def projected_curvature(
    K_block: ArrayLike, metric: ArrayLike, hessian: ArrayLike, rtol: float | None = None
) -> FloatArray:
    """[D] Curvature along each v_j as the optimiser sees it, from its metric and the plain Hessian (10.7d).

    Parameters
    ----------
    K_block : array_like, (..., W, W)
        Gram matrix of the window, parameter units squared.
    metric : array_like, (..., W, W)
        XDX^T, D positive.
    hessian : array_like, (..., W, W)
        XHX^T, the window Hessian of the plain loss; NaN where it was not recorded.
    rtol : float, optional
        Smallest singular value of X·D^(1/2) over the largest at which XDX^T can be inverted; by default the rank
        tolerance of a Gram matrix in float64.

    Returns
    -------
    ndarray, (..., W), per unit of the learning rate
        u_j^T (XDX^T)^-1 XHX^T u_j: of D^-1 H v_j what the window spans, by the metric D. It is v_j^T D^-1 H v_j where
        D^-1 H v_j lies in that span, and needs no further Hessian product. NaN where a mode lies below the rank
        tolerance, or XDX^T cannot be inverted.

    Raises
    ------
    ValueError
        If an argument has no such shape.

    Examples
    --------
    >>> projected_curvature(np.diag([4.0, 1.0]), np.diag([8.0, 0.5]), np.diag([16.0, 3.0]))
    array([2., 6.])
    """
    spectrum, (D, M) = gram_spectrum(K_block), _alike(K_block, metric=metric, hessian=hessian)
    own = gram_spectrum(D)
    floor = gram_rtol(D.shape[-1]) if rtol is None else float(positive("rtol", rtol))
    held = own.lam > floor**2 * own.lam[..., :1]
    inverse = np.divide(1.0, own.lam, out=np.full_like(own.lam, np.nan), where=held)
    seen = (own.u * inverse[..., None, :]) @ np.swapaxes(own.u, -1, -2) @ M
    h = quadratic_forms(spectrum.u, seen)
    return np.where(np.isfinite(_resolved(spectrum)), h, np.nan)


def _alike(block: ArrayLike, **others: ArrayLike) -> list[FloatArray]:
    """`others` as float64 arrays whose last two axes are those of `block`."""
    shape = np.shape(block)[-2:]
    arrays = []
    for name, other in others.items():
        array = np.asarray(other, dtype=np.float64)
        if array.shape[-2:] != shape or np.any(np.isinf(array)):
            raise ValueError(
                f"{name} must be (..., {shape[0]}, {shape[1]}) and not infinite, got {array.shape}"
            )
        arrays.append(array)
    return arrays
