"""Worlds in which nothing happens: noise with the dimension, norms and autocorrelation of a run (2.7, 9)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.simulate import _autocorrelation
from spectral_edge.simulate._colour import Colour, stationary
from spectral_edge.simulate._null import bartlett
from spectral_edge.simulate._spiked import noisy_band
from spectral_edge.theory.checks import FloatArray, positive, whole
from spectral_edge.theory.gram import as_band, inner_products, is_full


@dataclass(frozen=True)
class Noise:
    """A run made of noise alone (section 2.7).

    Attributes
    ----------
    K : numpy.ndarray, shape (T, T) or (T, W_max + 1), float64
        Inner products of the updates (parameter units squared), full or the band ``K[t, l] = <δ_t, δ_{t-l}>``
        (NaN where l > t).
    steps : numpy.ndarray, shape (T,), int64
        1 … T.
    P : float
        (Effective) dimension.
    tau : numpy.ndarray, shape (L,), float64
        The autocorrelation that was asked for, dimensionless; NaN beyond lag 0 where the colour changes in time.
    """

    K: FloatArray
    steps: np.ndarray
    P: float
    tau: FloatArray


def noise(
    T: int,
    *,
    P: float,
    norms: ArrayLike = 1.0,
    autocorrelation: "ArrayLike | Colour | None" = None,
    W_max: int | None = None,
    fix_norms: bool = False,
    seed: int | np.random.Generator = 0,
) -> Noise:
    """[D] K of T updates of pure noise, exact in law at any P (sections 2.5, 2.7, 9 of docs/theory.md).

    δ_t = norms_t·x_t/sqrt(P), x Gaussian in R^P, white over its entries and with autocorrelation tau in time, or with
    a colour that changes.

    Parameters
    ----------
    T : int
        Number of updates, at least 2.
    P : float
        (Effective) dimension, any real number >= 1; below T a fractional part is a dimension of smaller
        variance, such that (tr Σ)²/tr(Σ²) = P.
    norms : array_like, shape () or (T,)
        Root mean square norm of each update (parameter units).
    autocorrelation : array_like, shape (L,), or float, or Colour, optional
        As `null_ratio`; or the colour of each update, as `local_colour` finds it in a run.
    W_max : int, optional
        Make only lags 0 … W_max, in O(W_max²) per step; by default K is full, O(T³) in all.
    fix_norms : bool
        Bring each update to exactly its norm (K_tt = norms_t²) before the next follows from it: not Gaussian then,
        but directions are. As P grows this is the same.
    seed : int or numpy.random.Generator
        Same seed, same bits.

    Returns
    -------
    Noise

    Raises
    ------
    ValueError
        If an argument is out of its range, or the autocorrelation not positive definite.

    Examples
    --------
    >>> world = noise(200, P=1e9, norms=0.1, seed=1)
    >>> world.K.shape, round(float(world.K[7, 7]), 4), bool(abs(world.K[7, 5]) < 1e-5)
    ((200, 200), 0.01, True)
    """
    draw, tau = drawing(T, P, norms, autocorrelation, W_max, fix_norms)
    return Noise(draw(np.random.default_rng(seed)), np.arange(1, whole("T", T, 2) + 1), float(P), tau)


def drawing(
    T: int,
    P: float,
    norms: ArrayLike,
    autocorrelation: "ArrayLike | Colour | None",
    W_max: int | None,
    fixed: bool,
) -> tuple[Callable[[np.random.Generator], FloatArray], FloatArray]:
    """What makes K from random numbers, for who makes many, and the autocorrelation; arguments are those of `noise`."""
    T = whole("T", T, 2)
    P = float(positive("P", P))
    if P < 1:
        raise ValueError(f"P must be at least 1, got {P:g}")
    scale = positive("norms", norms)
    if scale.shape not in ((), (T,)):
        raise ValueError(f"norms must be one number or T = {T} of them, got shape {scale.shape}")
    if W_max is not None:
        W_max = whole("W_max", W_max, 1, T - 2)
    colour, tau = _colour_of(autocorrelation, T)
    scale = np.array(np.broadcast_to(scale, (T,)))
    if W_max is not None and W_max + 1 <= P and colour.phi.shape[1] <= W_max:
        nothing, everywhere = np.zeros((T, 0)), np.zeros((0, 1))
        size = np.array([P]), np.array([P**-0.5])
        return partial(noisy_band, nothing, everywhere, *size, scale, W_max, colour, fixed=fixed), tau

    def draw(rng: np.random.Generator) -> FloatArray:
        X = _coloured(_white(rng, T, P), colour, fixed) * scale[:, None]
        K = X @ X.T
        return K if W_max is None else as_band(K, W_max)

    return draw, tau


def projected(K: ArrayLike, d: int, seed: int | np.random.Generator) -> FloatArray:
    """[D] K after a random projection of the updates to d dimensions, exact in law from K alone (8.6).

    With a Gaussian projection of variance 1/d the inner products are L·A·Aᵀ·Lᵀ/d, K = L·Lᵀ and A normal (T, d).

    Parameters
    ----------
    K : array_like, shape (T, T)
        Full inner products (parameter units squared), positive semi-definite.
    d : int
        Dimensions kept.
    seed : int or numpy.random.Generator
        Same seed, same bits.

    Returns
    -------
    numpy.ndarray, shape (T, T), parameter units squared

    Raises
    ------
    ValueError
        If K is not full, or d < 1.

    Examples
    --------
    >>> kept = projected(np.eye(20), d=10_000, seed=1)
    >>> bool(np.abs(kept - np.eye(20)).max() < 0.06)
    True
    """
    array = inner_products(K)
    if not is_full(array):
        raise ValueError(f"K must be full (T, T) to be projected, got a band of shape {array.shape}")
    d = whole("d", d, 1)
    lam, u = np.linalg.eigh(array)
    A = (u * np.sqrt(np.maximum(lam, 0.0))) @ np.random.default_rng(seed).standard_normal((len(array), d))
    return np.asarray(A @ A.T / d)


def _colour_of(given: "ArrayLike | Colour | None", T: int) -> tuple[Colour, FloatArray]:
    """The colour of T updates, and the autocorrelation asked for (NaN beyond lag 0 where it changes in time)."""
    if not isinstance(given, Colour):
        tau = _autocorrelation.checked(given)
        return stationary(tau, T), tau
    if len(given.phi) != T:
        raise ValueError(
            f"autocorrelation must be the colour of T = {T} updates, got one of {len(given.phi)}"
        )
    return given, np.array([1.0] + [np.nan] * given.phi.shape[1])


def _coloured(white: FloatArray, colour: Colour, fixed: bool) -> FloatArray:
    """Each update from those before it and its white row; brought to length 1 at once where `fixed`."""
    X = np.sqrt(colour.variance)[:, None] * white
    memory = colour.phi.shape[1]
    for t in range(len(X)):
        before = min(t, memory)
        X[t] += colour.phi[t, :before] @ X[t - before : t][::-1]
        if fixed:
            X[t] /= np.linalg.norm(X[t])
    return X


def _white(rng: np.random.Generator, T: int, P: float) -> FloatArray:
    """Coordinates, shape (T, min(T, ceil P)), of T white vectors of mean square 1."""
    if P >= T:
        return bartlett(rng, 1, T, P)[0] / np.sqrt(P)
    n = int(P)
    scales = np.ones(n + (n < P))
    if n < P:  # one more dimension, of variance v: (n + v)² = P(n + v²)
        v = (n - np.sqrt(n * P * (n + 1 - P))) / (P - 1) if P > 1 else 0.0
        scales[-1] = np.sqrt(v)
    return np.asarray(rng.standard_normal((T, scales.size)) * scales / np.linalg.norm(scales))
