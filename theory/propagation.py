"""Section 10.3, 10.4: the rows of a window carried on by the linearised optimiser, or by a fitted recurrence.

A window is written in its own basis, Y = XV = U·Sigma: row s holds the coordinates of the update delta_s. Directions
below `rtol`·sigma_1 are no directions, and their coordinates are 0, then and later. What the optimiser makes of the
rows is a recurrence of two terms, y_{s+1} = P·y_s - Q·y_{s-1}.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, choice, finite, nonnegative, positive, whole
from spectral_edge.theory.spectrum import gram_spectrum

#: Rank floor: what is solved for along a mode is wrong by W·eps/RTOL² of the largest curvature, 0.2 % at W = 10.
RTOL = 1e-6
OPTIMIZERS = ("sgd", "adam", "adamw")
DECAYS = ("decoupled", "coupled")


class _Basis(NamedTuple):
    """A window in its own basis: rows and u (..., W, W), and 1/sigma, 0 where there is no direction."""

    rows: FloatArray
    u: FloatArray
    scale: FloatArray


def _basis(K_block: ArrayLike, rtol: float) -> _Basis:
    block = finite("K_block", K_block)
    rtol = float(positive("rtol", rtol))
    if block.ndim < 2 or block.shape[-1] < 2:
        raise ValueError(f"K_block must be (..., W, W) with W at least 2, got shape {block.shape}")
    spectrum = gram_spectrum(block)
    sigma = spectrum.sigma
    held = (sigma > rtol * sigma[..., :1]) & (sigma > 0)
    scale = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=held)
    rows = spectrum.u * np.where(held, sigma, 0.0)[..., None, :]
    return _Basis(rows, spectrum.u, scale)


def _operator(basis: _Basis, response: ArrayLike) -> FloatArray:
    """A_ij = v_i^T D^-1 H v_j, (..., W, W); NaN where the response is."""
    M = np.asarray(response, dtype=np.float64)
    W = basis.rows.shape[-1]
    if M.shape[-2:] != (W, W) or np.any(np.isinf(M)):
        raise ValueError(f"response must be (..., {W}, {W}) and not infinite, got shape {M.shape}")
    inner = np.swapaxes(basis.u, -1, -2) @ M @ basis.u
    return np.asarray(basis.scale[..., :, None] * inner * basis.scale[..., None, :])


def _terms(
    A: FloatArray, eta: ArrayLike, omega: ArrayLike, momentum: ArrayLike, optimizer: str, decay: str
) -> tuple[FloatArray, FloatArray]:
    """P and Q of the recurrence of one step."""
    choice("optimizer", optimizer, OPTIMIZERS)
    choice("decay", decay, DECAYS)
    eta, omega = positive("eta", eta), finite("omega", omega)
    beta = nonnegative("momentum", momentum)
    if np.any(beta >= 1):
        raise ValueError(f"momentum must be below 1, got {beta.max()}")
    step = eta
    if optimizer != "sgd":
        step = eta * (1 - beta)
        if decay == "coupled" and np.any(omega != 0):
            raise ValueError(
                "decay must be 'decoupled' for Adam: a coupled one is part of its loss, so record the response of "
                "the penalised loss and give omega = 0"
            )
    keeps = 1 - eta * omega if decay == "decoupled" else np.ones(np.shape(omega))
    diagonal = (1 + beta - eta * omega)[..., None, None] * np.eye(A.shape[-1])
    return diagonal - step[..., None, None] * A, (beta * keeps)[..., None, None]


def _every(P: FloatArray, Q: FloatArray, interval: int) -> tuple[FloatArray, FloatArray]:
    """P and Q of the recurrence of sums over `interval` steps (10.3g): z_1^r + z_2^r and (z_1·z_2)^r of its roots."""
    before, now = 2 * np.broadcast_to(np.eye(P.shape[-1]), P.shape), P
    for _ in range(interval - 1):
        before, now = now, P @ now - Q * before
    return now, Q**interval


def propagate_window(
    K_block: ArrayLike,
    response: ArrayLike,
    *,
    eta: ArrayLike,
    omega: ArrayLike,
    momentum: ArrayLike,
    optimizer: str,
    n: int,
    decay: str = "decoupled",
    interval: int = 1,
    corrected: int = 0,
    rtol: float = RTOL,
) -> FloatArray:
    """[D] The next rows of a window, in its own basis: the optimiser linearised, H and D held (10.3).

    Parameters
    ----------
    K_block : array_like, (..., W, W)
        Gram matrix of the window, parameter units squared, the oldest update first.
    response : array_like, (..., W, W)
        delta_s^T D^-1 H delta_r in the same order, D the optimiser's preconditioner (1 for SGD, sqrt(v) + eps for
        Adam) and H the Hessian at the window's end. It need not be symmetric. NaN gives NaN.
    eta, omega : array_like, (...)
        Learning rate of a step, and weight decay.
    momentum : array_like, (...)
        Undampened momentum of SGD, or beta_1 of Adam.
    optimizer : {"sgd", "adam", "adamw"}
        Adam steps along (1 - beta_1)·D^-1; its bias correction is taken to be over.
    n : int
        How many rows.
    decay : {"decoupled", "coupled"}
        Decoupled: eta·omega·theta is taken off beside the step, as in AdamW. Coupled: omega·theta is part of the
        gradient, as in `torch.optim.SGD`. They differ with momentum only.
    interval : int
        Steps from one record to the next; each row is the sum of so many updates.
    corrected : int
        Leading directions of the window along which the recurrence is corrected by the least change with which the
        window's own rows obey it. Between two records the optimiser sees the mean of H along the step (10.6), and at
        the edge of stability, where it swings with the sign of the update, H at the end of the window is not that
        mean. 0: not at all.
    rtol : float
        Directions below `rtol`·sigma_1 are left out. The default suits float64; where K or the response was rounded
        to float32, 0.02 does.

    Returns
    -------
    ndarray, (..., n, W), parameter units
        Coordinates in the basis of `window_rows`, 0 along directions that are left out. A forecast that grows beyond
        sigma_1/rtol, where nothing of the window would be left beside it, is NaN from there on.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    Exact where the span of the window is invariant under D^-1 H: a quadratic loss with at most W excited modes.
    Otherwise the first row is wrong by what `propagation_residual` says.

    Examples
    --------
    >>> X = np.array([[1.0, 1.0], [0.9, -0.5], [0.81, 0.25]])  # gradient descent, eta·h = 0.1 and 1.5
    >>> K, M = X @ X.T, X @ np.diag([1.0, 15.0]) @ X.T
    >>> rows = propagate_window(K[:2, :2], M[:2, :2], eta=0.1, omega=0.0, momentum=0.0, optimizer="sgd", n=1)
    >>> float((rows @ rows.T)[0, 0].round(6)), float(K[2, 2].round(6))
    (0.7186, 0.7186)
    """
    n, interval = whole("n", n, 0), whole("interval", interval, 1)
    basis = _basis(K_block, rtol)
    P, Q = _terms(_operator(basis, response), eta, omega, momentum, optimizer, decay)
    P, Q = _every(P, Q, interval)
    rank = whole("corrected", corrected, 0, basis.rows.shape[-1] - 2)
    P = _corrected(basis.rows, P, Q, rank, rtol) if rank else P
    before, now = (basis.rows[..., s, :, None] for s in (-2, -1))
    shape = np.broadcast_shapes(P.shape[:-2], now.shape[:-2])
    future = np.empty((*shape, n, P.shape[-1]))
    with np.errstate(over="ignore", invalid="ignore"):
        for s in range(n):
            before, now = now, P @ now - Q * before
            future[..., s, :] = now[..., 0]
    return _within(future, basis, rtol)


def _corrected(rows: FloatArray, P: FloatArray, Q: FloatArray, rank: int, rtol: float) -> FloatArray:
    """P with the least change, along `rank` leading directions, by which every row follows from the two before it."""
    before, now, after = rows[..., :-2, :], rows[..., 1:-1, :], rows[..., 2:, :]
    left_over = after + Q * before - now @ np.swapaxes(P, -1, -2)
    left, size, right = np.linalg.svd(now, full_matrices=False)
    held = (np.arange(size.shape[-1]) < rank) & (size > rtol * size[..., :1]) & (size > 0)
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=held)
    change = np.swapaxes(right, -1, -2) @ (inverse[..., None] * (np.swapaxes(left, -1, -2) @ left_over))
    return np.asarray(P + np.swapaxes(change, -1, -2))


def _within(future: FloatArray, basis: _Basis, rtol: float) -> FloatArray:
    """`future` with 0 along what is not a direction, and NaN from where it outgrows the window that it comes from."""
    largest = np.linalg.norm(basis.rows[..., :, :1], axis=(-2, -1))  # sigma_1
    with np.errstate(invalid="ignore"):
        lost = ~(np.abs(future).max(axis=-1, initial=0.0) <= (largest / rtol)[..., None])
    lost = np.logical_or.accumulate(lost, axis=-1)
    directions = basis.scale[..., None, :] > 0
    return np.where(lost[..., None], np.nan, np.where(directions, future, 0.0))


def propagation_residual(
    K_block: ArrayLike,
    response: ArrayLike,
    response_norm: ArrayLike,
    *,
    eta: ArrayLike,
    momentum: ArrayLike,
    optimizer: str,
    rtol: float = RTOL,
) -> FloatArray:
    """[D] By how much the first propagated row is wrong: what D^-1 H delta_t has outside the window (10.3).

    Parameters
    ----------
    K_block, response, eta, momentum, optimizer, rtol
        As `propagate_window`.
    response_norm : array_like, (...)
        ||D^-1 H delta_t|| of the newest update.

    Returns
    -------
    ndarray, (...), parameter units
        eta·||(I - Pi)D^-1 H delta_t||, for Adam eta(1 - beta_1) in place of eta; to be compared with the length of
        the row, sqrt(K_tt). What is below 1e-8 of eta·||D^-1 H delta_t|| is rounding.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> response = np.array([[2.0, 0.0], [0.0, 3.0]])
    >>> float(propagation_residual(np.eye(2), response, 5.0, eta=0.1, momentum=0.0, optimizer="sgd").round(6))
    0.4
    """
    basis = _basis(K_block, rtol)
    choice("optimizer", optimizer, OPTIMIZERS)
    inside = np.linalg.norm((_operator(basis, response) @ basis.rows[..., -1, :, None])[..., 0], axis=-1)
    norm = np.asarray(response_norm, dtype=np.float64)
    nonnegative("response_norm", np.where(np.isnan(norm), 0.0, norm))
    beta = nonnegative("momentum", momentum)
    step = positive("eta", eta) * (1.0 if optimizer == "sgd" else 1 - beta)
    return np.asarray(step * np.sqrt(np.maximum((norm - inside) * (norm + inside), 0.0)))


def fit_window(K_block: ArrayLike, rank: int, *, n: int, order: int = 1, rtol: float = RTOL) -> FloatArray:
    """[D] The next rows by a recurrence fitted to the window's own: dynamic mode decomposition, K alone (10.4).

    Parameters
    ----------
    K_block : array_like, (..., W, W)
        Gram matrix of the window, parameter units squared, the oldest update first.
    rank : int
        Rank q of the fitted matrix, at most W - `order`.
    n : int
        How many rows.
    order : int
        How many rows the next one is made of: 1, or 2 where the optimiser has momentum.
    rtol : float
        As `propagate_window`; what the fit rests on is cut there too.

    Returns
    -------
    ndarray, (..., n, W), parameter units
        As `propagate_window`.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    Least squares from each row (with those before it) to the next, on the q leading directions of the former. Exact
    where the rows obey such a recurrence on a span of dimension q.

    Examples
    --------
    >>> X = np.array([[1.0, 1.0]]) * np.array([0.9, -0.5]) ** np.arange(6)[:, None]
    >>> rows = fit_window(X[:5] @ X[:5].T, 2, n=1)
    >>> float((rows @ rows.T)[0, 0].round(6)), float((X @ X.T)[5, 5].round(6))
    (0.349655, 0.349655)
    """
    basis = _basis(K_block, rtol)
    W = basis.rows.shape[-1]
    order = whole("order", order, 1, W - 1)
    rank, n = whole("rank", rank, 1, W - order), whole("n", n, 0)
    rows = basis.rows
    state = np.concatenate([rows[..., order - 1 - i : W - 1 - i, :] for i in range(order)], axis=-1)
    left, size, right = np.linalg.svd(state, full_matrices=False)
    held = (np.arange(size.shape[-1]) < rank) & (size > rtol * size[..., :1]) & (size > 0)
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=held)
    matrix = np.swapaxes(right, -1, -2) @ (
        inverse[..., None] * (np.swapaxes(left, -1, -2) @ rows[..., order:, :])
    )
    last = np.concatenate([rows[..., W - 1 - i, :] for i in range(order)], axis=-1)
    future = np.empty((*rows.shape[:-2], n, W))
    with np.errstate(over="ignore", invalid="ignore"):
        for s in range(n):
            future[..., s, :] = (last[..., None, :] @ matrix)[..., 0, :]
            last = np.concatenate([future[..., s, :], last[..., : (order - 1) * W]], axis=-1)
    return _within(future, basis, rtol)


def window_rows(K_block: ArrayLike, rtol: float = RTOL) -> FloatArray:
    """Return the rows of a window in its own basis, U·Sigma: what `propagate_window` and `fit_window` (10.3, 10.4) use.

    Parameters
    ----------
    K_block, rtol
        As `propagate_window`.

    Returns
    -------
    ndarray, (..., W, W), parameter units
        Column j is the coordinate along v_j, 0 where sigma_j <= rtol·sigma_1. Signs mean nothing, and are the same for
        the same block.

    Examples
    --------
    >>> window_rows(np.diag([4.0, 1.0])).__abs__()
    array([[2., 0.],
           [0., 1.]])
    """
    return _basis(K_block, rtol).rows


def continued_products(K_block: ArrayLike, future: ArrayLike, rtol: float = RTOL) -> FloatArray:
    """Inner products of a window's updates and of those that are forecast: a K that runs on (10.3).

    Parameters
    ----------
    K_block, rtol
        As they were given to `propagate_window` or `fit_window`.
    future : array_like, (..., n, W)
        What it returned.

    Returns
    -------
    ndarray, (..., W + n, W + n), parameter units squared
        What follows modes through K follows them through the forecast; NaN where `future` is: cut it before.

    Raises
    ------
    ValueError
        If `future` has no such shape.

    Examples
    --------
    >>> continued_products(np.diag([4.0, 1.0]), np.zeros((1, 2))).shape
    (3, 3)
    """
    rows = _joined(K_block, future, rtol)
    return np.asarray(rows @ np.swapaxes(rows, -1, -2))


def _joined(K_block: ArrayLike, future: ArrayLike, rtol: float) -> FloatArray:
    rows, later = window_rows(K_block, rtol), np.asarray(future, dtype=np.float64)
    W = rows.shape[-1]
    if later.ndim < 2 or later.shape[-1] != W:
        raise ValueError(f"future must be (..., n, {W}), got shape {later.shape}")
    return np.concatenate([np.broadcast_to(rows, (*later.shape[:-2], W, W)), later], axis=-2)


def shifted_spectra(K_block: ArrayLike, future: ArrayLike, rtol: float = RTOL) -> FloatArray:
    """[D] Singular values of the windows that are 1 … n records later (10.3).

    Parameters
    ----------
    K_block, future, rtol
        As `continued_products`.

    Returns
    -------
    ndarray, (..., n, W), descending, parameter units
        NaN below `rtol`·sigma_1, and where `future` is.

    Raises
    ------
    ValueError
        If `future` has no such shape.

    Examples
    --------
    >>> X = np.array([[1.0, 1.0]]) * np.array([0.9, -0.5]) ** np.arange(6)[:, None]
    >>> K = X @ X.T
    >>> shifted_spectra(K[:4, :4], fit_window(K[:4, :4], 2, n=2))[-1].round(4)
    array([1.4058, 0.2712,    nan,    nan])
    >>> np.linalg.svd(X[2:], compute_uv=False).round(4)
    array([1.4058, 0.2712])
    """
    rows = _joined(K_block, future, rtol)
    W = rows.shape[-1]
    windows = np.swapaxes(sliding_window_view(rows, W, axis=-2), -1, -2)[..., 1:, :, :]
    known = np.asarray(np.isfinite(windows).all(axis=(-1, -2)))
    sigma = np.linalg.svd(np.where(known[..., None, None], windows, 0.0), compute_uv=False)
    return np.where((sigma > rtol * sigma[..., :1]) & known[..., None], sigma, np.nan)
