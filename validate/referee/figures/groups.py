"""Pictures of many runs at once, axes in, axes out: what the claims of single predictions look at."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spectral_edge.theory.checks import FloatArray
from spectral_edge.theory.palette import BLACK, BLUE, GREEN, ORANGE, RED
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.figures.run import line
from spectral_edge.validate.referee.series import log_loss, log_ratio, without_trend

W = 10
#: Points of a scatter plot at most.
POINTS = 500

Runs = Sequence[GramSequence]
#: A run's values against its records' steps.
Series = Callable[[GramSequence], tuple[NDArray[np.int64], FloatArray]]


class Aligned(NamedTuple):
    """A run, the step of its event (or of its twin's), and whether it is treated."""

    run: GramSequence
    step: int
    treated: bool


def aligned(chosen: Sequence[Aligned], series: Series, ax: Axes, label: str, event: str) -> Axes:
    """One thin line per run against the records since its event, and the median of each group."""
    for treated in (False, True):
        style = line(treated)
        group = [one for one in chosen if one.treated == treated]
        grid = np.arange(-40, 21)
        table = np.full((len(group), len(grid)), np.nan)
        for row, one in zip(table, group, strict=True):
            steps, values = series(one.run)
            records = np.arange(len(steps)) - np.searchsorted(steps, one.step)
            keep = (records >= grid[0]) & (records <= grid[-1])
            row[records[keep] - grid[0]] = values[keep]
            ax.plot(records[keep], values[keep], **style, lw=0.7, alpha=0.45)
        enough = np.isfinite(table).sum(axis=0) >= max(0.8 * len(group), 1)
        if enough.any():
            name = card(group[0].run).contrast[0]
            median = np.nanmedian(table[:, enough], axis=0)
            ax.plot(grid[enough], median, **style, lw=2.2, label=f"{name} ({len(group)})")
    ax.axvline(0, color=RED, ls=":", lw=1.4, label=event)
    ax.set(xlabel=f"records since the {event}", ylabel=label)
    ax.legend()
    return ax


def positions(groups: Mapping[str, Runs], ax: Axes) -> Axes:
    """Share of windows at each k*, one bar per group; the whisker spans the runs."""
    width = 0.8 / len(groups)
    for i, ((name, runs), colour) in enumerate(zip(groups.items(), (BLUE, ORANGE), strict=False)):
        shares = []
        for run in runs:
            k = run.window(W).k_star
            shares.append(np.bincount(k[np.isfinite(k)].astype(int), minlength=W)[1:] / max(len(k), 1))
        middle, low, high = np.mean(shares, axis=0), np.min(shares, axis=0), np.max(shares, axis=0)
        at = np.arange(1, W) + (i - (len(groups) - 1) / 2) * width
        ax.bar(
            at, middle, width * 0.92, color=colour, hatch="//" * i, label=f"{name} ({len(runs)})", alpha=0.9
        )
        ax.errorbar(
            at, middle, np.maximum([middle - low, high - middle], 0), fmt="none", ecolor=BLACK, lw=0.8
        )
    ax.set(xlabel="gap position k*", ylabel="share of windows", xticks=range(1, W), title="Where the gap is")
    ax.legend()
    return ax


def stability_profile(runs: Runs, ax: Axes) -> Axes:
    """α_j and the overlap of v_j with itself a record later, by distance from k*: medians over windows, quartiles."""
    far = np.arange(-2, 5)
    for name, of, colour, style, marker in (
        ("overlap ⟨v_j, v_j′⟩²", lambda w: np.diagonal(w.overlaps, axis1=1, axis2=2) ** 2, GREEN, "--", "s"),
        ("α_j", lambda w: w.alpha(), BLUE, "-", "o"),
    ):
        cells: list[list[float]] = [[] for _ in far]
        for windows in (run.window(W) for run in runs):
            values, k = of(windows), windows.k_star[:-1]
            for cell, distance in zip(cells, far, strict=True):
                j = k - 1 + distance
                at = np.flatnonzero((j >= 0) & (j < W))  # NaN compares false
                cell.extend(values[at, j[at].astype(int)])
        there = [i for i, cell in enumerate(cells) if cell]
        low, middle, high = np.array([np.nanquantile(cells[i], [0.25, 0.5, 0.75]) for i in there]).T
        spread = np.maximum([middle - low, high - middle], 0)
        ax.plot(far[there], middle, color=colour, ls=style, marker=marker, ms=4, lw=1.5, label=name)
        ax.errorbar(far[there], middle, spread, fmt="none", ecolor=colour, elinewidth=0.8, capsize=2)
    ax.set(xlabel="mode, counted from k*", ylabel="stability", ylim=(-0.03, 1.03), title="Stability by mode")
    ax.legend()
    return ax


def grok_steps(runs: Runs, ax: Axes) -> Axes:
    """Grok step of every run by family, on a logarithmic axis; runs that did not grok stand at the right."""
    names = list(dict.fromkeys(card(run).heading for run in runs))
    recipes = {card(run).recipe for run in runs}
    last = max(int(run.steps[-1]) for run in runs)
    for treated, colour, marker, offset in ((True, BLUE, "o", -0.13), (False, ORANGE, "s", 0.13)):
        group = [run for run in runs if card(run).contrast[1] is treated]
        steps = [grok_step(run) for run in group]
        rows = np.array([names.index(card(run).heading) + offset for run in group])
        seen: dict[float, int] = {}
        for i, row in enumerate(rows):  # those that never do would lie on each other
            if steps[i] is None:
                seen[row] = seen.get(row, 0) + 1
                ax.text(last * 1.6 * 1.35 ** seen[row], row, "×", color=colour, ha="center", va="center")
        known = [(step, row) for step, row in zip(steps, rows, strict=True) if step is not None]
        if group:
            x, y = np.array(known, dtype=float).reshape(-1, 2).T
            ax.plot(x, y, marker, color=colour, ms=5, alpha=0.85, label=card(group[0]).contrast[0])
    ax.axvline(last * 1.5, color=BLACK, lw=0.6)
    first = max(1, min(int(run.steps[0]) for run in runs))
    ax.set(
        xscale="log",
        xlim=(0.7 * first, last * 6),
        xlabel="grok step (×: none)",
        title="Grok step of every run",
    )
    shown = [name.removeprefix("modular, ") for name in names]
    if len(recipes) == 1:  # which need not be said of each
        shown = [name.removesuffix(f", {next(iter(recipes))} recipe") for name in shown]
    ax.set_yticks(range(len(names)), shown)
    ax.set_xticks([10**k for k in range(9) if first <= 10**k <= last])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.legend()
    return ax


def phases(runs: Runs, ax: Axes) -> Axes:
    """R of every run against its share of training, over its own median."""
    for treated in (None, False, True):
        style, these = line(treated), [run for run in runs if card(run).contrast[1] is treated]
        group, name = [run.window(W) for run in these], card(these[0]).contrast[0] if these else ""
        grid, table = np.linspace(0, 1, 61), []
        for windows in group:
            share = np.linspace(0, 1, len(windows.ratio))
            table.append(np.interp(grid, share, windows.ratio / np.nanmedian(windows.ratio)))
            ax.plot(grid, table[-1], **style, lw=0.6, alpha=0.4)
        if group:
            ax.plot(
                grid,
                np.nanmedian(table, axis=0),
                **style,
                lw=2.2,
                label=f"{name} ({len(group)})",
            )
    ax.set(xlabel="share of training", ylabel="R over its median", yscale="log", title="Gap ratio, all runs")
    ax.legend()
    return ax


def without_trends(run: GramSequence, ax: Axes) -> Axes:
    """Log R and log validation loss of one run, both less their line and scaled alike."""
    loss = log_loss(run, W)
    steps, ratio = run.window(W).steps, log_ratio(run, W)
    ax.plot(steps, without_trend(ratio), color=BLUE, lw=1.3, label="log R")
    if loss is not None:
        ax.plot(steps, without_trend(loss), color=ORANGE, ls="--", lw=1.3, label="log validation loss")
    ax.set(xlabel="step", ylabel="without trend, length 1", title=card(run).run or "")
    ax.legend()
    return ax


def steady_state(pairs: Iterable[tuple[FloatArray, FloatArray]], ax: Axes) -> Axes:
    """Strength of every mode against what 8.2 makes it proportional to, each window over its own geometric mean."""
    x, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
    thin = np.linspace(0, len(x) - 1, min(POINTS, len(x))).astype(int)
    ax.plot(x[thin], y[thin], ".", color=BLUE, ms=3, alpha=0.6, label="a mode of a window")
    ends = np.quantile(x, [0.01, 0.99])
    ax.plot(ends, ends, color=BLACK, lw=1, label="slope 1")
    ax.set(xscale="log", yscale="log", xlabel="|G_j|/√(h_j + ω) over its mean", ylabel="σ_j over its mean")
    ax.legend()
    return ax
