"""Distances from the axioms: small where they hold by construction, large where they are broken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge import theory
from spectral_edge.theory.testing import trajectories


def noise(T=40, P=4000, seed=0):
    return np.random.default_rng(seed).normal(size=(T, P))


def test_isotropic_noise_and_a_signal_satisfy_A1():
    updates = noise()
    updates[:, 0] += 300.0
    check = theory.isotropic_noise(updates @ updates.T, 10, 4000)
    assert check.holds
    assert 1.0 < check.typical < 3.0  # a semicircle's lower half spans about 2
    assert check.distance.shape == (31,)
    assert "A1 holds" in str(check)


def test_noise_with_memory_and_anisotropic_noise_break_A1():
    updates = noise()
    for t in range(1, 40):
        updates[t] += 0.9 * updates[t - 1]
    check = theory.isotropic_noise(updates[10:] @ updates[10:].T, 10, 4000)
    assert not check.holds
    assert "A1 does not hold" in str(check)
    narrow = noise() / np.arange(1.0, 4001.0)
    K = narrow @ narrow.T
    assert not theory.isotropic_noise(K, 10, 4000).holds
    spectrum = 1 / np.arange(1.0, 4001.0) ** 2
    assert theory.isotropic_noise(K, 10, spectrum.sum() ** 2 / (spectrum**2).sum()).typical < check.typical


def test_A2_measures_relative_change():
    slow, fast = np.linspace(1, 2, 101), np.tile([1.0, 10.0], 50)
    assert theory.slow_coefficients(slow, 10).worst == pytest.approx(0.1 / 1.05)
    check = theory.slow_coefficients(np.stack([slow[:100], fast], axis=1), 5)
    assert not check.holds
    assert check.typical == pytest.approx(9 / 5.5)
    assert theory.slow_coefficients(np.zeros(20), 5).worst == 0
    assert theory.slow_coefficients(-slow, 10).worst == pytest.approx(0.1 / 1.05)


def test_A3_measures_the_angle_between_windows():
    t = np.arange(60)
    angle = np.radians(0.5 * t)  # half a degree a step
    steady = np.zeros((60, 5))
    steady[:, 0], steady[:, 1] = np.cos(angle), np.sin(angle)
    check = theory.slow_directions(steady @ steady.T, 10, 1)
    np.testing.assert_allclose(check.distance, 5.0, atol=1e-6)
    unrelated = noise(20, 4000)
    check = theory.slow_directions(unrelated @ unrelated.T, 5, 1)
    assert not check.holds
    assert check.typical > 85
    one = np.outer(np.ones(20), np.eye(6)[0])
    assert np.isnan(theory.slow_directions(one @ one.T, 5, 2).worst)


@given(trajectories(min_T=8, kinds=("gaussian", "spiked")), st.data())
def test_A3_agrees_with_dense_angles_and_bands(updates, data):
    W = data.draw(st.integers(2, (len(updates) - 1) // 2))
    k = data.draw(st.integers(1, W))
    K = updates @ updates.T
    check = theory.slow_directions(K, W, k)
    first, second = (np.linalg.svd(updates[i : i + W])[2][:k] for i in (0, W))
    cosine = np.linalg.svd(first @ second.T, compute_uv=False)[-1]
    assert np.cos(np.radians(check.distance[0])) == pytest.approx(cosine, abs=1e-5)
    if len(updates) > 2 * W:
        band = theory.slow_directions(
            theory.as_band(K, 2 * W - 1) if len(updates) - 2 >= 2 * W - 1 else K, W, k
        )
        np.testing.assert_allclose(band.distance, check.distance, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.isotropic_noise(np.eye(5), 3, 10), "W must be at least 4"),
        (lambda: theory.isotropic_noise(np.eye(5), 4, 0), "P_eff must be positive"),
        (lambda: theory.slow_coefficients([1.0, np.nan], 1), "values must be finite"),
        (lambda: theory.slow_coefficients([[[1.0]]], 1), "values must have shape"),
        (lambda: theory.slow_coefficients([1.0, 2.0], 2), "W must be"),
        (lambda: theory.slow_directions(np.eye(5), 3, 1), "W must be"),
        (lambda: theory.slow_directions(np.eye(6), 3, 4), "k must be between 1 and 3"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
