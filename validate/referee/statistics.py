"""Intervals and tests shared by the predictions; what scipy has is called, not written again."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from spectral_edge.theory.checks import FloatArray

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
#: A test rejects where its p-value lies below this.
LEVEL = 0.05


class Estimate(NamedTuple):
    """A number with its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        NaN where unknown.

    Examples
    --------
    >>> str(Estimate(0.5, 0.25, 0.75))
    '0.5 [0.25, 0.75]'
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.value, 2)} [{short(self.low, 2)}, {short(self.high, 2)}]"


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def short(x: float, digits: int = 3) -> str:
    """Return `x` to some digits, as 1.13e5 where it is large; a dash where there is no number."""
    if not np.isfinite(x):
        return "–" if np.isnan(x) else "∞" if x > 0 else "−∞"
    return f"{x:.{digits}g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def proportion(successes: float, n: float) -> Estimate:
    """Exact (Clopper–Pearson) interval of a proportion; `n` may be an effective, fractional number of trials."""
    alpha = 1 - CONFIDENCE
    low = stats.beta.ppf(alpha / 2, successes, n - successes + 1) if successes > 0 else 0.0
    high = stats.beta.ppf(1 - alpha / 2, successes + 1, n - successes) if successes < n else 1.0
    return Estimate(float(successes / n), float(low), float(high))


def clustered_proportion(successes: ArrayLike, trials: ArrayLike) -> Estimate:
    """Proportion over clusters (runs) whose trials (windows) are not independent.

    Korn and Graubard (1998): a Clopper–Pearson interval at the effective sample size p(1 − p)/var(p̂), the
    variance taken between the clusters, widened for the few degrees of freedom, and never larger than `trials`.

    Parameters
    ----------
    successes, trials : (m,) arrays
        Per run; for windows that share updates count disjoint windows (n/W) as trials, fractions allowed.
    """
    hits, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    p, total, m = float(hits.sum() / n.sum()), float(n.sum()), len(n)
    effective = total
    if m > 1 and 0 < p < 1:
        residual = hits - p * n
        variance = m / (m - 1) * float(residual @ residual) / total**2
        if variance > 0:
            widening = stats.t.ppf(0.975, max(total - 1, 1)) / stats.t.ppf(0.975, m - 1)
            effective = min(total, p * (1 - p) / variance * widening**2)
    return proportion(p * effective, effective)


def difference_of_proportions(hits_1: int, n_1: int, hits_2: int, n_2: int) -> Estimate:
    """Difference of two independent proportions with Newcombe's hybrid-score interval (1998, method 10)."""
    p1, p2 = hits_1 / n_1, hits_2 / n_2
    one = stats.binomtest(hits_1, n_1).proportion_ci(CONFIDENCE, method="wilson")
    two = stats.binomtest(hits_2, n_2).proportion_ci(CONFIDENCE, method="wilson")
    low = p1 - p2 - np.hypot(p1 - one.low, two.high - p2)
    high = p1 - p2 + np.hypot(one.high - p1, p2 - two.low)
    return Estimate(p1 - p2, float(low), float(high))


def geometric_mean(values: ArrayLike) -> Estimate:
    """Geometric mean of positive values with Student's interval of the logarithm; one value has no interval."""
    logs = np.log(np.asarray(values, dtype=float))
    centre = float(np.exp(logs.mean()))
    if len(logs) < 2:
        return Estimate(centre, 0.0, float("inf"))
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return Estimate(centre, float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half)))


def monte_carlo_p(observed: float, null: ArrayLike) -> float:
    """One-sided p-value of `observed` among draws from the null, never 0: (1 + #{null ≥ observed})/(1 + n).

    A draw that cannot be compared (NaN) counts as one that reaches it: what is not known proves nothing.
    """
    draws = np.asarray(null, dtype=float)
    return float((1 + np.sum(~(draws < observed))) / (1 + len(draws)))


def holm(p_values: ArrayLike, family: int) -> FloatArray:
    """Holm's step-down correction within a family of `family` tests; those not run count as p = 1, NaN stays NaN."""
    p = np.asarray(p_values, dtype=float)
    n = max(family, len(p))
    filled = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(filled)
    stepped = np.maximum.accumulate(filled[order] * (n - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return np.where(np.isnan(p), np.nan, corrected)


def mean(values: ArrayLike) -> Estimate:
    """Mean over runs with Student's interval; one value has no interval, NaN are left out."""
    x = _numbers(values)
    if len(x) == 0:
        return UNKNOWN
    if len(x) == 1:
        return Estimate(float(x[0]), float("-inf"), float("inf"))
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return Estimate(float(x.mean()), float(x.mean() - half), float(x.mean() + half))


class Comparison(NamedTuple):
    """Runs against draws from a null.

    Attributes
    ----------
    treated, control : Estimate
        Mean over the runs, and over the means of their draws.
    excess : Estimate
        Mean of each run less the mean of its own draws.
    p_value : float
        One-sided: how often the mean of one draw per run reaches the mean of the runs.
    """

    treated: Estimate
    control: Estimate
    excess: Estimate
    p_value: float


#: Combinations of one draw per run that stand for the null of their mean.
COMBINATIONS = 2000


def against(observed: ArrayLike, draws: Iterable[ArrayLike]) -> Comparison:
    """Compare the mean of a statistic over runs with what it is where nothing is going on.

    Parameters
    ----------
    observed : (m,) array
        The statistic of each run; runs where it is NaN are left out.
    draws : m arrays, lengths may differ
        The statistic of each run's surrogates.

    Notes
    -----
    The null of the mean is made of random combinations of one draw per run, the spread of each run's n draws widened
    by √((n + 1)/(n − 1)): n draws about their own mean vary by 1 − 1/n of their variance, a further value about that
    mean by 1 + 1/n. Which combinations depends on the values alone, not on the order of the runs. A single run is
    ranked among its own draws.
    """
    pairs = [
        (float(x), d)
        for x, row in zip(np.asarray(observed, dtype=float), draws, strict=True)
        if not np.isnan(x) and len(d := _numbers(row))
    ]
    if not pairs:
        return Comparison(UNKNOWN, UNKNOWN, UNKNOWN, float("nan"))
    x = np.array([value for value, _ in pairs])
    own = np.array([row.mean() for _, row in pairs])
    slack = 1e-12 * np.abs(x).max()  # ties are not to hang on the order of a sum
    if len(pairs) == 1:  # one run has no spread between runs: that of its draws stands in
        ((value, row),) = pairs
        low, high = value - np.quantile(row, [1 - TAIL, TAIL])
        excess = Estimate(float(value - own[0]), float(low), float(high))
        return Comparison(mean(x), mean(own), excess, monte_carlo_p(value - slack, row))
    total = np.zeros(COMBINATIONS)
    for (value, row), centre in zip(pairs, own, strict=True):
        rng = np.random.default_rng(np.frombuffer(np.array([value, *row[:3]]).tobytes(), dtype=np.uint32))
        drawn = row if len(row) == COMBINATIONS else rng.choice(row, COMBINATIONS)
        n = len(row)
        if n > 1 and np.isfinite(centre):  # the mean of what is infinite is no centre
            drawn = centre + (drawn - centre) * np.sqrt((n + 1) / (n - 1))
        total += drawn
    p_value = monte_carlo_p(x.mean() - slack, total / len(pairs))
    return Comparison(mean(x), mean(own), mean(x - own), p_value)


def _numbers(values: ArrayLike) -> FloatArray:
    x = np.asarray(values, dtype=float)
    return x[~np.isnan(x)]


def block_shuffled(x: FloatArray, block: int, n: int, rng: np.random.Generator) -> FloatArray:
    """`n` copies of a series, (n, T), in blocks (the first cut at random) put together in random order."""
    out = np.empty((n, len(x)))
    for row in out:
        first = int(rng.integers(1, block + 1))
        parts = np.split(x, np.arange(first, len(x), block))
        row[:] = np.concatenate([parts[i] for i in rng.permutation(len(parts))])
    return out


def phase_randomised(x: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """`n` series, (n, T), of the power spectrum of `x` with random phases (Theiler et al. 1992)."""
    spectrum = np.fft.rfft(x - x.mean())
    phases = np.exp(2j * np.pi * rng.random((n, len(spectrum))))
    phases[:, 0] = 1
    if len(x) % 2 == 0:
        phases[:, -1] = rng.choice([-1.0, 1.0], n)
    return x.mean() + np.fft.irfft(spectrum * phases, len(x))


def area_under_curve(scores: FloatArray, labels: NDArray[np.bool_]) -> float:
    """Probability that a labelled score exceeds one that is not, ties counting half; NaN where either is missing."""
    known = ~np.isnan(scores)
    one, other = scores[known & labels], scores[known & ~labels]
    if not len(one) or not len(other):
        return float("nan")
    return float(stats.mannwhitneyu(one, other, method="asymptotic").statistic / (len(one) * len(other)))
