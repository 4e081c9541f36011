"""As published: claims about the stability of modes, the flow of the gap and what modes are worth (6 to 9, 14)."""

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card, knows, learning_rate
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.published.record import (
    AsPublished,
    Found,
    Runs,
    lacking,
    long_enough,
    positions,
    share,
    width,
)
from spectral_edge.validate.referee.statistics import mean, short

#: Columns of the probe "ablation".
VALIDATION_CHANGE, ALONG = 1, 4
FOLLOWED = 0.5  # of r: a quarter of the variance
REMOVED = 2  # leading directions that are removed
AWAY, NEAR = 0.1, 10.0  # ≪ 1 and ~ 1, read as an order of magnitude

# -- 6 ---------------------------------------------------------------------------------------------------------


def stabilities(run: GramSequence) -> FloatArray:
    """The author's α of the modes above k*, at it, below it, and above where there are any: means over windows, (4,).

    That α above k* = 1, where there is nothing, is 1.
    """
    alpha, k_star = run.window(width(run)).alpha(1.0, "eigenvalue"), positions(run)[:-1]
    rows = [
        (a[: k - 1].mean() if k > 1 else 1.0, a[k - 1], a[k:].mean(), a[: k - 1].mean() if k > 1 else np.nan)
        for a, k in zip(alpha, np.nan_to_num(k_star).astype(int), strict=True)
        if k and np.isfinite(a).all()
    ]
    table: FloatArray = np.array(rows or [(np.nan,) * 4], dtype=float)
    known = np.isfinite(table).any(axis=0)
    found = np.full(4, np.nan)
    found[known] = np.nanmean(table[:, known], axis=0)
    return found


def _hierarchy(runs: Runs) -> Found:
    chosen = long_enough(runs, 1)
    table = np.array([stabilities(run) for run in chosen])
    if not len(table) or np.isnan(table[:, :3]).all():
        return lacking("a run with two windows of the author's width")
    above, at, below = np.nanmean(table[:, :3], axis=0)
    there = table[np.isfinite(table[:, 3]), 3]
    k_star = np.concatenate([positions(run) for run in chosen])
    ones = float(np.mean(k_star[np.isfinite(k_star)] == 1))
    return Found(
        float(min(above - at, at - below)),
        bool(above > at > below),
        f"α is {above:.2f} above k*, {at:.2f} at it, {below:.2f} below",
        f"α is set to 1 where k* = 1 and nothing is above it: {ones:.0%} of the windows"
        + (
            f"; where there is something, it is {there.mean():.2f}."
            if len(there)
            else ", which is all there is."
        ),
    )


HIERARCHY = AsPublished(
    "In the mean over windows α = max(0, 1 − ‖Δλ‖²/gap²) is larger above k* than at it, and larger there than below; "
    "where k* = 1 it counts as 1 above.",
    _hierarchy,
)

# -- 7, 8 ------------------------------------------------------------------------------------------------------


def correlation(g: FloatArray) -> float:
    """Pearson's r of a series with its centred difference; NaN where one of them does not change."""
    g = g[np.isfinite(g)]
    change, middle = g[2:] - g[:-2], g[1:-1]
    if len(middle) < 3 or not np.ptp(change) or not np.ptp(middle):
        return float("nan")
    return float(np.corrcoef(middle, change)[0, 1])


def _flow(runs: Runs) -> Found:
    chosen = long_enough(runs, 5)
    r, noise = (
        mean([correlation(run.window(width(run)).gap) for run in of])
        for of in (chosen, [worlds.white_noise(run, 0, 1)[0] for run in chosen])
    )
    if np.isnan(r.value):
        return lacking("a run with some windows of the author's width")
    return Found(
        r.value,
        bool(max(r.low, -r.high) > FOLLOWED),
        f"r = {r}",
        "Neither curvature nor gradient is measured, and a series that stays within bounds does not correlate with its "
        f"centred difference whatever drives it: white noise of the same norms has r = {noise}.",
    )


FLOW = AsPublished(
    "The correlation of the gap with its centred rate of change, where the author finds about 0, lies beyond "
    f"±{FOLLOWED:g} (the 95 % interval of its mean over runs).",
    _flow,
)
STEADY = AsPublished(
    "The author measures neither gradients nor curvatures along the modes, and makes no test of it."
)

# -- 9 ---------------------------------------------------------------------------------------------------------


def costs(run: GramSequence, probe: str = "ablation") -> FloatArray:
    """Rise of the test loss without v_1 and v_2, and ⟨θ, v_1⟩² + ⟨θ, v_2⟩², at every record that has them, (m, 2)."""
    tables = run.probes[probe]
    known = tables[np.isfinite(tables).all(axis=(1, 2))][:, :REMOVED]
    return np.stack(
        [known[:, :, VALIDATION_CHANGE].sum(axis=1), (known[:, :, ALONG] ** 2).sum(axis=1)], axis=1
    )


def _ablation(runs: Runs) -> Found:
    chosen = [run for run in runs if {"ablation", "ablation_random"} <= run.probes.keys()]
    pairs = [(own, other) for run in chosen
             if len(own := costs(run)) and len(other := costs(run, "ablation_random"))]  # fmt: skip
    if not pairs:
        return lacking("the probes ablation and ablation_random")
    more = np.array([own[:, 0].mean() > other[:, 0].mean() for own, other in pairs])
    size = np.median([own[:, 1].mean() / max(other[:, 1].mean(), 1e-300) for own, other in pairs])
    return Found(
        float(more.mean()),
        bool(more.mean() > 0.5),
        f"{share(more)} runs",
        "Random directions hardly touch the parameters: what is removed along v_1 and v_2, Σ⟨θ, v⟩², is "
        f"{short(size)} times what is removed along as many of them (median over runs), whatever the gradients are.",
    )


ABLATION = AsPublished(
    "Removing v_1 and v_2 from the parameters raises the test loss by more than removing two random directions, in "
    "most runs (recorded one by one: their costs are added up).",
    _ablation,
)

# -- 14, 16, 20 ------------------------------------------------------------------------------------------------


def adiabatic(run: GramSequence, step: int) -> tuple[float, float]:
    """Median of 𝒜 = ‖ΔG‖_F/(ηg²) within a window's width of `step`, and elsewhere; NaN where either has no window."""
    W = width(run)
    A = run.window(W).adiabatic(learning_rate(run)[W:])
    near = np.abs(np.arange(len(A)) - np.searchsorted(run.window(W).steps[:-1], step)) <= W
    sides = [A[side][~np.isnan(A[side])] for side in (near, ~near)]
    if not all(map(len, sides)):
        return float("nan"), float("nan")
    return float(np.median(sides[0])), float(np.median(sides[1]))


def _regimes(runs: Runs) -> Found:
    found = np.array([
        adiabatic(run, step) for run in long_enough(runs, 1)
        if knows(run, "learning_rate") and (step := grok_step(run)) is not None
        and (card(run).weight_decay or 0) > 0
    ]).reshape(-1, 2)  # fmt: skip
    found = found[np.isfinite(found).all(axis=1)]
    if not len(found):
        return lacking("a run with weight decay that groks and has windows away from that")
    near, away = np.exp(np.log(found).mean(axis=0))
    agree = (found[:, 1] < AWAY) & (found[:, 0] >= AWAY) & (found[:, 0] <= NEAR)
    return Found(
        float(near),
        bool(agree.mean() > 0.5),
        f"{short(near, 2)} near and {short(away, 2)} away; as said in {share(agree)} runs",
        f"𝒜 is compared with 1, and not near with away: their ratio is {short(near / away, 2)}.",
    )


REGIMES = AsPublished(
    f"In most runs that grok the median of 𝒜 = ‖ΔG‖_F/(ηg²) is ≪ 1 (below {AWAY:g}) away from the grok step and ~ 1 "
    f"({AWAY:g} to {NEAR:g}) within a window of it; said in the abstract, computed by no code of the author's.",
    _regimes,
)
MAXIMALITY = AsPublished(
    "The author makes no test of it on recorded runs; a later one removes directions from the gradient in training."
)
COLLAPSE_TIME = AsPublished("The author forecasts no collapse, and makes no test of it.")
