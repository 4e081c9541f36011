"""The three axioms, ours, as measurements: how far a run is from each, in a stated unit.

The wording of the thesis' axioms is not known to us. These are the assumptions that the statements of this
package use: (A1) the window is signal plus isotropic noise, white in time; (A2) curvatures and gradient powers vary
slowly over a window; (A3) the signal directions rotate slowly over a window.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory import gram
from spectral_edge.theory.checks import FloatArray, finite, positive, whole
from spectral_edge.theory.spectrum import gram_rtol, gram_spectrum


@dataclass(frozen=True)
class AxiomCheck:
    """How far a run is from an axiom (section 0).

    Attributes
    ----------
    axiom : str
        "A1", "A2" or "A3".
    distance : ndarray, float64
        One value per window (A1), or per pair of windows that are W apart (A2, A3).
    unit : str
        What the distance is measured in.
    tolerance : float
        Up to which the axiom is said to hold; in the same unit. A convention, not a test.
    """

    axiom: str
    distance: FloatArray
    unit: str
    tolerance: float

    @property
    def worst(self) -> float:
        """Largest distance, NaN left out."""
        known = self.distance[~np.isnan(self.distance)]
        return float(known.max()) if known.size else float("nan")

    @property
    def typical(self) -> float:
        """Median distance, NaN left out."""
        known = self.distance[~np.isnan(self.distance)]
        return float(np.median(known)) if known.size else float("nan")

    @property
    def holds(self) -> bool:
        """Whether the typical distance is within the tolerance."""
        return bool(self.typical <= self.tolerance)

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "does not hold"
        return (
            f"{self.axiom} {verdict}: distance {self.typical:.3g} (worst {self.worst:.3g}) in units of "
            f"{self.unit}, against {self.tolerance:g}"
        )


def isotropic_noise(K: ArrayLike, W: int, P_eff: float, tolerance: float = 4.0) -> AxiomCheck:
    """[F] A1 (section 0): the lower half of each window's spectrum is as flat as isotropic white noise makes it.

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to W - 1
        Inner products of the updates, parameter units squared.
    W : int
        Window, at least 4.
    P_eff : float
        Effective dimension of the noise; P if it is isotropic.
    tolerance : float
        Noise alone gives about 2 (the lower half of a semicircle), so 4 is twice that.

    Returns
    -------
    AxiomCheck
        Distance (lambda_{W/2+1} - lambda_W)/mean(lambda_{j > W/2}), in units of sqrt(W/P_eff).

    Raises
    ------
    ValueError
        If `K` does not hold the windows or an argument is out of its range.

    Examples
    --------
    >>> updates = np.random.default_rng(0).normal(size=(30, 4000))
    >>> isotropic_noise(updates @ updates.T, 10, 4000).holds
    True
    """
    W = whole("W", W, 4)
    unit = np.sqrt(W / float(positive("P_eff", P_eff)))
    lower = gram_spectrum(gram.window_blocks(K, W)).lam[:, W // 2 :]
    mean = lower.mean(axis=1)
    spread = np.divide(lower[:, 0] - lower[:, -1], mean, out=np.full(mean.shape, np.nan), where=mean > 0)
    return AxiomCheck("A1", spread / unit, "sqrt(W/P_eff)", float(positive("tolerance", tolerance)))


def slow_coefficients(values: ArrayLike, W: int, tolerance: float = 0.5) -> AxiomCheck:
    """[F] A2 (section 0): a coefficient (h_j or p_j over time) changes little over a window.

    Parameters
    ----------
    values : array_like, (T,) or (T, modes)
        h_j or p_j at every record.
    W : int
        Window, less than T.
    tolerance : float
        Relative change over a window.

    Returns
    -------
    AxiomCheck
        Distance |x_{t+W} - x_t| over the mean size of the two, 0 … 2; one per time, the worst mode.

    Raises
    ------
    ValueError
        If `values` is not finite or shorter than W + 1.

    Examples
    --------
    >>> slow_coefficients(np.linspace(1.0, 2.0, 101), 10).holds
    True
    """
    array = finite("values", values)
    if array.ndim not in (1, 2):
        raise ValueError(f"values must have shape (T,) or (T, modes), got {array.shape}")
    array = array.reshape(len(array), -1)
    W = whole("W", W, 1, max(1, len(array) - 1))
    if len(array) <= W:
        raise ValueError(f"values must have more than W = {W} times, got {len(array)}")
    before, after = array[:-W], array[W:]
    size = (np.abs(before) + np.abs(after)) / 2
    change = np.divide(np.abs(after - before), size, out=np.zeros(size.shape), where=size > 0)
    tolerance = float(positive("tolerance", tolerance))
    return AxiomCheck("A2", change.max(axis=1), "relative change per window", tolerance)


def slow_directions(K: ArrayLike, W: int, k: int, tolerance: float = 30.0) -> AxiomCheck:
    """[F] A3 (section 0): the leading k-dimensional subspace rotates little up to the next disjoint window.

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to 2W - 1
        Inner products of the updates, parameter units squared; T >= 2W.
    W : int
        Window.
    k : int
        Dimension of the signal, 1 … W.
    tolerance : float
        Degrees.

    Returns
    -------
    AxiomCheck
        Distance: the largest principal angle, in degrees per window; 90 for unrelated directions, NaN where
        a window has rank below k.

    Raises
    ------
    ValueError
        If `K` does not hold the lags or an argument is out of its range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> updates = rng.normal(size=(20, 1)) * np.eye(1, 50) + 0.01 * rng.normal(size=(20, 50))
    >>> slow_directions(updates @ updates.T, 5, 1).holds
    True
    """
    W = whole("W", W, 1)
    k = whole("k", k, 1, W)
    blocks = gram.window_blocks(K, 2 * W)
    before, after = gram_spectrum(blocks[:, :W, :W]), gram_spectrum(blocks[:, W:, W:])
    inner = np.einsum(
        "naj,nab,nbl->njl", before.u[..., :k], blocks[:, :W, W:], after.u[..., :k], optimize=True
    )
    scale = before.sigma[:, :k, None] * after.sigma[:, None, :k]
    floor = gram_rtol(W) * np.maximum(before.sigma[:, 0], after.sigma[:, 0])
    full = np.minimum(before.sigma[:, k - 1], after.sigma[:, k - 1]) > floor
    cosines = np.zeros_like(inner)
    np.divide(inner, scale, out=cosines, where=full[:, None, None])
    smallest = np.clip(np.linalg.svd(cosines, compute_uv=False)[:, -1], 0.0, 1.0)
    angle = np.where(full, np.degrees(np.arccos(smallest)), np.nan)
    return AxiomCheck("A3", angle, "degrees per window", float(positive("tolerance", tolerance)))
