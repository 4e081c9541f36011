"""Colour that changes in time: the local autoregression of a run's updates, estimated from K alone (2.7)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.simulate import _autocorrelation
from spectral_edge.theory.checks import FloatArray, whole
from spectral_edge.theory.gram import inner_products, is_full, max_lag, norms_squared, window_blocks

#: Updates that noise remembers, where nothing else is said: less than half a window of ten.
MEMORY = 4
#: Records to either side of one that its colour is estimated from: as far as a window of ten reaches.
REACH = 10
#: Lags whose inner products are looked at together.
_TOGETHER = 256


@dataclass(frozen=True)
class Colour:
    """How each update of a run follows from those before it, but for what is new: x_t = Σ_i φ_ti x_{t-i} + s_t ε_t.

    Noise with that correlation in time is that of section 2.7 of docs/theory.md.

    Attributes
    ----------
    phi : numpy.ndarray, shape (T, m), float64
        ``phi[t, i]`` multiplies update t - 1 - i (of unit norm) in the predictor of update t; 0 where there is none.
    variance : numpy.ndarray, shape (T,), float64
        s_t²: what the predictor leaves, in units of the squared norm, above 0.
    """

    phi: FloatArray
    variance: FloatArray


def stationary(tau: FloatArray, T: int) -> Colour:
    """The colour of noise whose autocorrelation stays tau_0 = 1 … tau_m, continued by its autoregression."""
    phi, variance = _autocorrelation.autoregression(tau)
    order = np.minimum(np.arange(T), tau.size - 1)
    return Colour(phi[order], variance[order])


def local_colour(K: ArrayLike, *, memory: int = MEMORY, reach: int = REACH) -> Colour:
    """[D] The autoregression of the updates around each record, by least squares from K (section 2.7).

    Updates of unit norm; the predictor of update t minimises Σ_s w_{s-t} ‖x_s - Σ_i φ_i x_{s-i}‖² with weights w that
    fall linearly to zero `reach` records away, and s inside the run. The sum of squares is a mean of blocks of K,
    which is positive semi-definite: nothing is tapered, and the noise made from it exists whatever K is.

    Parameters
    ----------
    K : array_like, shape (T, T) or a band of at least `memory` lags
        Inner products of the updates (parameter units squared).
    memory : int
        Order m of the autoregression. What a window shows beyond it, a direction that persists or returns, is not
        noise of this colour.
    reach : int
        Records to either side that count. Colour that changes within so many is smoothed.

    Returns
    -------
    Colour

    Raises
    ------
    ValueError
        If K does not hold `memory` lags, or the run is not longer than that.

    Examples
    --------
    >>> from spectral_edge import simulate
    >>> K = simulate.noise(200, P=1e6, autocorrelation=0.7, seed=1).K
    >>> colour = local_colour(K, memory=2)
    >>> colour.phi[100].round(2) + 0.0, colour.variance[100].round(2)
    (array([0.7, 0. ]), np.float64(0.51))
    """
    array = inner_products(K)
    T = len(array)
    memory = whole("memory", memory, 0, min(max_lag(array), T - 1))
    reach = whole("reach", reach, 1)
    blocks = _smoothed(_unit(window_blocks(array, memory + 1), norms_squared(array), memory), reach)
    phi, variance = np.zeros((T, memory)), np.ones(T)
    # oldest first: row t of the factor's inverse is the predictor of the last update of block t
    for t in range(min(memory, T)):  # the first updates, from as many as there are before them
        phi[t : t + 1, :t], variance[t : t + 1] = _predictor(blocks[:1, : t + 1, : t + 1])
    phi[memory:], variance[memory:] = _predictor(blocks)
    return Colour(phi, variance)


def effective_dimension(K: ArrayLike, colour: Colour, apart: int) -> float:
    """[F] Effective dimension of what is new in each update, from pairs more than `apart` records apart (2.5).

    Inner products of innovations of white noise in R^P are normal with variance 1/P: their median size says what P is,
    and a few pairs that share a direction do not turn it. Signal that returns lowers it all the same.

    Parameters
    ----------
    K : array_like, shape (T, T) or a band
        Inner products of the updates (parameter units squared).
    colour : Colour
        Of the same run.
    apart : int
        Lags up to this one are left out.

    Returns
    -------
    float
        Infinite where K holds no such pair, or none that differs from zero.

    Raises
    ------
    ValueError
        If the colour is not that of a run of this length.

    Examples
    --------
    >>> from spectral_edge import simulate
    >>> K = simulate.noise(300, P=2000, autocorrelation=0.8, seed=1).K
    >>> bool(abs(effective_dimension(K, local_colour(K), 10) / 2000 - 1) < 0.1)
    True
    """
    array = inner_products(K)
    T, memory = colour.phi.shape
    if len(array) != T:
        raise ValueError(f"colour must be that of a run of {len(array)} updates, got one of {T}")
    norms = np.sqrt(norms_squared(array))
    safe = np.where(norms > 0, norms, 1.0)
    # what is new is Σ_a c_ta x_{t-a}/s_t, c = (1, -φ); in a band the lags l ± memory must be there
    c = np.concatenate([np.ones((T, 1)), -colour.phi], axis=1) / np.sqrt(colour.variance)[:, None]
    sizes, t = [np.zeros(0)], np.arange(T)[:, None]
    first, end = max(apart, memory) + 1, min(max_lag(array), T - 1) - memory + 1
    for low in range(first, end, _TOGETHER):
        high = min(low + _TOGETHER, end)
        lags = np.arange(low - memory, high + memory)
        earlier = np.maximum(t - lags, 0)
        inner = array[t, earlier] if is_full(array) else array[:, lags]
        inner = inner / (safe[:, None] * safe[earlier])
        half = np.zeros((T, len(lags) - memory))  # what is new in t with the update `low` and more before it
        for a in range(memory + 1):
            half[a:] += c[a:, a, None] * inner[: T - a, memory - a : len(lags) - a]
        wanted = slice(memory, len(lags) - memory)
        new = np.zeros((T, high - low))
        for b in range(memory + 1):
            new += c[earlier[:, wanted], b] * half[:, b : b + high - low]
        sizes.append(np.abs(new[lags[wanted] <= t - memory]))
    found = np.concatenate(sizes)
    size = float(np.median(found)) if len(found) else 0.0
    return (0.6744897501960817 / size) ** 2 if size > 0 else float("inf")


def _unit(blocks: FloatArray, squared: FloatArray, memory: int) -> FloatArray:
    """The blocks of updates of unit norm; an update of norm zero is like no other."""
    norms = np.sqrt(squared)
    inverse = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    rows = np.lib.stride_tricks.sliding_window_view(inverse, memory + 1)
    unit = blocks * rows[:, :, None] * rows[:, None, :]
    diagonal = np.arange(memory + 1)
    unit[:, diagonal, diagonal] = 1.0
    return unit


def _smoothed(blocks: FloatArray, reach: int) -> FloatArray:
    """Mean of the blocks around each, with weights that fall linearly to zero `reach` away."""
    n = len(blocks)
    total, weight = np.zeros_like(blocks), np.zeros(n)
    for offset in range(-min(reach, n) + 1, min(reach, n)):
        w = 1 - abs(offset) / reach
        into, of = slice(max(0, -offset), n - max(0, offset)), slice(max(0, offset), n + min(0, offset))
        total[into] += w * blocks[of]
        weight[into] += w
    return total / weight[:, None, None]


def _predictor(blocks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients, newest update first, and what is left, of the last update of each block from the others."""
    past, cross = blocks[:, :-1, :-1], blocks[:, :-1, -1]
    # a predictable run (float32, full batch) leaves no variance: one part in 1e10 is added to what is there
    ridge = _autocorrelation.TOLERANCE * np.eye(past.shape[1])
    weights = np.linalg.solve(past + ridge, cross[:, :, None])[:, :, 0]
    left = blocks[:, -1, -1] - np.einsum("ni,ni->n", weights, cross)
    return weights[:, ::-1], np.maximum(left, _autocorrelation.TOLERANCE)  # type: ignore[return-value]
