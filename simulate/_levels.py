"""Levels that approach one another: follow a mode through avoided crossings, measure how levels repel (4.1)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory.checks import FloatArray, finite, whole
from spectral_edge.theory.gram import inner_products, is_full, max_lag, window_blocks
from spectral_edge.theory.spectrum import gram_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class FollowedModes:
    """Modes with an identity, through the n windows of a run.

    Attributes
    ----------
    rank : numpy.ndarray, shape (n, W), int64
        ``rank[t, i]`` is the rank (from 0) that mode i, named by its rank in the first window, has in window t.
    sigma : numpy.ndarray, shape (n, W), float64
        Singular value of mode i, not ordered (parameter units).
    overlap : numpy.ndarray, shape (n, W), float64
        Squared overlap of mode i with what it was; 1 in the first window. Low values are doubtful.
    """

    rank: NDArray[np.int64]
    sigma: FloatArray
    overlap: FloatArray

    def plot(self, ax: "Axes | None" = None, modes: int = 4) -> "Axes":
        """Draw the strengths of the first modes; return the axes."""
        from spectral_edge.simulate import _figures

        return _figures.followed(self, modes, ax)


def follow_modes(K: ArrayLike, W: int, memory: int = 5) -> FollowedModes:
    """[F] Follow the modes of all windows by the overlap of their directions, so that mode j keeps its identity.

    Ranks exchange at an avoided crossing, directions do not. Each mode is compared with the average of its own
    direction over about `memory` windows, which a crossing shorter than that does not turn.

    Parameters
    ----------
    K : array_like, shape (T, T) or (T, L + 1)
        Inner products of the updates (parameter units squared), full or the band of lags up to L. On a band what
        lies more than L updates back is forgotten, which matters little once L is some times W + memory.
    W : int
        Window.
    memory : int
        Windows over which a direction is remembered; 1 compares neighbours, which follows ranks through a slow
        crossing. Longer than a crossing, shorter than a direction takes to turn.

    Returns
    -------
    FollowedModes

    Raises
    ------
    ValueError
        If K is a band narrower than W + memory, or an argument is out of its range.

    Examples
    --------
    >>> t = np.arange(60)
    >>> X = np.stack([4 - t / 20, (2 + t / 20) * (-1.0) ** t], axis=1)  # two signals that exchange ranks
    >>> follow_modes(X @ X.T + 1e-6 * np.eye(60), 4).rank[[0, -1], :2].tolist()
    [[0, 1], [1, 0]]
    """
    from scipy.optimize import linear_sum_assignment

    array = inner_products(K)
    W, memory = whole("W", W, 2, len(array)), whole("memory", memory, 1)
    if not is_full(array) and max_lag(array) < W + memory:
        raise ValueError(
            f"K must be full (T, T) to follow modes, or a band of lags up to W + memory = {W + memory}, "
            f"got shape {array.shape}"
        )
    lam, u = gram_spectrum(window_blocks(array, W))
    sigma = np.sqrt(lam)
    n = len(sigma)
    rank, overlap = np.empty((n, W), dtype=np.int64), np.ones((n, W))
    reach = array.shape[1]  # as many updates, the newest last, are there to remember
    blocks = window_blocks(array, reach)
    remembered = np.zeros((W, reach))  # directions, as combinations of the updates
    for t in range(n):
        first = max(0, t + W - reach)
        if first > 0:
            remembered = np.concatenate([remembered[:, 1:], np.zeros((W, 1))], axis=1)
        now, inside = slice(t - first, t - first + W), slice(0, t - first + W)
        scale = np.divide(1, sigma[t], out=np.zeros(W), where=sigma[t] > 0)
        direction = np.zeros((W, reach))
        direction[:, now] = (u[t] * scale).T
        if t == 0:
            rank[t] = np.arange(W)
        else:
            inner = remembered[:, inside] @ blocks[first][inside, now] @ (u[t] * scale)
            rank[t] = linear_sum_assignment(-(inner**2))[1]
            matched = inner[np.arange(W), rank[t]]
            overlap[t] = matched**2
            direction = direction[rank[t]] * np.where(matched < 0, -1.0, 1.0)[:, None]
        remembered += (direction - remembered) / min(t + 1, memory)
        held = remembered[:, inside]
        length = np.sqrt(np.sum(held @ blocks[first][inside, inside] * held, axis=1))
        remembered /= np.where(length > 0, length, 1.0)[:, None]
    return FollowedModes(rank, np.take_along_axis(sigma, rank, axis=1), overlap)


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
