"""Section 2: what noise alone looks like in a window, and how much of a signal shows above it.

The noise of a W×P window, P >> W, is i.i.d. N(0, nu²) unless a function says otherwise. What a planted signal
looks like is in `theory.spikes`, the test of BBP vacuity in `theory.vacuity`.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory import gram
from spectral_edge.theory.checks import FloatArray, finite, positive, whole
from spectral_edge.theory.spectrum import descending


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
    from scipy.special import gammaincinv, ndtri  # slow imports, and this is their only use
    from scipy.stats import qmc

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
    mean_square = _mean(distant**2)
    trace = float(np.mean(gram.norms_squared(array)))
    return trace**2 / mean_square if mean_square > 0 else float("inf")


def _mean(values: FloatArray) -> float:
    """The mean of what is known: entries across a gap of the recording are NaN."""
    found = values[~np.isnan(values)]
    return float(np.mean(found)) if found.size else float("nan")


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
    means = np.array([_mean(gram.lagged(array, lag)) for lag in range(max_lag + 1)])
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
    lag = np.abs(np.subtract.outer(np.arange(W), np.arange(W)))
    lam = np.linalg.eigvalsh(values[lag])[::-1]
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
