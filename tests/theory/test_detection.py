"""Thresholds, the noise floor, spikes and nulls: limits, round trips, and samples with their errors."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spectral_edge import theory
from spectral_edge.theory.testing import spectra
from tests.reference import theory_dense as dense

scales = st.floats(-4, 4).map(lambda x: 10.0**x)
shapes = st.tuples(st.floats(2, 12).map(lambda x: 10.0**x), st.integers(2, 64))


@given(scales, shapes)
def test_the_two_forms_of_the_threshold_agree(eta, shape):
    P, W = shape
    B = 32.0
    nu = theory.a_priori_nu(eta, B, P)
    assert theory.bbp_threshold(nu, P, W) == pytest.approx(eta * (W - 1) ** 0.25 * B**-0.5 * P**-0.25)
    assert theory.noise_floor(nu, P) == pytest.approx(eta / np.sqrt(B))  # whatever P is
    lower, upper = theory.noise_edges(nu, P, W)
    assert lower < theory.noise_floor(nu, P) < upper
    assert theory.direction_scale(nu, P, W) > theory.noise_floor(nu, P)


def test_pure_noise_lies_at_the_floor_and_passes_the_published_rule():
    P, W, n = 4000, 4, 300
    rng = np.random.default_rng(0)
    sigma = np.linalg.svd(rng.normal(size=(n, W, P)), compute_uv=False)
    # each sigma is nu·sqrt(P) up to the edges' sqrt(W) and a fluctuation of size 1
    assert np.all(np.abs(sigma - theory.noise_floor(1.0, P)) < np.sqrt(W) + 5)
    ratio = sigma[:, -1] / theory.bbp_threshold(1.0, P, W)
    assert np.all(ratio > 5)
    assert ratio.mean() == pytest.approx((P / (W - 1)) ** 0.25, rel=2 * np.sqrt(W / P))


@given(shapes)
def test_noise_s_own_ratio_tends_to_a_power_of_P(shape):
    P, W = int(shape[0]), shape[1]
    if P <= W:
        return
    answer = theory.bbp_vacuity(P, W, 1e-3, 20)
    limit = (P / (W - 1)) ** 0.25
    assert answer.ratio == answer.noise_ratio == pytest.approx(limit * (1 - np.sqrt(W / P)), rel=1e-12)
    assert answer.vacuous == (answer.ratio > 5)
    assert answer.informative != answer.vacuous  # for pure noise passing the rule is being uninformative


def test_the_answer_for_given_windows():
    sigma = [[4.0, 3.0, 2.0], [4.0, 1.0, 0.5], [np.nan] * 3]
    answer = theory.bbp_vacuity(10**8, 3, 1e-3, 20, sigma)
    assert answer.ratio == 0.5 / answer.d_crit
    assert answer.floor_ratio == 0.5 / answer.noise_floor
    assert answer.observed
    assert "weakest sigma_W seen" in str(answer)
    few = theory.bbp_vacuity(16, 2, 1.0, 1, [9.0, 6.0])  # P so small that noise alone would not pass
    assert few.informative
    assert few.vacuous
    assert "says something" in str(few)


def test_the_sentence_names_the_noise_floor_and_the_three_scales():
    answer = theory.bbp_vacuity(1.6e8, 10, 1e-3, 20)
    text = str(answer)
    assert len(re.findall(r"\.(?!\d)", text)) == 1  # one sentence
    for value in (answer.ratio, answer.d_crit, answer.noise_floor, answer.direction_scale):
        assert f"{value:.3g}" in text
    assert "noise floor" in text
    assert "no evidence of signal" in text


@given(st.floats(0.0, 3.0), scales, shapes)
def test_forward_and_inverse_are_inverse(exponent, nu, shape):
    P, W = shape
    if P < W:
        return
    d = nu * (P * W) ** 0.25 * (1 + 10.0**exponent / 10)
    sigma = theory.spike_forward(d, nu, P, W)
    assert theory.spike_inverse(sigma, nu, P, W) == pytest.approx(d, rel=1e-6)
    theta2, c = d**2 / (nu**2 * P), W / P
    found = theory.overlaps(d, nu, P, W)
    assert found.window == pytest.approx(1 - c * (1 + theta2) / (theta2 * (theta2 + c)), abs=1e-9)
    assert found.parameter == pytest.approx(1 - (c + theta2) / (theta2 * (theta2 + 1)), abs=1e-9)
    assert sigma == pytest.approx(np.sqrt((d**2 + nu**2 * P) * (d**2 + nu**2 * W)) / d)


@given(scales, shapes, st.floats(0, 1))
def test_below_the_threshold_nothing_is_seen(nu, shape, part):
    P, W = shape
    if P < W:
        return
    d = part * nu * (P * W) ** 0.25 * (1 - 1e-9)
    edge = nu * (np.sqrt(P) + np.sqrt(W))
    assert theory.spike_forward(d, nu, P, W) == pytest.approx(edge)
    assert theory.overlaps(d, nu, P, W) == (0, 0)
    assert np.isnan(theory.spike_inverse(part * edge, nu, P, W))


def test_a_direction_is_recovered_only_at_the_noise_floor():
    P, W, nu = 10**8, 10, 1e-3
    above_threshold = theory.overlaps(10 * theory.bbp_threshold(nu, P, W), nu, P, W)
    assert above_threshold.window > 0.98
    assert above_threshold.parameter < 0.05
    at_floor = theory.overlaps(theory.noise_floor(nu, P), nu, P, W)
    assert at_floor.parameter == pytest.approx(0.5, abs=1e-3)  # d²/(d² + nu²P)


@given(scales, st.integers(2, 64), st.integers(0, 10**6))
def test_half_of_a_direction_is_recovered_at_its_scale(nu, W, more):
    P = W + more
    found = theory.overlaps(theory.direction_scale(nu, P, W), nu, P, W)
    assert found.parameter == pytest.approx(0.5)


def test_planted_spikes_are_seen_where_the_limit_says():
    P, W, nu, n = 2000, 10, 1.0, 400
    d = 2.5 * (P * W) ** 0.25
    seen = dense.spiked_windows(d, nu, P, W, n, seed=1)
    error = seen.std(axis=0, ddof=1) / np.sqrt(n)
    finite_size = 0.004 * seen[:, 0].mean()  # of relative order 1/W in sigma² beyond the floor
    for rows in (W, W - 1):
        assert abs(seen[:, 0].mean() - theory.spike_forward(d, nu, P, rows)) < 5 * error[0] + finite_size
    window, parameter = theory.overlaps(d, nu, P, W - 1)
    assert abs(seen[:, 1].mean() - window) < 5 * error[1] + 0.01
    assert abs(seen[:, 2].mean() - parameter) < 5 * error[2] + 0.01
    # negative control: the same tolerance rejects "sigma is d" and "the direction is recovered"
    assert abs(seen[:, 0].mean() - d) > 5 * error[0] + finite_size
    assert abs(seen[:, 2].mean() - window) > 5 * error[2] + 0.01


@pytest.mark.parametrize("W", [3, 5, 10, 33])
def test_the_bias_is_that_of_sampled_matrices(W):
    n = 20_000
    samples = dense.goe_lower_half(W, n, seed=W)
    error = samples.std(ddof=1) / np.sqrt(n)
    assert abs(theory.lower_half_bias(W) - samples.mean()) < 5 * error + 0.002  # 0.002: the quadrature
    assert abs(theory.lower_half_bias(W) * 1.1 - samples.mean()) > 5 * error + 0.002  # control


def test_the_bias_where_it_is_known():
    assert theory.lower_half_bias(2) == pytest.approx(np.sqrt(np.pi) / 2, abs=0.002)
    assert theory.lower_half_bias(64) == pytest.approx(8 / (3 * np.pi), abs=0.01)


def test_the_estimate_of_nu_with_and_without_its_bias():
    P, W, nu, n = 1000, 10, 0.3, 2000
    X = nu * np.random.default_rng(5).normal(size=(n, W, P))
    sigma = theory.gram_spectrum(X @ np.swapaxes(X, 1, 2)).sigma
    raw = theory.estimate_nu(sigma, P, debias=False) ** 2
    clean = theory.estimate_nu(sigma, P) ** 2
    error = 5 * raw.std(ddof=1) / np.sqrt(n)
    assert abs(raw.mean() / nu**2 - (1 - 0.875 * np.sqrt(W / P))) < error / nu**2 + 2 * W / P
    assert abs(clean.mean() / nu**2 - 1) < error / nu**2 + 2 * W / P
    assert abs(raw.mean() / nu**2 - 1) > error / nu**2 + 2 * W / P  # control: uncorrected it is off
    wide = theory.estimate_nu(sigma[0], P, P_eff=10 * P)
    assert theory.estimate_nu(sigma[0], P, debias=False) < wide < theory.estimate_nu(sigma[0], P)


@given(spectra(), shapes)
def test_the_plug_in_ratio_is_exact(sigma, shape):
    P, W = shape[0], len(sigma)
    nu = theory.estimate_nu(sigma, P, debias=False)
    exact = theory.plug_in_ratio(sigma) * (P / (W - 1)) ** 0.25
    assert sigma[-1] / theory.bbp_threshold(nu, P, W) == pytest.approx(exact, rel=1e-12)
    assert 0 <= theory.plug_in_ratio(sigma) <= 1 + 1e-15


def test_effective_dimension_of_anisotropic_noise():
    spectrum = 1 / np.arange(1.0, 401.0)
    P_eff = spectrum.sum() ** 2 / (spectrum**2).sum()
    updates = np.random.default_rng(7).normal(size=(400, 400)) * np.sqrt(spectrum)
    K = updates @ updates.T
    # 400 updates: relative error about 2·sqrt(1/400 + 1/P_eff²) of few per cent; 10 % and 20 % are wide
    assert theory.effective_dimension(K, 10) == pytest.approx(P_eff, rel=0.1)
    assert theory.effective_dimension(theory.as_band(K, 60), 10) == pytest.approx(P_eff, rel=0.2)
    assert theory.effective_dimension(K, 10) != pytest.approx(400, rel=0.5)
    assert theory.effective_dimension(np.eye(5), 1) == np.inf


def test_entries_of_G_spread_by_the_effective_dimension():
    spectrum = 1 / np.arange(1.0, 201.0)
    P_eff = spectrum.sum() ** 2 / (spectrum**2).sum()
    X = np.random.default_rng(8).normal(size=(20_000, 2, 200)) * np.sqrt(spectrum)
    G = X @ np.swapaxes(X, 1, 2) / spectrum.sum() - np.eye(2)
    # relative error of a standard deviation from n heavy-ish samples: 5 %
    assert G[:, 0, 1].std() == pytest.approx(P_eff**-0.5, rel=0.05)
    assert G[:, 0, 0].std() == pytest.approx(np.sqrt(2 / P_eff), rel=0.05)


def test_autocorrelation_of_noise_with_momentum():
    rng = np.random.default_rng(9)
    updates = np.zeros((300, 400))
    for t in range(1, 300):
        updates[t] = 0.9 * updates[t - 1] + rng.normal(size=400)
    K = updates[60:] @ updates[60:].T
    tau = theory.autocorrelation(K, 12)
    assert tau[0] == 1
    np.testing.assert_allclose(tau, 0.9 ** np.arange(13), atol=0.05)
    np.testing.assert_allclose(theory.autocorrelation(theory.as_band(K, 12), 12), tau)
    assert np.all(np.isnan(theory.autocorrelation(np.zeros((3, 3)), 1)))


def test_momentum_makes_a_gap_from_noise_alone():
    sigma = theory.autocorrelated_null(0.9 ** np.arange(20), 10)
    assert theory.gap_position(sigma) == 1
    assert theory.gap_ratio(sigma) == pytest.approx(2.25, abs=0.005)
    white = theory.autocorrelated_null(np.eye(10)[0], 10)
    np.testing.assert_allclose(white, 1)


def test_the_null_of_two_rows_is_exact():
    P, n = 50, 20_000
    X = np.random.default_rng(10).normal(size=(n, 2, P))
    sigma = theory.gram_spectrum(X @ np.swapaxes(X, 1, 2)).sigma
    R = sigma[:, 0] / sigma[:, 1]
    assert stats.kstest(theory.two_row_null_survival(R, P), "uniform").pvalue > 1e-3
    assert stats.kstest(theory.two_row_null_survival(R, P - 2), "uniform").pvalue < 1e-3  # control


@given(st.floats(1, 100), st.floats(2, 1e9))
def test_the_two_row_null_falls_with_the_ratio(R, P):
    survival = theory.two_row_null_survival(R, P)
    assert 0 <= survival <= 1
    assert theory.two_row_null_survival(R * 1.01, P) <= survival
    assert survival == pytest.approx((2 * R / (1 + R * R)) ** (P - 1), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.a_priori_nu(0.0, 1, 1), "eta must be positive"),
        (lambda: theory.a_priori_nu(1.0, -1, 1), "B must be positive"),
        (lambda: theory.bbp_threshold(1.0, 100, 1), "W must be at least 2"),
        (lambda: theory.bbp_threshold(1.0, 0, 2), "P must be positive"),
        (lambda: theory.noise_edges(1.0, 4, 10), "W must not exceed P"),
        (lambda: theory.spike_forward(-1.0, 1.0, 100, 10), "d must not be negative"),
        (lambda: theory.spike_inverse(np.nan, 1.0, 100, 10), "sigma must be finite"),
        (lambda: theory.bbp_vacuity(5, 10, 1.0, 1.0), "W must be between 2 and 5"),
        (lambda: theory.bbp_vacuity(50, 3, 1.0, 1.0, [3.0, 2.0]), "sigma must have W = 3"),
        (lambda: theory.bbp_vacuity(50, 2, 1.0, 1.0, [np.nan, np.nan]), "sigma must hold"),
        (lambda: theory.effective_dimension(np.eye(3), 2), "K must hold pairs more than W = 2"),
        (lambda: theory.autocorrelation(np.eye(3), 3), "max_lag must be"),
        (lambda: theory.autocorrelated_null([1.0, 0.5], 3), "tau must be a vector"),
        (lambda: theory.autocorrelated_null([1.0, -1.0, -1.0], 3), "tau must be an autocorrelation"),
        (lambda: theory.two_row_null_survival(0.5, 10), "R must be at least 1"),
        (lambda: theory.estimate_nu([2.0, 1.0], 1.0, P_eff=1.0), "P_eff must be well above"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
