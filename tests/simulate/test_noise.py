"""Noise worlds and null laws: exact in law, against brute force in R^P, with negative controls."""

import numpy as np
import pytest
from scipy.stats import chisquare, ks_2samp, kstest

from spectral_edge import simulate, theory
from spectral_edge.simulate import _autocorrelation
from tests.reference import simulate_noise as reference

ALPHA = 1e-4  # a correct law fails a test with this chance; seeds are fixed


def brute_gaps(seed, P, W, tau, n):
    X = reference.updates(np.random.default_rng(seed), tau, P, np.ones(W), n)
    return np.array([reference.gap(x) for x in X]).T


class TestNullRatio:
    @pytest.mark.parametrize(("P", "W", "rho"), [(12, 5, 0.0), (40, 5, 0.0), (40, 5, 0.7), (7, 7, -0.4)])
    def test_law_is_that_of_brute_force(self, P, W, rho):
        tau = rho ** np.arange(W)
        ratio, k_star = brute_gaps(1, P, W, tau, 4000)
        null = simulate.null_ratio(P, W, 20_000, 2, autocorrelation=tau)
        assert ks_2samp(ratio, null.ratio).pvalue > ALPHA
        expected = null.position_frequencies() * k_star.size
        assert chisquare(np.bincount(k_star.astype(int), minlength=W)[1:], expected).pvalue > ALPHA

    def test_control_another_dimension_or_correlation_is_told_apart(self):
        ratio, _ = brute_gaps(1, 12, 5, 0.0 ** np.arange(5), 4000)
        assert ks_2samp(ratio, simulate.null_ratio(14, 5, 20_000, 2).ratio).pvalue < ALPHA
        assert ks_2samp(ratio, simulate.null_ratio(12, 5, 20_000, 2, 0.25).ratio).pvalue < ALPHA

    @pytest.mark.parametrize("P", [2.0, 7.5, 1e3])
    def test_two_rows_follow_the_closed_form(self, P):
        """W = 2: V = 2R/(1 + R²) has distribution function v^(P-1), for real P too."""
        R = simulate.null_ratio(P, 2, 20_000, 3).ratio
        assert kstest((2 * R / (1 + R**2)) ** (P - 1), "uniform").pvalue > ALPHA
        assert kstest((2 * R / (1 + R**2)) ** (1.1 * (P - 1)), "uniform").pvalue < ALPHA

    def test_many_dimensions_follow_the_orthogonal_ensemble(self):
        P, W = 1e6, 6
        scaled = 2 * np.sqrt(P) * np.log(simulate.null_ratio(P, W, 20_000, 4).ratio)
        assert ks_2samp(scaled, simulate.goe_spacings(W)).pvalue > ALPHA
        assert ks_2samp(1.03 * scaled, simulate.goe_spacings(W)).pvalue < ALPHA

    def test_quantile_from_the_table_agrees_with_the_sampled_one(self):
        P, W, q = 1e5, 10, np.array([0.5, 0.9, 0.99])
        sampled = np.log(simulate.null_ratio(P, W, 50_000, 5).quantile(q))
        table = np.log(simulate.null_quantile(q, P, W))
        # The 99 % quantile of 50,000 samples has a standard error of 0.5 %: 4 of them.
        np.testing.assert_allclose(table, sampled, rtol=0.02)

    def test_momentum_alone_makes_a_gap(self):
        null = simulate.null_ratio(1e10, 10, 500, 6, autocorrelation=0.9)
        limit = theory.autocorrelated_null(0.9 ** np.arange(10), 10)
        np.testing.assert_allclose(null.ratio, limit[0] / limit[1], rtol=1e-4)
        assert np.all(null.k_star == 1)

    def test_same_seed_same_bits(self):
        first, again = (simulate.null_ratio(50, 4, 100, 7).ratio for _ in range(2))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, simulate.null_ratio(50, 4, 100, 8).ratio)

    def test_p_value_counts(self):
        null = simulate.null_ratio(50, 4, 99, 7)
        smallest, largest = null.ratio.min(), null.ratio.max()
        np.testing.assert_array_equal(
            null.p_value([smallest, largest, largest + 1, np.nan]), [1, 0.02, 0.01, np.nan]
        )

    def test_plot(self):
        ax = simulate.null_ratio(50, 4, 99, 7).plot()
        assert "noise" in ax.get_xlabel()


class TestNoise:
    @pytest.mark.parametrize(("T", "P"), [(8, 30.0), (8, 8.0), (8, 5.0)])
    @pytest.mark.parametrize("rho", [0.0, 0.6])
    def test_law_is_that_of_brute_force(self, T, P, rho):
        """Eigenvalues and single entries of K, of runs with uneven norms."""
        tau, norms, n = rho ** np.arange(T), np.linspace(1, 3, T), 1500
        brute = reference.updates(np.random.default_rng(1), tau, int(P), norms, n)
        ours = np.array(
            [simulate.noise(T, P=P, norms=norms, autocorrelation=rho, seed=100 + i).K for i in range(n)]
        )
        theirs = brute @ np.swapaxes(brute, 1, 2)
        lam, wanted = np.linalg.eigvalsh(ours), np.linalg.eigvalsh(theirs)
        for j in range(max(0, T - int(P)), T):
            assert ks_2samp(lam[:, j], wanted[:, j]).pvalue > ALPHA
        for s, t in ((0, 0), (T - 1, T - 1), (T - 1, T - 2), (T - 1, 0)):
            assert ks_2samp(ours[:, s, t], theirs[:, s, t]).pvalue > ALPHA

    def test_control_a_wrong_dimension_is_told_apart(self):
        brute = reference.updates(np.random.default_rng(1), np.eye(8)[0], 30, np.ones(8), 1500)
        wanted = np.linalg.eigvalsh(brute @ np.swapaxes(brute, 1, 2))[:, -1]
        ours = [np.linalg.eigvalsh(simulate.noise(8, P=25, seed=100 + i).K)[-1] for i in range(1500)]
        assert ks_2samp(ours, wanted).pvalue < ALPHA

    @pytest.mark.parametrize("P", [40.0, 7.3, 1.5])
    def test_effective_dimension_is_P(self, P):
        """E K_st² = 1/P_eff for s ≠ t, at any real P; 4 standard errors."""
        K = np.array([simulate.noise(60, P=P, seed=i).K for i in range(300)])
        squares = np.mean(K[:, np.tril_indices(60, -1)[0], np.tril_indices(60, -1)[1]] ** 2, axis=1)
        assert abs(squares.mean() - 1 / P) < 4 * squares.std() / np.sqrt(300)
        assert abs(squares.mean() - 1.2 / P) > 4 * squares.std() / np.sqrt(300)

    def test_fixed_norms_are_kept(self):
        norms = np.linspace(1, 2, 30)
        K = simulate.noise(30, P=10, norms=norms, fix_norms=True, seed=1).K
        np.testing.assert_allclose(np.diag(K), norms**2)
        assert not np.allclose(np.diag(simulate.noise(30, P=10, norms=norms, seed=1).K), norms**2)

    @pytest.mark.parametrize("fix_norms", [False, True])
    def test_band_has_the_law_of_full(self, fix_norms):
        norms = np.linspace(1, 3, 9)
        more = {"P": 12.5, "norms": norms, "autocorrelation": 0.5, "fix_norms": fix_norms}
        full = np.array([theory.as_band(simulate.noise(9, seed=i, **more).K, 4) for i in range(2000)])
        band = np.array([simulate.noise(9, seed=i, W_max=4, **more).K for i in range(2000)])
        for lag in range(int(fix_norms), 5):
            assert ks_2samp(full[:, 8, lag], band[:, 8, lag]).pvalue > ALPHA
        lam = [np.linalg.eigvalsh(theory.window_blocks(K, 4)[-1])[0] for K in full]
        other = [np.linalg.eigvalsh(theory.window_blocks(K, 4)[-1])[0] for K in band]
        assert ks_2samp(lam, other).pvalue > ALPHA
        if fix_norms:
            np.testing.assert_allclose(band[0, :, 0], norms**2)

    def test_few_dimensions_in_a_band(self):
        K = simulate.noise(40, P=2.5, seed=1, W_max=4).K
        assert K.shape == (40, 5)
        assert np.linalg.matrix_rank(theory.window_blocks(K, 4)[0], tol=1e-10) == 3

    def test_autocorrelation_is_recovered(self):
        tau = [1.0, 0.6, 0.1, -0.2]
        K = simulate.noise(800, P=1e6, autocorrelation=tau, seed=1).K
        np.testing.assert_allclose(theory.autocorrelation(K, 3), tau, atol=5e-3)


class TestProjection:
    def test_law_is_that_of_projected_vectors(self):
        rng = np.random.default_rng(1)
        X = rng.standard_normal((6, 40)) * [[3.0], [2.0], [1.0], [1.0], [1.0], [0.5]]
        brute, ours = [], []
        for seed in range(1500):
            Y = X @ rng.standard_normal((40, 9)) / 3.0
            brute.append(np.linalg.eigvalsh(Y @ Y.T))
            ours.append(np.linalg.eigvalsh(simulate.projected(X @ X.T, 9, seed)))
        for a, b in zip(np.array(brute).T, np.array(ours).T, strict=True):
            assert ks_2samp(a, b).pvalue > ALPHA
        other = [np.linalg.eigvalsh(simulate.projected(X @ X.T, 11, seed))[0] for seed in range(1500)]
        assert ks_2samp(np.array(brute)[:, 0], other).pvalue < ALPHA

    def test_error_of_the_ratio_falls_as_one_over_sqrt_d(self):
        """8.6: about 1/sqrt(d), in the standard deviation of ln R."""
        K = np.diag([9.0, *[1.0] * 9])
        for d in (100, 400):
            found = [
                np.log(theory.gap_ratio(theory.gram_spectrum(simulate.projected(K, d, s)).sigma))
                for s in range(400)
            ]
            assert 0.5 < np.std(found) * np.sqrt(d) < 2

    def test_bad_input(self):
        with pytest.raises(ValueError, match="K must be full"):
            simulate.projected(np.ones((9, 3)), 5, 1)
        with pytest.raises(ValueError, match="d must be at least 1"):
            simulate.projected(np.eye(3), 0, 1)


class TestAutocorrelation:
    def test_an_autoregression_is_continued(self):
        tau = _autocorrelation.extended(_autocorrelation.checked(0.8), 12)
        np.testing.assert_allclose(tau, 0.8 ** np.arange(12))

    def test_the_predictor_leaves_what_cholesky_leaves(self):
        tau = np.array([1.0, 0.6, 0.1, -0.2])
        phi, variance = _autocorrelation.autoregression(tau)
        L = _autocorrelation.factor(tau, 9)
        np.testing.assert_allclose(np.diag(L)[:4] ** 2, variance)
        np.testing.assert_allclose(np.diag(L)[4:] ** 2, variance[-1])
        T = np.array([[tau[abs(i - j)] for j in range(3)] for i in range(3)])
        np.testing.assert_allclose(phi[3], np.linalg.solve(T, tau[1:]))


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"P": 9}, r"P must exceed W - 1 = 9, got 9"),
            ({"P": np.nan}, "P must be finite"),
            ({"W": 1}, "W must be at least 2"),
            ({"n": 0}, "n must be at least 1"),
            ({"autocorrelation": 1.0}, "autocorrelation must lie between"),
            ({"autocorrelation": [1, 0.9, 0.0]}, "not positive definite at lag 2"),
            ({"autocorrelation": [0, 1]}, "starts with tau_0 > 0"),
            ({"autocorrelation": [1, np.nan]}, "autocorrelation must be finite"),
        ],
    )
    def test_null_ratio(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            simulate.null_ratio(**({"P": 100, "W": 10, "n": 5, "seed": 1} | arguments))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"T": 1}, "T must be at least 2"),
            ({"P": 0}, "P must be positive"),
            ({"P": 0.5}, "P must be at least 1"),
            ({"norms": [1, 2]}, "norms must be one number or T = 20 of them"),
            ({"norms": -1}, "norms must be positive"),
            ({"W_max": 19}, "W_max must be between 1 and 18"),
        ],
    )
    def test_noise(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            simulate.noise(**({"T": 20, "P": 100} | arguments))
