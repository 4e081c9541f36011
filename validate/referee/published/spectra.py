"""As published: claims about the spectrum of a window and its gap position (1 to 5, 13, 17)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge import theory
from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card, knows, learning_rate
from spectral_edge.validate.referee.projection import projected
from spectral_edge.validate.referee.published.record import (
    AsPublished,
    Found,
    Runs,
    lacking,
    long_enough,
    most_frequent,
    positions,
    share,
    width,
)
from spectral_edge.validate.referee.statistics import short

ACCEPTED = 5.0  # smallest σ_W/d_crit
SMALL = 3
SHARP = 4  # stands for the number of sharp directions, which is not measured
PLATEAU = 0.85  # of the maximum of σ_2/σ_3
COLLAPSED = 1.20  # σ_2/σ_3 that is a collapse
OPTIMISERS = {"muon": 1, "adamw": 2}
ERROR = 0.057  # mean relative error of σ_2/σ_3
DRAWS = 3
NO_WINDOW = "a run with a window of the author's width"


def _pooled(arrays: Sequence[ArrayLike]) -> FloatArray:
    return np.concatenate([np.asarray(one, dtype=float) for one in arrays])


def _white(run: GramSequence) -> GramSequence:
    """Noise of the run's norms without any colour."""
    return worlds.white_noise(run, 0, 1)[0]


# -- 1, 2 ------------------------------------------------------------------------------------------------------


def weakest(run: GramSequence) -> float:
    """Smallest σ_W/d_crit, the noise per entry from the weak half of each window itself."""
    return float(np.nanmin(over_threshold(run.window(width(run)).sigma, run.P or 0)))


def over_threshold(sigma: FloatArray, P: int) -> FloatArray:
    """σ_W/d_crit of windows, (n,), each with the noise of its own weak half; 0 where there is nothing in that."""
    nu = theory.estimate_nu(sigma, P, debias=False)
    threshold = theory.bbp_threshold(np.where(nu == 0, 1.0, nu), P, sigma.shape[1])
    return np.asarray(sigma[:, -1] / threshold)


def _above_threshold(runs: Runs) -> Found:
    chosen = [run for run in long_enough(runs) if run.P]
    if not chosen:
        return lacking(f"{NO_WINDOW} and its number of parameters")
    ratio, noise = (min(map(weakest, of)) for of in (chosen, map(_white, chosen)))
    return Found(
        ratio,
        ratio > ACCEPTED,
        f"{short(ratio)} at the least, over {len(chosen)} runs",
        f"The noise that makes the threshold is taken from the window's own weak half: white noise of the same norms "
        f"stands {short(noise)} times above its threshold by the same rule.",
    )


def largest_ratio(windows: WindowSpectra) -> FloatArray:
    """Which windows, (n,), have a largest ratio of neighbouring singular values."""
    return np.isfinite(windows.ratio).astype(float)


def _has_gap(runs: Runs) -> Found:
    chosen = long_enough(runs)
    if not chosen:
        return lacking(NO_WINDOW)
    has, noise = (
        float(np.mean(_pooled([largest_ratio(run.window(width(run))) for run in of])))
        for of in (chosen, [_white(run) for run in chosen])
    )
    return Found(
        has,
        has == 1,
        f"{has:.0%} of the windows",
        f"A gap is assumed, not tested: of the windows of white noise {noise:.0%} have a largest ratio as well.",
    )


ABOVE_THRESHOLD = AsPublished(
    f"The smallest σ_W/d_crit of any window, with ν̂² = mean(λ_j, j > W/2)/P, lies above {ACCEPTED:g}.",
    _above_threshold,
)
HAS_GAP = AsPublished(
    "Axiom 2, which is assumed: the singular values of every window have a largest ratio, and that is the gap.",
    _has_gap,
)


# -- 3, 4, 13 --------------------------------------------------------------------------------------------------


def usual_position(run: GramSequence) -> int:
    """The position that most windows of a run have, as the author reads it."""
    return most_frequent(positions(run))


def _with_gap(runs: Runs) -> list[GramSequence]:
    """Runs of which some window has a gap position: neighbouring singular values to compare."""
    return [run for run in long_enough(runs) if np.isfinite(positions(run)).any()]


def _small(runs: Runs) -> Found:
    chosen = _with_gap(runs)
    if not chosen:
        return lacking(NO_WINDOW)
    usual = np.array([usual_position(run) for run in chosen])
    read, plain = (
        float(np.mean(_pooled([k[np.isfinite(k)] <= SMALL for k in of])))
        for of in ([positions(run) for run in chosen], [run.window(width(run)).k_star for run in chosen])
    )
    short_ones = [width(run) <= SMALL + 1 for run in chosen]
    bound = f"; in {share(short_ones)} runs the window is so short that it cannot be more" * any(short_ones)
    return Found(
        float(usual.max()),
        bool(usual.max() <= SMALL),
        f"at most {SMALL} in {share(usual <= SMALL)} runs",
        f"The ratios are weighted by σ_j: so read, k* is at most {SMALL} in {read:.0%} of the windows, by the ratio "
        f"alone in {plain:.0%}{bound}.",
    )


def _krylov(runs: Runs) -> Found:
    chosen = _with_gap(runs)
    if not chosen:
        return lacking(NO_WINDOW)
    usual = np.array([usual_position(run) for run in chosen])
    measured = [
        run for run in chosen
        if "hessian" in run.probes and knows(run, "learning_rate") and run.probes["hessian"].shape[1] >= width(run)
    ]  # fmt: skip
    return Found(
        float(usual.max()),
        bool(usual.max() <= SHARP),
        f"at most {SHARP} in {share(usual <= SHARP)} runs",
        f"{SHARP} stands for K, which is not measured" + (
            f": as measured (plain loss, η of a step), K is {sharp}." if (sharp := _sharp(measured)) else "."
        ),
    )  # fmt: skip


def _sharp(runs: Runs) -> str | None:
    """The number of sharp directions in the median, and how many windows keep to it; None where it is never known."""
    count, kept = [], []
    for run in runs:
        W = width(run)
        h, eta = run.window(W).curvature(), learning_rate(run)[W - 1 :]
        known = np.isfinite(h).all(axis=1) & np.isfinite(eta)
        count.append(theory.krylov_count(h[known], eta[known], W))
        kept.append(positions(run)[known] <= count[-1])
    if not any(map(len, kept)):
        return None
    return f"{np.median(_pooled(count)):g} in the median, and k* ≤ K in {np.mean(_pooled(kept)):.0%} of the windows"


def _optimisers(runs: Runs) -> Found:
    groups = {
        name: [run for run in long_enough(runs) if (card(run).optimizer or "").lower() == name
               ]
        for name in OPTIMISERS
    }  # fmt: skip
    if not all(groups.values()):
        return lacking("runs of one model by Muon and by AdamW")
    modes = {
        name: most_frequent(_pooled([run.window(width(run)).k_star for run in group]))
        for name, group in groups.items()
    }
    colours = {
        name: np.mean([worlds.mean_autocorrelation(run)[1] for run in group])
        for name, group in groups.items()
    }
    return Found(
        float(modes["adamw"] - modes["muon"]),
        modes == OPTIMISERS,
        f"Muon {modes['muon']}, AdamW {modes['adamw']}",
        "Every window counts, whether its gap is that of noise or not; the correlation of one update with the next, "
        f"which gives noise a k* of its own, is {colours['muon']:.2f} and {colours['adamw']:.2f}.",
    )


SMALL_POSITION = AsPublished(
    f"The most frequent k* (ratios weighted by σ_j; plain for language) is at most {SMALL} in every run.",
    _small,
)
KRYLOV = AsPublished(
    f"The most frequent k* is at most {SHARP} in every run; the number of sharp directions is not measured.",
    _krylov,
)
BY_OPTIMISER = AsPublished(
    "The most frequent plain k* over all windows is 1 under Muon and 2 under AdamW on one model.",
    _optimisers,
    "optimizer",
)


# -- 5, 17 -----------------------------------------------------------------------------------------------------


def second_ratio(windows: WindowSpectra) -> FloatArray:
    """σ_2/σ_3 of the windows that have it."""
    ratio = windows.ratios[:, 1]
    return np.asarray(ratio[np.isfinite(ratio)])


def three_phases(ratio: FloatArray) -> bool:
    """Whether a series rises to its plateau and falls to a collapse after its maximum."""
    if not len(ratio):
        return False
    top = int(np.argmax(ratio))
    return bool((ratio[:top] < PLATEAU * ratio[top]).any() and (ratio[top:] < COLLAPSED).any())


def _phases(runs: Runs) -> Found:
    chosen = long_enough(runs, 2)
    if not chosen:
        return lacking(NO_WINDOW)
    seen, noise = (
        np.array([three_phases(second_ratio(run.window(width(run)))) for run in of])
        for of in (chosen, [worlds.matched_noise(run, 0, 1)[0] for run in chosen])
    )
    at_gap = [run.window(width(run)).ratio for run in chosen]
    by_gap = np.array([three_phases(ratio[np.isfinite(ratio)]) for ratio in at_gap])
    return Found(
        float(seen.mean()),
        bool(seen.mean() > 0.5),
        f"{share(seen)} runs",
        f"σ_2/σ_3 is chosen, and measured from its own maximum: the ratio at k* shows the three phases in "
        f"{share(by_gap)} runs, σ_2/σ_3 of noise of the runs' colour and norms in {share(noise)}.",
    )


def projection_errors(run: GramSequence) -> FloatArray:
    """Relative errors of σ_2/σ_3 in all windows and draws."""
    W = width(run)
    own = run.window(W).ratios[:, 1]
    drawn = [projected(run, W, 10 * W, seed) for seed in range(DRAWS)]
    # of fewer than three directions there is no such ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.array([np.abs(sigma[:, 1] / sigma[:, 2] / own - 1) for sigma in drawn])
    return np.asarray(errors[np.isfinite(errors)])


def _projection(runs: Runs) -> Found:
    chosen = long_enough(runs)
    errors = _pooled([[], *(projection_errors(run) for run in chosen)])
    if not len(errors):
        return lacking(f"{NO_WINDOW}, and three directions in it")
    mean = float(np.mean(errors))
    return Found(
        mean,
        mean <= ERROR,
        f"{mean:.1%} in the mean",
        f"The mean over windows counts, and σ_2/σ_3 in the place of R: {np.mean(errors <= ERROR):.0%} of the windows "
        f"keep within {ERROR:.1%}, the worst is off by {errors.max():.0%}.",
    )


PHASES = AsPublished(
    f"In most runs σ_2/σ_3 is below {PLATEAU:.0%} of its maximum at some time before it, and below {COLLAPSED:.2f} at "
    "some time after.",
    _phases,
)
PROJECTION = AsPublished(
    f"The mean relative error of σ_2/σ_3 under {DRAWS} Gaussian projections to 10W dimensions is at most {ERROR:.1%}.",
    _projection,
)
