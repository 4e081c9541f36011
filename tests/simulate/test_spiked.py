"""Exact trajectories: the law against brute force in R^P, long runs, any P, bad input."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from spectral_edge import simulate, theory
from tests.reference import simulate_spiked as reference

ALPHA = 1e-4
T, W = 16, 4


def amplitudes():
    t = np.arange(T)
    return np.stack([1.5 + 0.1 * t, 2.0 * np.cos(0.7 * t)], axis=1)


CASES = {
    "white": {"dims": [9], "nus": [0.6], "weights": [[1.0], [1.0]], "rho": 0.0},
    "few dimensions": {"dims": [5], "nus": [0.6], "weights": [[1.0], [1.0]], "rho": 0.0},
    "many dimensions": {"dims": [40], "nus": [0.3], "weights": [[1.0], [1.0]], "rho": 0.0},
    "coloured": {"dims": [7], "nus": [0.6], "weights": [[1.0], [1.0]], "rho": 0.7},
    "blocks": {"dims": [4, 12], "nus": [1.0, 0.3], "weights": [[1.0, 0.0], [0.6, 0.8]], "rho": 0.4},
}


def statistics(K):
    """What a wrong law would show: eigenvalues of early and late windows, entries, products across windows."""
    out = []
    for block in theory.window_blocks(K, W)[[0, -1]]:
        out.extend(np.linalg.eigvalsh(block))
    out.extend([K[-1, 0], K[-1, W], K[5, 2], K[-1, 1] * K[-2, W], K[-1, W] * K[-1 - W, 1] * K[-1, W - 1]])
    out.extend([np.nanmean(K[:, 1] ** 2), np.linalg.eigvalsh(theory.window_blocks(K, W))[:, 0].mean()])
    return out


def ours(case, n, seed=0):
    rho = case["rho"] or None
    return np.array(
        [
            statistics(
                simulate.spiked(
                    amplitudes(), P=case["dims"], W=W, nu=case["nus"], directions=case["weights"],
                    autocorrelation=rho, seed=seed + i,
                ).K
            )
            for i in range(n)
        ]
    )  # fmt: skip


def brute(case, n):
    rng = np.random.default_rng(99)
    signals = amplitudes()
    return np.array(
        [statistics(reference.band(reference.updates(rng, signals, **case), W)) for _ in range(n)]
    )


class TestLaw:
    @pytest.mark.parametrize("name", CASES)
    def test_is_that_of_brute_force(self, name):
        first, second = ours(CASES[name], 2500), brute(CASES[name], 2500)
        pvalues = [ks_2samp(a, b).pvalue for a, b in zip(first.T, second.T, strict=True)]
        assert min(pvalues) > ALPHA

    @pytest.mark.parametrize(
        "change",
        [{"dims": [8]}, {"nus": [0.57]}, {"rho": 0.15}, {"weights": [[1.0], [-1.0]], "nus": [0.66]}],
    )
    def test_control_a_small_error_would_show(self, change):
        first, second = ours(CASES["white"] | change, 2500), brute(CASES["white"], 2500)
        assert min(ks_2samp(a, b).pvalue for a, b in zip(first.T, second.T, strict=True)) < ALPHA

    def test_default_directions_lie_across_blocks(self):
        case = {"dims": [4, 12], "nus": [1.0, 0.3], "weights": np.sqrt([[0.25, 0.75]] * 2), "rho": 0.0}
        first = [
            statistics(simulate.spiked(amplitudes(), P=[4, 12], W=W, nu=[1, 0.3], seed=i).K)
            for i in range(2000)
        ]
        pvalues = [ks_2samp(a, b).pvalue for a, b in zip(np.array(first).T, brute(case, 2000).T, strict=True)]
        assert min(pvalues) > ALPHA

    def test_longer_autoregressions(self):
        tau = np.array([1.0, 0.5, 0.4, -0.1])
        K = simulate.spiked(np.zeros((40_000, 0)), P=1e5, W=6, nu=1.0, autocorrelation=tau, seed=1).K
        np.testing.assert_allclose(theory.autocorrelation(K, 3), tau, atol=1e-3)


class TestLongRuns:
    def test_stay_accurate_over_100_000_steps(self):
        """The last windows have the law of the first: traces are chi-square, windows positive semi-definite."""
        P, steps = 50, 100_000
        K = simulate.spiked(np.zeros((steps, 0)), P=P, W=6, nu=1.0, seed=3).K
        late = K[-20_000:]
        assert abs(late[:, 0].mean() - P) < 5 * np.sqrt(2 * P / 20_000)
        pieces = late[:, 0].reshape(-1, 10)[:, 0]
        assert kstest(pieces, "chi2", args=(P,)).pvalue > ALPHA
        for lag in range(1, 7):
            assert abs(np.mean(late[:, lag] ** 2) / P - 1) < 0.08
        lam = np.linalg.eigvalsh(theory.window_blocks(late, 6))
        first = np.linalg.eigvalsh(theory.window_blocks(K[:20_000], 6))
        assert lam.min() > 0
        for j in range(6):
            assert ks_2samp(lam[::10, j], first[::10, j]).pvalue > ALPHA

    def test_signal_alone_is_exact(self):
        s = np.random.default_rng(1).standard_normal((5000, 3))
        K = simulate.spiked(s, P=1e6, W=8, nu=0.0, seed=1).K
        np.testing.assert_allclose(K[-100:], reference.band(s[-200:], 8)[-100:], atol=1e-12)


class TestAnyP:
    @pytest.mark.parametrize("P", [1e4, 1e8, 1e12])
    def test_singular_values_follow_the_theory(self, P):
        """A constant direction of strength d: the outlier of 2.3 at its finite-W form, W - 1 for W."""
        nu, width = 1 / np.sqrt(P), 10
        d = 6 * nu * (P * width) ** 0.25
        rng = np.random.default_rng(5)
        signs = rng.choice([-1.0, 1.0], (4000, 1)) / np.sqrt(width)
        K = simulate.spiked(d * signs, P=P, W=width, nu=nu, seed=2).K
        sigma = theory.gram_spectrum(theory.window_blocks(K, width)).sigma[::width, 0]
        wanted = np.sqrt((d**2 + nu**2 * P) * (d**2 + nu**2 * (width - 1)) / d**2)
        assert abs(np.mean(sigma**2) - wanted**2) < 5 * np.std(sigma**2) / np.sqrt(sigma.size)

    def test_smallest_P(self):
        K = simulate.spiked(np.zeros((50, 0)), P=5, W=4, nu=1.0, seed=2).K
        lam = np.linalg.eigvalsh(theory.window_blocks(K, 4))
        assert lam.min() > 0
        full = simulate.spiked(np.zeros((50, 3)), P=5, W=4, nu=1.0, seed=2).K
        assert np.all(np.isfinite(full[4:]))

    def test_same_seed_same_bits(self):
        s = np.ones((30, 1))
        first, again = (
            simulate.spiked(s, P=100, W=3, nu=1, seed=np.random.default_rng(4)).K for _ in range(2)
        )
        np.testing.assert_array_equal(first, again)


def test_a_turning_direction():
    angle = np.linspace(0, np.pi / 2, 60)
    K = simulate.spiked(simulate.turning(1.0, angle), P=1e6, W=10, nu=0.0, seed=1).K
    np.testing.assert_allclose(K[20, 5], np.cos(angle[20] - angle[15]))


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"signals": np.ones(5)}, r"signals must be amplitudes \(T, k\)"),
            ({"signals": np.full((5, 1), np.nan)}, "signals must be finite"),
            ({"P": 4}, "P must be at least W \\+ 1 = 5"),
            ({"P": -1}, "P must be positive"),
            ({"W": 0}, "W must be at least 1"),
            ({"nu": -1}, "nu must not be negative"),
            ({"nu": [1, 2]}, "nu must have one value a block"),
            ({"directions": [[0.5]]}, "directions must be 1 rows of unit length"),
            (
                {"P": [1, 50], "nu": [1, 1], "signals": np.ones((9, 2))},
                "P must leave room for the directions",
            ),
            ({"autocorrelation": np.ones(9) * 0.5 ** np.arange(9)}, "at most W \\+ 1 = 5 lags"),
            ({"autocorrelation": 1.5}, "autocorrelation must lie between"),
        ],
    )
    def test_one_clear_error(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            simulate.spiked(
                **({"signals": np.ones((9, 1)), "P": 100, "W": 4, "nu": 1.0, "seed": 1} | arguments)
            )

    def test_turning(self):
        with pytest.raises(ValueError, match=r"angle must be \(T,\)"):
            simulate.turning(np.ones(3), np.ones(4))
