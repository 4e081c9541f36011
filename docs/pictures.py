"""The pictures of README and documentation, drawn anew from the bundled runs: ``make pictures``."""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spectral_edge import simulate, validate
from spectral_edge.simulate import _figures as worlds
from spectral_edge.theory import palette
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import analysis
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.figures import run as figures
from spectral_edge.validate.referee.figures.collapse import agreement
from spectral_edge.validate.referee.predictions import p20_collapse_time as p20

FOLDER = Path(__file__).parent / "images"
W, DRAWS = 10, 200
#: One regime of the dense runs, that with the most exchanges under AdamW, and its first seed; the forecast is from the
#: middle of the run, wherever that falls.
REGIME, SEED = "mlp-adamw", 100
#: Regimes recorded at intervals too; windows and intervals of that picture, and the steps that all have in common.
THINNED = {"mlp-adamw": "AdamW", "mlp-gd-edge": "Gradient descent, edge of stability"}
WIDTHS, SPACINGS, UNTIL = (5, 10, 16), (1, 3, 10, 30), 1_500


def bundled(start: str, group: str = "attention") -> list[GramSequence]:
    """The bundled runs of a group whose names begin with `start`."""
    return [run for run in validate.bundled(group) if str(run.config["run"]).startswith(start)]


def additions() -> list[GramSequence]:
    """Modular addition, three seeds with weight decay and three without."""
    return bundled("single-a+b-")


def readable(ax: Axes) -> None:
    """Give the legend of `ax` letters and marks that can be read in a column of text."""
    legend = ax.get_legend()
    assert legend is not None
    for text in legend.get_texts():
        text.set_fontsize(8.5)
    for handle in legend.legend_handles:
        assert handle is not None
        handle.set_alpha(1)


def six_runs() -> Figure:
    """Test accuracy, sub-leading gap and gap ratio with weight decay and without."""
    figure = Figure(figsize=(8.4, 6.2), layout="constrained")
    for ax, quantity in zip(figure.subplots(3, 1, sharex=True), ("accuracy", "g_23", "ratio"), strict=True):
        figures.curves(additions(), quantity, ax, W)
        ax.label_outer()
        if quantity != "accuracy":
            ax.get_legend().remove()
    return figure


def window() -> Figure:
    """One window: its singular values, and the ratio of neighbours."""
    run = next(one for one in additions() if grok_step(one) is not None)
    windows = run.window(W)
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    figures.singular_values(windows, left)
    readable(left)
    figures.ratio_profile(windows, right)
    return figure


def noise() -> Figure:
    """R over training beside what noise like the run's updates reaches."""
    run = next(one for one in additions() if grok_step(one) is not None)
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    level = analysis.above_noise(run, W, DRAWS).level
    ax = figure.subplots()
    figures.ratio_over_time(run.window(W), ax, event=grok_step(run), level=level)
    readable(ax)
    return figure


def gap_equation() -> Figure:
    """Both signals of the illustrative run, and the three terms that move the gap."""
    run = simulate.gap_ode()
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    worlds.gap_run(run, left)
    worlds.gap_terms(run, right)
    return figure


def forecast() -> Figure:
    """A forecast beside what happened, and all forecasts of that regime against the times that were observed."""
    runs = bundled(f"dense-{REGIME}-seed", "dense")
    run = next(one for one in runs if one.config["seed"] == SEED)
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    found = validate.forecast(run, W, int(run.steps[len(run.steps) // 2]))
    found.plot(left, happened=run)
    left.legend(fontsize=8.5, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    agreement(p20.PREDICTION.judge(runs, []), right, found.best, "leading pairs")
    right.set_title("All exchanges of its three runs")
    handles, labels = right.get_legend_handles_labels()
    words = {found.best: "forecast", "the mean of the others": "mean of the other exchanges"}
    right.legend(
        handles, [words.get(label, label) for label in labels], markerscale=2, frameon=False, ncols=2,
        loc="upper center", bbox_to_anchor=(0.5, -0.16),
    )  # fmt: skip
    readable(right)
    return figure


def interval() -> Figure:
    """k* and R over the interval between records, the training being the same, for three windows."""
    figure = Figure(figsize=(8.4, 5.0), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    every_step, thinned = bundled("dense-", "dense"), bundled("dense-", "intervals")
    for column, (regime, title) in zip(axes.T, THINNED.items(), strict=True):
        seeds = {run.config["seed"] for run in thinned}
        runs = [
            run
            for run in (*every_step, *thinned)
            if run.config["regime"] == regime and run.config["seed"] in seeds
        ]
        for width, colour, marker in zip(
            WIDTHS, (palette.BLUE, palette.ORANGE, palette.GREEN), "os^", strict=True
        ):
            for ax, of in zip(column, ("k_star", "ratio"), strict=True):
                line = [_over(runs, spacing, width, of) for spacing in SPACINGS]
                low, middle, high = np.transpose(line)
                ax.fill_between(SPACINGS, low, high, color=colour, alpha=0.15, linewidth=0)
                ax.plot(
                    SPACINGS, middle, marker, color=colour, linestyle="-", markersize=4, label=f"W = {width}"
                )
        column[0].set_title(title)
        column[0].yaxis.set_major_locator(MaxNLocator(integer=True))
        column[1].set(xscale="log", yscale="log", xlabel="optimiser steps between two records")
        column[1].set_xticks(SPACINGS, [str(spacing) for spacing in SPACINGS])
        column[1].minorticks_off()
    axes[0, 0].set_ylabel("k*")
    axes[1, 0].set_ylabel("R")
    axes[0, 0].legend(fontsize=8, frameon=False)
    return figure


def _over(runs: list[GramSequence], spacing: int, width: int, of: str) -> list[float]:
    """Quartiles of a figure of all windows of the first `UNTIL` steps, records `spacing` steps apart."""
    found = [run.window(width) for run in runs if run.steps[1] - run.steps[0] == spacing]
    values = np.concatenate([getattr(windows, of)[windows.steps <= UNTIL] for windows in found])
    return np.nanquantile(values, [0.25, 0.5, 0.75]).tolist()


PICTURES: dict[str, Callable[[], Figure]] = {
    "six-runs": six_runs,
    "window": window,
    "noise": noise,
    "gap-equation": gap_equation,
    "forecast": forecast,
    "interval": interval,
}


def main(wanted: list[str]) -> None:
    """Write the pictures named, or all."""
    matplotlib.rcParams["svg.hashsalt"] = "spectral-edge"  # the same picture, the same file
    for name in wanted or PICTURES:
        path = FOLDER / f"{name}.svg"
        PICTURES[name]().savefig(path, metadata={"Date": None})
        print(path.relative_to(FOLDER.parents[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
