"""K, full and banded, and the windows cut from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge.theory import as_band, gram, window_blocks
from spectral_edge.theory.testing import trajectories


@given(trajectories(), st.data())
def test_band_and_full_give_the_same_windows(updates, data):
    T = len(updates)
    K = updates @ updates.T
    W = data.draw(st.integers(1, T - 1))
    band = as_band(K, W - 1)
    assert band.shape == (T, W)
    assert np.array_equal(np.isnan(band), np.arange(W)[None, :] > np.arange(T)[:, None])
    full, banded = window_blocks(K, W), window_blocks(band, W)
    expected = np.stack([updates[i : i + W] @ updates[i : i + W].T for i in range(T - W + 1)])
    np.testing.assert_allclose(full, expected, rtol=1e-12, atol=1e-12 * abs(K).max())
    np.testing.assert_allclose(banded, full, rtol=1e-12, atol=1e-12 * abs(K).max())


def test_first_and_count_take_a_slice():
    K = np.diag(np.arange(1.0, 8.0))
    np.testing.assert_array_equal(window_blocks(K, 3, first=2, count=2), window_blocks(K, 3)[2:4])
    assert window_blocks(K, 3, first=5).shape == (0, 3, 3)


def test_lags_of_band_and_full_agree():
    updates = np.random.default_rng(1).normal(size=(6, 9))
    K = updates @ updates.T
    for lag in range(4):
        expected = [updates[t] @ updates[t - lag] for t in range(lag, 6)]
        np.testing.assert_allclose(gram.lagged(K, lag), expected)
        np.testing.assert_allclose(gram.lagged(as_band(K, 3), lag), gram.lagged(K, lag))
    np.testing.assert_allclose(as_band(as_band(K, 3), 1), as_band(K, 1))


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (np.zeros((3, 4)), "square"),
        (np.zeros(3), "square"),
        ([["a", "b"], ["c", "d"]], "numbers"),
        ([[1.0, 0.0, np.nan], [0.0, 1.0, 0.0], [np.nan, 0.0, 1.0]], "finite"),
        (np.full((4, 2), np.inf), "finite"),
        ([[-1.0, 0.0], [0.0, 1.0]], "diagonal"),
    ],
)
def test_malformed_K_is_refused(K, message):
    with pytest.raises(ValueError, match=f"K .*{message}"):
        gram.inner_products(K)


def test_what_K_does_not_hold_is_refused():
    band = as_band(np.eye(6), 2)
    with pytest.raises(ValueError, match="W must be at most 3"):
        window_blocks(band, 4)
    with pytest.raises(ValueError, match="W must be between 1 and 6"):
        window_blocks(np.eye(6), 7)
    with pytest.raises(ValueError, match="L must be between 0 and 4"):
        as_band(np.eye(6), 5)
    with pytest.raises(ValueError, match="lag must be"):
        gram.lagged(band, 3)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_merged_updates_are_those_of_fewer_snapshots(n: int) -> None:
    thetas = np.cumsum(np.random.default_rng(3).normal(size=(24, 30)), axis=0)
    updates, fewer = np.diff(thetas, axis=0), np.diff(thetas[::n], axis=0)
    full = gram.merged(updates @ updates.T, n)
    np.testing.assert_allclose(full, (fewer @ fewer.T)[: 23 // n, : 23 // n])
    band = gram.merged(gram.as_band(updates @ updates.T, 14), n)
    assert band.shape == (23 // n, 15 // n)
    if band.shape[0] > band.shape[1]:
        np.testing.assert_allclose(band, gram.as_band(full, 15 // n - 1))


def test_a_gap_stays_a_gap_when_updates_are_merged() -> None:
    band = np.full((12, 6), 1.0)
    band[np.arange(6) > np.arange(12)[:, None]] = np.nan
    for t in range(6, 11):
        band[t, t - 5 :] = np.nan  # update 6 begins anew
    found = gram.merged(band, 2)
    assert np.isnan(found[3:, 1:]).tolist() == [[True, True], [False, True], [False, False]]
    with pytest.raises(ValueError, match="n must be"):
        gram.merged(band, 4)
