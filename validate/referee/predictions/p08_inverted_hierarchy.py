"""Prediction 8: flatter modes are stronger, d_j ∝ |G_j|/√(h_j + ω)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge import theory
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import knows, number
from spectral_edge.validate.referee.curvature import (
    Curvature,
    deciding,
    gradients,
    known,
    plain,
    seen,
    source,
)
from spectral_edge.validate.referee.needs import CURVATURE, Needs
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


def _points(run: GramSequence, curvature: Curvature | None = seen) -> Points:
    """(log |G_j|/√(h_j + ω), log d_j) of the modes of every window with a measured curvature; None: |G_j| alone."""
    sigma, G = run.window(W).sigma, np.abs(gradients(run, W))
    stiff = (curvature or seen)(run, W) + number(run, "weight_decay")
    return _of_modes(sigma, stiff, G, curvature is not None)


def _of_modes(strengths: Floats, stiffness: Floats, gradients: Floats, curved: bool = True) -> Points:
    found = []
    for sigma, stiff, gradient in zip(strengths, stiffness, gradients, strict=True):
        good = (stiff > 0) & (gradient > 0) & (sigma > 0)  # NaN compares false
        if good.sum() >= FEWEST:
            x = np.log(gradient[good]) - (0.5 * np.log(stiff[good]) if curved else 0)
            found.append((x, np.log(sigma[good])))
    return found


def _in_the_metric(run: GramSequence) -> Points:
    """The same in the optimiser's metric, all of it: the modes of XDXᵀ, their curvatures and gradients (10.7b)."""
    rows = slice(W - 1, None)
    metric, hessian = (run.probes[name][rows, W - 1 :: -1, W - 1 :: -1] for name in ("metric", "hessian"))
    told = np.isfinite(metric).all(axis=(1, 2)) & np.isfinite(hessian).all(axis=(1, 2))
    modes = theory.metric_modes(metric[told], hessian[told], run.probes["gradient"][rows, W - 1 :: -1][told])
    held = np.logical_and(*(known(modes.sigma, run.probes[name], 2) for name in ("metric", "hessian")))
    G = np.full(modes.sigma.shape, np.nan) if modes.G is None else np.abs(modes.G)
    return _of_modes(np.where(held, modes.sigma, np.nan), modes.h + number(run, "weight_decay"), G)


def _steady(run: GramSequence) -> Points:
    """The same for the whole run, by rank: the steady state is one of the mean p_j and h_j.

    Of ranks that are known in half of the measured windows and more.
    """
    sigma, h, p = run.window(W).sigma, seen(run, W), gradients(run, W) ** 2
    told = np.isfinite(h) & np.isfinite(p)
    ranks = np.flatnonzero(told.sum(axis=0) * 2 >= max(1, told.any(axis=1).sum()))
    if len(ranks) < FEWEST:
        return []
    means = np.array(
        [[x[told[:, j], j].mean() for j in ranks] for x in (h, p, np.log(np.where(told, sigma, 1.0)))]
    )
    stiff, power, strength = means[0] + number(run, "weight_decay"), means[1], means[2]
    good = (stiff > 0) & (power > 0)
    if good.sum() < FEWEST:
        return []
    return [(0.5 * np.log(power[good] / stiff[good]), strength[good])]


def slope(points: Points) -> float:
    """Mean of the Theil–Sen slopes of log d_j: scale free, and one mode of noise does not turn them."""
    return float(np.mean(np.concatenate([_theil_sen(group) for group in _alike(points)])))


def _alike(points: Points) -> list[Floats]:
    """Windows of as many modes at a time, in their order, each (n, 2, modes): one after another they take too long."""
    return [np.array(list(group)) for _, group in groupby(points, lambda pair: len(pair[0]))]


def _theil_sen(group: Floats) -> Floats:
    """Median slope over all pairs of modes with another abscissa, of every window: that of `stats.theilslopes`."""
    one, other = np.triu_indices(group.shape[2], 1)
    x, y = np.moveaxis(group[:, :, other] - group[:, :, one], 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(x != 0, y / x, np.nan)
    return np.asarray((np.nanmedian if np.isnan(slopes).any() else np.median)(slopes, axis=1))


def _ranks(points: Points) -> list[Floats]:
    """Standardised ranks: Spearman's ρ is their mean product, and that of permuted values of permuted ranks."""
    return [stats.zscore(stats.rankdata(group, axis=2), axis=2) for group in _alike(points)]


def rank_correlation(points: Points) -> float:
    """Mean over windows of Spearman's ρ between the modes."""
    return float(np.mean(np.concatenate([_products(r[:, 0], r[:, 1]) for r in _ranks(points)])))


def _permuted(run: GramSequence, points: Points) -> tuple[float, Floats]:
    """The slope where the modes of each window are permuted, and the rank correlation of many such permutations."""
    rng, ranks = np.random.default_rng(worlds.key(run, PREDICTION.number)), _ranks(points)
    correlations = [
        float(np.mean(np.concatenate([_products(rng.permuted(r[:, 0], axis=1), r[:, 1]) for r in ranks])))
        for _ in range(SHUFFLES)
    ]
    return slope([(rng.permutation(a), b) for a, b in points]), np.array(correlations)


def _products(a: Floats, b: Floats) -> Floats:
    """Mean product of the values in each row."""
    return np.asarray((a[:, None, :] @ b[:, :, None])[:, 0, 0] / a.shape[1])


def _agrees(one: Estimate) -> bool | None:
    """Whether the interval reaches the claimed slope within the tolerance (None where it is too wide to say)."""
    if one.low > SLOPE + TOLERANCE or one.high < SLOPE - TOLERANCE:
        return False
    return True if one.high - one.low <= WIDEST else None


def _with_points(runs: Sequence[GramSequence]) -> list[tuple[GramSequence, Points]]:
    return [(run, points) for run in runs if (points := _points(run))]


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Slope and rank correlation of d_j over |G_j|/√(h_j + ω), against the modes permuted."""
    usable = [
        run for run in runs
        if "gradient" in run.probes and source(run, W) is not None and min(run.T, run.W_max) >= W
        and knows(run, "weight_decay")
    ]  # fmt: skip
    own, others = map(_with_points, deciding(usable))
    chosen = own or others  # dense runs that say nothing decide nothing
    if not chosen:
        return PREDICTION.not_run(
            f"no run with gradients and the curvature that its optimiser sees of {FEWEST} modes of a window"
        )
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
    every = [run for run, _ in chosen]
    each: dict[str, Callable[[], Iterator[Points]]] = {
        "slope, window by window": lambda: (points for _, points in chosen),
        "slope over |G_j| alone, window by window": lambda: (_points(run, None) for run in every),
        "slope by the curvature of the plain loss, window by window": lambda: (
            _points(run, plain) for run in every if "hessian" in run.probes
        ),
        "slope in the optimiser's metric, window by window": lambda: (
            _in_the_metric(run) for run in every if {"metric", "hessian"} <= run.probes.keys()
        ),
        "slope, records further apart, window by window": lambda: (
            points for _, points in (others if own else [])
        ),
    }
    readings = []
    for name, points_of_runs in tried(each, 0).items():
        values = [slope(points) for points in points_of_runs() if points]
        if values:
            readings.append(Reading(name, mean(values), shuffled, _agrees(mean(values)), None))
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
    version=3,
    claim="In the steady state d_j is proportional to |G_j|/√(h_j + ω).",
    reference="docs/theory.md, 8.2 and 3.1",
    statistic="Theil–Sen slope of the logarithms over the modes, and rank correlation",
    treatment=(
        "runs recorded at every step (all runs where there are none) with gradients and curvatures v_jᵀD⁻¹Hv_j as the "
        "optimiser sees them"
    ),
    control="modes permuted",
    rule=(
        f"the slope's interval contains 1 (± {TOLERANCE:g}) and is at most {WIDEST:g} wide, and ρ > 0; refuted by a "
        "slope that is neither that nor the one of permuted modes"
    ),
    boundaries=(SLOPE - TOLERANCE, SLOPE + TOLERANCE),
    changed_by=(
        "The exponent −½ of h_j + ω is beyond measurement: d_j² = η²Wp_j holds for any h_j where updates are gradients "
        "(docs/theory.md, 3.1b). A slope that differs between records at every step and further apart is about the "
        "interval; the readings show both."
    ),
    dense=True,
    judge=judge,
    published=published.STEADY,
    planted=worlds.planted("inverted-hierarchy"),
    turned=dict.fromkeys(("_steady", "_points"), lambda points: [(-x, y) for x, y in points]),
    picture=drawn("hierarchy"),
    needs=Needs(config=("weight_decay",), probes=("gradient", CURVATURE)),
)
