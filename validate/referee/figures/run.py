"""The pictures: axes in, axes out; whole figures for the report and for ``spectral-edge analyze``."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from spectral_edge import theory
from spectral_edge.theory.palette import BLACK, BLUE, GREEN, GREY, ORANGE, RED
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.cards import card, metric
from spectral_edge.validate.referee.events import grok_step

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


#: Above so many windows a curve is drawn without markers.
DENSE = 200


def beside(ax: Axes, **options: Any) -> None:
    """A legend outside the axes, at the right, where it hides nothing."""
    if ax.get_legend_handles_labels()[1]:
        style: dict[str, Any] = {"fontsize": 7, "frameon": False, "borderaxespad": 0.3}
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), **{**style, **options})


def plain_ticks(axis: Axis) -> None:
    """Mark a logarithmic axis of less than two decades at 1, 2, 5, 10 …: the usual labels run into one another."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log" and low > 0 and high / low <= 100:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def singular_values(windows: WindowSpectra, ax: Axes, threshold: float | None = None) -> Axes:
    """Singular values of every window against the step, with the BBP threshold as a dashed line."""
    styles = dict(enumerate(((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."))))
    for j in range(windows.W):
        colour, style = styles.get(j, (BLACK, "-"))
        last = j == windows.W - 1
        name = "σ" + str(j + 1).translate(SUBSCRIPTS) if j in styles or last else None
        shade: dict[str, Any] = (
            {"lw": 1.5} if j in styles else {"lw": 0.6 + 0.4 * last, "alpha": 0.45 + 0.4 * last}
        )
        ax.plot(windows.steps, windows.sigma[:, j], color=colour, ls=style, label=name, **shade)
    if threshold is not None:
        ax.axhline(threshold, color=RED, ls=":", lw=1.6, label="BBP threshold")
    if (windows.stored_floor > 1e-3 * windows.sigma[:, -1]).any():  # near enough to matter
        ax.plot(windows.steps, windows.stored_floor, color=GREY, ls=":", lw=1.2, label="rounding")
    ax.set(xlabel="step", ylabel="σⱼ (parameter units)", title="Singular values of the window")
    if (windows.sigma > 0).any():
        ax.set_yscale("log", nonpositive="mask")
        plain_ticks(ax.yaxis)
    beside(ax)
    return ax


def ratio_profile(windows: WindowSpectra, ax: Axes) -> Axes:
    """Median of σ_j/σ_{j+1} over the windows, with its quartiles; the highest is where k* usually sits."""
    j = np.arange(1, windows.W)
    known = np.isfinite(windows.ratios).any(axis=0)
    low, middle, high = np.ones((3, len(j)))  # no bar where no window has a ratio
    if known.any():
        quartiles = np.nanquantile(windows.ratios[:, known], [0.25, 0.5, 0.75], axis=0)
        low[known], middle[known], high[known] = quartiles
    top = int(np.argmax(middle))
    colours = [BLUE if i != top else ORANGE for i in range(len(j))]
    ax.bar(j, middle, color=colours, width=0.65)
    ax.errorbar(
        j,
        middle,
        yerr=np.maximum([middle - low, high - middle], 0),
        fmt="none",
        ecolor=BLACK,
        lw=1,
        capsize=2,
    )
    ax.axhline(1, color=BLACK, lw=0.8)
    ax.set(xlabel="mode j", ylabel="σⱼ/σⱼ₊₁", title="Ratio profile (median, quartiles)", xticks=j)
    ax.set_ylim(bottom=0.9)
    return ax


def ratio_over_time(windows: WindowSpectra, ax: Axes, event: int | None = None, level: Any = None) -> Axes:
    """Gap ratio R over training, coloured by k*, with the 99 % level of noise where it is known."""
    ax.plot(windows.steps, windows.ratio, color=BLACK, lw=0.9, zorder=1)
    dense = len(windows.steps) > DENSE
    names = {1: "k* = 1", 2: "k* = 2", 3: "k* = 3", 4: "k* > 3"}
    for k, (colour, marker) in enumerate(((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (RED, "x")), start=1):
        at = windows.k_star == k if k < 4 else windows.k_star >= k
        if not at.any():
            continue
        if dense:
            curve = np.where(at, windows.ratio, np.nan)
            ax.plot(windows.steps, curve, color=colour, lw=1.2, marker=".", ms=1.5, label=names[k])
        else:
            ax.scatter(
                windows.steps[at], windows.ratio[at], s=14, color=colour, marker=marker, label=names[k]
            )
    noise_level(windows, ax, level)
    mark_event(ax, event)
    ax.set(xlabel="step", ylabel="gap ratio R", title="Gap ratio over training")
    beside(ax)
    return ax


def noise_level(windows: WindowSpectra, ax: Axes, level: Any) -> None:
    """Draw the 99 % level of noise, window by window, if there is one."""
    if level is not None and np.isfinite(level).any():
        ax.plot(windows.steps, level, color=GREY, ls="--", lw=1.2, label="99 % of noise")


def mark_event(ax: Axes, event: int | None, label: str = "grokked") -> None:
    """Draw a vertical line where the event is, if there is one."""
    if event is not None:
        ax.axvline(event, color=RED, ls=":", lw=1.4, label=label)


def against_loss(run: GramSequence, windows: WindowSpectra, ax: Axes, level: Any = None) -> Axes:
    """Gap ratio and validation loss over training, with the grok step marked."""
    loss = metric(run, "test_loss")
    ax.plot(windows.steps, windows.ratio, color=BLUE, lw=1.5, label="R")
    noise_level(windows, ax, level)
    ax.set(xlabel="step", ylabel="gap ratio R", title="Gap ratio and validation loss")
    if loss is None or not np.isfinite(loss).any():
        ax.set_title("Gap ratio (no validation loss was recorded)")
        beside(ax)
        return ax
    known = np.isfinite(loss)  # a loss that is logged now and then is a line all the same
    other = ax.twinx()
    other.plot(run.steps[known], loss[known], color=ORANGE, ls="--", lw=1.5, label="validation loss")
    other.set_ylabel("validation loss")
    if (loss[known] > 0).all():
        other.set_yscale("log")
    other.spines["right"].set_visible(True)
    mark_event(ax, grok_step(run))
    handles, labels = ax.get_legend_handles_labels()
    more, names = other.get_legend_handles_labels()
    ax.legend(
        handles + more,
        labels + names,
        fontsize=7,
        frameon=False,
        ncols=4,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
    )
    return ax


def window_figure(run: GramSequence, W: int, nu: float | None = None, level: Any = None) -> Figure:
    """Figure 1 of the thesis, from any run: spectrum, ratio profile, R over training, R against the loss.

    Parameters
    ----------
    run : GramSequence
    W : int
        Window.
    nu : float, optional
        Noise per entry for the BBP threshold; by default estimated from the lower half of the spectra,
        where P is known.
    level : (n,) array, optional
        The 99 % level of noise in every window.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from spectral_edge import validate
    >>> len(window_figure(validate.bundled()[0], W=10).axes) >= 4
    True
    """
    windows = run.window(W)
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    threshold = windows.threshold
    if nu is not None and run.P is not None:
        threshold = float(theory.bbp_threshold(nu, run.P, W)) if nu > 0 else None
    singular_values(windows, axes[0, 0], threshold)
    ratio_profile(windows, axes[0, 1])
    ratio_over_time(windows, axes[1, 0], grok_step(run), level)
    against_loss(run, windows, axes[1, 1], level)
    for letter, ax in zip("ABCD", axes.flat, strict=True):
        ax.set_title(f"{letter}  {ax.get_title()}", loc="left", fontsize=10)
        ax.set_title("")
    return figure


def consecutive(windows: WindowSpectra, ax: Axes, event: int | None = None, level: Any = None) -> Axes:
    """The leading ratios σ_j/σ_{j+1} over training, with the 99 % level of noise of the largest of them."""
    for j, style in _leading(windows):
        name = f"{j + 1}/σ{j + 2}".translate(SUBSCRIPTS)
        ax.plot(windows.steps, windows.ratios[:, j], label=f"σ{name}", **style)
    ax.set(xlabel="step", ylabel="σⱼ/σⱼ₊₁", title="Consecutive ratios")
    noise_level(windows, ax, level)
    if (windows.ratios[:, : len(_STYLES)] > 10).any():
        ax.set_yscale("log")
    mark_event(ax, event)
    beside(ax)
    return ax


def eigenvalue_gaps(windows: WindowSpectra, ax: Axes, event: int | None = None) -> Axes:
    """The leading gaps λ_j − λ_{j+1} over training."""
    for j, style in _leading(windows):
        name = f"λ{j + 1} − λ{j + 2}".translate(SUBSCRIPTS)
        ax.plot(windows.steps, windows.lam[:, j] - windows.lam[:, j + 1], label=name, **style)
    ax.set(xlabel="step", ylabel="λⱼ − λⱼ₊₁ (param. units²)", title="Eigenvalue gaps")
    if (windows.lam[:, 0] > windows.lam[:, 1]).any():
        ax.set_yscale("log", nonpositive="mask")
    mark_event(ax, event)
    beside(ax)
    return ax


_STYLES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (BLACK, ":"))


def _leading(windows: WindowSpectra) -> list[tuple[int, dict[str, Any]]]:
    shown = enumerate(_STYLES[: windows.W - 1])
    return [(j, {"color": colour, "ls": style, "lw": 1.3}) for j, (colour, style) in shown]


def evolution_figure(run: GramSequence, W: int, level: Any = None) -> Figure:
    """Figure 2 of the thesis, from any run: ratios, eigenvalue gaps, and R over the validation loss."""
    windows = run.window(W)
    figure = Figure(figsize=(9, 8.5), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    consecutive(windows, top, grok_step(run), level)
    eigenvalue_gaps(windows, middle, grok_step(run))
    against_loss(run, windows, bottom, level)
    for ax in (top, middle):
        ax.set_xlabel("")
    return figure


def grokking_figure(runs: Sequence[GramSequence], W: int) -> Figure:
    """Test accuracy, g_23 and R of every run: with weight decay in one colour, without in another."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    for ax, quantity in zip(figure.subplots(3, 1, sharex=True), ("accuracy", "g_23", "ratio"), strict=True):
        curves(runs, quantity, ax, W)
        ax.label_outer()
        if quantity != "accuracy" and ax.get_legend() is not None:
            ax.get_legend().remove()
    return figure


#: What `curves` draws: title, label of the axis, scale.
QUANTITIES = {
    "accuracy": ("Generalisation", "test accuracy", "linear"),
    "loss": ("Validation loss", "validation loss", "log"),
    "g_23": ("Sub-leading gap", "g₂₃ = λ₂ − λ₃ (units²)", "log"),
    "ratio": ("Gap ratio", "gap ratio R", "log"),
}


#: Runs that differ so much in length are not readable beside each other on a linear axis.
LONGER = 5


def curves(runs: Sequence[GramSequence], quantity: str, ax: Axes, W: int) -> Axes:
    """One of `QUANTITIES` over training, a thin line per run; a dot marks grokking, a dotted line a change of data.

    Treated runs are blue, their controls orange and dashed, and black where a card does not tell; see `Card.contrast`.
    Where some runs are `LONGER` times as long as others, steps are on a logarithmic axis.
    """
    title, label, scale = QUANTITIES[quantity]
    ends = [float(run.steps[-1]) for run in runs if run.T]
    named: set[str] = set()
    for run in runs:
        name, treated = card(run).contrast
        style: dict[str, Any] = line(treated)
        steps, values = _series(run, quantity, W)
        if not len(values):
            continue
        ax.plot(steps, values, lw=1.1, alpha=0.85, label=None if name in named else name, **style)
        named.add(name)
        step = grok_step(run)
        if step is not None and step <= steps[-1]:
            at = np.searchsorted(steps, step)
            ax.plot(
                steps[at], values[at], "o", color=RED, ms=4.5, label=None if "dot" in named else "grok step"
            )
            named.add("dot")
    for step in {card(run).shift_step or 0 for run in runs} - {0}:
        mark_event(ax, step, "step of the change")
    if quantity == "ratio" and ax.get_ylim()[1] < 12:
        scale = "linear"
    ax.set(xlabel="step", ylabel=label, title=title, yscale=scale)
    if ends and max(ends) >= LONGER * min(ends) > 0:
        ax.set_xscale("log")
    if quantity == "accuracy":
        ax.set_ylim(-0.03, 1.03)
    if named:
        ax.legend(frameon=False, fontsize=8)
    return ax


def _series(run: GramSequence, quantity: str, W: int) -> tuple[Any, Any]:
    if quantity in ("g_23", "ratio"):
        windows = run.window(W)
        return windows.steps, getattr(windows, quantity)
    values = metric(run, f"test_{quantity}")
    return (run.steps, values) if values is not None else (np.zeros(0), np.zeros(0))


def line(treated: bool | None) -> dict[str, Any]:
    """Colour and line style of a treated run, of a control, and of one whose card does not tell which it is."""
    colour, style = {True: (BLUE, "-"), False: (ORANGE, "--"), None: (BLACK, ":")}[treated]
    return {"color": colour, "ls": style}


#: A line of a reading's name, in units of a row.
LINE = 0.28


def readings(verdict: Any, ax: Axes) -> Axes:
    """Treated runs against the control, for every reading of one verdict, with 95 % intervals."""
    names, rows = _rows(verdict)
    for i, (row, name, reading) in enumerate(zip(rows, names, verdict.readings, strict=True)):
        for offset, estimate, colour, marker, label in (
            (0.08, reading.treated, BLUE, "o", "treated"),
            (0.32, reading.control, ORANGE, "s", "control"),
        ):
            low, high = estimate.low, estimate.high
            if np.isfinite(high) and np.isfinite(low):
                ax.plot([low, high], [row + offset] * 2, color=colour, lw=2, solid_capstyle="butt")
            ax.plot(estimate.value, row + offset, marker, color=colour, ms=6, label=None if i else label)
        ax.text(
            0.01,
            row - 0.12,
            name,
            transform=ax.get_yaxis_transform(),
            va="bottom",
            fontsize=8,
        )
        if i:
            ax.axhline(row - 0.55 - LINE * name.count("\n"), color=BLACK, lw=0.4, alpha=0.4)
    known = [x for r in verdict.readings for e in (r.treated, r.control) for x in e if np.isfinite(x)]
    if known and max(known) > 20 and max(known) > 50 * min(known) > 0:
        ax.set_xscale("log")
    ax.set(ylim=(rows[-1] + 0.55 if rows else 0.55, -0.6), yticks=[], xlabel=fill(verdict.statistic_name, 70))
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", lw=0.4, alpha=0.5)
    ax.legend(frameon=False, fontsize=8)
    return ax


def readings_height(verdict: Any) -> float:
    """Inches that the panel of `readings` needs."""
    return 0.95 + 0.52 * (1 + max(_rows(verdict)[1], default=0))


def _rows(verdict: Any) -> tuple[list[str], list[float]]:
    """Names of the readings, broken into lines, and where each row stands: lower by every line above the first."""
    names = [fill(reading.name, 62) for reading in verdict.readings]
    more = np.cumsum([LINE * name.count("\n") for name in names])
    # the first row has its place above the axis, which `ylim` leaves for one line
    return names, [row + float(extra) for row, extra in enumerate(more)]
