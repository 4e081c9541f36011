"""Windows carried on: exact where the theory says so, wrong by what it says elsewhere, never garbage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectral_edge import theory
from tests.reference import optimisers

W, N = 10, 30
RULES = [("sgd", "decoupled"), ("sgd", "coupled"), ("adamw", "decoupled"), ("adam", "decoupled")]


def world(excited, *, P=12, seed=0, optimizer="sgd", **settings):
    """Updates of a quadratic run in which `excited` modes of D^-1 H move, and H and D."""
    rng = np.random.default_rng(seed)
    D = np.ones(P) if optimizer == "sgd" else rng.uniform(0.5, 3, P)
    Q = np.linalg.qr(rng.normal(size=(P, P)))[0]
    seen = Q @ np.diag(np.linspace(0.3, 17.0, P)) @ Q.T  # D^(-1/2) H D^(-1/2)
    H = np.sqrt(D)[:, None] * seen * np.sqrt(D)
    start = (Q[:, :excited] @ rng.normal(size=excited)) / np.sqrt(D)
    return optimisers.run(H, D, start, optimizer=optimizer, **settings), H, D


def parts(X, H, D, settings, first=5, W=W, n=N):
    """Window, its response, what it is carried on to, and the true updates after it."""
    window, later = X[first : first + W], X[first + W : first + W + n]
    K, response = window @ window.T, (window / D) @ H @ window.T
    return K, response, theory.propagate_window(K, response, n=n, **settings), later


@pytest.mark.parametrize(("optimizer", "decay"), RULES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("excited", [3, 6])
def test_exact_on_an_invariant_span(optimizer, decay, momentum, excited):
    eta = 0.1 if optimizer == "sgd" else 0.1 / (1 - momentum)
    settings = {"eta": eta, "omega": 0.03 / eta, "momentum": momentum, "optimizer": optimizer, "decay": decay}
    X, H, D = world(excited, T=60, **settings)
    K, _, future, later = parts(X, H, D, settings)
    scale = np.linalg.norm(later[0]) ** 2
    np.testing.assert_allclose(future @ future.T, later @ later.T, atol=1e-6 * scale)
    whole = np.concatenate([X[5 : 5 + W], later])
    continued = theory.continued_products(K, future)
    np.testing.assert_allclose(continued, whole @ whole.T, atol=1e-6 * K[0, 0])
    spectra = theory.shifted_spectra(K, future)
    assert spectra.shape == (N, W)
    for t in (0, 7, N - 1):
        true = np.linalg.svd(whole[t + 1 : t + 1 + W], compute_uv=False)
        known = np.isfinite(spectra[t])
        np.testing.assert_allclose(spectra[t][known], true[known], atol=1e-5 * true[0])
        assert np.all(true[~known] < 2e-6 * true[0])
        assert known.sum() <= excited


def test_the_rules_differ_where_they_should():
    """Negative control: with the rule of another optimiser, or another decay, the future is another one."""
    settings = {"eta": 0.1, "omega": 0.3, "momentum": 0.9, "optimizer": "sgd", "decay": "decoupled"}
    X, H, D = world(4, T=60, **settings)
    for change in (
        {"optimizer": "adamw"},
        {"decay": "coupled"},
        {"momentum": 0.8},
        {"omega": 0.0},
        {"eta": 0.09},
    ):
        _, _, future, later = parts(X, H, D, {**settings, **change})
        wrong = future @ future.T - later @ later.T
        assert np.abs(wrong).max() > 1e-2 * np.abs(later @ later.T).max(), change


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adamw", 0.9)])
@pytest.mark.parametrize("interval", [2, 3, 10])
def test_records_that_are_several_steps_apart(optimizer, momentum, interval):
    settings = {"eta": 0.05, "omega": 0.3, "momentum": momentum, "optimizer": optimizer}
    steps, H, D = world(3, T=26 * interval, decay="decoupled", **settings)
    X = steps.reshape(26, interval, -1).sum(axis=1)  # a record is the sum of the updates since the last
    _, _, future, later = parts(X, H, D, {**settings, "interval": interval}, first=2, n=14)
    np.testing.assert_allclose(future @ future.T, later @ later.T, atol=1e-6 * np.abs(later @ later.T).max())
    _, _, wrong, _ = parts(X, H, D, settings, first=2, n=14)
    assert np.abs(wrong @ wrong.T - later @ later.T).max() > 1e-2 * np.abs(later @ later.T).max()


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd", 0.5), ("adamw", 0.5)])
def test_the_residual_is_the_error_of_the_first_row(optimizer, momentum):
    settings = {"eta": 0.1, "omega": 0.2, "momentum": momentum, "optimizer": optimizer}
    X, H, D = world(30, P=30, seed=2, T=20, decay="decoupled", **settings)  # more modes move than fit
    window, later = X[2 : 2 + 4], X[6]
    K, response = window @ window.T, (window / D) @ H @ window.T
    rows = theory.window_rows(K)
    np.testing.assert_allclose(rows @ rows.T, K, atol=1e-12 * K[0, 0])
    basis = np.linalg.lstsq(rows, window, rcond=None)[0]  # the window's own basis, in R^P
    first = theory.propagate_window(K, response, n=1, **settings)[0]
    size = np.linalg.norm(H @ window[-1] / D)
    del settings["omega"]
    stated = theory.propagation_residual(K, response, size, **settings)
    assert stated == pytest.approx(np.linalg.norm(first @ basis - later), rel=1e-6)
    assert stated > 0.01 * np.linalg.norm(later)
    # nothing outside: no error
    inside = np.linalg.norm(theory.window_rows(K)[-1])
    assert theory.propagation_residual(K, K, inside, **settings) < 1e-6 * inside


def test_an_operator_that_is_not_symmetric():
    rng = np.random.default_rng(3)
    B = rng.normal(size=(4, 4)) * 0.3 + np.eye(4)
    X = [rng.normal(size=4)]
    for _ in range(20):
        X.append(X[-1] - 0.1 * B @ X[-1])
    X = np.array(X)
    K, response = X[:W] @ X[:W].T, X[:W] @ B @ X[:W].T
    future = theory.propagate_window(K, response, eta=0.1, omega=0.0, momentum=0.0, optimizer="sgd", n=10)
    true = X[W : W + 10] @ X[W : W + 10].T
    np.testing.assert_allclose(future @ future.T, true, atol=1e-5 * true.max())
    turned = theory.propagate_window(K, response.T, eta=0.1, omega=0.0, momentum=0.0, optimizer="sgd", n=10)
    assert np.abs(turned @ turned.T - true).max() > 1e-2 * true.max()


@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(-6, 6))
def test_windows_of_any_rank_give_numbers_of_the_right_size(rank, seed, decades):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(W, rank)) @ rng.normal(size=(rank, 12)) * 10.0**decades
    h = rng.uniform(0, 18, 12)
    settings = {"eta": 0.1, "omega": 0.0, "momentum": 0.0, "optimizer": "sgd"}
    future = theory.propagate_window(X @ X.T, X @ np.diag(h) @ X.T, n=40, **settings)
    assert np.isfinite(future).all()
    assert np.all(future[:, rank:] == 0)
    # a compression of a symmetric contraction is one
    assert np.all(np.linalg.norm(future, axis=1) <= (1 + 1e-6) * np.linalg.norm(X[-1]))
    fitted = theory.fit_window(X @ X.T, min(rank, W - 1), n=3)
    assert np.isfinite(fitted).all()
    assert np.all(fitted[:, rank:] == 0)


def test_a_smooth_window_is_no_garbage():
    """Ten updates of a smooth path have five directions that can be told; the others must not blow up."""
    s = np.arange(60)[:, None] * 0.01
    rates = np.linspace(1, 6, 20)
    X = np.exp(-rates * s) * rates  # 20 modes that fade: eta·h = 0.01·rate nearly
    h = (1 - np.exp(-rates * 0.01)) / 0.1
    K, response = X[:W] @ X[:W].T, X[:W] @ np.diag(h) @ X[:W].T
    future = theory.propagate_window(K, response, eta=0.1, omega=0.0, momentum=0.0, optimizer="sgd", n=50)
    error = np.linalg.norm(future, axis=1) / np.linalg.norm(X[W:], axis=1) - 1
    assert np.abs(error).max() < 1e-3
    assert np.any(future[0] == 0)  # what cannot be told is left out


def test_what_was_not_recorded_is_not_known():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3, W, 20))
    K = X @ np.swapaxes(X, 1, 2)
    response = K.copy()
    response[1] = np.nan
    settings = {"eta": 0.1, "omega": 0.0, "momentum": 0.5, "optimizer": "sgd"}
    future = theory.propagate_window(K, response, n=4, **settings)
    assert np.isnan(future[1]).all()
    assert np.isfinite(future[[0, 2]]).all()
    assert np.isnan(theory.shifted_spectra(K, future)[1]).all()
    assert np.isfinite(theory.shifted_spectra(K, future)[[0, 2], :, 0]).all()
    residual = theory.propagation_residual(
        K, response, [1e3, 1e3, np.nan], eta=0.1, momentum=0.5, optimizer="sgd"
    )
    assert np.isfinite(residual).tolist() == [True, False, False]


@pytest.mark.parametrize("rate", [-30.0, 60.0])
def test_a_forecast_that_runs_away_ends(rate):
    X = np.array([[1.0, 0.5]]) * np.array([0.9, -0.8]) ** np.arange(W)[:, None]
    K = X @ X.T
    settings = {"eta": 0.1, "omega": 0.0, "momentum": 0.0, "optimizer": "sgd"}
    future = theory.propagate_window(K, X @ np.diag([1.0, rate]) @ X.T, n=2000, **settings)
    known = np.isfinite(future).all(axis=1)
    last = known.sum()
    assert 5 < last < 50
    assert known[:last].all()
    assert np.abs(future[:last]).max() < 1e6 * np.sqrt(K.trace())
    assert np.isnan(theory.shifted_spectra(K, future)[last:]).all()
    grown = 3.0 ** np.arange(W)[:, None] * np.ones((1, 2))
    assert np.isnan(theory.fit_window(grown @ grown.T, 1, n=200)[-1]).all()


def test_many_windows_at_once_are_each_its_own():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(5, W, 20))
    K, M = X @ np.swapaxes(X, 1, 2), X @ np.diag(rng.uniform(0, 5, 20)) @ np.swapaxes(X, 1, 2)
    eta = rng.uniform(0.05, 0.1, 5)
    settings = {"omega": 0.1, "momentum": 0.9, "optimizer": "adamw", "n": 6, "interval": 2}
    together = theory.propagate_window(K, M, eta=eta, **settings)
    assert together.shape == (5, 6, W)
    for i in range(5):
        alone = theory.propagate_window(K[i], M[i], eta=eta[i], **settings)
        np.testing.assert_allclose(abs(together[i]), abs(alone), atol=1e-9)
        np.testing.assert_allclose(
            theory.shifted_spectra(K, together)[i], theory.shifted_spectra(K[i], alone), rtol=1e-9
        )
        np.testing.assert_allclose(
            theory.continued_products(K, together)[i], theory.continued_products(K[i], alone), atol=1e-9
        )
        np.testing.assert_allclose(
            abs(theory.fit_window(K, 4, n=2)[i]), abs(theory.fit_window(K[i], 4, n=2)), atol=1e-9
        )
    assert theory.propagate_window(K, M, eta=0.1, **{**settings, "n": 0}).shape == (5, 0, W)


@pytest.mark.parametrize(("momentum", "order"), [(0.0, 1), (0.0, 2), (0.9, 2)])
def test_the_fitted_recurrence_is_exact_where_there_is_one(momentum, order):
    settings = {"eta": 0.1, "omega": 0.1, "momentum": momentum, "optimizer": "sgd", "decay": "decoupled"}
    X, H, D = world(3, T=60, **settings)
    K, _, _, later = parts(X, H, D, settings)
    true = later[:10] @ later[:10].T
    rank = 3 if momentum == 0 else 6
    future = theory.fit_window(K, rank, n=10, order=order)
    np.testing.assert_allclose(future @ future.T, true, atol=1e-5 * true.max())
    if momentum:  # one row does not make the next: the buffer is needed
        single = theory.fit_window(K, 3, n=10)
        assert np.abs(single @ single.T - true).max() > 1e-2 * true.max()


def test_a_fit_of_too_low_a_rank_follows_the_strongest():
    X = np.array([[1.0, 1e-3]]) * np.array([0.95, -0.8]) ** np.arange(W + 3)[:, None]
    future = theory.fit_window(X[:W] @ X[:W].T, 1, n=3)
    np.testing.assert_allclose(np.linalg.norm(future, axis=1), abs(X[W:, 0]), rtol=1e-4)


def test_the_example_of_a_spectrum_that_moves():
    """A drift fades below an oscillation: foreseen from one window, as in 10.2."""
    q, first = np.array([0.9, -0.98]), np.array([1.0, 0.05])
    X = first * q ** np.arange(60)[:, None]
    K, M = X @ X.T, X @ np.diag((1 - q) / 0.1) @ X.T
    future = theory.propagate_window(
        K[:W, :W], M[:W, :W], eta=0.1, omega=0.0, momentum=0.0, optimizer="sgd", n=50
    )
    sigma = theory.shifted_spectra(K[:W, :W], future)[:, :2]
    closest = 1 + int(np.argmin(sigma[:, 0] / sigma[:, 1]))
    d = first * np.linalg.norm(q ** np.arange(W)[:, None], axis=0)
    time = theory.damping_exchange_time(d, (1 - q) / 0.1, eta=0.1)
    assert closest == pytest.approx(float(time), abs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, adamw"),
        ({"decay": "none"}, "decay must be one of decoupled, coupled"),
        ({"optimizer": "adam", "decay": "coupled", "omega": 0.1}, "decay must be 'decoupled' for Adam"),
        ({"momentum": 1.0}, "momentum must be below 1"),
        ({"eta": 0.0}, "eta must be positive"),
        ({"n": -1}, "n must be at least 0"),
        ({"interval": 0}, "interval must be at least 1"),
        ({"rtol": 0.0}, "rtol must be positive"),
        ({"response": np.eye(3)}, r"response must be \(..., 4, 4\)"),
        ({"response": np.full((4, 4), np.inf)}, "not infinite"),
        ({"K_block": np.eye(1)}, "K_block must be"),
        ({"K_block": np.full((4, 4), np.nan)}, "K_block must be finite"),
    ],
)
def test_bad_input(change, message):
    good = {
        "K_block": np.eye(4), "response": np.eye(4), "eta": 0.1, "omega": 0.0, "momentum": 0.0, "optimizer": "sgd",
        "n": 2,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        theory.propagate_window(**{**good, **change})


def test_more_bad_input():
    with pytest.raises(ValueError, match=r"future must be \(..., n, 3\)"):
        theory.shifted_spectra(np.eye(3), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="rank must be between 1 and 2"):
        theory.fit_window(np.eye(3), 3, n=1)
    with pytest.raises(ValueError, match="order must be between 1 and 2"):
        theory.fit_window(np.eye(3), 1, n=1, order=3)
    with pytest.raises(ValueError, match="response_norm must not be negative"):
        theory.propagation_residual(np.eye(2), np.eye(2), -1.0, eta=0.1, momentum=0.0, optimizer="sgd")


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_corrected_by_its_own_rows(momentum):
    """Where the response is not what the rows obeyed, they say what they obeyed; where it is, nothing changes."""
    rng = np.random.default_rng(3)
    W, k, eta = 8, 3, 0.1
    h = np.array([1.0, 6.0, 14.0])
    X = np.zeros((W + 6, k))
    X[:2] = rng.normal(size=(2, k))
    for s in range(2, len(X)):
        X[s] = X[s - 1] + momentum * (X[s - 1] - X[s - 2]) - eta * h * X[s - 1]
    K = X @ X.T
    rule = {"eta": eta, "omega": 0.0, "momentum": momentum, "optimizer": "sgd", "n": 6}

    def strengths(response, corrected):
        rows = theory.propagate_window(K[:W, :W], response, **rule, corrected=corrected)
        return np.diag(rows @ rows.T)

    wrong, right = ((X[:W] * (factor * h)) @ X[:W].T for factor in (1.2, 1.0))
    truth = np.diag(K)[W:]
    np.testing.assert_allclose(strengths(wrong, W - 2), truth, rtol=1e-5)
    np.testing.assert_allclose(strengths(right, W - 2), truth, rtol=1e-5)
    assert np.abs(np.log(strengths(wrong, 0) / truth)).max() > 0.2
    # along the leading direction alone: better, not exact
    error = [np.abs(np.log(strengths(wrong, q) / truth)).sum() for q in (0, 1, W - 2)]
    assert error[2] < error[1] < error[0]
    with pytest.raises(ValueError, match="corrected must be"):
        theory.propagate_window(K[:W, :W], right, **rule, corrected=W - 1)
