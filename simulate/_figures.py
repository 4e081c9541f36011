"""The pictures of this floor: axes in, axes out."""

from typing import TYPE_CHECKING, Any

import numpy as np

from spectral_edge.theory.palette import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def new_axes(width: float = 7.0, height: float = 4.0) -> "Axes":
    """Axes of a fresh figure that no global state knows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def gap_run(run: Any, ax: "Axes | None" = None) -> "Axes":
    """Draw both signals of a `GapRun`, the gap between them and where it closes."""
    ax = ax or new_axes()
    upper, lower = run.sigma.T
    ax.fill_between(run.t, upper, lower, where=upper >= lower, color=BLUE, alpha=0.12, lw=0, label="gap $g$")
    ax.fill_between(
        run.t, upper, lower, where=upper < lower, color=RED, alpha=0.12, lw=0, label="after the crossing"
    )
    ax.plot(run.t, upper, color=BLUE, lw=2, label=r"$d_k$")
    ax.plot(run.t, lower, color=RED, lw=2, ls="--", label=r"$d_{k+1}$")
    for t_c in run.crossings:
        height = np.interp(t_c, run.t, run.d)
        ax.plot(t_c, height, "o", ms=8, mfc="white", mec=BLACK, mew=1.5, zorder=5)
        ax.annotate(
            f"$t_c = {t_c:.4g}$", (t_c, height), (6, 14), textcoords="offset points",
            bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5},
        )  # fmt: skip
    ax.set(
        xlabel="time (steps)", ylabel="signal strength (parameter units)", title=f"Gap equation: {run.regime}"
    )
    ax.set_xlim(run.t[0], run.t[-1])
    ax.margins(y=0.12)
    ax.legend(frameon=False, ncols=2)
    return ax


def gap_terms(run: Any, ax: "Axes | None" = None) -> "Axes":
    """Draw the terms of a `GapRun` and their sum."""
    ax = ax or new_axes()
    terms = run.terms
    ax.axhline(0.0, color="0.6", lw=0.8)
    ax.plot(run.t, terms.curvature, color=ORANGE, ls="-.", lw=1.8, label="curvature asymmetry")
    ax.plot(run.t, terms.damping, color=BLUE, ls="--", lw=1.8, label="damping")
    ax.plot(run.t, terms.driving, color=GREEN, ls=":", lw=2.4, label="gradient driving")
    ax.plot(run.t, sum(terms), color=BLACK, lw=1.5, label=r"$\dot g$, their sum")
    ax.set(xlabel="time (steps)", ylabel="rate (parameter units / step)", title="What moves the gap")
    ax.set_xlim(run.t[0], run.t[-1])
    ax.legend(frameon=False)
    return ax


def null_ratio(null: Any, ax: "Axes | None" = None) -> "Axes":
    """Draw the survival function of a `NullRatio`."""
    ax = ax or new_axes()
    ratio = np.sort(null.ratio)
    level = float(null.quantile(0.99))
    ax.plot(ratio, 1 - np.arange(ratio.size) / ratio.size, color=BLUE, lw=2, drawstyle="steps-post")
    ax.axvline(level, color=RED, ls="--", lw=1.2, label=f"99 % quantile, {level:.4g}")
    ax.set(xlabel="gap ratio $R$ of a window of noise", ylabel="chance of a larger ratio", yscale="log")
    ax.set_title(f"Null law of the gap ratio, P = {null.P:.4g}, W = {null.W}")
    ax.legend(frameon=False)
    return ax


REGIMES = {"viable": BLUE, "collapsing": RED, "transient": ORANGE, "marginal": "0.6"}
HATCHES = {"viable": "", "collapsing": "///", "transient": "...", "marginal": "xx"}


def regime_map(sweep: Any, x: str, y: str, ax: "Axes | None" = None) -> "Axes":
    """Draw the regimes of a `GapSweep` over two of its parameters, collapse times as contours."""
    from matplotlib.patches import Patch

    ax = ax or new_axes(6.4, 4.8)
    along_x, along_y = sweep.axis_of(x), sweep.axis_of(y)
    others = [n for axis, n in enumerate(sweep.gap.shape) if axis not in (along_x, along_y) and n > 1]
    if along_x == along_y or others:
        raise ValueError(
            f"x and y must be the two parameters that vary, got {x!r} and {y!r} of {sweep.gap.shape}"
        )
    order = (along_y, along_x) if along_y < along_x else (along_x, along_y)
    plane = sweep.gap.shape[order[0]], sweep.gap.shape[order[1]]
    names, times = sweep.regime.reshape(plane), sweep.collapse_time.reshape(plane)
    if along_x < along_y:
        names, times = names.T, times.T
    X, Y = sweep.parameters[x].ravel(), sweep.parameters[y].ravel()
    present = [name for name in REGIMES if np.any(names == name)]
    for name in present:
        inside = (names == name).astype(float)
        ax.contourf(
            X, Y, inside, levels=[0.5, 1.5], colors=[REGIMES[name]], alpha=0.55, hatches=[HATCHES[name]]
        )
    if np.sum(np.isfinite(times)) > 3 and np.nanmax(times) > np.nanmin(times):
        lines = ax.contour(X, Y, times, colors="black", linewidths=0.8)
        ax.clabel(lines, fmt="%g", fontsize=8)
    ax.set(xlabel=LABELS.get(x, x), ylabel=LABELS.get(y, y), title="Regimes; lines: collapse time (steps)")
    handles = [
        Patch(facecolor=REGIMES[n], alpha=0.55, hatch=HATCHES[n], edgecolor="0.3", label=n) for n in present
    ]
    ax.legend(handles=handles, loc="best", framealpha=0.9)
    return ax


LABELS = {
    "g0": r"initial gap $g_0$ (parameter units)", "d0": r"initial mean signal $\bar d$ (parameter units)",
    "h_k": r"curvature $h_k$ (1/η scale)", "h_next": r"curvature $h_{k+1}$ (1/η scale)",
    "p_k": r"gradient power $p_k$", "p_next": r"gradient power $p_{k+1}$", "eta": r"learning rate $\eta$ (per step)",
    "omega": r"weight decay $\omega$", "W": "window $W$", "t_max": "end (steps)",
}  # fmt: skip


def hysteresis(loop: Any, ax: "Axes | None" = None) -> "Axes":
    """Draw the branches of a `Hysteresis`."""
    ax = ax or new_axes()
    ax.plot(loop.eps, loop.rising, color=BLUE, lw=2, marker=">", markevery=0.06, label="perturbation rising")
    ax.plot(loop.eps, loop.falling, color=RED, lw=2, ls="--", marker="<", markevery=0.06, label="falling")
    ax.axvline(loop.eps_c, color="0.4", lw=1, ls=":", label=r"$\varepsilon_c$ of the theory")
    ax.set(xlabel=r"perturbation scale $\varepsilon$ (parameter units)", ylabel="gap $g$ (parameter units)")
    ax.set_title("The feedback loop remembers")
    ax.legend(frameon=False)
    return ax


def dyson(run: Any, path: int, ax: "Axes | None" = None) -> "Axes":
    """Draw one path of `DysonPaths` and the medians over all."""
    ax = ax or new_axes()
    W = run.sigma.shape[-1]
    for j in range(W):
        shade = 0.75 * j / max(1, W - 1)
        colour = (shade, shade * 0.8 + 0.2 * (1 - shade), 0.7 - 0.3 * shade)
        ax.plot(run.t, run.sigma[path, :, j], color=colour, lw=1.2)
        ax.plot(run.t, np.median(run.sigma[:, :, j], axis=0), color=colour, lw=1, ls=":")
    ax.set(xlabel="time (steps)", ylabel="singular values (parameter units)")
    ax.set_title("Levels repel: one path (solid), medians (dotted)")
    ax.set_xlim(run.t[0], run.t[-1])
    return ax


def followed(modes: Any, n: int, ax: "Axes | None" = None) -> "Axes":
    """Draw the strengths of the first n `FollowedModes`."""
    ax = ax or new_axes()
    styles = ("-", "--", "-.", ":")
    for i in range(min(n, modes.sigma.shape[1])):
        colour = (BLUE, RED, GREEN, PURPLE, ORANGE, BLACK)[i % 6]
        ax.plot(modes.sigma[:, i], color=colour, ls=styles[i % 4], lw=2, label=f"mode {i + 1}")
    ax.set(
        xlabel="window", ylabel="singular value (parameter units)", title="Modes followed by their directions"
    )
    ax.legend(frameon=False)
    return ax
