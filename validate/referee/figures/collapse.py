"""Pictures of collapse times: predicted against observed ones, one exchange as it was followed, a forecast.

Everything that `agreement` draws is in ``Verdict.details`` of prediction 20; a verdict without exchanges gives axes
that say so.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from spectral_edge.theory.palette import BLACK, BLUE, GREY, ORANGE, RED
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse.accuracy import MEAN, WHERE
from spectral_edge.validate.referee.collapse.repulsion import agreement as agreement_of_levels
from spectral_edge.validate.referee.collapse.repulsion import repulsion
from spectral_edge.validate.referee.figures.run import plain_ticks

if TYPE_CHECKING:
    from spectral_edge.validate.referee.collapse.forecast import Forecast
    from spectral_edge.validate.referee.verdict import Verdict

#: Bins of equal size into which pairs are put by what is said of them, and below which share they lie linearly.
BINS, FAINT = 14, 1e-4
#: Leading modes whose strength a picture of a forecast shows.
LEADING = 6


def agreement(verdict: "Verdict", ax: Axes, form: str | None = None, where: str = WHERE[0]) -> Axes:
    """Draw predicted against observed times by `form` (default: the rule's), those of the control behind them.

    `where` says of which pairs: "k*", "weighted k*", "leading pairs". On the line predicted and observed are equal.
    Triangles at the top are states from which no exchange is foreseen within the horizon.
    """
    details = verdict.details
    pairs: list[dict[str, Any]] = details.get("pairs", {}).get(where, [])
    chosen: str = form or details.get("form", "")
    ax.set(xlabel="observed time to exchange (records)", ylabel="predicted time (records)")
    if not pairs:
        ax.text(0.5, 0.5, "no exchange could be followed", ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return ax
    observed, horizon = (np.array([pair[name] for pair in pairs]) for name in ("observed", "horizon"))
    mean, predicted = (
        np.array([pair.get(name, np.nan) for pair in pairs], dtype=float) for name in (MEAN, chosen)
    )
    few = len(pairs) < 200
    ax.plot(observed, mean, "s", color=ORANGE, ms=4 if few else 2, mfc="none", label="the mean of the others")
    seen = predicted < horizon
    shade = 0.8 if few else 0.35
    ax.plot(
        observed[seen],
        predicted[seen],
        "o",
        color=BLUE,
        ms=4 if few else 2.5,
        alpha=shade,
        mew=0,
        label=chosen,
    )
    ends = np.array([observed.min() * 0.8, max(observed.max(), horizon.max()) * 1.25])
    ax.plot(ends, ends, color=BLACK, lw=1, label="equal")
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=(min(ends[0], 1.0), ends[1]))
    missed = predicted >= horizon
    if missed.any():
        top = np.full(missed.sum(), horizon.max())
        label = f"none foreseen ({missed.mean():.0%})"
        ax.plot(observed[missed], top, "^", color=RED, ms=5 if few else 3, alpha=shade, mew=0, label=label)
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    # below: within, it would lie over data
    ax.legend(fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return ax


def repelling(worlds: Mapping[str, Sequence[GramSequence]], ax: Axes, all_levels: bool = False) -> Axes:
    """Draw by how much neighbouring levels move apart beyond first order against what 4.3 says, medians and quartiles.

    Parameters
    ----------
    worlds : mapping of str to sequence of GramSequence
        Runs by the name of what they are: recorded ones, and noise beside them.
    ax : Axes
    all_levels : bool
        Compare with what all levels do to the two, and not with what the two do to each other.

    Returns
    -------
    Axes
        On the line what is seen is what is said. Spearman's ρ, mean over runs, stands in the legend.
    """
    ends = []
    for (name, runs), colour, marker in zip(worlds.items(), (BLUE, ORANGE), ("o", "s"), strict=False):
        found = [repulsion(run) for run in runs]
        said, seen = (
            np.concatenate([getattr(one, what) for one in found] or [np.zeros(0)])
            for what in ("all_levels" if all_levels else "neighbour", "measured")
        )
        if len(said) < BINS:
            continue
        parts = np.array_split(np.argsort(said), BINS)
        x = np.array([np.median(said[part]) for part in parts])
        low, y, high = np.transpose([np.quantile(seen[part], [0.25, 0.5, 0.75]) for part in parts])
        rho = agreement_of_levels(runs)[int(all_levels)]
        ax.errorbar(
            x, y, [y - low, high - y], color=colour, marker=marker, ms=4, lw=1, label=f"{name}, ρ = {rho}"
        )
        ends += [x.min(), x.max()]
    ax.set(
        xlabel="all levels, to second order (share)"
        if all_levels
        else "the two alone, 2M²/(λₖ − λₖ₊₁)² (share)",
        ylabel="move apart (share of the gap)",
    )
    if not ends:
        ax.text(0.5, 0.5, "no small perturbation", ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return ax
    line = np.array([min(ends), max(ends)])
    ax.plot(line, line, color=BLACK, lw=1, ls="--", label="equal")
    ax.set_xscale("symlog", linthresh=FAINT)
    ax.set_yscale("symlog", linthresh=FAINT)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator([-1e-1, -1e-3, 0, 1e-3, 1e-1]))
    ax.legend(fontsize=7, frameon=False, loc="upper left")
    return ax


def repelling_figure(worlds: Mapping[str, Sequence[GramSequence]]) -> Figure:
    """Both comparisons of `repelling` side by side (4.3).

    Parameters
    ----------
    worlds : mapping of str to sequence of GramSequence
        As in `repelling`.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np
    >>> walk = np.random.default_rng(0).normal(size=(300, 500)).cumsum(axis=0)
    >>> found = repelling_figure({"a random walk": [GramSequence.from_updates(walk)]})
    >>> len(found.axes)
    2
    """
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    for ax, all_levels in zip(figure.subplots(1, 2), (False, True), strict=True):
        repelling(worlds, ax, all_levels)
    return figure


def continued_spectrum(
    found: "Forecast", ax: Axes | None = None, happened: GramSequence | None = None
) -> Axes:
    """Draw the leading singular values of the last windows, what is expected of them, and the next exchanges.

    What `happened` after the forecast, the same run recorded further, is drawn beside what was expected.
    """
    if ax is None:
        ax = Figure(figsize=(6.0, 3.6), layout="constrained").add_subplot()
    leading = min(LEADING, found.W)
    before = found.step + found.spacing * np.arange(1 - len(found.past), 1)
    after = found.step + found.spacing * np.arange(len(found.ahead))
    seen, sigma = _after(found, happened)
    for j in range(leading):
        colour, width = ((BLUE, 1.6) if j == 0 else (BLACK, 1.0)) if j != found.k_star else (ORANGE, 1.6)
        named = f"σ{j + 1}" if j in (0, found.k_star) else None
        ax.plot(before, found.past[:, j], color=colour, lw=width, label=named)
        if len(seen):
            ax.plot(seen, sigma[:, j], color=colour, lw=3 * width, alpha=0.3, solid_capstyle="butt")
        ax.plot(after, found.ahead[:, j], color=colour, lw=width, ls="--", alpha=0.8)
    ax.axvline(found.step, color=GREY, lw=0.8)
    for (upper, lower), time in zip(found.pairs, found.collapse_time[found.best], strict=True):
        if np.isfinite(time):
            at = found.step + found.spacing * time
            gap = upper == found.k_star
            ax.axvline(
                at, color=RED, ls=":" if not gap else "-", lw=1.3, label=f"{upper} and {lower} exchange"
            )
    ax.plot([], [], color=BLACK, lw=1, ls="--", label="expected")
    if len(seen):
        ax.plot([], [], color=BLACK, lw=3, alpha=0.3, label="what happened")
    ax.set(
        xlabel="step", ylabel="σⱼ (parameter units)", title=f"Expected from step {found.step:,} on (dashed)"
    )
    ax.set_yscale("log", nonpositive="mask")
    if len(seen):  # a forecast goes on growing where the run does not: it may leave the picture
        known = np.concatenate([found.past[:, :leading], sigma[:, :leading]])
        ax.set_ylim(known[known > 0].min() / 3, known.max() * 3)
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _after(found: "Forecast", happened: GramSequence | None) -> tuple[Any, Any]:
    """Steps from the forecast's on to its horizon, and the singular values of the windows that end there."""
    if happened is None or happened.steps[-1] <= found.step:
        return np.zeros(0), np.zeros((0, found.W))
    windows = happened.window(found.W)
    shown = (windows.steps >= found.step) & (windows.steps <= found.step + found.spacing * found.horizon)
    return windows.steps[shown], windows.sigma[shown]
