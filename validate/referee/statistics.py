"""Intervals and tests shared by the predictions; what scipy has is called, not written again."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.value, 2)} [{short(self.low, 2)}, {short(self.high, 2)}]"


def short(x: float, digits: int = 3) -> str:
    """Return `x` to some digits, as 1.13e5 where it is large; a dash where there is no number."""
    if not np.isfinite(x):
        return "∞" if x == np.inf else "–"
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
    """One-sided p-value of `observed` among draws from the null, never 0: (1 + #{null ≥ observed})/(1 + n)."""
    draws = np.asarray(null, dtype=float)
    return float((1 + np.sum(draws >= observed)) / (1 + len(draws)))


def holm(p_values: ArrayLike, family: int) -> NDArray[np.float64]:
    """Holm's step-down correction within a family of `family` tests; those not run count as p = 1, NaN stays NaN."""
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p) if not np.isnan(p[i])]
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, (family - rank) * p[i])
        corrected[i] = min(1.0, running)
    return corrected
