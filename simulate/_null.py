"""The null law of the gap ratio R and position k*: what windows of pure noise show (sections 2.6 and 2.7)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.simulate import _autocorrelation
from spectral_edge.simulate._windows import gram_sigma
from spectral_edge.theory.checks import FloatArray, finite, whole
from spectral_edge.theory.spectrum import gap_position, gap_ratio, gram_rtol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLOCK = 2_000_000  # matrix entries worked on at a time
_TABLE_SIZE = 200_000


@dataclass(frozen=True)
class NullRatio:
    """Samples of the gap under noise (sections 2.6 and 2.7).

    Attributes
    ----------
    ratio, k_star : numpy.ndarray, shape (n,), float64
        R and k* of independent windows of noise, dimensionless.
    P : float
        (Effective) dimension of the noise.
    W : int
        Window.
    tau : numpy.ndarray, shape (W,), float64
        Autocorrelation in time at lags 0 … W-1, dimensionless.
    """

    ratio: FloatArray
    k_star: FloatArray
    P: float
    W: int
    tau: FloatArray

    def quantile(self, q: ArrayLike) -> FloatArray:
        """Quantiles of R, shape of `q`; the one at 0.99 is the level of a significant gap.

        Parameters
        ----------
        q : array_like
            From 0 to 1.

        Returns
        -------
        numpy.ndarray, shape of `q`

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> noise = simulate.null_ratio(P=1000, W=5, n=2000, seed=0)
        >>> bool(1 < noise.quantile(0.5) < noise.quantile(0.99))
        True
        """
        return np.asarray(np.quantile(self.ratio, finite("q", q)))

    def p_value(self, R: ArrayLike) -> FloatArray:
        """Chance of a ratio at least `R` under noise, (1 + count)/(1 + n), shape of `R`; NaN stays NaN.

        Parameters
        ----------
        R : array_like
            Gap ratios, dimensionless.

        Returns
        -------
        numpy.ndarray, shape of `R`

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> noise = simulate.null_ratio(P=1000, W=5, n=2000, seed=0)
        >>> bool(noise.p_value(2.0) < 0.01 < noise.p_value(1.0))
        True
        """
        observed = np.asarray(R, dtype=np.float64)
        n = self.ratio.size
        above = n - np.searchsorted(np.sort(self.ratio), observed, side="left")
        return np.where(np.isnan(observed), np.nan, (1 + above) / (1 + n))

    def position_frequencies(self) -> FloatArray:
        """Frequency of k* = 1 … W-1, shape (W - 1,).

        Returns
        -------
        numpy.ndarray, shape (W - 1,)

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> noise = simulate.null_ratio(P=1000, W=5, n=2000, seed=0)
        >>> round(float(noise.position_frequencies().sum()), 12)
        1.0
        """
        return np.bincount(self.k_star.astype(int), minlength=self.W)[1:] / self.k_star.size

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the survival function of R; return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> from spectral_edge import simulate
        >>> noise = simulate.null_ratio(P=1000, W=5, n=2000, seed=0)
        >>> noise.plot().get_yscale()
        'log'
        """
        from spectral_edge.simulate import _figures

        return _figures.null_ratio(self, ax)


def null_ratio(
    P: float, W: int, n: int, seed: int | np.random.Generator, autocorrelation: ArrayLike | None = None
) -> NullRatio:
    """[F] Sample R and k* of windows of noise, exactly, whatever P (sections 2.6 and 2.7 of docs/theory.md).

    The Gram matrix of W updates of P-dimensional noise is L·A·Aᵀ·Lᵀ: A the Bartlett factor of a Wishart
    matrix, L·Lᵀ the autocorrelation. Its cost does not depend on P.

    Parameters
    ----------
    P : float
        (Effective) dimension, any real number above W - 1.
    W : int
        Window, at least 2.
    n : int
        Number of independent windows.
    seed : int or numpy.random.Generator
        Same seed, same samples.
    autocorrelation : array_like, shape (L,), or float, optional
        tau_0, tau_1, …; later lags follow the autoregression that matches those given; a number rho is AR(1),
        tau_l = rho^l. White by default.

    Returns
    -------
    NullRatio

    Raises
    ------
    ValueError
        If P <= W - 1, W < 2, n < 1, or the autocorrelation is not positive definite.

    Examples
    --------
    >>> white = null_ratio(1e6, 10, 2000, seed=1)
    >>> momentum = null_ratio(1e6, 10, 2000, seed=1, autocorrelation=0.9)
    >>> float(white.quantile(0.99)) < 1.01, float(np.median(momentum.ratio).round(1)), set(momentum.k_star)
    (True, 2.2, {np.float64(1.0)})
    """
    W = whole("W", W, 2)
    n = whole("n", n, 1)
    P = float(finite("P", P))
    if not P > W - 1:
        raise ValueError(f"P must exceed W - 1 = {W - 1}, got {P:g}")
    tau = _autocorrelation.extended(_autocorrelation.checked(autocorrelation), W)
    L = _autocorrelation.factor(tau, W)
    rng, rtol = np.random.default_rng(seed), gram_rtol(W)
    ratio, k_star = np.empty(n), np.empty(n)
    for start in range(0, n, size := max(1, _BLOCK // W**2)):
        rows = slice(start, min(start + size, n))
        X = L @ bartlett(rng, rows.stop - start, W, P)
        sigma = gram_sigma(X @ np.swapaxes(X, 1, 2))
        ratio[rows], k_star[rows] = gap_ratio(sigma, rtol=rtol), gap_position(sigma, rtol=rtol)
    return NullRatio(ratio, k_star, P, W, tau)


def bartlett(rng: np.random.Generator, n: int, rows: int, P: float) -> FloatArray:
    """Lower triangular A, (n, rows, rows): A·Aᵀ is the Gram matrix of `rows` standard normals in R^P."""
    A = np.tril(rng.standard_normal((n, rows, rows)), -1)
    diagonal = np.arange(rows)
    A[:, diagonal, diagonal] = np.sqrt(rng.chisquare(P - diagonal, (n, rows)))
    return A


@lru_cache(maxsize=32)
def goe_spacings(W: int) -> FloatArray:
    """[D] Sorted samples, (200000,), of the largest spacing of GOE_W: limit of 2·sqrt(P)·ln R (2.6).

    Diagonal variance 2, off-diagonal 1. Made once per W and process, from a fixed seed.

    Examples
    --------
    >>> bool(abs(np.median(goe_spacings(2)) - np.sqrt(8 * np.log(2))) < 0.02)  # W = 2: a Rayleigh law
    True
    """
    W = whole("W", W, 2)
    rng = np.random.default_rng(2_603_28964)
    out = np.empty(_TABLE_SIZE)
    for start in range(0, _TABLE_SIZE, size := max(1, _BLOCK // W**2)):
        rows = slice(start, min(start + size, _TABLE_SIZE))
        A = rng.standard_normal((rows.stop - start, W, W))
        lam = np.linalg.eigvalsh((A + np.swapaxes(A, 1, 2)) / np.sqrt(2))
        out[rows] = np.max(np.diff(lam, axis=1), axis=1)
    out.sort()
    out.flags.writeable = False
    return out


def null_quantile(
    q: ArrayLike, P: float, W: int, autocorrelation: ArrayLike | None = None, n: int = 20_000, seed: int = 0
) -> FloatArray:
    """[F] Quantile of R under noise (section 2.6): from the table of the limit P → ∞ where exact enough, else sampled.

    The limit exp(s/(2·sqrt(P))), s of `goe_spacings`, is used for white noise with P >= 10⁴·W: there ln R
    differs from it by less than the noise of the sampled quantile.

    Parameters
    ----------
    q : array_like
        Probabilities.
    P, W, autocorrelation, seed
        As `null_ratio`.
    n : int
        Samples where it is sampled.

    Returns
    -------
    numpy.ndarray, shape of `q`, dimensionless

    Raises
    ------
    ValueError
        As `null_ratio`.

    Examples
    --------
    >>> float(null_quantile(0.99, 1e8, 10).round(6))
    1.000202
    """
    if autocorrelation is None and np.ndim(P) == 0 and P >= 1e4 * W:
        return np.asarray(np.exp(np.quantile(goe_spacings(W), finite("q", q)) / (2 * np.sqrt(P))))
    return null_ratio(P, W, n, seed, autocorrelation).quantile(q)
