"""Section 10: the window itself, against dense matrices, simulated noise and paths whose derivatives are known."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from spectral_edge import theory
from spectral_edge.theory.testing import trajectories

BY_ID = {p.id: p for p in theory.propositions()}
KINDS = ("gaussian", "spiked", "orthogonal", "near tie")


def smooth(T, r=1.0, P=12, seed=0):
    """Updates along a path that turns slowly, one record every r steps."""
    rng = np.random.default_rng(seed)
    rate, phase, size = rng.uniform(0.005, 0.02, 12), rng.uniform(0, 6, 12), rng.normal(size=(12, P))
    time = r * np.arange(T + 1)[:, None]
    return np.diff(np.sin(rate * time + phase) @ size, axis=0)


def modes_of(X):
    """Singular values and directions of a window, dense."""
    _, sigma, v = np.linalg.svd(X, full_matrices=False)
    return sigma, v


# -- in and out (10.1) --------------------------------------------------------------------------------------


@given(trajectories(kinds=KINDS), st.data())
def test_in_and_out_are_those_of_the_dense_directions(updates, data):
    W = data.draw(st.integers(2, len(updates) - 1))
    K = updates @ updates.T
    found = theory.in_out(K, W)
    for t in range(len(updates) - W):
        sigma, v = modes_of(updates[t : t + W])
        separate = (
            theory.spectral_separation(sigma**2) > 1e-6 * sigma[0] ** 2
        )  # a tie has no direction of its own
        entering, leaving = (v @ updates[t + W]) ** 2, (v @ updates[t]) ** 2
        scale = K.max()
        np.testing.assert_allclose(found.entering[t][separate], entering[separate], atol=1e-6 * scale)
        np.testing.assert_allclose(found.leaving[t][separate], leaving[separate], atol=1e-6 * scale)
        shares = (updates[t : t + W] @ v.T) ** 2
        for j in np.flatnonzero(separate):
            stated = BY_ID["10.1"].evaluate(proj=updates[t : t + W] @ v[j], W=W)
            assert stated == pytest.approx(sigma[j] ** 2)
            assert shares[:, j].sum() == pytest.approx(sigma[j] ** 2)


def test_the_change_is_right_to_first_order():
    rng = np.random.default_rng(4)
    base, x, y = np.diag([3.0, 2.0, 1.0]) @ np.eye(3, 8), rng.normal(size=8), rng.normal(size=8)
    errors = []
    for eps in (1e-2, 1e-3, 1e-4):
        X = np.concatenate([[np.sqrt(eps) * y], base, [np.sqrt(eps) * x]])
        K = X @ X.T
        actual = np.diff(theory.gram_spectrum(theory.window_blocks(K, 4)).lam, axis=0)[0, :3]
        errors.append(np.abs(theory.in_out(K, 4).change[0, :3] - actual).max())
        assert BY_ID["10.1b"].evaluate(enters=2.0, leaves=0.5) == 1.5
    slope = np.log10(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(slope - 2) < 0.2)  # what is left is of second order


def test_gradient_descent_takes_power_in_at_its_square():
    h, eta, W = 2.0, 0.1, 5
    X = theory.quadratic_window([h], [1.0], eta, 12)
    p = (X[:, 0] / eta) ** 2  # the gradient is minus the update over eta
    stated = [BY_ID["10.1c"].evaluate(eta=eta, p_enter=p[t + W], p_leave=p[t]) for t in range(7)]
    u = np.convolve(X[:, 0] ** 2, np.ones(W), "valid")
    np.testing.assert_allclose(np.diff(u), stated, rtol=1e-9)


# -- a quadratic loss (10.2, 10.5) --------------------------------------------------------------------------


@given(
    st.tuples(st.floats(0.05, 0.95), st.floats(1.05, 1.95)),
    st.floats(1.1, 100),
    st.floats(0, 0.2),
    st.sampled_from([5, 10]),
)
def test_two_modes_meet_when_their_strengths_do(kappas, ratio, decay, W):
    eta = 0.05
    h = np.array(kappas) / eta - decay
    q = 1 - eta * (h + decay)
    d = np.array([ratio, 1.0])
    time = float(theory.damping_exchange_time(d, h, eta=eta, omega=decay))
    assume(abs(np.log(abs(q[0] / q[1]))) > 1e-3)
    if abs(q[0]) > abs(q[1]):
        assert np.isnan(time)
        return
    assert d[0] * abs(q[0]) ** time == pytest.approx(d[1] * abs(q[1]) ** time)
    stated = BY_ID["10.2"].evaluate(d_k=d[0], d_k1=d[1], h_k=h[0], h_k1=h[1], eta=eta, omega=decay)
    assert time == pytest.approx(float(stated))
    # strengths are lengths of the window's columns
    X = d / np.linalg.norm(q ** np.arange(W)[:, None], axis=0) * q ** np.arange(W + int(time) + 2)[:, None]
    for t, sign in ((int(time), 1), (int(time) + 1, -1)):
        length = np.linalg.norm(X[t : t + W], axis=0)
        assert sign * (length[0] - length[1]) >= -1e-9 * length[0]


def test_equal_strengths_and_modes_that_die_at_once():
    assert theory.damping_exchange_time([1.0, 1.0], [2.0, 1.0], eta=0.1) == 0
    assert (
        theory.damping_exchange_time([2.0, 1.0], [10.0, 1.0], eta=0.1) == 0
    )  # eta·h = 1: gone after one step
    assert np.isnan(theory.damping_exchange_time([2.0, 1.0], [1.0, 1.0], eta=0.1))
    assert theory.damping_exchange_time([[2.0, 1.0]] * 3, [1.0, 0.5], eta=[0.1, 0.2, 0.3]).shape == (3,)


def test_the_measured_power_contradicts_both_published_flows():
    h, eta, W = 2.0, 0.01, 10
    X = theory.quadratic_window([h], [1.0], eta, 400)[:, 0]
    d = np.sqrt(np.convolve(X**2, np.ones(W), "valid"))
    power = np.convolve(X**2, np.ones(W), "valid") / (W * eta**2)  # mean of p over the window
    seen = np.diff(np.log(d))[0]
    drift = theory.signal_flow(d[0], 1e-6, h=h, p=power[0], eta=eta, omega=0.0, W=W)
    thesis = BY_ID["10.2b"].evaluate(eta=eta, h_j=h, omega=0.0)
    assert (np.log(drift) - np.log(d[0])) / 1e-6 == pytest.approx(thesis, rel=1e-3)
    assert thesis > 90
    assert BY_ID["10.2c"].evaluate(eta=eta, h_j=h, omega=0.0) == pytest.approx(0.48)
    assert seen == pytest.approx(-eta * h, rel=0.02)


def test_the_strength_that_gradient_noise_keeps_up():
    h, s, eta, W, n = 5.0, 2.0, 0.05, 6, 4000
    rng = np.random.default_rng(8)
    theta = rng.normal(size=n) * np.sqrt(eta * s / (h * (2 - eta * h)))
    u = np.zeros(n)
    for _ in range(W):
        update = -eta * (h * theta + np.sqrt(s) * rng.normal(size=n))
        theta, u = theta + update, u + update**2
    stated = theory.sgd_strength(s, h, eta=eta, W=W) ** 2
    assert BY_ID["10.2e"].evaluate(W=W, eta=eta, noise_power=s, h_j=h) == pytest.approx(stated)
    variance = eta * s / (h * (2 - eta * h))
    assert BY_ID["10.2d"].evaluate(W=W, eta=eta, noise_power=s, h_j=h, var_theta=variance) == pytest.approx(
        stated
    )
    assert stats.ttest_1samp(u, stated).pvalue > 1e-3
    wrong = float(theory.stationary_strength(h, s, 0.0, W)) ** 2  # control: 3.2 with p = s
    assert stats.ttest_1samp(u, wrong).pvalue < 1e-6


@given(st.floats(0.5, 1.0), st.floats(-1.0, 1.0).filter(lambda q: abs(q) > 0.3), st.integers(2, 12))
def test_the_least_ratio_is_the_least_over_all_strengths(q1, q2, W):
    found = theory.exchange_sharpness([q1, q2], W)
    courses = np.array([q1, q2]) ** np.arange(W)[:, None]
    courses /= np.linalg.norm(courses, axis=0)
    if found.cosine > 1 - 1e-6:
        return
    sigma = [np.linalg.svd(courses * [1.0, x], compute_uv=False) for x in np.geomspace(0.1, 10, 401)]
    ratios = [s[0] / s[1] for s in sigma]
    assert found.ratio == pytest.approx(min(ratios), rel=1e-6)
    assert BY_ID["10.5"].evaluate(cosine=float(found.cosine)) == pytest.approx(found.ratio)


# -- transport (10.6) ---------------------------------------------------------------------------------------


def test_the_rate_from_K_is_right_to_first_order():
    rng = np.random.default_rng(2)
    X, step = np.diag([4.0, 2.0, 1.0, 0.5]) @ np.linalg.qr(rng.normal(size=(9, 4)))[0].T, rng.normal(size=9)
    errors = []
    for eps in (1e-1, 1e-2, 1e-3):
        # rows of the next window against these: a run whose rows move by eps each record
        path = np.array([X[0] + eps * k * step for k in range(6)])
        K = path @ path.T
        rate = theory.transport_rate(K, 5)[0, 0]
        actual = np.diff(np.log(theory.gram_spectrum(theory.window_blocks(K, 5)).sigma[:, 0]))[0]
        errors.append(abs(rate - actual))
    slope = np.log10(np.array(errors[:-1]) / errors[1:])
    assert np.all(slope > 1.8)


def test_a_smooth_run_is_forecast_from_K_alone():
    X = smooth(200)
    K, W = X @ X.T, 10
    sigma = theory.gram_spectrum(theory.window_blocks(K, W)).sigma[:, :3]
    change = np.diff(np.log(sigma), axis=0)
    rate, lagged = theory.transport_rate(K, W)[:, :3], theory.transport_rate(K, W, lagged=True)[:, :3]

    def explained(forecast, actual):
        return 1 - np.sum((forecast - actual) ** 2, axis=0) / np.sum(actual**2, axis=0)

    assert np.all(explained(rate, change) > 0.99)
    assert np.all(explained(lagged[:-1], change[1:]) > 0.98)  # row i is known in window i + 1
    assert np.all(explained(lagged[:-1], change[1:]) > explained(change[:-1], change[1:]) - 0.02)
    in_out = theory.in_out(K, W).change[:, :3] / (2 * sigma[:-1] ** 2)
    assert np.all(
        explained(in_out, change)[1:] < 0
    )  # first order in C: no use for weak modes of a smooth run
    assert BY_ID["10.6c"].evaluate(shift_form=0.3, lam_j=2.0) == pytest.approx(0.15)


def test_a_shift_that_is_the_same_for_all_rows():
    X = 0.9 ** np.arange(8)[:, None] * np.array([[1.0, 2.0, 0.5]])
    for lagged in (False, True):
        rate = theory.transport_rate(X @ X.T, 3, lagged)
        expected = -0.1 if not lagged else 1 - 1 / 0.9
        np.testing.assert_allclose(rate[:, 0], expected, rtol=1e-9)
        assert np.isnan(rate[:, 1:]).all()


def test_the_flow_of_rows_and_its_rest():
    """10.6b with a Hessian that changes from row to row, against the next window."""
    rng = np.random.default_rng(6)
    eta, omega, W, P = 1e-5, 0.3, 4, 7
    X = rng.normal(size=(W, P)) * [[1.0], [2.0], [0.7], [1.5]]
    each = [a + a.T for a in rng.normal(size=(W, P, P))]
    later = np.array([row - eta * (H @ row + omega * row) for row, H in zip(X, each, strict=True)])
    U, d, V = np.linalg.svd(X, full_matrices=False)
    H = each[-1]
    for j in range(W):
        rest = sum(
            d[i] / d[j] * U[s, j] * U[s, i] * V[j] @ (each[s] - H) @ V[i] for i in range(W) for s in range(W)
        )
        stated = BY_ID["10.6b"].evaluate(eta=eta, omega=omega, h_j=V[j] @ H @ V[j], rest=rest, d_j=d[j])
        actual = np.linalg.svd(later, compute_uv=False)[j] - d[j]
        assert stated == pytest.approx(actual, rel=1e-3)


def test_the_sources_that_are_excluded():
    assert BY_ID["10.6d"].evaluate(W=10, eta=1e-3) == pytest.approx(2e4)
    assert BY_ID["10.6e"].evaluate(W=10) == 10


# -- the optimiser's metric (10.7) --------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_curvature_as_the_optimiser_sees_it(seed, W):
    rng = np.random.default_rng(seed)
    P = 9
    X, D = rng.normal(size=(W, P)), rng.uniform(0.2, 4, P)
    H = rng.normal(size=(P, P))
    H, gradient = H + H.T, rng.normal(size=P)
    _, v = modes_of(X)
    found = theory.optimizer_curvature(X @ X.T, (X / D) @ H @ X.T)
    seen = np.array([row @ (H / D[:, None]) @ row for row in v])
    np.testing.assert_allclose(found, seen, atol=1e-6 * np.abs(seen).max())
    modes = theory.metric_modes((X * D) @ X.T, X @ H @ X.T, X @ gradient)
    sigma, w = modes_of(X * np.sqrt(D))
    symmetric = H / np.sqrt(np.outer(D, D))
    np.testing.assert_allclose(modes.sigma, sigma, rtol=1e-6)
    expected = np.array([row @ symmetric @ row for row in w])
    np.testing.assert_allclose(modes.h, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(abs(modes.G), abs(w @ (gradient / np.sqrt(D))), atol=1e-6)
    np.testing.assert_allclose(
        np.sort(np.linalg.eigvals(H / D[:, None]).real), np.sort(np.linalg.eigvalsh(symmetric)), atol=1e-8
    )
    assert BY_ID["10.7"].evaluate(form_response=3.0, lam_j=2.0) == 1.5
    assert BY_ID["10.7b"].evaluate(form_hessian=3.0, lam_tilde=2.0) == 1.5
    assert BY_ID["10.7c"].evaluate(form_gradient=3.0, lam_tilde=4.0) == 1.5
    plain = theory.metric_modes(X @ X.T, X @ H @ X.T)  # D = 1: the window's own curvature
    np.testing.assert_allclose(plain.h, theory.optimizer_curvature(X @ X.T, X @ H @ X.T), rtol=1e-9)
    assert plain.G is None


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_curvature_from_the_metric_is_the_optimisers_within_the_window(seed, W):
    rng = np.random.default_rng(seed)
    X, D = rng.normal(size=(W, W)), rng.uniform(0.2, 4, W)  # the window spans everything
    X += 2 * np.eye(W)  # and is far from singular
    if np.linalg.cond(X) > 100:
        return
    H = rng.normal(size=(W, W))
    H = H + H.T
    own = theory.optimizer_curvature(X @ X.T, (X / D) @ H @ X.T)
    found = theory.projected_curvature(X @ X.T, (X * D) @ X.T, X @ H @ X.T)
    np.testing.assert_allclose(found, own, atol=1e-6 * np.abs(own).max())
    assert BY_ID["10.7d"].evaluate(form_projected=1.5) == 1.5
    # beyond the window: the nearest by the metric, which least squares finds
    longer, D = np.concatenate([X, rng.normal(size=(W, 3))], axis=1), np.append(D, [0.5, 1.0, 2.0])
    B = rng.normal(size=(W + 3, W + 3))
    B = B + B.T
    found = theory.projected_curvature(longer @ longer.T, (longer * D) @ longer.T, longer @ B @ longer.T)
    _, v = modes_of(longer)
    for one, row in zip(found, v, strict=True):
        c = np.linalg.lstsq(np.sqrt(D)[:, None] * longer.T, np.sqrt(D) * (B @ row / D))[0]
        assert one == pytest.approx(row @ longer.T @ c, abs=1e-6 * np.abs(found).max())


def test_a_metric_that_cannot_be_inverted_says_nothing():
    X = np.array([[1.0, 0.0], [2.0, 1e-3]])
    K = X @ X.T
    assert np.isfinite(theory.projected_curvature(K, K, K)).all()
    assert np.isnan(theory.projected_curvature(K, K, K, rtol=1e-2)).all()
    assert np.isnan(theory.projected_curvature(K, K, np.full((2, 2), np.nan))).all()


def test_modes_below_the_rank_tolerance_have_no_curvature():
    X = np.array([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    assert np.isfinite(theory.optimizer_curvature(X @ X.T, X @ X.T)).tolist() == [True, False, False]
    assert np.isnan(theory.optimizer_curvature(np.zeros((2, 2)), np.zeros((2, 2)))).all()


# -- a smooth run (10.8) ------------------------------------------------------------------------------------


@pytest.mark.parametrize("W", [3, 5, 10])
def test_singular_values_of_a_taylor_expansion(W):
    rng = np.random.default_rng(W)
    derivatives = rng.normal(size=(4, 9))[: min(W, 4)]
    lengths = np.abs(np.diag(np.linalg.qr(derivatives.T)[1]))  # each across those before it
    errors = []
    for r in (1e-1, 1e-2):
        time = r * (np.arange(W) - (W - 1) / 2)[:, None]
        powers = [time**i / np.prod(np.arange(1, i + 1)) for i in range(len(derivatives))]
        rows = r * sum(power * d for power, d in zip(powers, derivatives, strict=True))
        stated = theory.smooth_spectrum(lengths, W, r)
        sigma = np.linalg.svd(rows, compute_uv=False)[: len(derivatives)]
        errors.append(np.abs(sigma / stated - 1))
        for i, length in enumerate(lengths):
            formula = BY_ID["10.8b"].evaluate(interval=r, length=length, order=i, W=W)
            assert float(formula) == pytest.approx(stated[i])
    assert np.all(errors[1] < 0.02)
    assert np.all(errors[1] < 0.3 * errors[0] + 1e-6)
    ratio = BY_ID["10.8"].evaluate(W=W, tau_0=lengths[0] / lengths[1], interval=0.01)
    assert ratio == pytest.approx(stated[0] / stated[1])


def test_the_gap_ratio_of_a_smooth_run_measures_its_record_interval():
    ratios = []
    for r in (1, 2, 4, 8):
        X = smooth(60, r / 4)
        sigma = theory.gram_spectrum(theory.window_blocks(X @ X.T, 10)).sigma
        ratios.append(r * np.median(sigma[:, 0] / sigma[:, 1]))
    assert max(ratios) < 1.6 * min(ratios)  # R·r stays, while r grows eightfold
    noise = np.random.default_rng(0).normal(size=(480, 300))
    control = []
    for r in (1, 8):
        X = noise.reshape(-1, r, 300).sum(axis=1)
        sigma = theory.gram_spectrum(theory.window_blocks(X @ X.T, 10)).sigma
        control.append(r * np.median(sigma[:, 0] / sigma[:, 1]))
    assert control[1] > 6 * control[0]


# -- the recurrences, as numbers ----------------------------------------------------------------------------


def test_recurrences_evaluate():
    state = {"delta_s": 1.0, "response": 0.5, "eta": 0.1, "omega": 0.2}
    momentum = {**state, "delta_prev": 1.5, "momentum": 0.9}
    assert BY_ID["10.3"].evaluate(**state) == pytest.approx(1 - 0.05 - 0.02)
    assert BY_ID["10.3b"].evaluate(**momentum) == pytest.approx(1 - 0.45 - 0.05 - 0.02 * (1 - 1.35))
    assert BY_ID["10.3c"].evaluate(**momentum) == pytest.approx(1 - 0.45 - 0.05 - 0.02)
    assert BY_ID["10.3d"].evaluate(**momentum) == pytest.approx(1 - 0.45 - 0.005 - 0.02 * (1 - 1.35))
    assert BY_ID["10.3e"].evaluate(step_size=0.1, outside_response=3.0) == pytest.approx(0.3)
    assert BY_ID["10.3f"].evaluate(response_norm=5.0, inside_response=3.0) == 4
    assert BY_ID["10.3g"].evaluate(outside_response=0.0, row_error=0.0)
    assert not BY_ID["10.3g"].evaluate(outside_response=0.0, row_error=1.0)
    z = {"z_1": 0.9, "z_2": -0.5, "interval": 3}
    before, now, after = (
        sum(0.9 ** (3 * k + i) + 2 * (-0.5) ** (3 * k + i) for i in range(3)) for k in range(3)
    )
    assert BY_ID["10.3h"].evaluate(**z, block=now, block_prev=before) == pytest.approx(after)
    assert BY_ID["10.4"].evaluate(y=0.8 ** np.arange(6), W=6) == pytest.approx(0.8)
    assert BY_ID["10.6"].evaluate(delta_s=1.0, mean_response=0.5, eta=0.1, omega=0.2) == pytest.approx(0.93)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.in_out(np.eye(3), 3), "W must be between 2 and 2"),
        (lambda: theory.transport_rate(np.eye(3), 1), "W must be between 2 and 2"),
        (lambda: theory.damping_exchange_time([1.0, 0.0], [1.0, 1.0], eta=0.1), "d must be positive"),
        (lambda: theory.damping_exchange_time([1.0], [1.0, 1.0], eta=0.1), "d must be a pair"),
        (lambda: theory.sgd_strength(1.0, 30.0, eta=0.1, W=10), "h must be below 2/eta"),
        (lambda: theory.exchange_sharpness([0.0, 0.5], 10), "factor must not be 0"),
        (lambda: theory.optimizer_curvature(np.eye(3), np.eye(2)), r"response must be \(..., 3, 3\)"),
        (
            lambda: theory.projected_curvature(np.eye(3), np.eye(3), np.eye(2)),
            r"hessian must be \(..., 3, 3\)",
        ),
        (lambda: theory.metric_modes(np.eye(3), np.eye(2)), r"hessian must be \(..., 3, 3\)"),
        (lambda: theory.metric_modes(np.eye(3), np.eye(3), [1.0]), "gradient must have one value per update"),
        (lambda: theory.smooth_spectrum([], 3), "lengths must hold 1 to W = 3"),
        (lambda: theory.smooth_spectrum([1.0] * 4, 3), "lengths must hold 1 to W = 3"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
