"""Section 2: what noise alone looks like in a window, and how much of a signal shows above it.

The model is X = sum_j d_j a_j b_j^T + N, W×P with P >> W, N i.i.d. N(0, nu²); c = W/P and
theta = d/(nu·sqrt(P)). Three scales, not one: detection nu(PW)^{1/4}, the noise floor nu·sqrt(P), and the
strength at which a direction in parameter space is recovered, again of order nu·sqrt(P).
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import toeplitz
from scipy.special import gammaincinv, ndtri

from spectral_edge.theory import gram
from spectral_edge.theory._arguments import FloatArray, finite, nonnegative, positive, whole
from spectral_edge.theory.spectrum import descending

ACCEPTANCE = 5.0  # the published rule: vacuous when sigma_W/d_crit > 5


def a_priori_nu(eta: ArrayLike, B: ArrayLike, P: ArrayLike) -> FloatArray:
    """[T] A-priori noise per entry, nu = eta/sqrt(B·P) (2.1).

    Parameters
    ----------
    eta, B, P : array_like, positive
        Learning rate, batch size, number of parameters.

    Returns
    -------
    ndarray, parameter units

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> float(a_priori_nu(1e-3, 1.0, 1e6))
    1e-06
    """
    return np.asarray(positive("eta", eta) / np.sqrt(positive("B", B) * positive("P", P)))


def bbp_threshold(nu: ArrayLike, P: ArrayLike, W: ArrayLike) -> FloatArray:
    """[T] Detection threshold d_crit = nu·(P(W - 1))^{1/4} (2.1).

    Parameters
    ----------
    nu : array_like
        Noise per entry, parameter units.
    P, W : array_like
        Parameters and window, W >= 2.

    Returns
    -------
    ndarray, parameter units

    Raises
    ------
    ValueError
        If an argument is not positive or W < 2.

    Examples
    --------
    >>> float(bbp_threshold(1.0, 1e4, 2))
    10.0
    """
    _window("W", W)
    return np.asarray(positive("nu", nu) * (positive("P", P) * (finite("W", W) - 1)) ** 0.25)


def _window(name: str, W: ArrayLike, minimum: int = 2) -> FloatArray:
    array = finite(name, W)
    if np.any(array < minimum):
        raise ValueError(f"{name} must be at least {minimum}, got {float(np.min(array)):g}")
    return array


def noise_floor(nu: ArrayLike, P: ArrayLike) -> FloatArray:
    """[D] Noise floor nu·sqrt(P): where every singular value of pure noise lies when P >> W (2.2).

    Parameters
    ----------
    nu : array_like
        Noise per entry, parameter units.
    P : array_like
        Number of parameters.

    Returns
    -------
    ndarray, parameter units

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> float(noise_floor(2.0, 100))
    20.0
    """
    return np.asarray(positive("nu", nu) * np.sqrt(positive("P", P)))


def noise_edges(nu: ArrayLike, P: ArrayLike, W: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """[D] Asymptotic range nu(sqrt(P) - sqrt(W)) … nu(sqrt(P) + sqrt(W)) of pure noise (2.2).

    Parameters
    ----------
    nu, P, W : array_like
        Noise per entry (parameter units), parameters, window; W <= P.

    Returns
    -------
    lower, upper : ndarray, parameter units

    Raises
    ------
    ValueError
        If an argument is not positive or W > P.

    Examples
    --------
    >>> [float(edge) for edge in noise_edges(1.0, 100, 4)]
    [8.0, 12.0]
    """
    nu, P, W = positive("nu", nu), positive("P", P), positive("W", W)
    if np.any(W > P):
        raise ValueError("W must not exceed P")
    return np.asarray(nu * (np.sqrt(P) - np.sqrt(W))), np.asarray(nu * (np.sqrt(P) + np.sqrt(W)))


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


@dataclass(frozen=True)
class BBPVacuity:
    """Whether the BBP threshold is vacuous here, and whether that means anything.

    Attributes
    ----------
    P, W : int
        Parameters and window.
    nu : float, parameter units
        A-priori noise per entry.
    d_crit, noise_floor, direction_scale : float, parameter units
        The three scales: detection (2.1), where pure noise lies (2.2), half-recovery of a direction (2.3).
    ratio : float
        min sigma_W/d_crit over the windows given; for pure noise at nu when none was given.
    noise_ratio : float
        The same ratio for pure noise, nu(sqrt(P) - sqrt(W))/d_crit, close to (P/(W - 1))^{1/4}.
    floor_ratio : float
        min sigma_W/noise_floor.
    acceptance : float
        The published rule asks for ratio > acceptance.
    observed : bool
        Whether singular values were given.
    vacuous : bool
        ratio > acceptance.
    informative : bool
        Whether the rule can tell signal from noise here: pure noise would *not* pass it.
    """

    P: int
    W: int
    nu: float
    d_crit: float
    noise_floor: float
    direction_scale: float
    ratio: float
    noise_ratio: float
    floor_ratio: float
    acceptance: float
    observed: bool
    vacuous: bool
    informative: bool

    def __str__(self) -> str:
        subject = "the weakest sigma_W seen" if self.observed else "pure noise"
        verdict = "vacuous" if self.vacuous else "not vacuous"
        meaning = (
            f"pure noise would not pass this rule ({self.noise_ratio:.3g}), so passing it says something"
            if self.informative
            else f"pure noise passes too ({self.noise_ratio:.3g}), so it is no evidence of signal"
        )
        return (
            f"The BBP threshold is {verdict} here: {subject} lies at {self.ratio:.3g} times d_crit = "
            f"{self.d_crit:.3g} and at {self.floor_ratio:.3g} times the noise floor nu*sqrt(P) = "
            f"{self.noise_floor:.3g} (noise alone gives 1); {meaning}, and a direction in parameter "
            f"space is half recovered only at d = {self.direction_scale:.3g}."
        )


def bbp_vacuity(
    P: int, W: int, eta: float, B: float, sigma: ArrayLike | None = None, acceptance: float = ACCEPTANCE
) -> BBPVacuity:
    """[T] Apply the published test of BBP vacuity, with [D] what pure noise does under it (2.1-2.3).

    Parameters
    ----------
    P, W : int
        Parameters and window, 2 <= W <= P.
    eta, B : float
        Learning rate and batch size: nu = eta/sqrt(BP).
    sigma : array_like, (..., W), optional
        Singular values, descending, parameter units; the smallest sigma_W decides, rows with NaN (no
        window) are left out. Without it the question is asked of pure noise.
    acceptance : float
        The published rule is ratio > 5.

    Returns
    -------
    BBPVacuity
        ``str()`` of it is one sentence.

    Raises
    ------
    ValueError
        If a parameter is not positive, W < 2, W > P, or `sigma` is not a spectrum of W values.

    Examples
    --------
    >>> answer = bbp_vacuity(P=10**8, W=10, eta=1e-3, B=32)
    >>> answer.vacuous, answer.informative
    (True, False)
    """
    P = whole("P", P, 2)
    W = whole("W", W, 2, P)
    acceptance = float(positive("acceptance", acceptance))
    nu = float(a_priori_nu(eta, B, P))
    d_crit, floor = float(bbp_threshold(nu, P, W)), float(noise_floor(nu, P))
    noise = float(noise_edges(nu, P, W)[0])
    weakest = noise if sigma is None else _weakest(sigma, W)
    return BBPVacuity(
        P=P,
        W=W,
        nu=nu,
        d_crit=d_crit,
        noise_floor=floor,
        direction_scale=float(direction_scale(nu, P, W)),
        ratio=weakest / d_crit,
        noise_ratio=noise / d_crit,
        floor_ratio=weakest / floor,
        acceptance=acceptance,
        observed=sigma is not None,
        vacuous=weakest / d_crit > acceptance,
        informative=noise / d_crit <= acceptance,
    )


def _weakest(sigma: ArrayLike, W: int) -> float:
    array = descending("sigma", sigma)
    if array.shape[-1] != W:
        raise ValueError(f"sigma must have W = {W} values on its last axis, got {array.shape[-1]}")
    last = array[..., -1]
    if np.all(np.isnan(last)):
        raise ValueError("sigma must hold at least one window without NaN")
    return float(np.nanmin(last))


def plug_in_ratio(sigma: ArrayLike) -> FloatArray:
    """[D] Scale-free part of sigma_W/d_crit when nu is the lower-half estimate (2.2).

    Parameters
    ----------
    sigma : array_like, (..., W), descending

    Returns
    -------
    ndarray, (...), in [0, 1]
        sqrt(lambda_W/mean lambda_{j > W/2}); times (P/(W - 1))^{1/4} it is sigma_W/d_crit, exactly.

    Raises
    ------
    ValueError
        If `sigma` is not a spectrum.

    Examples
    --------
    >>> float(plug_in_ratio([5.0, 2.0, 2.0]))
    1.0
    """
    array = descending("sigma", sigma)
    lower = np.sqrt(np.mean(array[..., array.shape[-1] // 2 :] ** 2, axis=-1))
    return np.divide(array[..., -1], lower, out=np.full(lower.shape, np.nan), where=lower > 0)


class Overlaps(NamedTuple):
    """Squared overlaps of a planted direction with the observed one.

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


@cache
def lower_half_bias(W: int) -> float:
    """[D] b_W of E nu_hat² = nu²(1 - b_W·sqrt(W/P)), for the lower-half estimate (2.4).

    Parameters
    ----------
    W : int
        Window, at least 2.

    Returns
    -------
    float
        Minus the mean of the lower half (j > W/2) of the eigenvalues of GOE_W (diagonal variance 2,
        off-diagonal 1), over sqrt(W).

    Raises
    ------
    ValueError
        If W is not a whole number of at least 2.

    Notes
    -----
    For P >> W, G = nu²(P·1 + sqrt(P)·GOE_W). The mean is an integral over the tridiagonal model of GOE_W
    (Dumitriu & Edelman 2002), taken at centred Sobol points (4096, above W = 16 1024), no random numbers:
    within 0.002 of the exact sqrt(pi)/2 at W = 2; b_W → 8/(3 pi) as W grows.

    Examples
    --------
    >>> round(lower_half_bias(10), 2)
    0.87
    """
    from scipy.stats import qmc  # a slow import, and this is its only use

    W = whole("W", W, 2)
    n = 2**12 if W <= 16 else 2**10
    points = qmc.Sobol(2 * W - 1, scramble=False).random(n) + 0.5 / n
    matrices = np.zeros((n, W, W))
    i = np.arange(W)
    matrices[:, i, i] = np.sqrt(2) * ndtri(points[:, :W])
    matrices[:, i[1:], i[:-1]] = np.sqrt(2 * gammaincinv(i[:0:-1] / 2, points[:, W:]))  # chi_{W-1}, …, chi_1
    goe = np.linalg.eigvalsh(matrices).mean(axis=0)
    # the law is symmetric: halves mirror each other and a middle eigenvalue has mean 0
    half = W // 2
    return float((goe[-half:].sum() - goe[:half].sum()) / 2 / (W - half) / np.sqrt(W))


def estimate_nu(
    sigma: ArrayLike, P: ArrayLike, debias: bool = True, P_eff: ArrayLike | None = None
) -> FloatArray:
    """[D] Noise per entry from the lower half, nu_hat² = mean(lambda_{j > W/2})/P (2.1, 2.4).

    Parameters
    ----------
    sigma : array_like, (..., W), descending
        Singular values, parameter units.
    P : array_like
        Number of parameters.
    debias : bool
        Divide nu_hat² by 1 - b_W·sqrt(W/P_eff). Left in, the bias shifts d² of 2.4 by
        b_W·nu²·sqrt(PW).
    P_eff : array_like, optional
        Effective dimension of anisotropic noise (2.5), for the bias only; default P.

    Returns
    -------
    ndarray, (...), parameter units
        NaN where the window holds NaN. Signal in the lower half biases it upwards.

    Raises
    ------
    ValueError
        If `sigma` is not a spectrum, `P` not positive, or P_eff so small that the bias exceeds 1.

    Examples
    --------
    >>> float(estimate_nu([30.0, 10.0, 10.0], 100, debias=False))
    1.0
    """
    array = descending("sigma", sigma)
    P = positive("P", P)
    W = array.shape[-1]
    nu2 = np.mean(array[..., W // 2 :] ** 2, axis=-1) / P
    if debias:
        remaining = 1 - lower_half_bias(W) * np.sqrt(W / (P if P_eff is None else positive("P_eff", P_eff)))
        if np.any(remaining <= 0):
            raise ValueError(f"P_eff must be well above W = {W} for the bias to be removed")
        nu2 = nu2 / remaining
    return np.asarray(np.sqrt(nu2))


def effective_dimension(K: ArrayLike, W: int) -> float:
    """[D] Effective dimension P_eff_hat = (mean K_tt)²/mean(K_st², |s - t| > W) (2.5).

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags beyond W
        Inner products of the updates, parameter units squared.
    W : int
        Pairs at most W apart are left out: they share a window, and momentum.

    Returns
    -------
    float
        Estimate of (tr Sigma)²/tr(Sigma²); signal common to distant updates lowers it, so it is a
        description of the run and not of its noise alone. Infinite if all distant pairs are orthogonal.

    Raises
    ------
    ValueError
        If `K` holds no pair more than W apart.

    Examples
    --------
    >>> effective_dimension([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0], [1.0, 0.0, 2.0]], 1)
    4.0
    """
    array = gram.inner_products(K)
    W = whole("W", W, 0)
    if gram.max_lag(array) <= W:
        raise ValueError(f"K must hold pairs more than W = {W} apart, got lags up to {gram.max_lag(array)}")
    distant = np.concatenate([gram.lagged(array, lag) for lag in range(W + 1, gram.max_lag(array) + 1)])
    mean_square = float(np.mean(distant**2))
    trace = float(np.mean(gram.norms_squared(array)))
    return trace**2 / mean_square if mean_square > 0 else float("inf")


def autocorrelation(K: ArrayLike, max_lag: int) -> FloatArray:
    """[D] Autocorrelation of the updates, tau_hat_l = mean K_{t,t-l}/mean K_tt (2.7).

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to `max_lag`
        Inner products of the updates, parameter units squared. Signal raises tau: use windows or runs
        without signal where possible, and say which.
    max_lag : int
        Largest lag.

    Returns
    -------
    ndarray, (max_lag + 1,), dimensionless
        tau_hat_0 = 1; NaN if every update is zero.

    Raises
    ------
    ValueError
        If `K` does not hold the lags.

    Examples
    --------
    >>> autocorrelation([[2.0, 1.0], [1.0, 2.0]], 1)
    array([1. , 0.5])
    """
    array = gram.inner_products(K)
    max_lag = whole("max_lag", max_lag, 0, gram.max_lag(array))
    means = np.array([np.mean(gram.lagged(array, lag)) for lag in range(max_lag + 1)])
    return means / means[0] if means[0] > 0 else np.full(max_lag + 1, np.nan)


def autocorrelated_null(tau: ArrayLike, W: int) -> FloatArray:
    """[D] Singular values of pure noise with autocorrelation tau, as P → inf: sqrt(eig of T_st) (2.7).

    Parameters
    ----------
    tau : array_like, (L,), L >= W
        tau_0 = 1 … tau_{W-1}.
    W : int
        Window, at least 2.

    Returns
    -------
    ndarray, (W,), descending, in units of the norm of an update

    Raises
    ------
    ValueError
        If there are fewer than W values or T is not positive semi-definite.

    Examples
    --------
    >>> sigma = autocorrelated_null(0.9 ** np.arange(10), 10)  # momentum 0.9: a gap from noise alone
    >>> round(float(sigma[0] / sigma[1]), 2)
    2.25
    """
    values = finite("tau", tau)
    W = whole("W", W, 2)
    if values.ndim != 1 or values.size < W:
        raise ValueError(f"tau must be a vector of at least W = {W} values, got shape {values.shape}")
    lam = np.linalg.eigvalsh(toeplitz(values[:W]))[::-1]
    if lam[-1] < -1e-8 * max(lam[0], 0.0):
        raise ValueError("tau must be an autocorrelation: its Toeplitz matrix has a negative eigenvalue")
    return np.sqrt(np.maximum(lam, 0.0))


def two_row_null_survival(R: ArrayLike, P: ArrayLike) -> FloatArray:
    """[D] Probability that white noise gives a ratio above R when W = 2: v^{P-1}, v = 2R/(1 + R²) (2.6).

    Parameters
    ----------
    R : array_like
        Ratio, at least 1.
    P : array_like
        Number of parameters (or P_eff), at least 2.

    Returns
    -------
    ndarray, in [0, 1]

    Raises
    ------
    ValueError
        If R < 1 or P < 2.

    Examples
    --------
    >>> float(two_row_null_survival(1.0, 100))
    1.0
    """
    R = positive("R", R)
    if np.any(R < 1):
        raise ValueError("R must be at least 1")
    # ln v = log1p(-((R - 1)²/(1 + R²))): exact for ratios close to 1, which large P makes typical
    return np.asarray(np.exp((_window("P", P) - 1) * np.log1p(-((R - 1) ** 2) / (1 + R**2))))
