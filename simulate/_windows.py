"""Spectra of all windows of K at once: quick enough for thousands of noise sequences."""

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.simulate._compiling import compiling
from spectral_edge.theory.checks import FloatArray, whole
from spectral_edge.theory.gram import inner_products, is_full, max_lag
from spectral_edge.theory.spectrum import GramSpectrum


def window_sigma(K: ArrayLike, W: int) -> FloatArray:
    """[T] Singular values of every window of K (section 1), without directions.

    What ``theory.gram_spectrum(theory.window_blocks(K, W)).sigma`` says, to rounding, from eigenvalues alone and
    several windows at once.

    Parameters
    ----------
    K : array_like, shape (T, T) or (T, L + 1)
        Inner products of the updates (parameter units squared), full or the band of lags up to L.
    W : int
        Window, at least 1 and at most T and L + 1.

    Returns
    -------
    numpy.ndarray, shape (T - W + 1, W), parameter units
        Largest first; NaN for a window that holds NaN. The bits of a window do not depend on the others.

    Raises
    ------
    ValueError
        If K is malformed or does not hold lag W - 1.

    Notes
    -----
    Eigenvalues are right to some W·eps·λ_1, as those of any Gram matrix are: ``rtol=theory.gram_rtol(W)`` for
    their ratios.

    Examples
    --------
    >>> from spectral_edge import simulate, theory
    >>> run = simulate.noise(200, P=1e6, autocorrelation=0.5, W_max=10, seed=1)
    >>> sigma = simulate.window_sigma(run.K, 10)
    >>> theory.gap_ratio(sigma, rtol=theory.gram_rtol(10)).shape
    (191,)
    """
    return own_sigma(inner_products(K), W)


def own_sigma(K: FloatArray, W: int) -> FloatArray:
    """The same of a K that is one: of thousands that are made here, none is checked."""
    return np.sqrt(_of_windows(K, W, vectors=False).lam)


def gram_sigma(G: FloatArray) -> FloatArray:
    """The same of a stack of Gram matrices (n, W, W)."""
    n, W, _ = G.shape
    return np.sqrt(_eigenpairs(G.reshape(n * W, W), "STACK", (n, W), False).lam)


def window_spectrum(K: FloatArray, W: int) -> GramSpectrum:
    """What ``theory.gram_spectrum(theory.window_blocks(K, W))`` says, to rounding and signs; of a K that is one."""
    return _of_windows(K, W, vectors=True)


def stack_spectrum(bands: FloatArray, W: int) -> GramSpectrum:
    """The same of several sequences of one length, bands (m, T, L + 1); (m, T - W + 1, W) and vectors."""
    m, T, lags = bands.shape
    # one below the other; windows that reach from one into the next are made too, and left out
    lam, u = _eigenpairs(bands.reshape(m * T, lags), "BAND", (m * T - W + 1, W), vectors=True)
    first = np.arange(m)[:, None] * T + np.arange(T - W + 1)
    return GramSpectrum(lam[first], u[first])


def _of_windows(K: FloatArray, W: int, vectors: bool) -> GramSpectrum:
    W = whole("W", W, 1, len(K))
    if max_lag(K) < W - 1:  # the kernel would read beside K
        raise ValueError(f"W must be at most {max_lag(K) + 1} for this band of K, got {W}")
    return _eigenpairs(K, "FULL" if is_full(K) else "BAND", (len(K) - W + 1, W), vectors)


def _eigenpairs(K: FloatArray, layout: str, shape: tuple[int, int], vectors: bool) -> GramSpectrum:
    with compiling("the kernel of windows"):
        from spectral_edge.simulate._kernels import windows as kernel
    (n, W), lam = shape, np.empty(shape)
    u = np.empty((n if vectors else 0, W, W))
    kernel.eigenpairs(np.ascontiguousarray(K), getattr(kernel, layout), lam, u)
    return GramSpectrum(lam, u)
