"""Pictures of the early warning: ROC curves and lead times. Axes in, axes out."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from spectral_edge.theory.palette import BLACK, BLUE, GREEN, ORANGE, RED, SKY
from spectral_edge.validate.referee.early_warning.features import BASELINE, SPECTRAL, TOGETHER, TRIVIAL
from spectral_edge.validate.referee.early_warning.result import EarlyWarning, Warner

#: Colour and line of the features of a group, in their order; the line tells them apart in grey.
_STYLES: dict[str, tuple[tuple[str, str], ...]] = {
    SPECTRAL: ((BLUE, "-"), (SKY, "-"), (BLUE, "--"), (SKY, "--"), (GREEN, "-."), (GREEN, ":")),
    BASELINE: ((ORANGE, "-"), (RED, "-"), (ORANGE, "--"), (RED, "--"), (RED, ":")),
    TRIVIAL: ((BLACK, "-"), (BLACK, "--"), (BLACK, ":")),
    TOGETHER: ((BLUE, "-"), (ORANGE, "--"), (BLACK, "-.")),
}
_TITLES = {
    SPECTRAL: "Spectral features",
    BASELINE: "What one watches anyway",
    TRIVIAL: "Trivial",
    TOGETHER: "Combined",
}


def _style(result: EarlyWarning, warner: Warner) -> dict[str, Any]:
    names = [w.name for w in result.warners if w.group == warner.group]
    styles = _STYLES[warner.group]
    colour, line = styles[names.index(warner.name) % len(styles)]
    return {"color": colour, "ls": line, "lw": 1.5}


def roc_curves(result: EarlyWarning, ax: Axes, group: str = SPECTRAL) -> Axes:
    """Draw hit rate over false-alarm rate of the features of a group, both matched in time, with the AUC of each."""
    ax.plot([0, 1], [0, 1], color=BLACK, lw=0.7)
    for warner in result.warners:
        if warner.group == group and np.isfinite(warner.auc.value):
            label = f"{warner.name}, {warner.auc.value:.2f}"
            ax.step(*warner.roc, where="post", label=label, **_style(result, warner))
    ax.set(
        xlabel="false-alarm rate at the same step",
        ylabel="hit rate",
        title=_TITLES.get(group, group),
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
    )
    _legend(ax, title="AUC", fontsize=7, title_fontsize=7, frameon=False, loc="lower right")
    return ax


def _legend(ax: Axes, **how: Any) -> None:
    """Where something was drawn; of runs that nothing can be said of there is nothing to explain."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**how)


def areas(result: EarlyWarning, ax: Axes) -> Axes:
    """Draw the AUC of every feature with its 95 % interval: whether a transition comes, and when it does."""
    shown = [warner for warner in result.warners if np.isfinite(warner.auc.value)]
    for row, warner in enumerate(shown):
        for offset, estimate, colour, marker, name in (
            (-0.15, warner.auc, BLUE, "o", "against all runs"),
            (0.15, warner.when, ORANGE, "s", "among runs with a transition"),
        ):
            if np.isfinite(estimate.value):
                at = row + offset
                ax.plot([estimate.low, estimate.high], [at, at], color=colour, lw=1.6)
                ax.plot(estimate.value, at, marker, color=colour, ms=5, label=name if row == 0 else None)
    ax.axvline(0.5, color=BLACK, lw=0.8, ls="--")
    ax.set_yticks(range(len(shown)), [warner.name for warner in shown])
    ax.set(
        xlim=(-0.02, 1.02),
        ylim=(max(len(shown), 1) - 0.5, -0.5),
        xlabel="AUC at the same step (0.5: chance)",
        title="Is a transition coming, and when?",
    )
    ax.grid(axis="x", lw=0.4)
    _legend(ax, fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2)
    return ax


def lead_times(result: EarlyWarning, ax: Axes) -> Axes:
    """Draw the lead of every transition that was hit, and how many were, with one false alarm in twenty runs."""
    shown = [warner for warner in result.warners if np.isfinite(warner.hit_rate.value)]
    for row, warner in enumerate(shown):
        records, times = np.unique(warner.lead_records, return_counts=True)
        colour = _style(result, warner)["color"]
        ax.scatter(records, np.full(len(records), row), s=14 * times, color=colour, alpha=0.75, lw=0)
        if len(warner.lead_records):
            ax.plot(np.median(warner.lead_records), row, "|", color=BLACK, ms=13, mew=1.6)
    names = [
        f"{w.name}\nhits {w.hit_rate.value:.0%}, false {w.false_alarm_rate.value:.0%} of runs" for w in shown
    ]
    ax.set_yticks(range(len(shown)), names, fontsize=7)
    ax.set(
        xlim=(result.horizon + 0.7, 0),
        ylim=(max(len(shown), 1) - 0.5, -0.5),
        xlabel="records from the first alarm to the transition (bar: median)",
        title="Lead of the first alarm",
    )
    ax.grid(axis="x", lw=0.4)
    return ax
