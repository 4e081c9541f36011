"""Exact synthetic trajectories at any P (section 9): signals along fixed directions in noise, only K is made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.simulate import _autocorrelation
from spectral_edge.simulate._colour import Colour, stationary
from spectral_edge.simulate._compiling import compiling
from spectral_edge.theory.checks import FloatArray, finite, nonnegative, positive, whole


@dataclass(frozen=True)
class SpikedTrajectory:
    """The inner products of a synthetic run (section 9).

    Attributes
    ----------
    K : numpy.ndarray, shape (T, W + 1), float64
        Band of inner products, ``K[t, l] = <δ_t, δ_{t-l}>``, NaN where l > t (parameter units squared).
    steps : numpy.ndarray, shape (T,), int64
        1 … T.
    signals : numpy.ndarray, shape (T, k), float64
        The amplitudes that were asked for (parameter units).
    P : float
        Number of parameters.
    """

    K: FloatArray
    steps: NDArray[np.int64]
    signals: FloatArray
    P: float


def spiked(
    signals: ArrayLike,
    *,
    P: ArrayLike,
    W: int,
    nu: ArrayLike,
    seed: int | np.random.Generator,
    directions: ArrayLike | None = None,
    autocorrelation: ArrayLike | None = None,
) -> SpikedTrajectory:
    """[D] Band of K of δ_t = Σ_j s_j(t) e_j + n_t, exact in law, in O(W²) per step whatever P (section 9).

    The e_j are orthonormal; n_t is Gaussian, white over its entries within each block. Nothing of size P is made.

    Parameters
    ----------
    signals : array_like, shape (T, k)
        Amplitudes s_j(t) (parameter units); a direction that turns has two columns, see `turning`. k may be 0.
    P : int, or array_like, shape (blocks,)
        Number of parameters, W + 1 … 1e12 and more; or the dimensions of blocks of noise.
    W : int
        Largest lag; windows up to W wide can be cut from the band.
    nu : float, or array_like, shape (blocks,)
        Standard deviation of the noise, an entry (parameter units); one for each block.
    seed : int or numpy.random.Generator
        Same seed, same bits.
    directions : array_like, shape (k, blocks), optional
        Component of each e_j in each block: rows of unit length, and within a block the components of different
        e_j are orthogonal. By default each lies across the blocks in proportion to their dimensions.
    autocorrelation : array_like, shape (L,), L <= W + 1, or float, optional
        Of the noise in time; a number is AR(1), see `null_ratio`.

    Returns
    -------
    SpikedTrajectory

    Raises
    ------
    ValueError
        If an argument is out of its range or there are more directions than dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import theory
    >>> amplitude = np.outer(np.ones(200), [0.0, 0.0])
    >>> run = spiked(amplitude, P=1e12, W=10, nu=1e-6, seed=1)
    >>> run.K.shape, bool(abs(run.K[50, 0] - 1) < 1e-4)  # noise alone: nu²·P
    ((200, 11), True)
    """
    s = finite("signals", signals)
    if s.ndim != 2 or s.shape[0] < 2:
        raise ValueError(f"signals must be amplitudes (T, k) with T >= 2, got shape {s.shape}")
    W = whole("W", W, 1)
    dims, nus = np.atleast_1d(positive("P", P)), np.atleast_1d(nonnegative("nu", nu))
    if dims.ndim != 1 or nus.shape != dims.shape:
        raise ValueError(f"nu must have one value a block of P, got shapes {nus.shape} and {dims.shape}")
    if dims.sum() < W + 1:
        raise ValueError(f"P must be at least W + 1 = {W + 1}, got {dims.sum():g}")
    weights = _directions(directions, s.shape[1], dims)
    tau = _autocorrelation.checked(autocorrelation)
    if tau.size > W + 1:
        raise ValueError(f"autocorrelation must have at most W + 1 = {W + 1} lags, got {tau.size}")
    K = noisy_band(s, weights, dims, nus, np.ones(len(s)), W, stationary(tau, len(s)), seed)
    return SpikedTrajectory(K, np.arange(1, len(s) + 1), s, float(dims.sum()))


def _directions(directions: ArrayLike | None, k: int, dims: FloatArray) -> FloatArray:
    """Components (k, blocks) of the directions, checked."""
    if directions is None:
        weights = np.tile(np.sqrt(dims / dims.sum()), (k, 1))
    else:
        weights = finite("directions", directions)
        if weights.shape != (k, dims.size) or not np.allclose(np.sum(weights**2, axis=1), 1):
            raise ValueError(
                f"directions must be {k} rows of unit length over {dims.size} blocks, got shape {weights.shape}"
            )
    used = np.count_nonzero(weights, axis=0)
    if np.any(used > dims):
        raise ValueError(
            f"P must leave room for the directions, got {used.max()} in a block of {dims.min():g}"
        )
    return np.ascontiguousarray(weights)


def noisy_band(
    signals: FloatArray, weights: FloatArray, dims: FloatArray, nus: FloatArray, norms: FloatArray, W: int,
    colour: Colour, seed: int | np.random.Generator, fixed: bool = False,
) -> FloatArray:  # fmt: skip
    """The band (T, W + 1) made by the kernel; `norms` (T,) scales the noise in time, exactly where `fixed`."""
    with compiling("the trajectory kernel"):
        from spectral_edge.simulate._kernels import spiked as kernel
    out = np.full((len(signals), W + 1), np.nan)
    state = np.random.default_rng(seed).integers(0, 2**64, 4, dtype=np.uint64)
    phi, remaining = np.ascontiguousarray(colour.phi), np.ascontiguousarray(colour.variance)
    kernel.band(state, np.ascontiguousarray(signals), weights, dims, nus, norms, phi, remaining, fixed, out)
    return out


def turning(amplitude: ArrayLike, angle: ArrayLike) -> FloatArray:
    """Signal whose direction turns in a plane (section 9): amplitudes (T, 2) along two fixed directions.

    Parameters
    ----------
    amplitude : array_like, shape (T,) or ()
        Size of the signal (parameter units).
    angle : array_like, shape (T,)
        Angle of its direction (radians): constant, drifting or rotating.

    Returns
    -------
    numpy.ndarray, shape (T, 2), parameter units

    Raises
    ------
    ValueError
        If the shapes do not fit, or a value is not finite.

    Examples
    --------
    >>> turning(2.0, [0.0, np.pi / 2]).round(12)
    array([[2., 0.],
           [0., 2.]])
    """
    size, turn = finite("amplitude", amplitude), finite("angle", angle)
    if turn.ndim != 1 or size.shape not in ((), turn.shape):
        raise ValueError(
            f"angle must be (T,) and amplitude the same or a number, got {turn.shape} and {size.shape}"
        )
    return np.stack([size * np.cos(turn), size * np.sin(turn)], axis=1)
