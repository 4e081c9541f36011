"""Pictures of single predictions, beside their readings: the runs themselves, as the claim looks at them."""

from collections.abc import Callable
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import DENSE, PLAIN, card, is_plain, knows, learning_rate, number
from spectral_edge.validate.referee.curvature import deciding, gradients, seen, source
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.figures import groups as group_figures
from spectral_edge.validate.referee.figures import run as figures
from spectral_edge.validate.referee.figures.drawing import Panel
from spectral_edge.validate.referee.figures.groups import Aligned, Runs, Series, W
from spectral_edge.validate.referee.figures.thesis import drawn_run
from spectral_edge.validate.referee.partners import decay_groups, decay_pairs
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.predictions.p12_gap_opens_at_grokking import query_ratios
from spectral_edge.validate.referee.series import log_loss
from spectral_edge.validate.referee.verdict import NOT_RUN, Drawn, Verdict

#: Modes of a window that make a picture of their order.
FEWEST = 4
#: Planted runs whose collapses are drawn beside those of the recorded ones.
PLANTED = 4


def pictures(verdict: Verdict, runs: Runs, seed: int = 0) -> list[Panel]:
    """Return the panels of one verdict: its readings, then what its runs show, where they hold it.

    `seed` is that of the planted world, which may stand beside the runs.
    """
    if verdict.verdict == NOT_RUN:
        return []
    panels = []
    if verdict.readings:
        what = f"{verdict.id}: {verdict.statistic_name}, treated runs against the control, for every reading"
        height = figures.readings_height(verdict)
        panels = [Panel(partial(figures.readings, verdict), what, (4.6, height))]
    long_enough = [run for run in runs if run.T > W and run.W_max >= W]
    own = next((one.picture for one in PREDICTIONS if one.id == verdict.id), None)
    if isinstance(own, Drawn):
        own = partial(globals()[own.name], **own.options)
    return panels if own is None else panels + own(verdict, long_enough, seed)


# -- along training, with the event at zero -------------------------------------------------------------------


def _grokking(runs: Runs) -> list[Aligned]:
    """Runs that grok, and the run without weight decay of the same seed at the same step."""
    treated, control = decay_pairs(runs)
    steps = {key: step for key, run in treated.items() if (step := grok_step(run)) is not None}
    return [
        Aligned(group[key], step, group is treated)
        for group in (control, treated)
        for key, step in steps.items()
        if key in group
    ]


def _since_grokking(
    verdict: Verdict, chosen: list[Aligned], series: Series, label: str, what: str
) -> list[Panel]:
    if not chosen:
        return []

    def draw(ax: Axes) -> Axes:
        group_figures.aligned(chosen, series, ax, label, "grok step")
        ax.set(yscale="log")
        return ax

    return [
        Panel(draw, f"{verdict.id}: {what} before and after the grok step, with weight decay and without")
    ]


def queries(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """σ_1/σ_2 of the first query matrix around the grok step."""
    chosen = [one for one in _grokking(runs) if query_ratios(one.run)]
    return _since_grokking(verdict, chosen, _query, "σ₁/σ₂ of W_Q", "ratio of the singular values of W_Q")


def subleading(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """g_23 around the grok step."""
    return _since_grokking(verdict, _grokking(runs), _subleading, "g₂₃ over its median", "sub-leading gap")


def adiabatic(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """𝒜 around the grok step."""
    chosen = [one for one in _grokking(runs) if knows(one.run, "learning_rate")]
    return _since_grokking(verdict, chosen, _adiabatic, "𝒜 = ‖ΔC‖/(ηg²)", "adiabatic parameter")


def _query(run: GramSequence) -> tuple[NDArray[np.int64], FloatArray]:
    return run.steps, query_ratios(run)[0]


def _subleading(run: GramSequence) -> tuple[NDArray[np.int64], FloatArray]:
    windows = run.window(W)
    return windows.steps, windows.g_23 / np.median(windows.g_23)


def _adiabatic(run: GramSequence) -> tuple[NDArray[np.int64], FloatArray]:
    windows = run.window(W)
    return windows.steps[:-1], windows.adiabatic(learning_rate(run)[W:])


def _ratio(run: GramSequence) -> tuple[NDArray[np.int64], FloatArray]:
    return run.window(W).steps, run.window(W).ratio


def shifts(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """R around the change of data, and in runs whose data stay."""
    runs = [run for run in runs if card(run).experiment == "shift" and knows(run, "shift_step")]
    steps = [step for run in runs if (step := card(run).shift_step)]
    if not steps:
        return []
    chosen = [
        Aligned(run, card(run).shift_step or steps[0], card(run).shift_step != 0)
        for run in sorted(runs, key=lambda run: card(run).shift_step != 0)
    ]
    draw = partial(group_figures.aligned, chosen, _ratio, label="gap ratio R", event="data change")
    return [
        Panel(
            draw, f"{verdict.id}: gap ratio before and after the change of data, and in runs whose data stay"
        )
    ]


# -- where the gap is ------------------------------------------------------------------------------------------


def positions(verdict: Verdict, runs: Runs, seed: int, experiment: str = PLAIN) -> list[Panel]:
    """Share of windows at each k*, of the treated runs and of their controls; of neither where a card does not tell."""
    groups: dict[str, list[GramSequence]] = {}
    chosen = [run for run in runs if card(run).experiment == experiment]
    for treated in (True, False):
        for run in chosen:
            name, is_treated = card(run).contrast
            if is_treated is treated:
                groups.setdefault(name, []).append(run)
    what = f"{verdict.id}: share of windows at each gap position, {' and '.join(groups)}"
    return [Panel(partial(group_figures.positions, groups), what)] if groups else []


def stability(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """Stability of every mode, counted from k*."""
    what = f"{verdict.id}: stability coefficient and overlap of every mode, counted from the gap position"
    return [Panel(partial(group_figures.stability_profile, runs), what)] if runs else []


# -- the rest --------------------------------------------------------------------------------------------------


def grok_steps(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """Grok step of every run."""
    runs = [run for group in decay_groups(runs) for run in group]
    if not runs:
        return []
    height = 1.3 + 0.24 * len({card(run).heading for run in runs})
    return [
        Panel(
            partial(group_figures.grok_steps, runs),
            f"{verdict.id}: grok step of every run, by family",
            (4.3, height),
        )
    ]


def phases(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """R of every run over training."""
    runs = [run for run in runs if is_plain(run)]
    what = f"{verdict.id}: gap ratio over training, every run with weight decay and without, and the medians"
    return [Panel(partial(group_figures.phases, runs), what)] if runs else []


def against_loss(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """Log R and log loss of one run, without their trends."""
    runs = [run for run in runs if log_loss(run, W) is not None]
    if not runs:
        return []
    run = drawn_run(runs)
    what = f"{verdict.id}: log R and log validation loss without their trends, {card(run).run or 'one run'}"
    return [Panel(partial(group_figures.without_trends, run), what)]


def hierarchy(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """Strength of the modes against what 8.2 makes it proportional to."""
    pairs = []
    usable = [
        run for run in runs
        if "gradient" in run.probes and source(run, W) is not None and knows(run, "weight_decay")
    ]  # fmt: skip
    for run in deciding(usable)[0]:
        sigma, G = run.window(W).sigma, np.abs(gradients(run, W))
        stiff = seen(run, W) + number(run, "weight_decay")
        good = (stiff > 0) & (G > 0)  # NaN compares false
        for row in np.flatnonzero(good.sum(axis=1) >= FEWEST):
            x, y = G[row, good[row]] / np.sqrt(stiff[row, good[row]]), sigma[row, good[row]]
            pairs.append((x / np.exp(np.log(x).mean()), y / np.exp(np.log(y).mean())))
    what = (
        f"{verdict.id}: strength of the modes against gradient over root curvature, modes of positive h_j + ω"
    )
    return [Panel(partial(group_figures.steady_state, pairs), what)] if pairs else []


def collapses(verdict: Verdict, runs: Runs, seed: int) -> list[Panel]:
    """Predicted against observed times to exchange, at k* and of all leading pairs, and where the flow is planted."""
    from spectral_edge.validate.referee.collapse.forecasts import FORMS
    from spectral_edge.validate.referee.figures.collapse import agreement

    panels = []
    few = worlds.planted("collapse-time", PLANTED)  # enough to be seen
    planted = next(one for one in PREDICTIONS if one.id == verdict.id).judge(few(seed), [])
    for world, one in (("recorded runs", verdict), ("planted world", planted)):
        for where, pairs in one.details.get("pairs", {}).items():
            shown = [form for form in pairs[0] if form in FORMS] if pairs else []
            for form in shown if one is verdict and where != "weighted k*" else shown[:1] * (where == "k*"):
                draw = partial(agreement, one, form=form, where=where)
                panels.append(_agreement(draw, f"{world}, {where}, {form}"))
    return panels + _repulsion(runs, seed)


def _repulsion(runs: Runs, seed: int) -> list[Panel]:
    """By how much levels repel beside what 4.3 says, in runs recorded at every step and in noise."""
    from spectral_edge.validate.referee.figures.collapse import repelling

    dense = [run for run in runs if card(run).experiment == DENSE]
    if not dense:
        return []
    beside = {"runs": dense, "noise": [worlds.matched_noise(run, seed, 1)[0] for run in dense]}
    return [
        Panel(
            partial(repelling, beside, all_levels=all_levels),
            f"collapse-time: by how much neighbouring levels move apart beyond first order, against {what}",
            (4.3, 3.6),
        )
        for all_levels, what in (
            (False, "what the two do to each other"),
            (True, "what all levels do to them"),
        )
    ]


def _agreement(draw: Callable[..., Axes], title: str) -> Panel:
    what = f"collapse-time: predicted against observed times to collapse, and the mean of the others, {title}"
    return Panel(lambda ax: draw(ax).set_title(title), what, (4.3, 3.6))
