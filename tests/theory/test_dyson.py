"""The drift of section 4 against the matrix process it describes."""

import numpy as np
import pytest

from spectral_edge import theory


def matrix_drift(d, h, eta, omega, P, nu, dt, n, seed):
    """Mean increment of the singular values of M + (-eta(h + omega)M)dt + nu·sqrt(dt)·N, with its error."""
    rng = np.random.default_rng(seed)
    W = len(d)
    M = np.zeros((W, P))
    M[:, :W] = np.diag(d)
    noise = rng.normal(size=(n, W, P))
    steps = []
    for sign in (1, -1):  # antithetic: the martingale part cancels to first order
        moved = M * (1 - eta * (h + omega) * dt) + sign * nu * np.sqrt(dt) * noise
        steps.append(theory.gram_spectrum(moved @ np.swapaxes(moved, 1, 2)).sigma - d)
    change = (steps[0] + steps[1]) / 2 / dt
    return change.mean(axis=0), change.std(axis=0, ddof=1) / np.sqrt(n)


def test_the_drift_is_that_of_the_matrix_process():
    d = np.array([6.0, 5.0, 2.0])
    kw = {"h": 0.7, "eta": 0.1, "omega": 0.3, "P": 12, "nu": 0.8}
    seen, error = matrix_drift(d, **kw, dt=1e-4, n=60_000, seed=0)
    drift = theory.dyson_drift(d, p=0.0, W=3, **kw)
    assert np.all(np.abs(seen - drift) < 5 * error + 0.01)  # 0.01: the next order in dt
    # negative control: without the repulsion, or with P in place of P - W, it is rejected
    assert np.any(np.abs(seen - drift + kw["nu"] ** 2 / 2 * theory.repulsion(d)) > 5 * error + 0.01)
    shifted = drift + kw["nu"] ** 2 / 2 * 3 / d
    assert np.any(np.abs(seen - shifted) > 5 * error + 0.01)


def test_the_source_and_the_damping_are_those_of_the_signal_flow():
    d = np.array([3.0, 1.0])
    drift = theory.dyson_drift(d, h=[1.0, 2.0], p=[4.0, 5.0], eta=0.1, omega=0.5, W=7, P=100, nu=0.0)
    np.testing.assert_allclose(drift, [-0.1 * 1.5 * 3 + 0.1 * 7 * 4 / 3, -0.1 * 2.5 + 0.1 * 7 * 5])


def test_repulsion_conserves_the_sum_of_squares_but_for_pairs():
    # sum_j d_j·repulsion_j = number of pairs·2: each pair gives 2(d_j² - d_i²)/(d_j² - d_i²)
    d = np.array([[5.0, 3.0, 2.0, 0.5]])
    assert (d * theory.repulsion(d)).sum() == pytest.approx(12.0)
    one = [sum(1 / (x - y) + 1 / (x + y) for y in d[0] if y != x) for x in d[0]]
    np.testing.assert_allclose(theory.repulsion(d)[0], one)


def test_second_order_repulsion_opens_the_gap():
    lam, coupling = np.array([2.0, 1.5]), 1e-3
    A = np.array([[lam[0], coupling], [coupling, lam[1]]])
    after = np.linalg.eigvalsh(A)
    seen = after[1] - after[0] - (lam[0] - lam[1])
    assert theory.gap_repulsion(*lam, coupling) == pytest.approx(seen, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d": [1.0, 1.0]}, "strictly descending"),
        ({"d": [1.0, 0.0]}, "d must be positive"),
        ({"d": [1.0, 2.0]}, "d must be sorted"),
        ({"P": 2}, "P must exceed W"),
        ({"nu": -1.0}, "nu must not be negative"),
        ({"p": -1.0}, "p must not be negative"),
    ],
)
def test_bad_input(change, message):
    good = {"d": [2.0, 1.0], "h": 0.0, "p": 0.0, "eta": 1.0, "omega": 0.0, "W": 2, "P": 10, "nu": 1.0}
    arguments = {**good, **change}
    with pytest.raises(ValueError, match=message):
        theory.dyson_drift(arguments.pop("d"), **arguments)


def test_no_gap_no_repulsion():
    with pytest.raises(ValueError, match="lam_k must exceed"):
        theory.gap_repulsion(1.0, 1.0, 0.1)
