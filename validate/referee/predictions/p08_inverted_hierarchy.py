"""Prediction 8: flatter modes are stronger, d_j ∝ |G_j|/√(h_j + ω)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import knows, number
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import stability as published
from spectral_edge.validate.referee.statistics import Estimate, against, mean
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    decide,
    drawn,
    passes,
    tried,
)

W = 10
SLOPE = 1.0
TOLERANCE = (
    0.05  # noise in the gradients flattens the slope a little: an interval this near to 1 agrees with it
)
WIDEST = 1.0  # an interval of the slope wider than this contains 1 for want of data
FEWEST = 4  # modes of positive h_j + ω in a window
SHUFFLES = 200

Floats = NDArray[np.float64]
Points = list[tuple[Floats, Floats]]


def _points(run: GramSequence, curved: bool = True) -> Points:
    """(log |G_j|/√(h_j + ω), log d_j) of the modes of every window with a measured curvature."""
    windows = run.window(W)
    h, G = windows.curvature(), np.abs(windows.project("gradient"))
    found = []
    for sigma, stiff, gradient in zip(windows.sigma, h + number(run, "weight_decay"), G, strict=True):
        good = (stiff > 0) & (gradient > 0) & (sigma > 0)  # NaN compares false
        if good.sum() >= FEWEST:
            x = np.log(gradient[good]) - (0.5 * np.log(stiff[good]) if curved else 0)
            found.append((x, np.log(sigma[good])))
    return found


def _steady(run: GramSequence) -> Points:
    """The same for the whole run, by rank: the steady state is one of the mean p_j and h_j."""
    windows = run.window(W)
    h, p = windows.curvature(), windows.project("gradient") ** 2
    rows = np.isfinite(h).all(axis=1) & np.isfinite(p).all(axis=1)
    stiff, power = h[rows].mean(axis=0) + number(run, "weight_decay"), p[rows].mean(axis=0)
    good = (stiff > 0) & (power > 0)
    if good.sum() < FEWEST:
        return []
    return [(0.5 * np.log(power[good] / stiff[good]), np.log(windows.sigma[rows][:, good]).mean(axis=0))]


def slope(points: Points) -> float:
    """Mean of the Theil–Sen slopes of log d_j: scale free, and one mode of noise does not turn them."""
    return float(np.mean([stats.theilslopes(b, a).slope for a, b in points]))


def rank_correlation(points: Points) -> float:
    """Mean over windows of Spearman's ρ between the modes."""
    return float(np.mean([stats.spearmanr(a, b).statistic for a, b in points]))


def _permuted(run: GramSequence, points: Points) -> tuple[float, Floats]:
    """The slope where the modes of each window are permuted, and the rank correlation of many such permutations."""
    rng = np.random.default_rng(worlds.key(run, PREDICTION.number))
    # ranks once: Spearman's ρ of permuted values is Pearson's of permuted ranks
    ranks = [tuple(stats.zscore(stats.rankdata(v)) for v in pair) for pair in points]
    correlations = [
        float(np.mean([rng.permutation(a) @ b / len(a) for a, b in ranks])) for _ in range(SHUFFLES)
    ]
    return slope([(rng.permutation(a), b) for a, b in points]), np.array(correlations)


def _agrees(one: Estimate) -> bool | None:
    """Whether the interval reaches the claimed slope within the tolerance (None where it is too wide to say)."""
    if one.low > SLOPE + TOLERANCE or one.high < SLOPE - TOLERANCE:
        return False
    return True if one.high - one.low <= WIDEST else None


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Slope and rank correlation of d_j over |G_j|/√(h_j + ω), against the modes permuted."""
    chosen = [
        (run, points) for run in runs
        if {"hessian", "gradient"} <= run.probes.keys() and min(run.T, run.W_max) >= W
        and knows(run, "weight_decay") and (points := _points(run))
    ]  # fmt: skip
    if not chosen:
        return PREDICTION.not_run("no run with gradients and window Hessians")
    slopes = mean([slope(steady) for run, _ in chosen if (steady := _steady(run))])
    ranks = [rank_correlation(points) for _, points in chosen]
    permuted = [_permuted(run, points) for run, points in chosen]
    correlation = against(ranks, [rho for _, rho in permuted])
    shuffled = mean([one for one, _ in permuted])
    positive = passes(correlation.treated, 0.0) if correlation.p_value < 0.05 else None
    agrees = _agrees(slopes)
    if np.isnan(slopes.value):
        return PREDICTION.not_run(f"no run with {FEWEST} modes of positive h_j + ω")
    # a slope of none is what gradients that are noise have: another slope than the claimed one refutes
    other = slopes.low > shuffled.high or slopes.high < shuffled.low
    ordered = correlation.treated.low > 0 or correlation.treated.high < 0
    if (agrees is False and other and ordered) or (other and correlation.treated.high < 0):
        verdict = REFUTED
    elif agrees and positive:
        verdict = SUPPORTED if decide(True, bool(_agrees(shuffled))) == SUPPORTED else UNDECIDED
    else:
        verdict = UNDECIDED
    each = {
        "slope, window by window": (points for _, points in chosen),
        "slope over |G_j| alone, window by window": (_points(run, curved=False) for run, _ in chosen),
    }
    readings = []
    for name, points_of_runs in tried(each, 0).items():
        found = mean([slope(points) for points in points_of_runs if points])
        readings.append(Reading(name, found, shuffled, _agrees(found), None))
    return PREDICTION.verdict(
        verdict,
        statistic=slopes.value,
        control=shuffled.value,
        statistic_name="log-log slope of d_j over |G_j|/√(h_j + ω)",
        effect=slopes,
        effect_name="the slope",
        p_value=correlation.p_value,
        n=len(chosen),
        readings=(
            Reading("slope, means over the run", slopes, shuffled, agrees, _agrees(shuffled)),
            Reading.tested("rank correlation", correlation),
            *readings,
        ),
        meaning=(
            f"Over the modes of a run, d_j grows as the power {slopes.value:.2g} of |G_j|/√(h_j + ω), where the "
            f"claim is 1; within a window their ranks correlate by {correlation.treated.value:.2f}. Modes of negative "
            "h_j + ω have no steady state and are left out."
        ),
    )


PREDICTION = Prediction(
    number=8,
    id="inverted-hierarchy",
    version=2,
    claim="In the steady state d_j is proportional to |G_j|/√(h_j + ω).",
    reference="docs/theory.md, 8.2 and 3.1",
    statistic="Theil–Sen slope of the logarithms over the modes, and rank correlation",
    treatment="runs with window Hessians and gradients",
    control="modes permuted",
    rule=(
        f"the slope's interval contains 1 (± {TOLERANCE:g}) and is at most {WIDEST:g} wide, and ρ > 0; refuted by a "
        "slope that is neither that nor the one of permuted modes"
    ),
    boundaries=(SLOPE - TOLERANCE, SLOPE + TOLERANCE),
    changed_by=(
        "The slope over the interval between records, from one run recorded at every step and thinned: if it "
        "changes its sign with the interval, the claim is about the interval. The exponent −½ of h_j + ω is "
        "beyond measurement: d_j² = η²Wp_j holds for any h_j where updates are gradients (docs/theory.md, "
        "3.1b)."
    ),
    judge=judge,
    published=published.STEADY,
    planted=worlds.planted("inverted-hierarchy"),
    turned=dict.fromkeys(("_steady", "_points"), lambda points: [(-x, y) for x, y in points]),
    picture=drawn("hierarchy"),
    needs=Needs(config=("weight_decay",), probes=("gradient", "hessian")),
)
