"""Subspaces and their gap; the feedback loop, its saddle-node and its passage time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from spectral_edge import theory
from spectral_edge.theory.testing import feedback_loops, spectra, trajectories
from tests.reference import theory_dense as dense


@given(spectra())
def test_subspace_iteration_is_fastest_at_the_gap_position(sigma):
    rate = theory.convergence_rate(sigma)
    k = int(theory.gap_position(sigma))
    assert rate[k - 1] <= rate.min() * (1 + 1e-12)


def test_the_rate_is_what_subspace_iteration_shows():
    rng = np.random.default_rng(0)
    lam = np.array([40.0, 8.0, 1.0, 0.9, 0.1])
    Q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    C = (Q * lam) @ Q.T
    rate = theory.convergence_rate(np.sqrt(lam))
    for k in range(1, 5):
        basis, distance = np.linalg.qr(rng.normal(size=(5, k)))[0], []
        for _ in range(60):
            basis = np.linalg.qr(C @ basis)[0]
            distance.append(np.linalg.norm(basis @ basis.T - Q[:, :k] @ Q[:, :k].T))
        seen = np.array(distance)
        late = np.flatnonzero((seen < 1e-3) & (seen > 1e-11))
        if late.size < 3:  # the slowest one never gets there: 0.9 to the power 60
            assert rate[k - 1] > 0.85
            continue
        slope = np.polyfit(late, np.log(seen[late]), 1)[0]
        assert slope == pytest.approx(np.log(rate[k - 1]), rel=0.05)


@given(trajectories(kinds=("gaussian", "spiked", "orthogonal", "near tie")), st.data())
def test_the_subspace_moves_by_its_overlaps_and_within_its_bound(updates, data):
    W = data.draw(st.integers(2, len(updates) - 1))
    k = data.draw(st.integers(1, W))
    K = updates @ updates.T
    norms = theory.perturbation_norms(K, W)
    lam = theory.gram_spectrum(theory.window_blocks(K, W)).lam
    distance = theory.subspace_distance(theory.mode_overlaps(K, W), k)
    following = lam[:, k] if k < W else np.zeros(len(lam))
    for t in range(len(updates) - W):
        bound = theory.subspace_bound(lam[t], k, norms.frobenius[t], norms.operator[t])
        assert distance[t] <= bound + 1e-5
        if np.isfinite(bound):
            assert bound * (lam[t, k - 1] - following[t]) <= 4 * norms.operator[t] * (1 + 1e-9)
        gap = min(lam[i, k - 1] - following[i] for i in (t, t + 1))
        if gap > 1e-3 * lam[t, 0]:
            moved = dense.projector(updates[t : t + W], k) - dense.projector(updates[t + 1 : t + W + 1], k)
            assert distance[t] == pytest.approx(np.linalg.norm(moved), abs=1e-5)


def test_only_the_gap_at_k_matters():
    """Collapse the gap inside or at the edge of the leading pair, and perturb: 7.2 by experiment."""
    rng = np.random.default_rng(1)

    def moved(lam):
        S = rng.normal(size=(6, 6))
        S = 0.05 * (S + S.T) / 2
        before, after = (np.linalg.eigh(A)[1][:, ::-1][:, :2] for A in (np.diag(lam), np.diag(lam) + S))
        return np.linalg.norm(before @ before.T - after @ after.T)

    inside = np.median([moved([10.0, 9.999, 1.0, 0.5, 0.3, 0.1]) for _ in range(50)])
    at_edge = np.median([moved([10.0, 1.001, 1.0, 0.5, 0.3, 0.1]) for _ in range(50)])
    assert inside < 0.02
    assert at_edge > 0.3


def test_the_captured_rate_is_the_projected_product():
    rng = np.random.default_rng(2)
    train, val = rng.normal(size=(2, 7))
    basis = np.linalg.qr(rng.normal(size=(7, 4)))[0]
    projector = basis[:, :2] @ basis[:, :2].T
    captured = theory.captured_rate(basis.T @ train, basis.T @ val, 0.3, 2)
    assert captured == pytest.approx(0.3 * (projector @ train) @ (projector @ val))


@given(feedback_loops(), st.floats(0.01, 0.999))
def test_the_equilibria_are_rest_points_above_eps(loop, part):
    threshold = theory.feedback_threshold(**loop)
    eps = part * threshold.eps_c
    unstable, open_ = theory.feedback_equilibria(**loop, eps=eps)
    assert eps < unstable < threshold.g_sn < open_
    size = loop["b"]
    for g in (unstable, open_):
        assert theory.feedback_flow(g, **loop, eps=eps) == pytest.approx(0.0, abs=1e-9 * size)
    assert theory.feedback_flow(np.sqrt(unstable * open_), **loop, eps=eps) > 0
    assert theory.feedback_flow(0.999 * unstable, **loop, eps=eps) < 0
    assert theory.feedback_flow(1.001 * open_, **loop, eps=eps) < 0


@given(feedback_loops(), st.floats(1.0001, 3))
def test_above_eps_c_every_gap_closes(loop, factor):
    threshold = theory.feedback_threshold(**loop)
    eps = factor * threshold.eps_c
    assert np.all(np.isnan(theory.feedback_equilibria(**loop, eps=eps)))
    g = threshold.g_sn * np.geomspace(1e-3, 1e3, 400)
    assert np.all(theory.feedback_flow(g, **loop, eps=eps) < 0)


@given(feedback_loops())
def test_the_passage_slows_as_stated(loop):
    threshold = theory.feedback_threshold(**loop)
    eps = float(threshold.eps_c) * (1 + 1e-6)

    def slowness(x):
        return -threshold.g_sn / theory.feedback_flow(x * threshold.g_sn, **loop, eps=eps)

    seen = quad(slowness, 0.7, 1.3, points=[0.999, 1.0, 1.001], limit=400)[0]
    stated = theory.passage_time(**loop, eps=eps)
    assert seen == pytest.approx(stated, rel=0.02)
    assert seen != pytest.approx(2 * stated, rel=0.3)
    assert theory.passage_time(**loop, eps=0.99 * threshold.eps_c) == np.inf


@given(feedback_loops(), st.floats(0.01, 1.0))
def test_absorption_takes_a_logarithm(loop, part):
    eps = theory.feedback_threshold(**loop).eps_c
    g0 = part * eps
    t = theory.absorption_time(g0, kappa=loop["kappa"], c=loop["c"])
    solved = solve_ivp(
        lambda _, g: theory.feedback_flow(abs(g), **loop, eps=eps), (0, t), [g0], rtol=1e-9, atol=1e-12 * g0
    )
    assert solved.y[0, -1] == pytest.approx(0.0, abs=1e-5 * g0)


def test_the_collapsed_state_absorbs_only_when_the_drive_is_negative():
    loop = {"kappa": 1.0, "b": 2.0, "eps": 1.0}
    assert theory.feedback_flow(0.0, c=-1.0, **loop) == 0
    assert theory.feedback_flow(0.0, c=0.5, **loop) == 0.5
    assert np.isnan(theory.absorption_time(1.0, kappa=1.0, c=0.5))
    for c in (0.5, -3.0):  # always open, never open: no saddle-node
        assert np.all(np.isnan(theory.feedback_threshold(1.0, 2.0, c)))
        assert np.all(np.isnan(theory.feedback_equilibria(1.0, 2.0, c, 0.1)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.feedback_threshold(0.0, 1.0, -0.5), "kappa must be positive"),
        (lambda: theory.feedback_flow(-1.0, kappa=1.0, b=1.0, c=0.0, eps=1.0), "g must not be negative"),
        (lambda: theory.feedback_equilibria(1.0, 1.0, -0.5, 0.0), "eps must be positive"),
        (lambda: theory.subspace_distance(np.eye(3), 4), "k must be between 1 and 3"),
        (lambda: theory.subspace_bound([2.0, 1.0], 0, 1.0, 1.0), "k must be between 1 and 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
