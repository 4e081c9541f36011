"""The loss decomposition against dense projections, and its bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge import theory
from spectral_edge.theory.testing import windows
from tests.reference import theory_dense as dense


def setting(X, seed):
    rng = np.random.default_rng(seed)
    train, val = rng.normal(size=(2, X.shape[1]))
    lam, u = theory.gram_spectrum(X @ X.T)
    return train, val, np.sqrt(lam), u


@given(windows(), st.integers(0, 2**32 - 1))
def test_mode_gradients_are_projections_on_the_directions(X, seed):
    train, _, sigma, u = setting(X, seed)
    G = theory.mode_gradients(u, sigma, X @ train)
    V = dense.directions(X)
    lam = sigma**2
    clear = theory.spectral_separation(lam) > 1e-6 * lam[0]
    np.testing.assert_allclose(abs(G)[clear], abs(V @ train)[clear], rtol=1e-5, atol=1e-6)


@given(windows(), st.integers(0, 2**32 - 1), st.floats(1e-4, 1.0))
def test_modes_and_outside_add_up_and_the_bound_holds(X, seed, eta):
    train, val, sigma, u = setting(X, seed)
    keep = sigma > 1e-6 * sigma[0]
    G_train = theory.mode_gradients(u, sigma, X @ train)[keep]
    G_val = theory.mode_gradients(u, sigma, X @ val)[keep]
    alpha = np.random.default_rng(seed).uniform(size=keep.sum())
    split = theory.loss_decomposition(
        G_train, G_val, inner=train @ val, norm_train=np.linalg.norm(train), norm_val=np.linalg.norm(val),
        eta=eta, alpha=alpha,
    )  # fmt: skip
    V = dense.directions(X)[: keep.sum()]
    left = np.eye(len(train)) - V.T @ V
    assert split.total == pytest.approx(eta * train @ val)
    assert split.modes.sum() + split.outside == pytest.approx(split.total)
    assert split.outside == pytest.approx(eta * (left @ train) @ (left @ val), abs=1e-4 * eta * len(train))
    assert abs(split.total - split.stable) <= split.bound * (1 + 1e-9) + 1e-12
    np.testing.assert_allclose(eta * split.importance, alpha * split.modes)
    assert split.stable == pytest.approx(eta * split.importance.sum())


def test_the_bound_is_reached():
    # both gradients outside parallel, the unstable modes all of one sign
    split = theory.loss_decomposition(
        [1.0, 2.0], [1.0, 1.0], inner=3.0 + 2.0, norm_train=np.sqrt(5.0 + 4.0), norm_val=np.sqrt(2.0 + 1.0),
        eta=0.5, alpha=[0.5, 0.0],
    )  # fmt: skip
    assert split.total - split.stable == pytest.approx(float(split.bound))


def test_stable_modes_that_hold_the_gradient_leave_no_error():
    split = theory.loss_decomposition(
        [3.0, 4.0], [1.0, 0.0], inner=3.0, norm_train=5.0, norm_val=1.0, eta=0.1, alpha=1.0
    )
    assert split.stable == split.total
    assert split.bound == 0


def test_no_direction_no_gradient():
    assert np.isnan(theory.mode_gradients(np.eye(2), [1.0, 0.0], [1.0, 0.0])[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.5}, "alpha must lie in"),
        ({"norm_train": 0.5}, "norm_train must be at least"),
        ({"eta": 0.0}, "eta must be positive"),
        ({"inner": np.nan}, "inner must be finite"),
    ],
)
def test_bad_input(change, message):
    good = {"inner": 1.0, "norm_train": 1.0, "norm_val": 1.0, "eta": 0.1, "alpha": 1.0}
    with pytest.raises(ValueError, match=message):
        theory.loss_decomposition([1.0], [1.0], **{**good, **change})
