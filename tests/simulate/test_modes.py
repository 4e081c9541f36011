"""Modes followed by their directions, and what becomes of those that meet."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge import simulate, theory
from spectral_edge.simulate._modes import follow_each
from spectral_edge.theory.testing import trajectories
from tests.reference import simulate_modes as brute

W = 10


def quadratic(factors, first, T):
    """Updates of gradient descent on a quadratic: along eigenvector i, first_i·factor_i^s."""
    return np.asarray(first) * np.asarray(factors, dtype=float) ** np.arange(T)[:, None]


def meeting(falling, lasting, time, T, W=W):
    """K of two modes whose strengths, `lasting` the weaker one at first, meet in window `time`, and that time."""
    at = [np.linalg.norm(q ** np.arange(W)) for q in (falling, lasting)]
    first = at[0] / at[1] * (abs(falling) / abs(lasting)) ** time
    X = quadratic([falling, lasting], [1.0, first], T)
    return X @ X.T


def smooth(T, P=30, orders=6, seed=0, scale=0.02):
    """Updates that vary slowly: a Taylor expansion, whose window has singular values over many decades."""
    rng = np.random.default_rng(seed)
    time = scale * np.arange(T)[:, None]
    return sum(
        rng.normal(size=P) * np.sin(time * rng.uniform(0.2, 1) + rng.uniform(0, 6)) for _ in range(orders)
    )


def kinds(found):
    return {kind: int((found.kind == kind).sum()) for kind in ("exchange", "avoided", "lost")}


# -- following ----------------------------------------------------------------------------------------------


@given(
    trajectories(min_T=6, max_T=16, kinds=("gaussian", "spiked", "uneven", "low rank")),
    st.integers(2, 5),
    st.integers(1, 4),
)
def test_the_kernel_is_the_oracle(updates, W, memory):
    modes = simulate.follow_modes(updates @ updates.T, W, memory, rtol=1e-4)
    rank, overlap, pair = brute.follow(updates, W, memory, rtol=1e-4)
    np.testing.assert_array_equal(modes.rank, rank)
    np.testing.assert_allclose(modes.overlap, overlap, atol=1e-5)
    np.testing.assert_allclose(modes.pair_overlap, pair, atol=1e-5)


@given(trajectories(min_T=6, max_T=24), st.integers(2, 6), st.integers(1, 8))
def test_overlaps_are_at_most_one_and_ranks_a_permutation(updates, W, memory):
    modes = simulate.follow_modes(updates @ updates.T, W, memory)
    assert modes.overlap.min() >= 0
    assert modes.pair_overlap.max() <= 1 + 1e-12
    assert np.all(modes.overlap <= modes.pair_overlap)
    np.testing.assert_array_equal(np.sort(modes.rank, axis=1), np.tile(np.arange(W), (len(modes.rank), 1)))
    np.testing.assert_array_equal(
        -np.sort(-modes.sigma, axis=1), simulate.window_sigma(updates @ updates.T, W)
    )


@pytest.mark.parametrize("W", [5, 10])
@pytest.mark.parametrize("seed", range(4))
def test_smooth_windows_are_followed_and_nothing_exchanges(W, seed):
    X = smooth(400, seed=seed)
    modes = simulate.follow_modes(X @ X.T, W)
    ordered = np.sort(modes.sigma, axis=1)[:, ::-1]
    assert (ordered[:, 4] < 1e-6 * ordered[:, 0]).any()  # the windows of the old instability
    assert modes.pair_overlap.max() <= 1 + 1e-12
    assert modes.followed[:, :2].all()
    found = simulate.mode_exchanges(modes)
    assert kinds(found)["exchange"] == 0


def test_what_lies_below_the_floor_is_not_followed():
    X = quadratic([0.999, -0.99, 0.5], [1.0, 1e-3, 1e-9], 60)
    modes = simulate.follow_modes(X @ X.T, W)
    assert modes.followed[:, :2].all()
    assert not modes.followed[:, 2:].any()
    assert np.all(modes.overlap[:, 2:] == 0)
    assert np.all(modes.partner[:, 2:] == -1)
    # a floor for coarser inner products
    coarse = simulate.follow_modes(X @ X.T, W, rtol=0.02)
    assert coarse.followed[:, 0].all()
    assert not coarse.followed[:, 1].any()


def test_a_mode_that_rises_above_the_floor_is_new():
    X = quadratic([0.9, -0.99], [1.0, 1e-9], 160)
    modes = simulate.follow_modes(X @ X.T, W)
    ratio = np.sort(modes.sigma, axis=1)[:, -2] / np.max(modes.sigma, axis=1)
    known = np.flatnonzero(modes.followed[:, 1])
    assert 1e-6 < ratio[known[0]] < 5e-6
    np.testing.assert_array_equal(known, np.arange(known[0], len(ratio)))


def test_a_band_serves_as_well_as_all_of_K():
    X = np.random.default_rng(3).normal(size=(60, 80)) + smooth(60, P=80)
    full = simulate.follow_modes(X @ X.T, 6, memory=4)
    band = simulate.follow_modes(theory.as_band(X @ X.T, 9), 6, memory=4)
    for name in ("rank", "overlap", "pair_overlap", "partner"):
        np.testing.assert_array_equal(getattr(full, name), getattr(band, name))
    with pytest.raises(ValueError, match=r"W \+ memory = 10, got shape \(60, 9\)"):
        simulate.follow_modes(theory.as_band(X @ X.T, 8), 6, memory=4)


def test_several_sequences_at_once_are_followed_as_each_by_itself():
    X = np.random.default_rng(4).normal(size=(3, 40, 60)) * np.array([1.0, 3.0, 9.0])[:, None, None]
    X[1, 20:] *= 1e-9  # most of its modes fall below the floor
    K = X @ np.swapaxes(X, 1, 2)
    rank, sigma = follow_each(K, 7, 4)
    for i, own in enumerate(K):
        alone = simulate.follow_modes(own, 7, 4)
        np.testing.assert_array_equal(rank[i], alone.rank)
        np.testing.assert_array_equal(sigma[i], alone.sigma)


def test_a_run_shorter_than_the_memory():
    X = np.random.default_rng(0).normal(size=(7, 20))
    rank, overlap, _ = brute.follow(X, 5, 9, 1e-6)
    modes = simulate.follow_modes(X @ X.T, 5, memory=9)
    np.testing.assert_array_equal(modes.rank, rank)
    np.testing.assert_allclose(modes.overlap, overlap, atol=1e-9)


def test_a_jump_of_the_scale_leaves_nothing_that_is_not_finite():
    X = np.random.default_rng(1).normal(size=(40, 30))
    X[20] *= 1e9  # one update outweighs all that is remembered, and leaves again
    modes = simulate.follow_modes(X @ X.T, 5)
    assert np.isfinite(modes.overlap).all()
    assert not modes.followed[16:20, 1:].any()  # the others have no direction beside it
    zero = simulate.follow_modes(np.zeros((20, 20)), 5)
    assert np.all(zero.overlap[1:] == 0)


# -- exchanges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("falling", [0.999, 0.98, 0.95, 0.9])
@pytest.mark.parametrize("lasting", [-0.9995, -0.99])
def test_a_drift_is_overtaken_by_an_oscillation_when_the_closed_form_says(falling, lasting):
    """At the edge of stability: 10.2."""
    if abs(falling) > abs(lasting):
        falling, lasting = -abs(lasting), abs(falling)
    time, T = 150.3, 300
    K = meeting(falling, lasting, time, T)
    found = simulate.mode_exchanges(simulate.follow_modes(K, W))
    assert found.kind.tolist() == ["exchange"]
    assert found.rank.tolist() == [[1, 2]]
    assert found.time[0] == pytest.approx(time, abs=2)
    assert found.lead_weighted[0] > 20
    d = np.sqrt(np.sum(np.array([[falling, lasting]]) ** (2 * np.arange(W)[:, None]), axis=0))
    first = d[0] / d[1] * (abs(falling) / abs(lasting)) ** time
    stated = {p.id: p for p in theory.propositions()}.get("10.2")
    if stated is not None:
        expected = stated.evaluate(
            d_k=d[0], d_k1=first * d[1], h_k=1 - falling, h_k1=1 - lasting, eta=1.0, omega=0.0
        )
        assert expected == pytest.approx(time, rel=1e-9)


def patterns(first, growth, T):
    """Modes of different frequencies, orthogonal in every window of W: strengths first·growth^t, none like another."""
    t = np.arange(T)[:, None]
    time = np.cos(np.pi * np.arange(0, 6) * t / 5) * np.where(np.isin(np.arange(6), (0, 5)), 1, np.sqrt(2))
    return np.asarray(first) * np.asarray(growth) ** t * time[:, : len(first)]


def test_every_crossing_of_several_modes_is_found_once():
    first, growth = [0.733, 0.512, 0.467, 0.084, 0.046], [0.988, 0.992, 0.995, 0.999, 1.0]
    X = patterns(first, growth, 700)
    expected = [
        np.log(first[i] / first[j]) / np.log(growth[j] / growth[i]) for i in range(5) for j in range(i + 1, 5)
    ]
    assert np.diff(sorted(expected)).min() > 20  # one at a time
    found = simulate.mode_exchanges(simulate.follow_modes(X @ X.T, W)).of_kind()
    middle = (W - 1) / 2  # window t shows the strengths of this many updates later
    np.testing.assert_allclose(found.time, np.sort(expected) - middle, atol=2)
    assert np.all(np.diff(found.rank, axis=1) == 1)


def test_modes_that_do_not_cross_do_not_exchange():
    X = quadratic([0.99, -0.9, 0.7], [1.0, 0.3, 0.05], 200)  # the weaker ones fade faster
    assert kinds(simulate.mode_exchanges(simulate.follow_modes(X @ X.T, W))) == {
        "exchange": 0,
        "avoided": 0,
        "lost": 0,
    }


@pytest.mark.parametrize(("falling", "lasting", "W"), [(0.95, -0.955, 10), (0.99, -0.9999, 3)])
def test_an_avoided_crossing_is_none(falling, lasting, W):
    """Where two modes share part of their course in time, levels repel (10.5), here for longer than the memory."""
    K = meeting(falling, lasting, 150.3, 400, W=W)
    s = np.arange(W)
    cosine = abs(np.sum((falling * lasting) ** s)) / (np.linalg.norm(falling**s) * np.linalg.norm(lasting**s))
    closest = np.sqrt((1 + cosine) / (1 - cosine))
    assert 2 * cosine / np.log(lasting / -falling) > 3 * 6
    modes = simulate.follow_modes(K, W)
    found = simulate.mode_exchanges(modes, closed=1.01 * closest)
    assert found.kind.tolist() == ["avoided"]
    assert found.time[0] == pytest.approx(150, abs=1)
    ordered = np.sort(modes.sigma, axis=1)[:, ::-1]
    assert (ordered[:, 0] / ordered[:, 1]).min() == pytest.approx(closest, rel=1e-3)
    assert len(simulate.mode_exchanges(modes, closed=0.99 * closest).kind) == 0


def test_an_order_that_does_not_last_is_no_exchange():
    X = quadratic([1.0, -1.0], [1.0, 0.7], 120)
    X[80:84, 1] *= 4.0  # stronger while one of these is in the window, W + 3 windows long
    modes = simulate.follow_modes(X @ X.T, W)
    assert kinds(simulate.mode_exchanges(modes))["exchange"] == 2
    assert kinds(simulate.mode_exchanges(modes, hold=W + 4))["exchange"] == 0


def test_a_mode_that_turns_into_another_is_lost():
    T = 120
    X = np.zeros((T, 3))
    X[:, 0] = 1.0
    X[:60, 1] = 0.5 * (-1.0) ** np.arange(60)
    X[60:, 2] = 2.0 * (-1.0) ** np.arange(60)  # another direction takes over, stronger
    found = simulate.mode_exchanges(simulate.follow_modes(X @ X.T, W))
    assert kinds(found)["exchange"] == 0 or not np.any(
        (found.kind == "exchange") & (found.mode == [0, 1]).all(axis=1)
    )
    modes = simulate.follow_modes(X @ X.T, W)
    assert not modes.followed[50:70, 1:].all()


@pytest.mark.parametrize("P", [50, 5000])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_in_noise_nothing_can_be_followed_and_nothing_exchanges(P, rho):
    rng = np.random.default_rng(P)
    X = rng.normal(size=(400, P))
    for t in range(1, len(X)):
        X[t] += rho * X[t - 1]
    modes = simulate.follow_modes(X @ X.T, W)
    assert kinds(simulate.mode_exchanges(modes))["exchange"] == 0
    ahead = simulate.time_to_exchange(modes, simulate.mode_exchanges(modes))
    kept = ahead.time > W
    assert np.mean(kept[:, 1:]) < 0.02  # of the first mode, momentum's mean direction, more lasts
    smooth_modes = simulate.follow_modes(smooth(400) @ smooth(400).T, W)
    control = simulate.time_to_exchange(smooth_modes, simulate.mode_exchanges(smooth_modes))
    assert np.mean(control.time[:, 0] > W) > 0.9


def test_inner_products_rounded_to_float32_want_a_coarser_floor():
    X = smooth(300)
    K = (X @ X.T).astype(np.float32).astype(float)
    rounded, coarse = (simulate.follow_modes(K, W, rtol=rtol) for rtol in (1e-6, 0.02))
    assert not rounded.followed[:, 3].all()  # rounding has no direction that lasts
    assert coarse.followed[1:, 0].all()
    assert not coarse.followed[:, 4:].any()
    assert kinds(simulate.mode_exchanges(coarse))["exchange"] == 0


def test_times_to_exchange_and_censoring():
    K = meeting(0.97, -0.999, 100.4, 200)
    modes = simulate.follow_modes(K, W)
    found = simulate.mode_exchanges(modes)
    ahead = simulate.time_to_exchange(modes, found)
    n = len(modes.rank)
    t = np.arange(n)
    before = t < found.time[0]
    assert ahead.exchanged[before, 0].all()
    np.testing.assert_allclose(ahead.time[before, 0], found.time[0] - t[before])
    after = t >= found.window[0]
    assert not ahead.exchanged[after, 0].any()  # censored at the end
    np.testing.assert_allclose(
        ahead.time[after, 0], np.where(t[after] < n - found.hold, n - found.hold - t[after], np.nan)
    )
    assert np.isnan(ahead.time[:, 2:]).all()  # there are only two modes
    # a loss censors as well
    lost = modes.overlap.copy(), modes.pair_overlap.copy()
    for array in lost:
        array[60, 1] = 0.0
    cut = replace(modes, overlap=lost[0], pair_overlap=lost[1])
    again = simulate.time_to_exchange(cut, simulate.mode_exchanges(cut))
    assert not again.exchanged[:60, 0].any()
    np.testing.assert_array_equal(again.time[:59, 0], 59.0 - t[:59])
    assert again.exchanged[61:100, 0].all()


def test_at_the_gap_and_elsewhere():
    """A pair is at k* or not by where the widest ratio stands before it exchanges."""
    X = patterns([1.0, 0.3, 0.29], [0.98, 1.0, 1.0], 150)  # the third is no party
    found = simulate.mode_exchanges(simulate.follow_modes(X[:, :2] @ X[:, :2].T, W)).of_kind()
    assert found.lead[0] == found.lead_weighted[0] == found.window[0]
    above = np.concatenate([X, 300 * patterns([0, 0, 0, 1.0], np.ones(4), 150)], axis=1)
    below = simulate.mode_exchanges(simulate.follow_modes(above @ above.T, W)).of_kind()
    assert below.rank.tolist()[0] == [2, 3]
    assert below.lead_weighted[0] == below.lead[0] == 0


def test_the_propagated_window_is_followed_to_the_exchange_that_comes():
    """10.3: from one window before it, by the same follower; with the curvature of another time, it is not."""
    factors, first = np.array([0.9, -0.98, 0.5]), [1.0, 0.05, 0.01]
    X = quadratic(factors, first, 100)
    K, M = X @ X.T, X @ np.diag((1 - factors) / 0.1) @ X.T
    seen = simulate.mode_exchanges(simulate.follow_modes(K, W)).of_kind()
    assert seen.rank.tolist() == [[1, 2]]

    def forecast(response, t=5):
        block = K[t : t + W, t : t + W]
        future = theory.propagate_window(
            block, response, eta=0.1, omega=0.0, momentum=0.0, optimizer="sgd", n=60
        )
        modes = simulate.follow_modes(theory.continued_products(block, future), W)
        ahead = simulate.time_to_exchange(modes, simulate.mode_exchanges(modes))
        return t + ahead.time[0, 0], ahead.exchanged[0, 0]

    time, exchanged = forecast(M[5:15, 5:15])
    assert exchanged
    assert time == pytest.approx(seen.time[0], abs=0.1)
    other = X @ np.diag([1.5, 19.9, 5.0]) @ X.T  # as when the curvature was another
    time, exchanged = forecast(other[5:15, 5:15])
    assert not exchanged or abs(time - seen.time[0]) > 5


def test_bad_input():
    modes = simulate.follow_modes(np.eye(12), 4)
    with pytest.raises(ValueError, match="hold must be at least 1"):
        simulate.mode_exchanges(modes, hold=0)
    with pytest.raises(ValueError, match="closed must be above 1"):
        simulate.mode_exchanges(modes, closed=1.0)
    with pytest.raises(ValueError, match="rtol must be positive"):
        simulate.follow_modes(np.eye(9), 3, rtol=0)
