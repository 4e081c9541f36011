"""The Krylov bound: the published form fails, the corrected one holds; the projection error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge import theory
from tests.reference import theory_dense as dense


@st.composite
def quadratics(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    W = draw(st.integers(4, 12))
    eta = 0.1
    fast = rng.uniform(1 / (eta * W), 1.9 / eta, draw(st.integers(0, W - 3)))
    slow = rng.uniform(draw(st.sampled_from([0.0, -0.3])), 1, 6) / (eta * W)
    h = np.concatenate([fast, slow])
    return h, rng.normal(size=len(h)) * 10 ** rng.uniform(-1, 1, len(h)), eta, W


@given(quadratics())
def test_all_but_K_plus_one_values_are_below_beta(model):
    h, first, eta, W = model
    X = theory.quadratic_window(h, first, eta, W)
    K = int(theory.krylov_count(h, eta, W))
    assert np.count_nonzero(h >= 1 / (eta * W)) == K
    sigma = dense.singular_values(X)
    if len(sigma) > K + 1:
        beta = theory.slow_mode_bound(h, first, eta, W)
        assert sigma[K + 1] <= beta * (1 + 1e-9) + 1e-12 * sigma[0]


@given(quadratics(), st.floats(-3, 1), st.integers(0, 2**32 - 1))
def test_where_it_is_guaranteed_the_gap_position_is_bounded(model, exponent, seed):
    h, first, eta, W = model
    P = 300
    rng = np.random.default_rng(seed)
    N = 10.0**exponent * rng.normal(size=(W, P)) / np.sqrt(P)
    X = N.copy()
    X[:, : len(h)] += theory.quadratic_window(h, first, eta, W)
    sigma = dense.singular_values(X)
    K, beta = theory.krylov_count(h, eta, W), theory.slow_mode_bound(h, first, eta, W)
    if theory.krylov_guaranteed(theory.gap_ratio(sigma), sigma[-1], beta, np.linalg.norm(N, 2)):
        assert theory.gap_position(sigma) <= K + 1


def test_the_guarantee_is_not_empty_and_the_published_bound_fails():
    rng = np.random.default_rng(0)
    eta, W, P = 0.1, 10, 2000
    h, first = np.array([8.0, 5.0, 0.02, 0.01]), np.array([30.0, 30.0, 30.0, 10.0])
    N = 0.5 * rng.normal(size=(W, P)) / np.sqrt(P)
    X = N.copy()
    X[:, :4] += theory.quadratic_window(h, first, eta, W)
    sigma = dense.singular_values(X)
    beta = theory.slow_mode_bound(h, first, eta, W)
    assert theory.krylov_guaranteed(theory.gap_ratio(sigma), sigma[-1], beta, np.linalg.norm(N, 2))
    # without noise ratios among the trailing values exceed the one at K + 1
    clean = dense.singular_values(theory.quadratic_window(h, first, eta, W)[:, :])
    assert theory.krylov_count(h, eta, W) == 2
    assert theory.gap_position(clean) > 2


def test_slow_modes_of_negative_curvature_need_their_growth():
    h, first, eta, W = np.array([-0.9, -0.5]), np.array([1.0, 1.0]), 0.1, 12
    sigma = dense.singular_values(theory.quadratic_window(h, first, eta, W))
    naive = np.sqrt(W * (W**2 - 1) / 12) * np.linalg.norm(eta * h * first)
    assert sigma[1] <= theory.slow_mode_bound(h, first, eta, W)
    assert theory.slow_mode_bound(h, first, eta, W) > naive
    # the statement without the growth factor is false: one mode, spread about its mean
    one = theory.quadratic_window([-0.9], [1.0], eta, W)
    spread = np.linalg.norm(one - one.mean(axis=0))
    assert spread > np.sqrt(W * (W**2 - 1) / 12) * eta * 0.9


def test_the_projection_error_is_one_over_root_d():
    d, n, gap = 100, 4000, 30.0
    rng = np.random.default_rng(3)
    X = np.zeros((2, 50))
    X[0, 0], X[1, 1] = gap, 1.0
    S = rng.normal(size=(n, 50, d)) / np.sqrt(d)
    sigma = theory.gram_spectrum((X @ S) @ np.swapaxes(X @ S, 1, 2)).sigma
    error = np.log(theory.gap_ratio(sigma)) - np.log(gap)
    assert error.std() == pytest.approx(theory.projection_error(d), rel=5 / np.sqrt(2 * n) + 0.02)
    assert error.std() != pytest.approx(theory.projection_error(2 * d), rel=5 / np.sqrt(2 * n) + 0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.krylov_count([1.0], 0.0, 10), "eta must be positive"),
        (lambda: theory.slow_mode_bound([1.0], [1.0], 0.1, 1), "W must be at least 2"),
        (lambda: theory.krylov_guaranteed(-1.0, 1.0, 1.0, 1.0), "R must be positive"),
        (lambda: theory.projection_error(0), "dimension must be positive"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
