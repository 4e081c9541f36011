"""Section 5: how far the window moves in one step, and what that guarantees for its directions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory.checks import FloatArray, nonnegative, positive, whole
from spectral_edge.theory.gram import inner_products, window_blocks
from spectral_edge.theory.spectrum import GramSpectrum, descending, gram_rtol, gram_spectrum

REGIMES = ("plateau", "transition", "forgetting", "undefined")


@dataclass(frozen=True)
class PerturbationNorms:
    """Size of Delta C = C_{t+1} - C_t, C = X^T X, between consecutive windows.

    Attributes
    ----------
    frobenius : ndarray, float64, parameter units squared
        ||Delta C||_F.
    operator : ndarray, float64, parameter units squared
        ||Delta C||_op.
    eigenvalue : ndarray, float64, parameter units squared
        sqrt(sum_j (Delta lambda_j)²): the published proxy, a lower bound of `frobenius` (5.2).
    """

    frobenius: FloatArray
    operator: FloatArray
    eigenvalue: FloatArray


def rank_two_norms(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """[D] Frobenius and operator norm of x x^T - y y^T from a = <x,x>, b = <y,y>, c = <x,y> (5.1).

    Parameters
    ----------
    a, b, c : array_like, broadcastable, parameter units squared

    Returns
    -------
    frobenius, operator : ndarray

    Raises
    ------
    ValueError
        If an entry is not finite, or a norm is negative.

    Examples
    --------
    >>> [float(x) for x in rank_two_norms(9.0, 4.0, 0.0)]
    [9.848857801796104, 9.0]
    """
    a, b = nonnegative("a", a), nonnegative("b", b)
    c = np.abs(np.asarray(c, dtype=np.float64))
    mean = np.sqrt(a) * np.sqrt(b)
    # written so that x = y gives 0 and not the rounding of a difference of squares
    determinant = np.maximum((mean - c) * (mean + c), 0.0)
    frobenius = np.hypot(a - b, np.sqrt(2 * determinant))
    operator = 0.5 * (np.abs(a - b) + np.hypot(a - b, 2 * np.sqrt(determinant)))
    return np.asarray(frobenius), np.asarray(operator)


def perturbation_norms(K: ArrayLike, W: int, spectrum: GramSpectrum | None = None) -> PerturbationNorms:
    """[D] Norms of the change of C = X^T X from each window to the next (5.1, 5.2).

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to W
        Inner products of the updates, parameter units squared (`theory.gram` has the convention).
    W : int
        Window, 1 <= W < T.
    spectrum : GramSpectrum, optional
        That of all windows, where it is there already: finding it takes longest.

    Returns
    -------
    PerturbationNorms
        Arrays of length T - W; entry i is the step from window i to window i + 1. NaN across a gap.

    Raises
    ------
    ValueError
        If `K` is malformed or does not hold lag W.

    Notes
    -----
    One update enters and one leaves, so Delta C has rank two and K gives its norms exactly; G_{t+1} - G_t
    entry by entry would not (its rows are other updates). Section 5 of docs/theory.md.

    Examples
    --------
    >>> perturbation_norms(np.diag([4.0, 1.0, 9.0]), 2).operator
    array([9.])
    """
    blocks = _pairs(K, W)
    frobenius, operator = rank_two_norms(blocks[:, -1, -1], blocks[:, 0, 0], blocks[:, -1, 0])
    lam = (spectrum or gram_spectrum(window_blocks(K, W))).lam
    return PerturbationNorms(frobenius, operator, np.linalg.norm(np.diff(lam, axis=0), axis=-1))


def _pairs(K: ArrayLike, W: int) -> FloatArray:
    """Blocks of W + 1 updates: a window and its successor, (T - W, W + 1, W + 1)."""
    array = inner_products(K)
    W = whole("W", W, 1, array.shape[0] - 1)
    return window_blocks(array, W + 1)


def spectral_separation(lam: ArrayLike) -> FloatArray:
    """gap_j = min(min_{i != j} |lambda_i - lambda_j|, lambda_j): C has P - W zero eigenvalues too (5.3).

    Parameters
    ----------
    lam : array_like, (..., W), descending
        Eigenvalues of the window, parameter units squared.

    Returns
    -------
    ndarray, (..., W), parameter units squared

    Raises
    ------
    ValueError
        If `lam` is negative, infinite or not descending.

    Examples
    --------
    >>> spectral_separation([9.0, 4.0, 3.0])
    array([5., 1., 1.])
    """
    array = descending("lam", lam, minimum=1)
    below = array - np.concatenate([array[..., 1:], np.zeros_like(array[..., :1])], axis=-1)
    above = np.concatenate([np.full_like(array[..., :1], np.inf), below[..., :-1]], axis=-1)
    return np.minimum(below, above)


def stability_coefficient(lam: ArrayLike, delta_norm: ArrayLike, C: float = 4.0) -> FloatArray:
    """[T] alpha_j = max(0, 1 - C·||Delta||²/gap_j²) (5.3).

    Parameters
    ----------
    lam : array_like, (..., W), descending
        Eigenvalues of the window, parameter units squared.
    delta_norm : array_like, (...)
        Size of the perturbation, parameter units squared: the operator norm with C = 4 makes alpha_j a
        guaranteed lower bound of the squared overlap of v_j with its successor (5.4); the Frobenius norm
        with C = 1 is guaranteed only where alpha_j >= 1/2; the eigenvalue-only norm guarantees nothing.
    C : float
        Constant, positive.

    Returns
    -------
    ndarray, (..., W), dimensionless, in [0, 1]
        0 where the gap vanishes; NaN where an input is NaN.

    Raises
    ------
    ValueError
        If `lam` is negative or not descending, `delta_norm` negative, or `C` not positive.

    Examples
    --------
    >>> stability_coefficient([9.0, 4.0, 3.0], 0.25)
    array([0.99, 0.75, 0.75])
    """
    C = float(positive("C", C))
    delta = _sizes("delta_norm", delta_norm)[..., None]
    gap = spectral_separation(lam)
    ratio = np.divide(
        delta, gap, out=np.full(np.broadcast_shapes(delta.shape, gap.shape), np.inf), where=gap > 0
    )
    missing = np.isnan(gap) | np.isnan(delta)
    with np.errstate(over="ignore"):
        alpha = np.maximum(0.0, 1.0 - C * ratio**2)
    return np.where(missing, np.nan, alpha)


def guaranteed_overlap(lam: ArrayLike, a: ArrayLike, b: ArrayLike, c: ArrayLike) -> FloatArray:
    """[D] Sharpest guaranteed <v_j, v_j'>² of 5.4 (sin 2 Theta): ½(1 + sqrt(1 - s²/gap²)) where s < gap.

    Parameters
    ----------
    lam : array_like, (..., W), descending
        Eigenvalues of the window, parameter units squared.
    a, b, c : array_like, (...)
        K_{t+1,t+1}, K_{t-W+1,t-W+1}, K_{t+1,t-W+1}; s = sqrt((a + b)² - 4c²).

    Returns
    -------
    ndarray, (..., W), in {0} or [1/2, 1]
        0 where nothing is guaranteed this way.

    Raises
    ------
    ValueError
        As `stability_coefficient`.

    Examples
    --------
    >>> guaranteed_overlap([9.0, 1.0], 1.0, 1.0, 0.8).round(3)
    array([0.994, 0.   ])
    """
    a, b = nonnegative("a", a), nonnegative("b", b)
    c = np.abs(np.asarray(c, dtype=np.float64))
    s = np.sqrt(np.maximum((a + b - 2 * c) * (a + b + 2 * c), 0.0))[..., None]
    gap = spectral_separation(lam)
    held = s < gap
    ratio = np.divide(s, gap, out=np.ones(held.shape), where=held)
    return np.where(held, 0.5 * (1 + np.sqrt(np.maximum((1 - ratio) * (1 + ratio), 0.0))), 0.0)


def mode_overlaps(K: ArrayLike, W: int, spectrum: GramSpectrum | None = None) -> FloatArray:
    """[D] Exact overlaps <v_j(t), v_l(t+1)> of consecutive windows' directions, from K alone (5.5).

    Parameters
    ----------
    K : array_like, (T, T) full, or a band holding lags up to W
    W : int
        Window, 1 <= W < T.
    spectrum : GramSpectrum, optional
        That of all windows, where it is there already: finding it takes longest.

    Returns
    -------
    ndarray, (T - W, W, W), dimensionless
        Entry [i, j, l]: mode j of window i with mode l of window i + 1. Signs are those of the
        eigenvectors and mean nothing; NaN where a mode lies below the rank tolerance.

    Raises
    ------
    ValueError
        If `K` is malformed or does not hold lag W.

    Examples
    --------
    >>> abs(mode_overlaps(np.diag([4.0, 1.0, 9.0]), 2)[0])
    array([[0., 0.],
           [0., 1.]])
    """
    blocks = _pairs(K, W)
    spectrum = spectrum or gram_spectrum(window_blocks(K, W))
    inner = np.swapaxes(spectrum.u[:-1], 1, 2) @ blocks[:, :-1, 1:] @ spectrum.u[1:]
    sigma = _resolved(spectrum.sigma)
    scale = sigma[:-1, :, None] * sigma[1:, None, :]
    return np.clip(inner / scale, -1.0, 1.0)


def _resolved(sigma: FloatArray) -> FloatArray:
    """Singular values of a Gram matrix, NaN below its rank tolerance."""
    return np.where(sigma > gram_rtol(sigma.shape[-1]) * sigma[:, :1], sigma, np.nan)


def adiabatic_parameter(delta_norm: ArrayLike, g: ArrayLike, eta: ArrayLike) -> FloatArray:
    """[T] Adiabatic parameter A = ||Delta G||_F/(eta·g²) (5.6).

    Parameters
    ----------
    delta_norm : array_like
        Perturbation per step, parameter units squared: `PerturbationNorms.frobenius` is the default
        reading, `.eigenvalue` the published one. State which was used.
    g : array_like
        Amplitude gap, parameter units.
    eta : array_like
        Learning rate, positive; NaN where it is not known.

    Returns
    -------
    ndarray, dimensionless
        Infinite where g = 0 < ||Delta||, NaN where both vanish or an input is NaN.

    Raises
    ------
    ValueError
        If `eta` is not positive, or `delta_norm` or `g` is negative or infinite.

    Examples
    --------
    >>> float(adiabatic_parameter(2e-4, 1.0, 1e-3))
    0.2
    """
    delta, gap, rate = _sizes("delta_norm", delta_norm), _sizes("g", g), np.asarray(eta, dtype=np.float64)
    positive("eta", np.where(np.isnan(rate), 1.0, rate))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(delta / gap / gap / rate)


def _sizes(name: str, value: ArrayLike) -> FloatArray:
    """Non-negative finite sizes; NaN (no window, no gap) passes."""
    array = np.asarray(value, dtype=np.float64)
    nonnegative(name, np.where(np.isnan(array), 0.0, array))
    return array


def adiabatic_regime(A: ArrayLike, low: float = 0.1, high: float = 10.0) -> NDArray[np.str_]:
    """[T] Name the regime of each adiabatic parameter (5.6); the two thresholds are ours.

    Parameters
    ----------
    A : array_like
        Adiabatic parameter, dimensionless.
    low, high : float
        "<< 1" is A < low, ">> 1" is A > high.

    Returns
    -------
    ndarray of str
        "plateau", "transition" or "forgetting"; "undefined" where A is NaN.

    Raises
    ------
    ValueError
        Unless 0 < low < high.

    Examples
    --------
    >>> adiabatic_regime([0.01, 1.0, 50.0]).tolist()
    ['plateau', 'transition', 'forgetting']
    """
    if not 0 < low < high:
        raise ValueError(f"low and high must satisfy 0 < low < high, got {low} and {high}")
    array = np.asarray(A, dtype=np.float64)
    names = np.array(REGIMES)
    index = np.select([np.isnan(array), array < low, array > high], [3, 0, 2], default=1)
    return names[index]
