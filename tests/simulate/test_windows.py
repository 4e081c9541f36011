"""Singular values of all windows at once are those that LAPACK finds one by one."""

from collections.abc import Callable

import numpy as np
import pytest

from spectral_edge import simulate, theory, validate
from spectral_edge.simulate._windows import gram_sigma, window_spectrum
from spectral_edge.theory.gram import as_band


def lapack(K: np.ndarray, W: int) -> np.ndarray:
    return theory.gram_spectrum(theory.window_blocks(K, W)).lam


@pytest.mark.parametrize("W", [1, 2, 3, 10, 20])
@pytest.mark.parametrize("T", [22, 67])  # fewer windows than lanes, and more
def test_full_and_band_agree_with_lapack(W: int, T: int) -> None:
    K = simulate.noise(T, P=300, autocorrelation=0.7, norms=np.geomspace(1, 1e-3, T), seed=1).K
    wanted = lapack(K, W)
    for given in (K, as_band(K, min(W, T - 2))):
        found = simulate.window_sigma(given, W) ** 2
        assert np.abs(found - wanted).max(axis=1) == pytest.approx(0, abs=1e-14 * wanted.max())
        assert (np.abs(found - wanted) <= 1e-14 * wanted[:, :1]).all()
    assert np.allclose(gram_sigma(theory.window_blocks(K, W)) ** 2, wanted, rtol=0, atol=1e-14 * wanted.max())


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_bits_depend_on_nothing_but_the_window(scale: float) -> None:
    K = scale * simulate.noise(80, P=40, autocorrelation=0.5, seed=2).K
    whole = simulate.window_sigma(K, 6)
    for first, last in ((0, 80), (3, 30), (41, 47)):
        assert np.array_equal(simulate.window_sigma(K[first:last, first:last], 6), whole[first : last - 5])
    assert np.allclose(whole**2, lapack(K, 6), rtol=0, atol=1e-14 * whole.max() ** 2)


def test_what_has_no_gap_and_what_is_not_there() -> None:
    assert not simulate.window_sigma(np.zeros((9, 9)), 4).any()
    alike = simulate.window_sigma(np.ones((9, 9)), 4)
    assert alike[:, 0] == pytest.approx(2)
    assert (alike[:, 1:] < 1e-7).all()
    K = np.eye(12)
    K[:6, 6:] = K[6:, :6] = np.nan  # a gap in the recording
    assert np.array_equal(
        np.isnan(simulate.window_sigma(K, 4)).all(axis=1), np.isnan(lapack(K, 4)).any(axis=1)
    )


def test_a_window_that_K_does_not_hold_is_refused() -> None:
    band = as_band(np.eye(12), 2)
    run = validate.GramSequence.from_inner_products(band)
    for work in (
        lambda W: simulate.window_sigma(band, W),
        lambda W: window_spectrum(band, W),
        lambda W: validate.WindowSpectra.from_sequence(run, W),
    ):
        with pytest.raises(ValueError, match="W must be at most 3 for this band of K, got 5"):
            work(5)
        for W in (0, 13):
            with pytest.raises(ValueError, match=f"W must be between 1 and 12, got {W}"):
                work(W)


@pytest.mark.parametrize("W", [1, 2, 10, 20])
@pytest.mark.parametrize(
    "decay", [0.0, 2.0, 9.0]
)  # nine decades of updates: smaller than rounding of the largest
def test_eigenvectors_are_orthonormal_and_leave_nothing(W: int, decay: float) -> None:
    updates = np.random.default_rng(3).normal(size=(90, 30)) * np.logspace(0, -decay, 30)
    K = np.cumsum(updates, axis=0) @ np.cumsum(updates, axis=0).T
    G, (lam, u) = theory.window_blocks(K, W), window_spectrum(K, W)
    assert np.array_equal(np.sqrt(lam), simulate.window_sigma(K, W))
    assert np.abs(np.swapaxes(u, 1, 2) @ u - np.eye(W)).max() < 1e-13
    assert (np.abs(G @ u - u * lam[:, None]).max(axis=(1, 2)) <= 1e-14 * lam[:, 0]).all()
    assert (np.abs(lam - lapack(K, W)) <= 1e-14 * lam[:, :1]).all()


def test_windows_of_rank_one_and_of_none_have_eigenvectors() -> None:
    for K in (np.ones((40, 40)), np.zeros((40, 40)), np.eye(40), 1e-200 * np.eye(40)):
        u = window_spectrum(K, 7).u
        assert np.abs(np.swapaxes(u, 1, 2) @ u - np.eye(7)).max() < 1e-14


def clustered(rng: np.random.Generator, W: int) -> np.ndarray:
    """One large eigenvalue over many that are nearly equal, as strong drift in noise has it."""
    lam = np.r_[1.0, 1e-3 * (1 + 10.0 ** rng.uniform(-14, -1) * rng.normal(size=W - 1))]
    return rng.permutation(lam)


def graded(rng: np.random.Generator, W: int) -> np.ndarray:
    return 10.0 ** rng.uniform(-18, 0, W)


def repeated(rng: np.random.Generator, W: int) -> np.ndarray:
    return rng.choice([0.0, 1e-9, 0.5, 1.0], W)


@pytest.mark.parametrize("law", [clustered, graded, repeated])
@pytest.mark.parametrize("W", [2, 3, 5, 10, 15, 20, 32])
def test_clusters_grades_and_repetitions_converge(law: Callable[..., np.ndarray], W: int) -> None:
    rng = np.random.default_rng(W)
    Q = np.linalg.qr(rng.normal(size=(150, W, W)))[0]
    G = np.einsum("nij,nj,nkj->nik", Q, np.array([law(rng, W) for _ in Q]), Q)
    G[::3] = [np.diag(law(rng, W)) for _ in G[::3]]  # and those that are diagonal already
    G = (G + np.swapaxes(G, 1, 2)) / 2
    found, wanted = gram_sigma(G) ** 2, np.maximum(np.linalg.eigvalsh(G)[:, ::-1], 0.0)
    assert (np.abs(found - wanted) <= 2e-14 * wanted[:, :1] + 1e-300).all()
    K = np.zeros((3 * W, 3 * W))
    for n in range(3):  # three blocks on the diagonal, and all windows that lie across them
        K[n * W : (n + 1) * W, n * W : (n + 1) * W] = G[n]
    lam, u = window_spectrum(K, W)
    blocks = theory.window_blocks(K, W)
    assert np.abs(np.swapaxes(u, 1, 2) @ u - np.eye(W)).max() < 1e-13
    assert np.abs(blocks @ u - u * lam[:, None]).max() <= 2e-14 * lam.max()
