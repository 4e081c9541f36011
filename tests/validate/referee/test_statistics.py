"""The referee's intervals and corrections against published or independent numbers."""

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from spectral_edge.validate.referee import statistics


@pytest.mark.parametrize(("k", "n"), [(0, 3), (3, 3), (5, 12), (24, 24)])
def test_proportion_is_clopper_pearson(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(0.95, method="exact")
    value, low, high = statistics.proportion(k, n)
    assert value == k / n
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_newcombe_reproduces_the_published_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 873, table II, method 10: 56/70 against 48/80
    value, low, high = statistics.difference_of_proportions(56, 70, 48, 80)
    assert value == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_clustered_proportion_covers_what_it_says_and_the_naive_interval_does_not() -> None:
    rng = np.random.default_rng(0)
    truth, trials, clusters, repeats = 0.6, 9.0, 8, 400
    covered = naive = 0
    for _ in range(repeats):
        shares = np.clip(rng.beta(3, 2, clusters), 0, 1)  # mean 0.6, strongly between runs
        hits = rng.binomial(9, shares)
        _, low, high = statistics.clustered_proportion(hits, np.full(clusters, trials))
        covered += low <= truth <= high
        _, low, high = statistics.proportion(hits.sum(), clusters * trials)
        naive += low <= truth <= high
    # 95 % within four standard errors of 400 repeats; the interval that ignores the runs covers far less
    assert covered / repeats > 0.95 - 4 * np.sqrt(0.95 * 0.05 / repeats)
    assert naive / repeats < 0.9


def test_clustered_proportion_never_collapses_to_a_point() -> None:
    estimate = statistics.clustered_proportion([9.0, 9.0], [9.0, 9.0])
    assert estimate.value == 1
    assert estimate.low < 0.9


def test_geometric_mean_is_students_interval_of_the_logarithm() -> None:
    values = np.exp([0.0, 1.0, 2.0])
    value, low, high = statistics.geometric_mean(values)
    expected = stats.ttest_1samp(np.log(values), 0).confidence_interval(0.95)
    assert value == pytest.approx(np.e)
    assert (np.log(low), np.log(high)) == pytest.approx((expected.low, expected.high))


def test_holm_steps_down_within_the_whole_family() -> None:
    corrected = statistics.holm([0.01, np.nan, 0.001, 0.2], family=20)
    assert corrected[2] == pytest.approx(0.02)
    assert corrected[0] == pytest.approx(0.19)
    assert corrected[3] == 1
    assert np.isnan(corrected[1])
    # monotone: a larger p never ends up smaller
    p = np.sort(np.random.default_rng(0).uniform(size=15))
    assert np.all(np.diff(statistics.holm(p, 15)) >= 0)


def test_monte_carlo_p_has_its_size_and_is_never_zero() -> None:
    assert statistics.monte_carlo_p(10.0, np.zeros(99)) == pytest.approx(0.01)
    rng = np.random.default_rng(1)
    p = [statistics.monte_carlo_p(rng.normal(), rng.normal(size=99)) for _ in range(1000)]
    # at most 5 % below 0.05, within four standard errors; and not always above
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize(
    ("x", "shown"),
    [
        (112910.2, "1.13e5"),
        (0.25, "0.25"),
        (1e-7, "1e-7"),
        (float("nan"), "–"),
        (np.inf, "∞"),
        (-np.inf, "−∞"),
    ],
)
def test_short(x: float, shown: str) -> None:
    assert statistics.short(x) == shown


@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential"])
def test_few_draws_a_run_do_not_make_a_test_liberal(draw: str) -> None:
    rng, trials = np.random.default_rng(0), 1500
    values = getattr(rng, draw)
    rejected = np.mean([statistics.against(values(6), values((6, 6))).p_value < 0.05 for _ in range(trials)])
    # without the widening 0.079 and 0.088 of these are rejected
    assert rejected < 0.05 + 4 * np.sqrt(0.05 * 0.95 / trials)


@pytest.mark.filterwarnings("ignore:invalid value")  # what is infinite has no spread
def test_infinite_draws_are_no_evidence() -> None:
    infinite = [[np.inf] * 5, [0.0, 0.0, 0.0, 0.0, np.inf]]
    assert statistics.against([1.0, 2.0], infinite).p_value == 1
    assert statistics.against([1.0, 2.0], [[np.inf] * 5, [-np.inf] * 5]).p_value == 1  # ∞ − ∞
    assert statistics.against([1.0, 2.0], [[-np.inf] * 5, [0.0] * 5]).p_value < 0.01


def test_a_single_run_is_ranked_among_its_draws() -> None:
    draws = np.arange(19.0)
    assert statistics.against([18.5], [draws]).p_value == pytest.approx(1 / 20)
    assert statistics.against([17.5], [draws]).p_value == pytest.approx(2 / 20)
    assert statistics.against([18.0], [draws]).p_value == pytest.approx(2 / 20)  # a tie counts
