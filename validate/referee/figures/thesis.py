"""The five figures of the thesis, as panels drawn from recorded runs."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from spectral_edge.theory import palette
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.cards import card, is_plain, knows, metric
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.figures import run as figures
from spectral_edge.validate.referee.figures.drawing import Panel
from spectral_edge.validate.referee.figures.run import line, mark_event
from spectral_edge.validate.referee.partners import decay_pairs, twins
from spectral_edge.validate.referee.predictions.p12_gap_opens_at_grokking import query_names, query_ratios

#: Columns of the heat map at most: more would not be seen, and each cell is a path.
COLUMNS = 60
#: Records before and after the grok step at which it shows all of them.
AROUND = 5


#: The coefficient as published, with the C that the text leaves open at 1, and the one that is a bound.
_READINGS = {"as published": (1.0, "eigenvalue"), "as a bound": (4.0, "operator")}


class ThesisFigure(NamedTuple):
    """One figure: its number and title in the thesis, what is drawn here, and the panels."""

    number: int
    title: str
    caption: str
    panels: tuple[Panel, ...]


def thesis_figures(runs: Sequence[GramSequence], W: int) -> list[ThesisFigure]:
    """Return what can be drawn of figures 1 to 4 from `runs`, each of which must hold a window of `W` updates."""
    run = drawn_run(runs)
    name, windows, event = card(run).run or "the run", run.window(W), grok_step(run)
    first = (
        Panel(
            partial(figures.singular_values, windows, threshold=windows.threshold),
            f"Figure 1 A: singular values of the window over training, {name}",
        ),
        Panel(partial(figures.ratio_profile, windows), f"Figure 1 B: ratio profile, {name}"),
        Panel(
            partial(figures.ratio_over_time, windows, event=event),
            f"Figure 1 C: gap ratio over training, {name}",
        ),
        Panel(
            partial(figures.against_loss, run, windows),
            f"Figure 1 D: gap ratio and validation loss over training, {name}",
        ),
    )
    second = (
        Panel(
            partial(figures.consecutive, windows, event=event),
            f"Figure 2, top: consecutive ratios over training, {name}",
        ),
        Panel(
            partial(figures.eigenvalue_gaps, windows, event=event),
            f"Figure 2, middle: eigenvalue gaps over training, {name}",
        ),
    )
    third = tuple(
        Panel(
            partial(
                stability_map, one.window(W), C=C, norm=norm, event=grok_step(one),
                title=f"{card(one).run or ''}, {reading}",
            ),
            f"Figure 3: stability coefficient of every mode over training, {reading}, "
            f"{card(one).run or 'the run'}",
            (4.6, 3.1),
        )
        for one in (run, *twins(run, runs))
        for reading, (C, norm) in _READINGS.items()
    )  # fmt: skip
    return [
        ThesisFigure(
            1,
            "The window of one run",
            f"{name}. BBP threshold at the noise estimated from the lower half of the spectrum; orange bar: the "
            "highest ratio.",
            first,
        ),
        ThesisFigure(
            2,
            "How its gaps evolve",
            f"{name}. The bottom panel of the thesis's figure is panel D above.",
            second,
        ),
        ThesisFigure(
            3,
            "Stability of every mode",
            "The published proxy of ‖ΔG‖ is made of eigenvalues alone and guarantees nothing; the bound (C = 4, "
            "operator norm) is a lower bound of the squared overlap of v_j with itself one record later "
            "(docs/theory.md, 5.4). The thesis colours green to red; here light is stable and dark is not, which "
            "reads in grey too. Below stands the control of the same seed, where there is one.",
            third,
        ),
        *query_figures(runs),
    ]


def drawn_run(runs: Sequence[GramSequence]) -> GramSequence:
    """The run that stands for all: the first that grokked with weight decay, with a loss if one has it."""

    def fitness(run: GramSequence) -> tuple[bool, bool, bool]:
        plain, decays = is_plain(run), card(run).contrast[1] is True
        return plain and decays and grok_step(run) is not None, metric(run, "test_loss") is not None, plain

    return max(runs, key=fitness)


def stability_map(
    windows: WindowSpectra,
    ax: Axes,
    *,
    C: float = 4.0,
    norm: str = "operator",
    event: int | None = None,
    title: str = "",
) -> Axes:
    """Figure 3: α_j of every mode over training, light where stable, with k* as dots.

    Beyond `COLUMNS` windows, a column is the mean over neighbouring ones.
    """
    from matplotlib.colors import LinearSegmentedColormap

    alpha = windows.alpha(C, norm)
    parts = np.array_split(np.arange(len(alpha)), min(COLUMNS, len(alpha)))
    means = np.array([alpha[part].mean(axis=0) for part in parts])
    steps = windows.steps
    edges = np.array([steps[0], *(steps[part[-1] + 1] for part in parts)])
    colours = LinearSegmentedColormap.from_list("stability", palette.STABILITY)
    mesh = ax.pcolormesh(
        edges,
        np.arange(windows.W + 1) + 0.5,
        means.T,
        cmap=colours,
        vmin=0,
        vmax=1,
        antialiased=False,
        edgecolors="face",
        lw=0.2,
    )
    middle = [part[len(part) // 2] for part in parts]
    ax.plot(
        steps[middle], windows.k_star[middle], "o", color="white", mec="black", mew=0.5, ms=2.8, label="k*"
    )
    mark_event(ax, event)
    bar = ax.figure.colorbar(mesh, ax=ax, ticks=[0, 0.5, 1], pad=0.02, aspect=30)
    bar.set_label("α (1 stable, 0 not)")
    if bar.solids is not None:
        bar.solids.set_rasterized(False)
    ax.set(xlabel="step", ylabel="mode j", title=title, yticks=range(1, windows.W + 1))
    ax.invert_yaxis()
    ax.legend()
    return ax


def query_figures(runs: Sequence[GramSequence]) -> list[ThesisFigure]:
    """Figure 4, from Dyck-1 where its query matrices were recorded, else from the first family that has them.

    Its last panel is of the query matrices of all families.
    """
    have = [run for run in runs if query_ratios(run) and is_plain(run) and knows(run, "weight_decay")]
    if not have:
        return []
    chosen = next(
        (card(run).heading for run in have if "dyck" in card(run).heading.lower()), card(have[0]).heading
    )
    group = [run for run in have if card(run).heading == chosen]
    with_norm = [run for run in group if f"{query_names(run)[0]}.norm" in run.metrics]
    what = f"of the first query matrix over training, {chosen}"
    accuracy = f"Figure 4, bottom: test accuracy over training, {chosen}"
    around = (
        "Figure 4, beside it: σ₁/σ₂ of every query matrix before, at and after the grok step, all families"
    )
    panels = (
        Panel(partial(query_ratio, group), f"Figure 4, top: σ₁/σ₂ {what}"),
        *([Panel(partial(query_norm, with_norm), f"Figure 4, middle: norm {what}")] if with_norm else []),
        Panel(partial(figures.curves, group, "accuracy", W=2), accuracy),
        Panel(partial(around_grokking, have), around),
    )
    caption = (
        f"{chosen}: {len(group)} runs, with weight decay and without; W_Q of the first layer. Last panel: every W_Q of "
        f"every run that groks, {AROUND} records before the grok step, at it and as many after, and of its partner "
        "without weight decay at the same steps; thick: the median."
    )
    return [ThesisFigure(4, "Grokking as an event of the spectrum", caption, panels)]


def around_grokking(runs: Sequence[GramSequence], ax: Axes) -> Axes:
    """σ_1/σ_2 of every W_Q before, at and after the grok step, with weight decay and without at the same steps."""
    treated, control = decay_pairs(runs)
    steps = {key: step for key, run in treated.items() if (step := grok_step(run)) is not None}
    for group, decays in ((treated, True), (control, False)):
        rows = [three for key, step in steps.items() if key in group for three in _three(group[key], step)]
        if not rows:
            continue
        style = line(decays)
        for row in rows:
            ax.plot(range(3), row, **{**style, "lw": 0.6, "alpha": 0.5, "label": None})
        name = "with weight decay" if decays else "without weight decay"
        ax.plot(
            range(3), np.median(rows, axis=0), **{**style, "lw": 2.4, "label": f"{name} ({len(rows)} W_Q)"}
        )
    ax.set(
        xticks=range(3), xticklabels=("before", "at it", "after"), xlabel="grok step", ylabel="σ₁/σ₂ of W_Q"
    )
    ax.set(title="Around the grok step", yscale="log")
    figures.plain_ticks(ax.yaxis)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left")
    return ax


def _three(run: GramSequence, step: int) -> list[Any]:
    """σ_1/σ_2 of every W_Q before, at and after a step; none where the run does not reach so far."""
    at = int(np.searchsorted(run.steps, step))
    rows = [max(0, at - AROUND), at, min(run.T - 1, at + AROUND)]
    return [ratio[rows] for ratio in query_ratios(run)] if at < run.T else []


def query_ratio(runs: Sequence[GramSequence], ax: Axes) -> Axes:
    """σ_1/σ_2 of W_Q over training, one line per run."""
    for run, style in _styled(runs):
        ax.plot(run.steps, query_ratios(run)[0], **style)
    ax.set(xlabel="step", ylabel="σ₁/σ₂ of W_Q", title="Ratio of its singular values", yscale="log")
    ax.legend()
    return ax


def query_norm(runs: Sequence[GramSequence], ax: Axes) -> Axes:
    """Frobenius norm of W_Q over training, one line per run."""
    for run, style in _styled(runs):
        ax.plot(run.steps, run.metrics[f"{query_names(run)[0]}.norm"], **style)
    ax.set(xlabel="step", ylabel="‖W_Q‖ (parameter units)", title="Frobenius norm")
    ax.legend()
    return ax


def _styled(runs: Sequence[GramSequence]) -> list[tuple[GramSequence, dict[str, Any]]]:
    named: set[str] = set()
    styled: list[tuple[GramSequence, dict[str, Any]]] = []
    for run in runs:
        name, treated = card(run).contrast
        styled.append((run, {**line(treated), "lw": 1.3, "label": None if name in named else name}))
        named.add(name)
    return styled
