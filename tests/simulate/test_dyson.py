"""Dyson dynamics against brute force in R^{W×P}, in its limits, and how levels repel and are followed."""

import numba
import numpy as np
import pytest
from scipy.stats import ks_2samp

from spectral_edge import simulate, theory
from spectral_edge.simulate._kernels import eigen
from tests.reference import simulate_dyson as reference

ALPHA = 1e-4
D0 = np.array([2.0, 1.2, 0.8, 0.3])
FREE = {"h": 0.5, "p": 0.0, "eta": 1.0, "omega": 0.5, "W": 4, "nu": 0.4, "t_max": 0.8, "dt": 0.02}


def ends(n=4000, seed=1, **arguments):
    return simulate.dyson(D0, **(FREE | {"P": 9, "n_paths": n, "seed": seed} | arguments)).sigma[:, -1]


def smallest_p(first, second):
    """Over every singular value and every gap."""
    columns = [np.concatenate([x, -np.diff(x, axis=1)], axis=1) for x in (first, second)]
    return min(ks_2samp(a, b).pvalue for a, b in zip(columns[0].T, columns[1].T, strict=True))


class TestLaw:
    @pytest.mark.parametrize("P", [5, 6, 9, 60])
    def test_without_injection_is_the_matrix_ornstein_uhlenbeck_process(self, P):
        brute = reference.ornstein_uhlenbeck(np.random.default_rng(2), D0, P, 1.0, 0.4, 0.8, 4000)
        assert smallest_p(ends(P=P), brute) > ALPHA

    @pytest.mark.parametrize("change", [{"P": 10}, {"nu": 0.42}, {"omega": 0.6}, {"dt": 0.8}])
    def test_control_a_small_error_would_show(self, change):
        brute = reference.ornstein_uhlenbeck(np.random.default_rng(2), D0, 9, 1.0, 0.4, 0.8, 4000)
        assert smallest_p(ends(**change), brute) < ALPHA

    def test_one_step_of_noise_is_exact(self):
        brute = reference.ornstein_uhlenbeck(np.random.default_rng(2), D0, 9, 0.0, 0.4, 0.8, 4000)
        assert smallest_p(ends(h=0, omega=0, dt=0.8), brute) > ALPHA

    def test_rank_dependent_drift_and_injection(self):
        h, p = np.array([1.5, 0.5, 0.2, 0.1]), np.array([0.1, 0.3, 0.2, 0.4])

        def slope(d):
            return -(h + 0.1) * d + 4 * p / d

        brute = reference.matrix_euler(np.random.default_rng(2), D0, 9, slope, 0.4, 0.8, 160, 2500)
        assert smallest_p(ends(h=h, p=p, omega=0.1, n=2500, dt=0.01), brute) > ALPHA
        assert smallest_p(ends(h=h[::-1], p=p, omega=0.1, n=2500, dt=0.01), brute) < ALPHA

    @pytest.mark.parametrize(("P", "more"), [(9, 0), (9, 3), (5, 7)])
    def test_in_the_end_it_is_the_laguerre_ensemble(self, P, more):
        """Damping and noise end in Gaussian matrices; a source p = more·nu²/(2 eta W), in as many columns more."""
        p = more * FREE["nu"] ** 2 / (2 * FREE["W"])
        found = ends(P=P, p=p, t_max=8.0)
        rng, size = np.random.default_rng(3), FREE["nu"] / np.sqrt(2)  # nu²/(2 kappa), kappa = 1
        drawn = np.linalg.svd(size * rng.standard_normal((4000, 4, P + more)), compute_uv=False)
        fewer = np.linalg.svd(size * rng.standard_normal((4000, 4, P + more - 1)), compute_uv=False)
        assert smallest_p(found, drawn) > ALPHA
        assert smallest_p(found, fewer) < ALPHA

    def test_that_ensemble_by_dppy(self):
        ensembles = pytest.importorskip("dppy.beta_ensembles")
        ensemble, rng = ensembles.LaguerreEnsemble(beta=1), np.random.RandomState(4)
        eigenvalues = [
            ensemble.sample_banded_model(shape=(12 - 4 + 1) / 2, scale=2.0, size_N=4, random_state=rng)
            for _ in range(4000)
        ]
        drawn = FREE["nu"] / np.sqrt(2) * np.sqrt(np.sort(eigenvalues)[:, ::-1])
        assert smallest_p(ends(P=9, p=3 * FREE["nu"] ** 2 / (2 * FREE["W"]), t_max=8.0), drawn) > ALPHA


class TestLimits:
    def test_without_noise_it_is_the_signal_flow(self):
        h, p = np.array([0.5, 0.8, 1.0, 1.2]), np.array([0.5, 0.3, 0.2, 0.1])
        run = simulate.dyson(D0, **(FREE | {"h": h, "p": p, "nu": 1e-9, "P": 9, "n_paths": 2, "seed": 1}))
        exact = theory.signal_flow(D0, run.t[:, None], h=h, p=p, eta=1.0, omega=0.5, W=4)
        np.testing.assert_allclose(run.sigma[0], exact, rtol=1e-6)

    def test_convergence_in_dt_is_of_second_order(self):
        """At P = 1e14 the noise is its mean: u' = -2 kappa u + 2 eta W p + nu² P, whose solution is known."""
        h, p, P, nu = np.array([0.2, 0.4, 0.9, 1.5]), np.array([4.0, 2.0, 1.0, 0.5]), 10**14, 1e-7
        exact = theory.signal_flow(D0, 1.0, h=h, p=p + nu**2 * P / 8, eta=1.0, omega=0.5, W=4)
        steps, errors = np.array([0.5, 0.25, 0.125, 0.0625]), []
        for dt in steps:
            arguments = FREE | {"h": h, "p": p, "nu": nu, "P": P, "t_max": 1.0, "dt": dt}
            sigma = simulate.dyson(D0, **arguments, n_paths=4, seed=1).sigma[:, -1]
            errors.append(np.abs(sigma - exact).max())
        slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
        assert 1.8 < slope < 2.2

    def test_any_P_costs_the_same_law(self):
        """nu²P fixed: at P = 1e12 levels spread by nu alone, relative to sqrt(P)."""
        for P in (10**6, 10**12):
            run = simulate.dyson(
                np.zeros(4), **(FREE | {"h": 0, "omega": 0, "P": P, "nu": 1.0, "n_paths": 400, "seed": 1})
            )
            spread = run.sigma[:, -1] / np.sqrt(0.8) - np.sqrt(P)
            assert np.abs(spread).max() < 12
            assert np.abs(spread.mean(axis=0)[[0, 3]] - [1.2, -1.2]).max() < 0.6


class TestReproducible:
    def test_paths_do_not_depend_on_threads_or_number(self):
        wanted = ends(n=20)
        threads = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            np.testing.assert_array_equal(ends(n=20), wanted)
        finally:
            numba.set_num_threads(threads)
        for n in (1, 5, 17):
            np.testing.assert_array_equal(ends(n=n), wanted[:n])
        np.testing.assert_array_equal(ends(n=150)[:20], wanted)
        assert not np.array_equal(ends(n=20, seed=2), wanted)

    def test_records(self):
        run = simulate.dyson(D0, **(FREE | {"P": 9, "n_paths": 3, "seed": 1, "record_every": 10}))
        np.testing.assert_allclose(run.t, [0, 0.2, 0.4, 0.6, 0.8])
        every = simulate.dyson(D0, **(FREE | {"P": 9, "n_paths": 3, "seed": 1, "record_every": 1}))
        np.testing.assert_array_equal(run.sigma, every.sigma[:, ::10])
        np.testing.assert_array_equal(every.closest, every.gaps().min(axis=1))
        ax = run.plot()
        assert "parameter units" in ax.get_ylabel()


class TestLevels:
    def test_the_density_of_small_gaps_vanishes_linearly(self):
        run = simulate.dyson(
            np.zeros(4),
            **(FREE | {"h": 0, "omega": 0, "P": 10**6, "nu": 1.0, "dt": 0.8, "n_paths": 60_000, "seed": 3}),
        )
        found = simulate.repulsion_exponent(run.gaps()[:, -1, 1])
        assert found.low < 1 < found.high
        assert found.high - found.low < 0.3
        # control: the same levels, each from another path, do not repel
        shuffled = run.sigma[:, -1, 1] - np.roll(run.sigma[:, -1, 2], 1)
        free = simulate.repulsion_exponent(np.abs(shuffled))
        assert free.high < 0.5

    def test_bad_gaps(self):
        with pytest.raises(ValueError, match="gaps must be positive"):
            simulate.repulsion_exponent(np.zeros(10_000))
        with pytest.raises(ValueError, match="enough for 20"):
            simulate.repulsion_exponent(np.ones(100))

    def crossing(self, seed=1):
        """Two signals exchange ranks; noise couples them, so their levels avoid one another."""
        T, W = 120, 8
        t = np.arange(T)
        time = np.stack([np.ones(T), np.where(t % 2, 1.0, -1.0)], axis=1) / np.sqrt(W)
        strength = np.stack([4 - t / 40, 2 + t / 40], axis=1)
        rng = np.random.default_rng(seed)
        X = np.concatenate([strength * time, np.zeros((T, 200))], axis=1) + 0.02 * rng.standard_normal(
            (T, 202)
        )
        return X @ X.T, strength, W

    def test_modes_keep_their_identity_through_an_avoided_crossing(self):
        K, strength, W = self.crossing()
        modes = simulate.follow_modes(K, W)
        middle = np.array([strength[t : t + W].mean(axis=0) for t in range(len(modes.sigma))])
        away = np.abs(middle[:, 0] - middle[:, 1]) > 0.3
        assert np.abs(modes.sigma[away, :2] - middle[away]).max() < 0.15
        assert list(modes.rank[0, :2]) == [0, 1]
        assert list(modes.rank[-1, :2]) == [1, 0]
        ordered = theory.gram_spectrum(theory.window_blocks(K, W)).sigma[:, :2]
        assert np.abs(ordered[away] - middle[away]).max() > 1.0  # control: by rank they exchange
        np.testing.assert_array_equal(np.sort(modes.rank, axis=1), np.tile(np.arange(W), (len(middle), 1)))
        assert "mode 1" in [text.get_text() for text in modes.plot().get_legend().get_texts()]

    def test_bad_input(self):
        with pytest.raises(ValueError, match="K must be full"):
            simulate.follow_modes(np.ones((9, 3)), 3)
        with pytest.raises(ValueError, match="memory must be at least 1"):
            simulate.follow_modes(np.eye(9), 3, memory=0)


def eigenvalues(matrices):
    """Of matrices (m, n, n), m at most LANES, by the kernel; largest first."""
    m, n = matrices.shape[:2]
    A = np.full((n, n, eigen.LANES), np.nan)
    A[..., :m] = np.moveaxis(matrices, 0, -1)
    d, e, work = np.empty((n, eigen.LANES)), np.empty((n, eigen.LANES)), np.empty((6, eigen.LANES))
    eigen.tridiagonal(m, A, d, e, np.empty_like(d))
    eigen.rational_ql(m, d, e, work)
    eigen.sort_falling(m, d)
    return d[:, :m].T


def test_eigenvalues_of_small_matrices():
    rng = np.random.default_rng(1)
    for n in (2, 3, 4, 10, 30):
        for m in (1, 5, eigen.LANES, eigen.LANES):
            X = rng.standard_normal((m, n, n + 1)) * 10 ** rng.uniform(-3, 3, (m, n, 1))
            G = X @ X.swapaxes(1, 2)
            found, wanted = eigenvalues(G), np.linalg.eigvalsh(G)[:, ::-1]
            assert np.all(np.abs(found - wanted) < 1e-13 * wanted[:, :1])
            np.testing.assert_array_equal(found[-1], eigenvalues(G[-1:])[0])  # whatever lies beside it
    for G in (np.zeros((3, 3)), np.eye(4), np.ones((5, 5)), np.diag([3.0, 1.0, 2.0])):
        np.testing.assert_allclose(eigenvalues(G[None])[0], np.linalg.eigvalsh(G)[::-1], atol=1e-14)
    assert np.all(np.isnan(eigenvalues(np.full((1, 4, 4), np.nan))))


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"P": 4}, "P must exceed W = 4, got 4"),
            ({"P": 9.5}, "P must be a whole number"),
            ({"W": 5}, "d0 must be W = 5 singular values"),
            ({"d0": D0[::-1]}, "largest first"),
            ({"d0": [1, 1, 1, np.nan]}, "d0 must be finite"),
            ({"h": [1, 2]}, "h must be one number or W = 4"),
            ({"p": -1}, "p must not be negative"),
            ({"nu": 0}, "nu must be positive"),
            ({"eta": -1}, "eta must be positive"),
            ({"dt": 0}, "dt must be positive"),
            ({"dt": 2}, "dt must be at most t_max"),
            ({"t_max": -1}, "t_max must be positive"),
            ({"n_paths": 0}, "n_paths must be at least 1"),
            ({"record_every": 0}, "record_every must be between 1 and 40"),
        ],
    )
    def test_one_clear_error(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            simulate.dyson(**(FREE | {"d0": D0, "P": 9, "n_paths": 2, "seed": 1} | arguments))
