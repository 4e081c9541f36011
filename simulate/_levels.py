"""How levels repel (4.1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import finite


@dataclass(frozen=True)
class RepulsionExponent:
    """How the density of small gaps vanishes: as gap^beta; 1 for the real matrices of section 4, 0 without repulsion.

    Attributes
    ----------
    beta, low, high : float
        Estimate and its 95 % interval.
    n : int
        Number of gaps it rests on.
    """

    beta: float
    low: float
    high: float
    n: int


def repulsion_exponent(gaps: ArrayLike, share: float = 0.02) -> RepulsionExponent:
    """[D] Exponent of the density of small gaps by maximum likelihood (4.1).

    Parameters
    ----------
    gaps : array_like, shape (n,)
        Independent positive gaps.
    share : float
        Share of the smallest gaps to use: below it the density is taken as a power. The bias falls with it, the
        interval grows.

    Returns
    -------
    RepulsionExponent

    Raises
    ------
    ValueError
        If a gap is not positive, or fewer than 20 would be used.

    Examples
    --------
    >>> rayleigh = np.random.default_rng(1).rayleigh(size=40_000)  # density ∝ gap near 0
    >>> found = repulsion_exponent(rayleigh)
    >>> found.low < 1 < found.high
    True
    """
    from scipy.stats import chi2

    values = np.sort(finite("gaps", gaps).ravel())
    n = int(share * values.size)
    if n < 20 or not values[0] > 0:
        raise ValueError(
            f"gaps must be positive and enough for 20 of them, got {values.size} with share = {share}"
        )
    total = float(np.sum(np.log(values[n] / values[:n])))  # a sum of n exponentials of rate beta + 1
    low, high = chi2.ppf([0.025, 0.975], 2 * n) / (2 * total)
    return RepulsionExponent(n / total - 1, float(low) - 1, float(high) - 1, n)
