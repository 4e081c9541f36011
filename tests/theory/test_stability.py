"""Perturbations of the window: dense oracles, the guarantees of 5.4, and what is not guaranteed."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spectral_edge import theory
from spectral_edge.theory.testing import KINDS, spectra, trajectories
from tests.reference import theory_dense as dense

SMOOTH = tuple(kind for kind in KINDS if kind != "uneven")


@given(trajectories(kinds=SMOOTH), st.data())
def test_norms_are_those_of_the_dense_matrices(updates, data):
    W = data.draw(st.integers(1, len(updates) - 1))
    K = updates @ updates.T
    norms = theory.perturbation_norms(K, W)
    expected = dense.perturbation(updates, W)
    tolerance = {"rtol": 1e-6, "atol": 1e-7 * abs(K).max()}  # a root of rounding where updates repeat
    np.testing.assert_allclose(norms.frobenius, expected[:, 0], **tolerance)
    np.testing.assert_allclose(norms.operator, expected[:, 1], **tolerance)
    np.testing.assert_allclose(norms.eigenvalue, expected[:, 2], **tolerance)


@given(trajectories(), st.data())
def test_the_eigenvalue_norm_is_a_lower_bound_and_norms_are_ordered(updates, data):
    W = data.draw(st.integers(1, len(updates) - 1))
    K = updates @ updates.T
    norms = theory.perturbation_norms(K, W)
    slack = 1e-10 * abs(K).max()
    assert np.all(norms.eigenvalue <= norms.frobenius + slack)  # Hoffman-Wielandt
    assert np.all(norms.operator <= norms.frobenius + slack)
    assert np.all(norms.frobenius <= np.sqrt(2) * norms.operator + slack)  # rank two


def test_a_band_serves_as_well_as_the_full_K():
    updates = np.random.default_rng(0).normal(size=(12, 40))
    K = updates @ updates.T
    band = theory.as_band(K, 5)
    for name in ("frobenius", "operator", "eigenvalue"):
        np.testing.assert_allclose(
            getattr(theory.perturbation_norms(band, 5), name), getattr(theory.perturbation_norms(K, 5), name)
        )
    np.testing.assert_allclose(abs(theory.mode_overlaps(band, 5)), abs(theory.mode_overlaps(K, 5)))
    with pytest.raises(ValueError, match="W must be at most"):
        theory.perturbation_norms(theory.as_band(K, 4), 5)  # lag W is needed too


def test_the_same_update_leaving_and_entering_changes_nothing():
    x = np.random.default_rng(2).normal(size=(3, 30))
    updates = np.concatenate([x, x])
    norms = theory.perturbation_norms(updates @ updates.T, 3)
    np.testing.assert_allclose(norms.frobenius, 0, atol=1e-12)
    # ... although G_{t+1} - G_t entry by entry does change: its rows are other updates
    blocks = theory.window_blocks(updates @ updates.T, 3)
    assert np.linalg.norm(blocks[1] - blocks[0]) > 1


@given(trajectories(kinds=("gaussian", "spiked", "orthogonal")), st.data())
def test_overlaps_are_those_of_the_parameter_space_directions(updates, data):
    W = data.draw(st.integers(2, len(updates) - 1))
    K = updates @ updates.T
    overlaps = theory.mode_overlaps(K, W)
    lam = theory.gram_spectrum(theory.window_blocks(K, W)).lam
    for t in range(len(updates) - W):
        resolved = [
            theory.spectral_separation(lam[i]) > 1e-6 * lam[i, 0] for i in (t, t + 1)
        ]  # a tie has no direction of its own
        before, after = dense.directions(updates[t : t + W]), dense.directions(updates[t + 1 : t + W + 1])
        both = np.ix_(*resolved)
        np.testing.assert_allclose(abs(overlaps[t])[both], abs(before @ after.T)[both], atol=1e-6)


@given(trajectories(), st.data())
def test_C_4_with_the_operator_norm_is_never_violated(updates, data):
    W = data.draw(st.integers(2, len(updates) - 1))
    K = updates @ updates.T
    norms = theory.perturbation_norms(K, W)
    overlaps = theory.mode_overlaps(K, W)
    lam = theory.gram_spectrum(theory.window_blocks(K, W)).lam[:-1]
    actual = np.einsum("njj->nj", overlaps) ** 2
    alpha = theory.stability_coefficient(lam, norms.operator, C=4.0)
    known = ~np.isnan(actual) & (theory.spectral_separation(lam) > 1e-9 * lam[:, :1])
    assert np.all(actual[known] >= alpha[known] - 1e-6)
    blocks = theory.window_blocks(K, W + 1)
    sharp = theory.guaranteed_overlap(lam, blocks[:, -1, -1], blocks[:, 0, 0], blocks[:, -1, 0])
    assert np.all(actual[known] >= sharp[known] - 1e-6)
    frobenius = theory.stability_coefficient(lam, norms.frobenius, C=1.0)
    safe = known & (frobenius >= 0.5 + 1e-9)
    assert np.all(actual[safe] >= frobenius[safe] - 1e-6)


def violation_rates(n=4000, seed=0):
    """Share of modes with alpha > 0 whose overlap is below it, for three choices of norm and C."""
    rng = np.random.default_rng(seed)
    broken = np.zeros(3)
    claimed = np.zeros(3)
    for _ in range(n):
        updates = rng.normal(size=(4, 6)) * 10 ** rng.uniform(-1, 1, (4, 1))
        K = updates @ updates.T
        norms = theory.perturbation_norms(K, 3)
        actual = np.einsum("njj->nj", theory.mode_overlaps(K, 3)) ** 2
        lam = theory.gram_spectrum(K[None, :3, :3]).lam
        for i, (norm, C) in enumerate(
            [(norms.operator, 4.0), (norms.frobenius, 1.0), (norms.eigenvalue, 1.0)]
        ):
            alpha = theory.stability_coefficient(lam, norm, C=C)
            claimed[i] += np.sum(alpha > 0)
            broken[i] += np.sum((alpha > 0) & (actual < alpha - 1e-9))
    return broken, claimed


def test_how_often_the_other_choices_are_violated():
    broken, claimed = violation_rates()
    assert np.all(claimed > 100)
    assert broken[0] == 0  # C = 4, operator norm: guaranteed
    assert broken[2] > 0.02 * claimed[2]  # eigenvalue-only: nothing is guaranteed, and it fails
    assert broken[1] / claimed[1] < broken[2] / claimed[2]


def test_C_1_with_the_frobenius_norm_fails_just_below_one_half():
    lam = np.array([2.0, 1.0])  # gap 1; Delta = diag(-m, m) swaps the two directions
    m = 0.5005
    alpha = theory.stability_coefficient(lam, m * np.sqrt(2), C=1.0)
    assert alpha[0] == pytest.approx(0.499, abs=1e-6)
    before, after = np.diag(lam), np.diag(lam) + np.diag([-m, m])
    overlap = (np.linalg.eigh(before)[1][:, -1] @ np.linalg.eigh(after)[1][:, -1]) ** 2
    assert overlap == 0


@given(spectra(min_W=1), st.floats(0, 10), st.floats(0.1, 10))
def test_the_coefficient_falls_with_the_perturbation_and_with_C(sigma, delta, C):
    lam = sigma**2
    alpha = theory.stability_coefficient(lam, delta, C)
    assert np.all((alpha >= 0) & (alpha <= 1))
    assert np.all(theory.stability_coefficient(lam, 1.5 * delta, C) <= alpha)
    assert np.all(theory.stability_coefficient(lam, delta, 1.5 * C) <= alpha)
    gap = [min([abs(x - y) for i, y in enumerate(lam) if i != j] + [x]) for j, x in enumerate(lam)]
    np.testing.assert_allclose(theory.spectral_separation(lam), gap, rtol=1e-9, atol=1e-12 * lam[0])
    wanted = [max(0.0, 1 - C * delta**2 / x**2) if x > 0 else 0.0 for x in gap]
    np.testing.assert_allclose(alpha, wanted, rtol=1e-6, atol=1e-6)


def test_the_adiabatic_parameter_and_its_regimes():
    assert theory.adiabatic_parameter(6.0, 2.0, 0.5) == 3.0
    assert np.isposinf(theory.adiabatic_parameter(1.0, 0.0, 0.5))
    assert np.isnan(theory.adiabatic_parameter(0.0, 0.0, 0.5))
    names = theory.adiabatic_regime([0.05, 0.1, 1.0, 10.0, 11.0, np.inf, np.nan]).tolist()
    assert names == [
        "plateau", "transition", "transition", "transition", "forgetting", "forgetting", "undefined",
    ]  # fmt: skip
    assert theory.adiabatic_regime(0.05, low=0.01, high=0.02) == "forgetting"


@given(trajectories(kinds=("gaussian", "spiked")), st.data())
def test_interlacing(updates, data):
    W = data.draw(st.integers(2, len(updates) - 1))
    assume(len(updates) > W)
    K = updates @ updates.T
    lam = theory.gram_spectrum(theory.window_blocks(K, W)).lam
    before, after = lam[:-1], lam[1:]
    slack = 1e-10 * abs(K).max()
    assert np.all(after[:, 1:] <= before[:, :-1] + slack)
    assert np.all(after[:, :-1] >= before[:, 1:] - slack)
    entering, leaving = np.diag(K)[W:], np.diag(K)[:-W]
    np.testing.assert_allclose((after - before).sum(axis=1), entering - leaving, atol=W * slack)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.perturbation_norms(np.eye(3), 3), "W must be between 1 and 2"),
        (lambda: theory.rank_two_norms(-1.0, 1.0, 0.0), "a must not be negative"),
        (lambda: theory.stability_coefficient([1.0, 2.0], 0.1), "lam must be sorted"),
        (lambda: theory.stability_coefficient([2.0, 1.0], -0.1), "delta_norm must not"),
        (lambda: theory.stability_coefficient([2.0, 1.0], 0.1, C=0.0), "C must be positive"),
        (lambda: theory.adiabatic_parameter(1.0, 1.0, 0.0), "eta must be positive"),
        (lambda: theory.adiabatic_regime(1.0, low=2.0, high=1.0), "low and high"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
