"""The edge of the bulk of a sample covariance, its variance taken from the median eigenvalue."""

from functools import lru_cache

import numpy as np
from scipy import integrate, optimize

from spectral_edge.theory.checks import FloatArray, positive, whole


@lru_cache(maxsize=64)
def _median(c: float) -> float:
    """Median of the law of Marchenko and Pastur with ratio c ≤ 1 and variance 1."""
    low, high = (1 - np.sqrt(c)) ** 2, (1 + np.sqrt(c)) ** 2

    def density(x: float) -> float:
        return float(np.sqrt(max((high - x) * (x - low), 0.0)) / (2 * np.pi * c * x))

    return float(optimize.brentq(lambda x: integrate.quad(density, low, x)[0] - 0.5, low, high, xtol=1e-6))


def bulk_edge(lam: FloatArray, P: int) -> float:
    """Eigenvalue of a kernel JJᵀ (m outputs, P parameters) above which noise of its median has none.

    Parameters
    ----------
    lam : (m,) array
        All eigenvalues.
    P : int
        At least m.

    Returns
    -------
    float
        (1 + √c)²ν², c = m/P, ν² from the median (Gavish and Donoho 2014).

    Raises
    ------
    ValueError
        If there are more eigenvalues than parameters.

    Examples
    --------
    >>> J = np.random.default_rng(0).normal(size=(50, 400))
    >>> lam = np.linalg.eigvalsh(J @ J.T)
    >>> bool(abs(bulk_edge(lam, 400) / lam.max() - 1) < 0.1)
    True
    """
    whole("P", P, 1)
    c = len(lam) / P
    if c > 1:
        raise ValueError(f"P must be at least the number of eigenvalues, {len(lam)}, got {P}")
    scale = positive("the median of lam", float(np.median(lam))) / _median(round(c, 6))
    return float(scale * (1 + np.sqrt(c)) ** 2)
