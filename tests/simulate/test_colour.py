"""The null that follows the colour of a run, against updates made in full by a generator that has nothing of it."""

import numpy as np
import pytest
from scipy.linalg import toeplitz

from spectral_edge import simulate, theory
from tests.reference import simulate_noise as reference

T, P, W, SETS, DRAWS = 100, 1500, 10, 2, 100
time = np.arange(T)

#: What runs of noise do: correlation of neighbours, degrees of freedom of an entry, norms.
NOISE = {
    "white": (0.0, None, 1.0),
    "AR(1) 0.8": (0.8, None, 1.0),
    "AR(1) 0.9": (0.9, None, 1.0),
    "AR(1) 0.95": (0.95, None, 1.0),
    "t(3), decaying": (0.9, 3, 1 / np.sqrt(1 + time)),
    "colour changes": (0.6 - 0.8 * time / T, None, 1.0),
}


def like(K, seed, P_eff=None, colour=None):
    """Gap ratios of DRAWS noise sequences like K, (DRAWS, windows)."""
    colour = simulate.local_colour(K) if colour is None else colour
    P_eff = simulate.effective_dimension(K, simulate.local_colour(K), W) if P_eff is None else P_eff
    rng, norms = np.random.default_rng(seed), np.sqrt(np.diag(K))
    found = []
    for _ in range(DRAWS):
        world = simulate.noise(
            T, P=P_eff, norms=norms, autocorrelation=colour, W_max=W, fix_norms=True, seed=rng
        )
        found.append(theory.gap_ratio(theory.gram_spectrum(theory.window_blocks(world.K, W)).sigma))
    return np.array(found)


def share_above(make, level=0.99, null=like):
    shares = []
    for seed in range(SETS):
        X = make(np.random.default_rng([seed, 5]))
        levels = np.quantile(null(X @ X.T, seed), level, axis=0)
        shares.append(np.mean(reference.ratios(X, W) > levels))
    return np.mean(shares)


def made(name):
    rho, df, norms = NOISE[name]
    return lambda rng: np.broadcast_to(norms, (T,))[:, None] * reference.autoregressive(rng, T, P, rho, df)


@pytest.mark.parametrize("name", NOISE)
def test_noise_does_not_stand_above_its_own_null(name):
    # windows that share no update are independent: 1 % of them, and four standard errors
    disjoint = SETS * T / W
    allowed = 0.01 + 4 * np.sqrt(0.01 * 0.99 / disjoint)
    if "t(3)" in name:  # one entry of infinite kurtosis can lead for ten records: a direction, if by chance
        allowed *= 2
    assert share_above(made(name)) < allowed


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_a_direction_that_persists_does(size):
    def make(rng):
        return reference.with_direction(rng, reference.autoregressive(rng, T, P, 0.2), size)

    assert share_above(make) > 0.75


def test_control_a_tapered_autocorrelation_makes_noise_stand_above_its_null():
    """The null as it was: one autocorrelation for all of the run, multiplied by 1 - l/T."""

    def tapered(K, seed):
        norms = np.sqrt(np.diag(K))
        unit = K / np.outer(norms, norms)
        tau = np.array([np.mean(np.diagonal(unit, l)) * (1 - l / T) for l in range(W + 1)])
        return like(K, seed, P, tau)

    assert share_above(made("AR(1) 0.95"), null=tapered) > 0.9


def test_colour_is_recovered_where_it_changes():
    rho = 0.6 - 0.8 * time / T
    X = reference.autoregressive(np.random.default_rng(1), T, P, rho)
    colour = simulate.local_colour(X @ X.T, memory=1)
    # about ten records speak for each coefficient, each with a standard error of 1/sqrt(P)
    error = colour.phi[10:-10, 0] - rho[10:-10]
    assert np.abs(error).max() < 5 / np.sqrt(10 * P) + 0.005
    assert np.abs(colour.variance[10:-10] - (1 - rho[10:-10] ** 2)).max() < 0.05
    assert np.abs(error + 0.05).max() > 5 / np.sqrt(10 * P) + 0.005  # a control


def test_a_band_says_what_full_products_say():
    X = reference.autoregressive(np.random.default_rng(2), T, P, 0.7)
    K = X @ X.T
    one, other = simulate.local_colour(K), simulate.local_colour(theory.as_band(K, 20))
    np.testing.assert_allclose(one.phi, other.phi)
    np.testing.assert_allclose(one.variance, other.variance)
    band = simulate.effective_dimension(theory.as_band(K, 20), other, W)
    assert band == pytest.approx(simulate.effective_dimension(K, one, W), rel=0.2)


def test_least_squares_are_those_of_the_vectors():
    X = reference.autoregressive(np.random.default_rng(3), 40, 50, 0.5)
    X /= np.linalg.norm(X, axis=1)[:, None]
    reach, memory, t = 6, 2, 20
    rows = np.arange(t - reach + 1, t + reach)
    weight = np.sqrt(1 - np.abs(rows - t) / reach)
    past = np.stack([(weight[:, None] * X[rows - i]).ravel() for i in (1, 2)], axis=1)
    wanted = np.linalg.lstsq(past, (weight[:, None] * X[rows]).ravel())[0]
    found = simulate.local_colour(X @ X.T, memory=memory, reach=reach).phi[t]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_constant_colour_is_an_autocorrelation():
    """Noise of a colour that does not change has the law of its autocorrelation, and its norms where they are fixed."""
    rho, n = 0.7, 60
    K = np.mean([simulate.noise(n, P=200, autocorrelation=rho, seed=i).K for i in range(200)], axis=0)
    colour = simulate.local_colour(toeplitz(rho ** np.arange(n)), memory=1)
    other = [
        simulate.noise(n, P=200, norms=2.0, autocorrelation=colour, fix_norms=True, seed=i).K
        for i in range(200)
    ]
    np.testing.assert_allclose(np.diagonal(other[0]), 4.0)
    near = np.abs(np.subtract.outer(range(n), range(n))) < 8
    # an entry of the mean has a standard error of at most 1/sqrt(200·200/2); 5 of them
    assert np.abs(K - np.mean(other, axis=0) / 4)[near].max() < 5 * np.sqrt(2 / 200 / 200)


def test_dimension_of_what_is_new_does_not_see_colour_or_a_few_pairs():
    rng = np.random.default_rng(4)
    X = reference.autoregressive(rng, T, 500, 0.9)
    shared = X.copy()
    shared[[20, 60, 90]] += 0.5 * X[5]  # records far apart that have something in common
    for run in (X, shared):
        K = run @ run.T
        found = simulate.effective_dimension(K, simulate.local_colour(K), W)
        assert found == pytest.approx(500, rel=0.1)


def test_same_seed_same_bits_in_band_and_full():
    X = reference.autoregressive(np.random.default_rng(5), 30, 300, 0.5)
    colour = simulate.local_colour(X @ X.T)
    for lags in (None, 6):
        more = {"P": 300, "autocorrelation": colour, "fix_norms": True, "W_max": lags}
        one, again, other = (simulate.noise(30, **more, seed=seed).K for seed in (1, 1, 2))
        assert np.array_equal(one, again, equal_nan=True)
        assert not np.array_equal(one, other, equal_nan=True)


def test_updates_of_norm_zero_and_predictable_runs_have_a_colour():
    X = reference.autoregressive(np.random.default_rng(6), 30, 300, 0.5)
    X[7] = 0
    line = np.linspace(1, 2, 30)[:, None] * X[:1]  # every update along one direction: nothing is ever new
    for run in (X, line):
        colour = simulate.local_colour(run @ run.T)
        assert np.isfinite(colour.phi).all()
        assert (colour.variance > 0).all()
        assert np.isfinite(simulate.noise(30, P=300, autocorrelation=colour, fix_norms=True).K).all()


def test_bad_input():
    K = np.eye(12)
    with pytest.raises(ValueError, match="memory must be between 0 and 3, got 4"):
        simulate.local_colour(theory.as_band(K, 3))
    with pytest.raises(ValueError, match="reach must be at least 1, got 0"):
        simulate.local_colour(K, reach=0)
    with pytest.raises(ValueError, match="the colour of T = 20 updates, got one of 12"):
        simulate.noise(20, P=100, autocorrelation=simulate.local_colour(K))
    with pytest.raises(ValueError, match="that of a run of 11 updates, got one of 12"):
        simulate.effective_dimension(np.eye(11), simulate.local_colour(K), 5)


@pytest.mark.parametrize(("T", "lags", "apart"), [(40, None, 10), (40, 20, 10), (700, None, 3)])
def test_effective_dimension_is_that_of_what_is_new_written_out(T: int, lags: int | None, apart: int) -> None:
    rng = np.random.default_rng(T)
    X = rng.standard_normal((T, 50)) * rng.uniform(0.5, 2, (T, 1))
    K = X @ X.T
    colour = simulate.local_colour(K, memory=2)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    new = unit.copy()
    for i in (1, 2):
        new[i:] -= colour.phi[i:, i - 1, None] * unit[:-i]
    new /= np.sqrt(colour.variance)[:, None]
    t, s = np.indices((T, T))
    far = (t - s > apart) & (s >= 2) & (t - s <= (T - 1 if lags is None else lags) - 2)
    expected = (0.6744897501960817 / np.median(np.abs((new @ new.T)[far]))) ** 2
    given = K if lags is None else theory.as_band(K, lags)
    assert simulate.effective_dimension(given, colour, apart) == pytest.approx(expected, rel=1e-9)
