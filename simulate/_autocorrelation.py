"""Correlation in time: what autocorrelation is admissible, and the autoregression that continues it (2.7).

Given tau_0 = 1 … tau_m, the process of largest entropy is the autoregression of order m that matches them; it
says what the later lags are. One number rho means tau_l = rho^l, an AR(1) process.
"""

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray, finite

TOLERANCE = 1e-10  # innovation variance below which the noise is predicted by its past


def checked(tau: ArrayLike | None) -> FloatArray:
    """tau_0 = 1 … tau_m, from None (white), an AR(1) coefficient, or a vector (over its first value)."""
    if tau is None:
        return np.ones(1)
    values = finite("autocorrelation", tau)
    if values.ndim == 0:
        if not abs(values) < 1:
            raise ValueError(f"autocorrelation must lie between -1 and 1, got {float(values)!r}")
        return np.array([1.0, float(values)])
    if values.ndim != 1 or values.size == 0 or not values[0] > 0:
        raise ValueError(f"autocorrelation must be a vector that starts with tau_0 > 0, got {tau!r}")
    return values / values[0]


def autoregression(tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients and innovation variances of the best predictors of order 0 … m (Levinson-Durbin).

    Returns
    -------
    phi : numpy.ndarray, shape (m + 1, m), float64
        ``phi[o, i]`` multiplies the value i + 1 steps back in the predictor of order o.
    variance : numpy.ndarray, shape (m + 1,), float64
        What the predictor of order o leaves, in units of the variance.
    """
    m = tau.size - 1
    phi, variance = np.zeros((m + 1, m)), np.ones(m + 1)
    for order in range(1, m + 1):
        past = phi[order - 1, : order - 1]
        reflection = (tau[order] - past @ tau[order - 1 : 0 : -1]) / variance[order - 1]
        phi[order, : order - 1] = past - reflection * past[::-1]
        phi[order, order - 1] = reflection
        variance[order] = variance[order - 1] * (1 - reflection**2)
        if not variance[order] > TOLERANCE:
            raise ValueError(
                f"autocorrelation must belong to a process with noise of its own: its Toeplitz matrix is "
                f"not positive definite at lag {order} (estimated values are, once multiplied by 1 - l/T)"
            )
    return phi, variance


def extended(tau: FloatArray, n: int) -> FloatArray:
    """tau_0 … tau_{n-1}: the values given, continued by their autoregression."""
    out = np.zeros(max(n, tau.size))
    out[: tau.size] = tau
    m = tau.size - 1
    weights = autoregression(tau)[0][m]
    for lag in range(tau.size, n):
        out[lag] = weights @ out[lag - 1 : lag - 1 - m : -1] if m < lag else weights @ out[lag - 1 :: -1]
    return out[:n]


def factor(tau: FloatArray, n: int) -> FloatArray:
    """Lower triangular L, shape (n, n), L·Lᵀ = T, T_st = tau_|s-t|: coloured noise is L times white noise."""
    from scipy.linalg import toeplitz

    return np.asarray(np.linalg.cholesky(toeplitz(extended(tau, n))))
