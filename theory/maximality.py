"""Section 7: Gap Maximality, and the alpha-feedback loop that keeps a gap open."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive, whole
from spectral_edge.theory.spectrum import descending


def convergence_rate(sigma: ArrayLike) -> FloatArray:
    """[D] Rate (sigma_{j+1}/sigma_j)² per step of subspace iteration to span(v_1 … v_j) (7.1).

    Parameters
    ----------
    sigma : array_like, (..., W), descending
        Singular values, parameter units.

    Returns
    -------
    ndarray, (..., W - 1), in [0, 1]
        Smallest, so fastest, at k* (where the numerical rank is full); NaN where sigma_j = 0.

    Raises
    ------
    ValueError
        If `sigma` is not a spectrum.

    Examples
    --------
    >>> convergence_rate([4.0, 2.0, 1.9]).round(4)
    array([0.25  , 0.9025])
    """
    array = descending("sigma", sigma)
    upper, lower = array[..., :-1], array[..., 1:]
    return np.divide(lower, upper, out=np.full(upper.shape, np.nan), where=upper > 0) ** 2


def subspace_distance(overlaps: ArrayLike, k: int) -> FloatArray:
    """[D] ||Pi_k - Pi_k'||_F of the leading k-subspaces, from the overlaps of their modes (7.2).

    Parameters
    ----------
    overlaps : array_like, (..., W, W)
        <v_j, v_l'>, as `mode_overlaps` gives them.
    k : int
        1 … W.

    Returns
    -------
    ndarray, (...), dimensionless, in [0, sqrt(2k)]

    Raises
    ------
    ValueError
        If `k` is out of range.

    Examples
    --------
    >>> float(subspace_distance([[0.0, 1.0], [1.0, 0.0]], 1).round(4))
    1.4142
    """
    array = np.asarray(overlaps, dtype=np.float64)
    k = whole("k", k, 1, array.shape[-1])
    shared = (array[..., :k, :k] ** 2).sum(axis=(-2, -1))
    return np.asarray(np.sqrt(np.maximum(2 * k - 2 * shared, 0.0)))


def subspace_bound(lam: ArrayLike, k: int, frobenius: ArrayLike, operator: ArrayLike) -> FloatArray:
    """[D] Davis-Kahan bound of ||Pi_k - Pi_k'||_F: only the gap at k enters (7.2).

    Parameters
    ----------
    lam : array_like, (..., W), descending
        Eigenvalues of the window, parameter units squared.
    k : int
        1 … W; lambda_{W+1} = 0.
    frobenius, operator : array_like, (...)
        Norms of Delta C, parameter units squared (`perturbation_norms`).

    Returns
    -------
    ndarray, (...), dimensionless
        2·sqrt(2)·min(sqrt(k)·||Delta C||_op, ||Delta C||_F)/(lambda_k - lambda_{k+1}); infinite where the
        gap vanishes.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(subspace_bound([9.0, 1.0], 1, 0.1, 0.1).round(4))
    0.0354
    """
    array = descending("lam", lam, minimum=1)
    k = whole("k", k, 1, array.shape[-1])
    following = array[..., k] if k < array.shape[-1] else 0.0
    gap = array[..., k - 1] - following
    size = np.minimum(np.sqrt(k) * nonnegative("operator", operator), nonnegative("frobenius", frobenius))
    size, gap = np.broadcast_arrays(2 * np.sqrt(2) * size, gap)
    return np.divide(size, gap, out=np.full(gap.shape, np.inf), where=gap > 0)


def captured_rate(G_train: ArrayLike, G_val: ArrayLike, eta: ArrayLike, k: int) -> FloatArray:
    """[D] Descent captured by the leading k modes, Lambda = eta<Pi_k grad L_train, Pi_k grad L_val> (7.2).

    Parameters
    ----------
    G_train, G_val : array_like, (..., W)
        Gradients along the modes (`mode_gradients`).
    eta : array_like, (...)
        Learning rate.
    k : int
        1 … W.

    Returns
    -------
    ndarray, (...), loss per step

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(captured_rate([2.0, 5.0], [3.0, 1.0], 0.5, 1))
    3.0
    """
    train, val = finite("G_train", G_train), finite("G_val", G_val)
    k = whole("k", k, 1, train.shape[-1])
    return np.asarray(positive("eta", eta) * (train[..., :k] * val[..., :k]).sum(axis=-1))


def feedback_flow(
    g: ArrayLike, *, kappa: ArrayLike, b: ArrayLike, c: ArrayLike, eps: ArrayLike
) -> FloatArray:
    """[F] Closed loop dg/dt = -kappa·g + c + b(1 - eps²/g²)_+, projected on g >= 0 (7.3).

    Parameters
    ----------
    g : array_like
        Gap, parameter units, not negative.
    kappa : array_like
        Damping, per step, positive.
    b : array_like
        Feedback strength, parameter units per step, positive.
    c : array_like
        Drive, parameter units per step.
    eps : array_like
        Perturbation scale, parameter units, positive.

    Returns
    -------
    ndarray, parameter units per step
        At g = 0 max(c, 0): with c < 0 the collapsed state absorbs.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> feedback_flow([0.0, 1.0, 2.0], kappa=1.0, b=4.0, c=-1.0, eps=1.0)
    array([ 0., -2.,  0.])
    """
    g, eps, c = nonnegative("g", g), positive("eps", eps), finite("c", c)
    with np.errstate(divide="ignore", over="ignore"):
        stability = np.maximum(0.0, 1 - (eps / g) ** 2)
    flow = -positive("kappa", kappa) * g + c + positive("b", b) * stability
    return np.where(g == 0, np.maximum(flow, 0.0), flow)


class FeedbackThreshold(NamedTuple):
    """Saddle-node of the closed loop 7.3.

    Attributes
    ----------
    eps_c : ndarray, parameter units
        Perturbation scale above which no open gap exists.
    g_sn : ndarray, parameter units
        Gap at which the open and the unstable state merge.
    """

    eps_c: FloatArray
    g_sn: FloatArray


def feedback_threshold(kappa: ArrayLike, b: ArrayLike, c: ArrayLike) -> FeedbackThreshold:
    """[D] Saddle-node of the feedback loop: bistable iff eps < eps_c, for c < 0 < c + b (7.3).

    Parameters
    ----------
    kappa, b, c : array_like
        As `feedback_flow`.

    Returns
    -------
    FeedbackThreshold
        g_sn = 2(c + b)/(3 kappa), eps_c = g_sn·sqrt((c + b)/(3b)); NaN unless c < 0 < c + b.

    Raises
    ------
    ValueError
        If `kappa` or `b` is not positive.

    Examples
    --------
    >>> threshold = feedback_threshold(1.0, 4.0, -1.0)
    >>> float(threshold.g_sn), float(threshold.eps_c)
    (2.0, 1.0)
    """
    kappa, b, c = np.broadcast_arrays(positive("kappa", kappa), positive("b", b), finite("c", c))
    net = np.where((c < 0) & (c + b > 0), c + b, np.nan)
    g_sn = 2 * net / (3 * kappa)
    return FeedbackThreshold(g_sn * np.sqrt(net / (3 * b)), g_sn)


class FeedbackEquilibria(NamedTuple):
    """Rest points of the closed loop 7.3 above eps; NaN where there are none.

    Attributes
    ----------
    unstable : ndarray, parameter units
        g_-: below it the gap collapses.
    open : ndarray, parameter units
        g_+: the open gap.
    """

    unstable: FloatArray
    open: FloatArray


def feedback_equilibria(kappa: ArrayLike, b: ArrayLike, c: ArrayLike, eps: ArrayLike) -> FeedbackEquilibria:
    """[D] Unstable threshold g_- and open gap g_+ of the feedback loop, for c < 0 < c + b (7.3).

    Parameters
    ----------
    kappa, b, c, eps : array_like
        As `feedback_flow`.

    Returns
    -------
    FeedbackEquilibria
        The roots of kappa·g³ - (c + b)g² + b·eps² = 0 above eps; NaN unless c < 0 < c + b and
        eps <= eps_c.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> [round(float(g), 6) for g in feedback_equilibria(1.0, 4.0, -1.0, 1.0)]
    [2.0, 2.0]
    """
    threshold = feedback_threshold(kappa, b, c)
    # with x = g/g_sn the cubic is 2x³ - 3x² + q = 0, solved by x = 1/2 + cos(phi)
    root_q = positive("eps", eps) / threshold.eps_c
    phi = 2 / 3 * np.arcsin(np.where(root_q <= 1, root_q, np.nan))
    lower = 2 * np.cos((phi - np.pi / 3) / 2) * np.sin(phi / 2)
    return FeedbackEquilibria(threshold.g_sn * lower, threshold.g_sn * (0.5 + np.cos(phi)))


def passage_time(kappa: ArrayLike, b: ArrayLike, c: ArrayLike, eps: ArrayLike) -> FloatArray:
    """[D] Time spent near g_sn just above eps_c, pi·g_sn²/sqrt(b(b + c)(eps² - eps_c²)) (7.3).

    Parameters
    ----------
    kappa, b, c, eps : array_like
        As `feedback_flow`.

    Returns
    -------
    ndarray, steps
        Leading order as eps → eps_c from above; infinite at or below it; NaN unless c < 0 < c + b.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> float(passage_time(1.0, 4.0, -1.0, 1.01).round(2))
    25.59
    """
    threshold = feedback_threshold(kappa, b, c)
    eps, b, c = positive("eps", eps), positive("b", b), finite("c", c)
    above = np.maximum((eps - threshold.eps_c) * (eps + threshold.eps_c), 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.pi * threshold.g_sn**2 / np.sqrt(b * np.abs(b + c) * above))


def absorption_time(g0: ArrayLike, *, kappa: ArrayLike, c: ArrayLike) -> FloatArray:
    """[D] Time to reach g = 0 from g0 <= eps when c < 0: ln(1 + kappa·g0/|c|)/kappa (7.3).

    Parameters
    ----------
    g0 : array_like
        Gap, parameter units, at most eps (there the feedback is off).
    kappa, c : array_like
        As `feedback_flow`.

    Returns
    -------
    ndarray, steps
        NaN where c >= 0.

    Raises
    ------
    ValueError
        If `g0` is negative or `kappa` not positive.

    Examples
    --------
    >>> float(absorption_time(1.0, kappa=1.0, c=-1.0).round(4))
    0.6931
    """
    g0, kappa, c = np.broadcast_arrays(nonnegative("g0", g0), positive("kappa", kappa), finite("c", c))
    ratio = np.divide(kappa * g0, -c, out=np.full(g0.shape, np.nan), where=c < 0)
    return np.asarray(np.log1p(ratio) / kappa)
