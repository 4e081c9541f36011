"""Pictures of prediction 20: predicted against observed times to collapse, and one collapse as it was followed.

**In the report**, beside the readings of the verdict ``board["collapse-time"]``::

    from spectral_edge.validate.referee.figures.collapse import agreement_figure

    figure = agreement_figure({"recorded runs": board["collapse-time"], "planted world": planted})

with `planted` the verdict ``PREDICTION.judge(PREDICTION.planted(seed), [])`` of predictions/p20_collapse_time.py, or
without that entry. Everything drawn is in ``Verdict.details``; a verdict without collapses gives axes that say so.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectral_edge.theory.palette import BLACK, BLUE, ORANGE, RED
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse.states import State, Tracks
from spectral_edge.validate.referee.figures.run import plain_ticks

if TYPE_CHECKING:
    from spectral_edge.validate.referee.verdict import Verdict

#: The predictor that knows no theory, as `Verdict.details` names it.
MEAN = "mean"


def agreement(verdict: "Verdict", ax: Axes, form: str | None = None, modes: str = "followed") -> Axes:
    """Draw predicted against observed times by `form` (default: the rule's), those of the control behind them.

    `modes` is "followed", which the rule uses, or "by rank".

    On the line they are equal. Triangles are states from which no collapse is foreseen.
    """
    details = verdict.details
    pairs: list[dict[str, Any]] = details.get("pairs", {}).get(modes, [])
    ax.set(xlabel="observed time to collapse (steps)", ylabel="predicted time (steps)")
    if not pairs:
        ax.text(0.5, 0.5, "no collapse could be followed", ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return ax
    drawn: str = form or details["form"]
    observed, horizon = (np.array([pair[name] for pair in pairs]) for name in ("observed", "horizon"))
    mean, predicted = (np.array([pair[name] for pair in pairs]) for name in (MEAN, drawn))
    ax.plot(observed, mean, "s", color=ORANGE, ms=4, mfc="none", label="the mean of the others")
    seen = predicted < horizon
    ax.plot(observed[seen], predicted[seen], "o", color=BLUE, ms=4, alpha=0.8, label=drawn)
    ends = np.array([observed.min(), observed.max()]) * [0.8, 1.25]
    ax.plot(ends, ends, color=BLACK, lw=1, label="equal")
    ax.set(xscale="log", yscale="log", xlim=ends)
    if not seen.all():
        top = ax.get_ylim()[1]
        ax.plot(observed[~seen], np.full((~seen).sum(), top), "^", color=RED, ms=5, label="none foreseen")
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    # below: within, it would lie over data
    ax.legend(fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return ax


def agreement_figure(
    verdicts: "Verdict | Mapping[str, Verdict]", form: str | None = None, modes: str = "followed"
) -> Figure:
    """Predicted against observed times of prediction 20, one panel per world.

    Parameters
    ----------
    verdicts : Verdict, or mapping of str to Verdict
        Of prediction 20; the names are the titles.
    form : str, optional
        One of `collapse_forms.FORMS`; by default the one that the rule uses.
    modes : {"followed", "by rank"}
        Which collapses: those the rule is about, or those of the second reading (forms "exact", "straight line").

    Returns
    -------
    Figure
    """
    worlds = dict(verdicts) if isinstance(verdicts, Mapping) else {"": verdicts}
    figure = Figure(figsize=(4.6 * len(worlds), 4.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(worlds)))
    for ax, (name, verdict) in zip(axes, worlds.items(), strict=True):
        agreement(verdict, ax, form, modes)
        ax.set_title(f"{name}: {verdict.verdict}" if name else verdict.verdict, fontsize=10)
    return figure


def followed_pair(run: GramSequence, state: State, ax: Axes, forecast: float | None = None) -> Axes:
    """Draw the two modes of `state` through the run, the state, their collapse, and a forecast of it in steps."""
    tracks, event = Tracks.of(run), state.collapse
    for mode, colour, style, name in (
        (event.upper, BLUE, "-", "upper mode"),
        (event.lower, ORANGE, "--", "lower mode"),
    ):
        ax.plot(tracks.steps, tracks.sigma[:, mode], color=colour, ls=style, lw=1.5, label=name)
    ax.axvline(state.step, color=BLACK, lw=0.8, label="state")
    ax.axvline(event.step, color=RED, ls=":", lw=1.4, label="collapse")
    if forecast is not None and forecast + state.step <= tracks.steps[-1]:
        ax.axvline(state.step + forecast, color=BLACK, ls="-.", lw=1.2, label="forecast")
    ax.set(xlabel="step", ylabel=r"$\sigma_j$ (parameter units)", yscale="log", title=state.run)
    ax.legend(fontsize=7, frameon=False)
    return ax
