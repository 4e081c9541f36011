"""The pictures: axes in, axes out; whole figures for the report and for ``spectral-edge analyze``."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectral_edge import theory
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.events import grok_step

# Okabe and Ito's colours, told apart by colour-blind readers; line styles carry the distinction in grey.
BLACK, ORANGE, SKY, GREEN, BLUE, RED = "#333333", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00"


def singular_values(windows: WindowSpectra, ax: Axes, threshold: float | None = None) -> Axes:
    """Singular values of every window against the step, with the BBP threshold as a dashed line."""
    import matplotlib

    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, windows.W))
    for j in range(windows.W):
        name = f"σ{j + 1}" if j in (0, 1, 2, windows.W - 1) else None
        ax.plot(windows.steps, windows.sigma[:, j], color=shades[j], lw=1.8 if j < 3 else 0.9, label=name)
    if threshold is not None:
        ax.axhline(threshold, color=RED, ls="--", lw=1.4, label="BBP threshold")
    ax.set(
        xlabel="step",
        ylabel=r"$\sigma_j$ (parameter units)",
        yscale="log",
        title="Singular values of the window",
    )
    ax.legend(fontsize=7, ncols=2, frameon=False)
    return ax


def ratio_profile(windows: WindowSpectra, ax: Axes) -> Axes:
    """Median of σ_j/σ_{j+1} over the windows, with its quartiles; the highest is where k* usually sits."""
    j = np.arange(1, windows.W)
    low, middle, high = np.nanquantile(windows.ratios, [0.25, 0.5, 0.75], axis=0)
    top = int(np.nanargmax(middle))
    colours = [BLUE if i != top else ORANGE for i in range(len(j))]
    ax.bar(j, middle, color=colours, width=0.65)
    ax.errorbar(j, middle, yerr=[middle - low, high - middle], fmt="none", ecolor=BLACK, lw=1, capsize=2)
    ax.axhline(1, color=BLACK, lw=0.8)
    ax.set(xlabel="j", ylabel=r"$\sigma_j/\sigma_{j+1}$", title="Ratio profile (median, quartiles)", xticks=j)
    ax.set_ylim(bottom=0.9)
    return ax


def ratio_over_time(windows: WindowSpectra, ax: Axes, event: int | None = None) -> Axes:
    """Gap ratio R over training, coloured by k*."""
    ax.plot(windows.steps, windows.ratio, color=BLACK, lw=0.9, zorder=1)
    for k, (colour, marker) in enumerate(((BLUE, "o"), (ORANGE, "s"), (GREEN, "^")), start=1):
        at = windows.k_star == k
        if at.any():
            ax.scatter(
                windows.steps[at], windows.ratio[at], s=14, color=colour, marker=marker, label=f"k* = {k}"
            )
    at = windows.k_star > 3
    if at.any():
        ax.scatter(windows.steps[at], windows.ratio[at], s=14, color=RED, marker="x", label="k* > 3")
    mark_event(ax, event)
    ax.set(xlabel="step", ylabel=r"$R = \sigma_{k*}/\sigma_{k*+1}$", title="Gap ratio over training")
    ax.legend(fontsize=7, frameon=False)
    return ax


def mark_event(ax: Axes, event: int | None, label: str = "grokked") -> None:
    """Draw a vertical line where the event is, if there is one."""
    if event is not None:
        ax.axvline(event, color=RED, ls=":", lw=1.4, label=label)


def against_loss(run: GramSequence, windows: WindowSpectra, ax: Axes) -> Axes:
    """Gap ratio and validation loss over training, with the grok step marked."""
    loss = run.metrics.get("test_loss", run.metrics.get("validation_loss"))
    ax.plot(windows.steps, windows.ratio, color=BLUE, lw=1.5, label="R")
    ax.set(xlabel="step", ylabel="gap ratio R", title="Gap ratio and validation loss")
    if loss is None:
        ax.text(0.5, 0.95, "no validation loss was recorded", ha="center", va="top", transform=ax.transAxes)
        return ax
    other = ax.twinx()
    other.plot(run.steps, loss, color=ORANGE, ls="--", lw=1.5, label="validation loss")
    other.set(ylabel="validation loss", yscale="log")
    mark_event(ax, grok_step(run))
    lines = ax.get_legend_handles_labels(), other.get_legend_handles_labels()
    ax.legend(*(a + b for a, b in zip(*lines, strict=True)), fontsize=7, frameon=False)
    return ax


def window_figure(run: GramSequence, W: int, nu: float | None = None) -> Figure:
    """Figure 1 of the thesis, from any run: spectrum, ratio profile, R over training, R against the loss.

    Parameters
    ----------
    run : GramSequence
    W : int
        Window.
    nu : float, optional
        Noise per entry for the BBP threshold; by default estimated from the lower half of the spectra,
        where P is known.
    """
    windows = run.window(W)
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    threshold = None
    if run.P is not None:
        if nu is None:
            nu = float(np.nanmedian(theory.estimate_nu(windows.sigma, run.P, debias=False)))
        threshold = float(theory.bbp_threshold(nu, run.P, W))
    singular_values(windows, axes[0, 0], threshold)
    ratio_profile(windows, axes[0, 1])
    ratio_over_time(windows, axes[1, 0], grok_step(run))
    against_loss(run, windows, axes[1, 1])
    for letter, ax in zip("ABCD", axes.flat, strict=True):
        ax.set_title(f"{letter}  {ax.get_title()}", loc="left", fontsize=10)
        ax.set_title("")
    return figure


def evolution_figure(run: GramSequence, W: int) -> Figure:
    """Figure 2 of the thesis, from any run: ratios, eigenvalue gaps, and R over the validation loss."""
    windows = run.window(W)
    figure = Figure(figsize=(9, 8.5), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    shown = min(4, W - 1)
    styles = zip((BLUE, ORANGE, GREEN, BLACK), ("-", "--", "-.", ":"), strict=True)
    for j, (colour, style) in zip(range(shown), styles, strict=False):
        name = f"{j + 1}/{j + 2}"
        top.plot(windows.steps, windows.ratios[:, j], color=colour, ls=style, label=f"σ{name}")
        gaps = windows.lam[:, j] - windows.lam[:, j + 1]
        middle.plot(windows.steps, gaps, color=colour, ls=style, label=f"λ{j + 1} − λ{j + 2}")
    top.set(ylabel=r"$\sigma_j/\sigma_{j+1}$", title="Consecutive ratios")
    if np.nanmax(windows.ratios[:, :shown]) > 10:
        top.set_yscale("log")
    middle.set(ylabel=r"$\lambda_j-\lambda_{j+1}$ (parameter units²)", title="Eigenvalue gaps", yscale="log")
    against_loss(run, windows, bottom)
    for ax in (top, middle):
        mark_event(ax, grok_step(run))
        ax.legend(fontsize=7, ncols=4, frameon=False)
    return figure


def grokking_figure(runs: Sequence[GramSequence], W: int) -> Figure:
    """Test accuracy, g_23 and R of every run: with weight decay in one colour, without in another."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    accuracy, gap, ratio = figure.subplots(3, 1, sharex=True)
    named: set[str] = set()
    for run in runs:
        decays = float(run.config.get("weight_decay", 0)) > 0
        label = "with weight decay" if decays else "without weight decay"
        style: dict[str, Any] = {
            "color": BLUE if decays else ORANGE,
            "ls": "-" if decays else "--",
            "lw": 1.3,
            "label": None if label in named else label,
        }
        named.add(label)
        windows = run.window(W)
        if "test_accuracy" in run.metrics:
            accuracy.plot(run.steps, run.metrics["test_accuracy"], **style)
        gap.plot(windows.steps, windows.g_23, **style)
        ratio.plot(windows.steps, windows.ratio, **style)
        step = grok_step(run)
        if step is not None and decays:
            at = np.searchsorted(windows.steps, step)
            gap.plot(windows.steps[at], windows.g_23[at], marker="o", color=RED, ms=6)
    accuracy.set(ylabel="test accuracy", ylim=(-0.03, 1.03), title="Generalisation")
    gap.set(
        ylabel="g₂₃ = λ₂ − λ₃ (units²)",
        yscale="log",
        title="Sub-leading gap (red: the grok step)",
    )
    ratio.set(ylabel="R", xlabel="step", title="Gap ratio")
    accuracy.legend(frameon=False, loc="center right")
    return figure


def readings_figure(verdict: Any) -> Figure:
    """Treated runs against the control, for every reading of one verdict, with 95 % intervals."""
    figure = Figure(figsize=(8, 1.0 + 0.6 * max(1, len(verdict.readings))), layout="constrained")
    ax = figure.subplots()
    for row, reading in enumerate(verdict.readings):
        for offset, estimate, colour, marker, name in (
            (-0.13, reading.treated, BLUE, "o", "treated"),
            (0.13, reading.control, ORANGE, "s", "control"),
        ):
            low, high = estimate.low, estimate.high
            if np.isfinite(high):
                ax.plot([low, high], [row + offset] * 2, color=colour, lw=2)
            ax.plot(
                estimate.value, row + offset, marker, color=colour, ms=7, label=name if row == 0 else None
            )
    names = [fill(reading.name, 30) for reading in verdict.readings]
    ax.set_yticks(range(len(names)), names)
    figure.supxlabel(verdict.statistic_name, fontsize=10)
    ax.set(ylim=(len(verdict.readings) - 0.5, -0.5))
    if verdict.statistic > 20:
        ax.set_xscale("log")
    ax.grid(axis="x", lw=0.4)
    ax.legend(frameon=False, fontsize=8)
    return figure
