"""As published: claims about the gap beside the loss, and about a change of the data (15, 18, 19)."""

import math

import numpy as np
from scipy import stats

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card, knows
from spectral_edge.validate.referee.published.record import AsPublished, Found, Runs, W, lacking, share, width
from spectral_edge.validate.referee.series import log_ratio, validation_loss
from spectral_edge.validate.referee.statistics import LEVEL, phase_randomised

LAGS = range(-5, 8)  # records by which the gap leads
DEGREE = 3  # of the polynomial that is the trend
SHORTEST = 8  # windows that are compared at the longest lag
WINDOWS = (10, 20)
STEPS = 200  # within which a change of the data shows
SURROGATES = 20


class Series(dict[int, tuple[FloatArray, FloatArray]]):
    """By j, σ_j/σ_{j+1} of every window and the validation loss at its end, both without their trend."""


def without_trend(x: FloatArray) -> FloatArray:
    """What a cubic leaves."""
    t = np.linspace(-1, 1, len(x))
    return np.asarray(x - np.polynomial.Polynomial.fit(t, x, DEGREE)(t))


def series(run: GramSequence, width: int) -> Series:
    """Both ratios that are chosen from, where the window has them."""
    loss, found = validation_loss(run), Series()
    if loss is None or run.W_max < width or run.T - width + 1 < SHORTEST + max(map(abs, LAGS)):
        return found
    ratios = run.window(width).ratios
    for j in (2, 3):
        if j < width and np.isfinite(ratios[:, j - 1]).all():
            found[j] = without_trend(ratios[:, j - 1]), without_trend(loss[width - 1 :])
    return found


def most_negative(pairs: Series) -> tuple[float, int, int]:
    """The most negative Pearson's r over ratios and lags, its lag, and on how many windows it rests."""
    found = (np.inf, 0, 0)
    for ratio, loss in pairs.values():
        for lag in LAGS:
            n = len(ratio) - abs(lag)
            x, y = ratio[max(0, -lag) :][:n], loss[max(0, lag) :][:n]
            if np.ptp(x) and np.ptp(y):
                found = min(found, (_pearson(x, y), lag, n))
    return found


def _pearson(x: FloatArray, y: FloatArray) -> float:
    """Pearson's r, NaN of what does not vary; written out, since `np.corrcoef` mostly checks and there are many."""
    x, y = x - x.sum() / len(x), y - y.sum() / len(y)
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size else math.nan


def nominal_p(r: float, n: int) -> float:
    """Student's two-sided p-value of a correlation, as if its n points were independent and the only ones tried."""
    if n < 3 or abs(r) >= 1:
        return 0.0 if n >= 3 else 1.0
    return float(2 * stats.t.sf(abs(r) * np.sqrt((n - 2) / (1 - r * r)), n - 2))


def _random_phases(run: GramSequence, pairs: Series) -> list[Series]:
    """The same with ratios of the same spectrum and random phases."""
    rng = np.random.default_rng(worlds.key(run, SURROGATES))
    drawn = {j: phase_randomised(ratio, SURROGATES, rng) for j, (ratio, _) in pairs.items()}
    return [Series({j: (without_trend(drawn[j][i]), pairs[j][1]) for j in pairs}) for i in range(SURROGATES)]


def _tracks(runs: Runs) -> Found:
    seen = [(run, pairs, most_negative(pairs)) for run in runs if (pairs := series(run, width(run)))]
    chosen = [(run, pairs, found) for run, pairs, found in seen if math.isfinite(found[0])]
    if not chosen:
        return lacking("a run with a validation loss that varies and windows enough")
    best = [found for _, _, found in chosen]
    r = np.array([r for r, _, _ in best])
    significant = np.array([r < 0 and nominal_p(r, n) < LEVEL for r, _, n in best])
    one = np.mean([_pearson(*next(iter(pairs.values()))) for _, pairs, _ in chosen])
    chance = np.mean(
        [most_negative(other)[0] for run, pairs, _ in chosen for other in _random_phases(run, pairs)]
    )
    return Found(
        float(r.mean()),
        bool(significant.mean() > 0.5),
        f"mean r = {r.mean():.2f}, significant in {share(significant)} runs",
        f"The most negative of up to {2 * len(LAGS)} correlations is taken: σ_2/σ_3 at lag 0 alone has r = {one:.2f}, "
        f"and series of random phases treated alike reach {chance:.2f}.",
    )


TRACKS = AsPublished(
    f"Of σ_2/σ_3 or σ_3/σ_4 and the validation loss, both without a cubic trend, the most negative r at lags {LAGS[0]} "
    f"to {LAGS[-1]} is significant (Student, p < {LEVEL:g}) in most runs.",
    _tracks,
)


def flips(pairs: tuple[Series, Series]) -> bool:
    """Whether the lag of the most negative r has opposite signs at the two widths."""
    one, other = (most_negative(own)[1] for own in pairs)
    return one * other < 0


def _lag_flips(runs: Runs) -> Found:
    both = [(run, tuple(series(run, W) for W in WINDOWS)) for run in runs]
    chosen = [(run, (one, other)) for run, (one, other) in both if one and other]
    if not chosen:
        return lacking(f"a run with its validation loss and enough windows of {WINDOWS[1]} updates")
    seen = np.array([flips(pairs) for _, pairs in chosen])
    chance = np.mean([
        flips(drawn) for run, (one, other) in chosen
        for drawn in zip(_random_phases(run, one), _random_phases(run, other), strict=True)
    ])  # fmt: skip
    return Found(
        float(seen.mean()),
        bool(seen.mean() > 0.5),
        f"{share(seen)} runs",
        f"A lag is taken whether its correlation is significant or not: series of random phases flip in {chance:.0%} "
        "of the cases.",
    )


FLIPS = AsPublished(
    f"In most runs the lag of the most negative r has opposite signs at W = {WINDOWS[0]} and W = {WINDOWS[1]}.",
    _lag_flips,
)


def largest_change(run: GramSequence) -> int:
    """The step at which log R changes most, windows of W updates."""
    change = np.abs(np.diff(log_ratio(run, W)))
    return int(run.steps[W:][np.nanargmax(change)]) if np.isfinite(change).any() else -1


def _shift(runs: Runs) -> Found:
    both = [
        run for run in runs
        if knows(run, "shift_step") and min(run.T - 2, run.W_max) >= W
    ]  # fmt: skip
    shifted = [(run, step) for run in both if (step := card(run).shift_step)]
    stays = [run for run in both if not card(run).shift_step]
    if not shifted:
        return lacking("runs whose data change at a known step")
    hits = np.array([abs(largest_change(run) - step) <= STEPS for run, step in shifted])
    at = int(np.median([step for _, step in shifted]))
    others = np.array([abs(largest_change(run) - at) <= STEPS for run in stays], dtype=bool)
    lengths = [2 * STEPS / (run.steps[-1] - run.steps[W - 1]) for run, _ in shifted]
    return Found(
        float(hits.mean()),
        bool(hits.mean() > 0.5),
        f"{share(hits)} shifts",
        "No run whose data stay is asked"
        + (
            f": there the largest change lies within {STEPS} steps of the same step in {share(others)}"
            if stays
            else ""
        )
        + f"; by chance it would in {np.mean(lengths):.0%} of the runs.",
    )


SHIFT = AsPublished(
    f"In most runs whose data change, R changes most within {STEPS} steps of that.",
    _shift,
    "shift",
)
