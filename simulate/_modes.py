"""Modes with an identity: followed through the windows of a run by their directions, not by their ranks (4.1)."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.simulate._compiling import compiling
from spectral_edge.simulate._windows import stack_spectrum
from spectral_edge.theory.checks import FloatArray, positive, whole
from spectral_edge.theory.gram import inner_products, is_full, max_lag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Squared overlap above which a mode is what it was: no other mode can have as much.
FOLLOWED = 0.5
#: Modes weaker than this share of σ_1 have no direction that inner products in float64 tell: it is good to
#: W·eps/FLOOR², 0.2 % at W = 10.
FLOOR = 1e-6


@dataclass(frozen=True)
class FollowedModes:
    """Modes with an identity (section 10), through a run's n windows; column i is the mode that had rank i first.

    Attributes
    ----------
    rank : numpy.ndarray, shape (n, W), int64
        Rank, from 0, of mode i in window t.
    sigma : numpy.ndarray, shape (n, W), float64
        Its singular value, not ordered (parameter units).
    overlap : numpy.ndarray, shape (n, W), float64
        Squared overlap, at most 1, of mode i with what it was: of the direction with its rank and the remembered one.
        1 in the first window; 0 for a mode below the floor, and where one rises above it.
    pair_overlap : numpy.ndarray, shape (n, W), float64
        The same with the plane of that direction and of its neighbour `partner`: where two modes cross each is for a
        while a mixture of what both were, and stays in their plane.
    partner : numpy.ndarray, shape (n, W), int64
        Rank of that neighbour, the one of the two with the larger overlap; -1 where there is none.
    memory : int
        Windows over which directions were remembered.
    """

    rank: NDArray[np.int64]
    sigma: FloatArray
    overlap: FloatArray
    pair_overlap: FloatArray
    partner: NDArray[np.int64]
    memory: int

    @cached_property
    def followed(self) -> NDArray[np.bool_]:
        """Whether mode i is what it was, (n, W): more than half of it, so that no other mode can be."""
        return self.overlap > FOLLOWED

    def plot(self, ax: "Axes | None" = None, modes: int = 4) -> "Axes":
        """Draw the strengths of the first modes; return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.
        modes : int
            How many.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import simulate
        >>> updates = np.random.default_rng(0).normal(size=(12, 50))
        >>> ax = simulate.follow_modes(updates @ updates.T, 5).plot()
        >>> len(ax.lines)
        4
        """
        from spectral_edge.simulate import _figures

        return _figures.followed(self, modes, ax)


def follow_modes(K: ArrayLike, W: int, memory: int = 6, rtol: float = FLOOR) -> FollowedModes:
    """[F] Follow the modes of all windows by the overlap of their directions, so that mode j keeps its identity.

    Ranks exchange at a sharp crossing, directions do not. Each mode is compared with the mean of its own direction
    over the last `memory` windows, which a crossing shorter than that does not turn. Directions are kept as
    coordinates in an orthonormal basis of the updates they are made of, and modes too weak to have one that
    can be told are not followed.

    Parameters
    ----------
    K : array_like, shape (T, T) or (T, L + 1)
        Inner products of the updates (parameter units squared), full or the band of lags up to L.
    W : int
        Window.
    memory : int
        Windows over which a direction is remembered; 1 compares neighbours, which follows ranks through a slow
        crossing. Longer than a crossing, shorter than a direction takes to turn. Even is better than odd: beside an
        oscillation that changes its sign at every record directions swing from one window to the next.
    rtol : float
        Modes are followed that are stronger than `rtol` times the σ_1 that W updates as large as the largest of the
        last W + memory would have. The default suits float64; where K was rounded to float32, 0.02 does.

    Returns
    -------
    FollowedModes

    Raises
    ------
    ValueError
        If K is a band of fewer than W + memory lags, 0 included, or an argument is out of its range.

    Notes
    -----
    A mode of which neither its new direction nor its plane with a neighbour holds more than half is lost, and its
    column goes on as another mode. Sections 4.1 and 10 of docs/theory.md; exchanges: `mode_exchanges`.

    Examples
    --------
    >>> t = np.arange(60)
    >>> X = np.stack([4 - t / 20, (2 + t / 20) * (-1.0) ** t], axis=1)  # two signals that exchange ranks
    >>> follow_modes(X @ X.T + 1e-6 * np.eye(60), 4).rank[[0, -1], :2].tolist()
    [[0, 1], [1, 0]]
    """
    array = inner_products(K)
    W, memory = whole("W", W, 2, len(array)), whole("memory", memory, 1)
    rtol = float(positive("rtol", rtol))
    if not is_full(array) and max_lag(array) + 1 < W + memory:
        raise ValueError(
            "K must be full (T, T) to follow modes, or a band (T, L + 1) with L + 1 at least "
            f"W + memory = {W + memory}, got shape {array.shape}"
        )
    reach = array if is_full(array) else array[:, : W + memory]
    rank, sigma, overlap, pair_overlap, partner = (x[0] for x in _followed(reach[None], W, memory, rtol))
    return FollowedModes(rank, sigma, overlap, pair_overlap, partner, memory)


def follow_each(
    K: FloatArray, W: int, memory: int, rtol: float = FLOOR
) -> tuple[NDArray[np.int64], FloatArray]:
    """Rank and sigma, (m, n, W), of the `FollowedModes` of each of m sequences of one length, full K (m, T, T).

    One call for all of them: a forecast is followed from every window, and each is short.
    """
    return _followed(K, W, memory, rtol)[:2]


def _followed(
    K: FloatArray, W: int, memory: int, rtol: float
) -> tuple[Any, FloatArray, FloatArray, FloatArray, Any]:
    """The fields of `FollowedModes`, each (m, n, W), of full K (m, T, T) or of bands (m, T, W + memory)."""
    with compiling("the kernel that follows modes"):
        from spectral_edge.simulate._kernels import modes as kernel
    T, lags = K.shape[1], np.arange(W + memory)
    t = np.arange(T)[:, None]
    inner = K[:, t, np.maximum(t - lags, 0)] if K.shape[1] == K.shape[2] else K
    bands = np.ascontiguousarray(np.where(lags <= t, inner, 0.0))
    spectrum = stack_spectrum(bands, W)
    shape = spectrum.lam.shape
    rank, partner = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
    overlap, pair_overlap = np.empty(shape), np.empty(shape)
    lam, u = spectrum.lam, np.ascontiguousarray(np.swapaxes(spectrum.u, 2, 3))
    kernel.follow_each(bands, W, memory, rtol, lam, u, rank, overlap, pair_overlap, partner)
    sigma = np.take_along_axis(spectrum.sigma, rank, axis=2)
    return rank, sigma, overlap, pair_overlap, partner
