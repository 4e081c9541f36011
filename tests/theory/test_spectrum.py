"""Gap position and ratio: oracle, invariances, the two readings, and where there is no gap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge import theory
from spectral_edge.theory.testing import spectra, windows
from tests.reference import theory_dense as dense


@given(spectra())
def test_position_and_ratio_are_those_of_a_loop(sigma):
    k, ratio = dense.gap(sigma)
    assert theory.gap_position(sigma) == k
    assert theory.gap_ratio(sigma) == pytest.approx(ratio, rel=1e-14)
    assert theory.amplitude_gap(sigma) == pytest.approx(sigma[k - 1] - sigma[k], rel=1e-14)
    expected = sigma[k - 1] ** 2 - sigma[k] ** 2
    assert theory.eigenvalue_gap(sigma) == pytest.approx(expected, rel=1e-9, abs=1e-12 * sigma[0] ** 2)


@given(spectra(), st.floats(-6, 6))
def test_scaling_the_parameters_changes_nothing_but_the_gap(sigma, exponent):
    scale = 2.0 ** round(3 * exponent)  # a power of two: exact
    for weighted in (False, True):
        assert theory.gap_position(scale * sigma, weighted) == theory.gap_position(sigma, weighted)
        assert theory.gap_ratio(scale * sigma, weighted) == theory.gap_ratio(sigma, weighted)
        assert theory.amplitude_gap(scale * sigma, weighted) == scale * theory.amplitude_gap(sigma, weighted)


@given(spectra())
def test_the_weighted_reading_maximises_its_own_score_and_never_beats_the_ratio(sigma):
    score = sigma[:-1] / sigma.sum() * sigma[:-1] / sigma[1:]
    k = int(theory.gap_position(sigma, weighted=True))
    assert score[k - 1] >= score.max() * (1 - 1e-12)
    assert theory.gap_ratio(sigma, weighted=True) == sigma[k - 1] / sigma[k]
    assert theory.gap_ratio(sigma, weighted=True) <= theory.gap_ratio(sigma)


def test_the_readings_differ_where_the_tail_is_noise():
    sigma = [100.0, 20.0, 18.0, 1.0, 0.1]
    assert theory.gap_position(sigma) == 3  # 18, ahead of 10
    assert theory.gap_position(sigma, weighted=True) == 1


def test_ties_go_to_the_smallest_position():
    assert theory.gap_position([4.0, 2.0, 1.0]) == 1
    assert theory.gap_position([1.0, 1.0, 1.0]) == 1
    assert theory.gap_ratio([1.0, 1.0, 1.0]) == 1


@given(windows(), st.integers(0, 2**32 - 1))
def test_the_window_s_spectrum_ignores_the_basis_and_the_shards(X, seed):
    rng = np.random.default_rng(seed)
    W, P = X.shape
    rotation = np.linalg.qr(rng.normal(size=(P, P)))[0]
    shards = np.array_split(rng.permutation(P), 3)
    sigma = theory.gram_spectrum(X @ X.T).sigma
    top = max(sigma[0], np.finfo(float).tiny)
    tolerance = 10 * theory.gram_rtol(W) * top
    np.testing.assert_allclose(sigma, dense.singular_values(X), atol=tolerance)
    rotated, sharded = X @ rotation, sum(X[:, s] @ X[:, s].T for s in shards)
    np.testing.assert_allclose(theory.gram_spectrum(rotated @ rotated.T).sigma, sigma, atol=tolerance)
    np.testing.assert_allclose(theory.gram_spectrum(sharded).sigma, sigma, atol=tolerance)


def test_below_rank_two_there_is_no_gap():
    for sigma in ([1.0, 0.0, 0.0], [0.0, 0.0], [1.0, 1e-17], [3.0, np.nan], [np.nan, np.nan]):
        for function in (theory.gap_position, theory.gap_ratio, theory.amplitude_gap, theory.eigenvalue_gap):
            assert np.isnan(function(sigma))


def test_a_rank_one_run_shows_no_gap_through_its_gram_matrix():
    X = np.outer([1.0, 2.0, 3.0, 0.5], np.random.default_rng(0).normal(size=50))
    sigma = theory.gram_spectrum(X @ X.T).sigma
    assert np.isnan(theory.gap_position(sigma, rtol=theory.gram_rtol(4)))
    rank_two = X + np.outer([1, -1, 1, -1], np.random.default_rng(1).normal(size=50))
    sigma = theory.gram_spectrum(rank_two @ rank_two.T).sigma
    assert theory.gap_position(sigma, rtol=theory.gram_rtol(4)) == 1


def test_leading_axes_broadcast_and_rows_fail_alone():
    sigma = np.array([[[9.0, 3.0, 1.0]], [[9.0, 8.0, np.nan]], [[2.0, 2.0, 1.0]]])
    k = theory.gap_position(sigma)
    assert k.shape == (3, 1)
    np.testing.assert_array_equal(k[:, 0], [1, np.nan, 2])


@given(spectra(min_W=3))
def test_the_subleading_gap_is_the_difference_of_two_eigenvalues(sigma):
    expected = sigma[1] ** 2 - sigma[2] ** 2
    assert theory.subleading_gap(sigma) == pytest.approx(expected, rel=1e-9, abs=1e-12 * sigma[1] ** 2)
    assert theory.subleading_gap(sigma) >= 0


def test_eigenvectors_belong_to_their_eigenvalues():
    X = np.random.default_rng(3).normal(size=(4, 5, 20))
    G = X @ np.swapaxes(X, -1, -2)
    lam, u = theory.gram_spectrum(G)
    np.testing.assert_allclose(G @ u, u * lam[..., None, :], rtol=1e-10, atol=1e-10)
    assert np.all(np.diff(lam, axis=-1) <= 0)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        ([1.0], "at least 2"),
        (3.0, "at least 2"),
        ([1.0, 2.0], "sorted"),
        ([1.0, -1.0], "not negative"),
        ([np.inf, 1.0], "finite"),
        (["a", "b"], "numbers"),
    ],
)
def test_what_is_no_spectrum_is_refused(sigma, message):
    with pytest.raises(ValueError, match=f"sigma must .*{message}"):
        theory.gap_position(sigma)


def test_other_bad_input():
    with pytest.raises(ValueError, match="at least 3"):
        theory.subleading_gap([2.0, 1.0])
    with pytest.raises(ValueError, match="square matrices"):
        theory.gram_spectrum(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="rtol"):
        theory.gap_ratio([2.0, 1.0], rtol=-1.0)
