"""The report: one self-contained HTML file with the verdicts, their pictures and how to repeat them."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from spectral_edge.theory.files import replace_atomically, utf8
from spectral_edge.theory.statements import dependency
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.bench import without_dense
from spectral_edge.validate.referee.cards import card, metric
from spectral_edge.validate.referee.events import transition
from spectral_edge.validate.referee.figures import predictions as prediction_figures
from spectral_edge.validate.referee.figures import run as figures
from spectral_edge.validate.referee.figures.drawing import Panel, Picture, picture, style, svg
from spectral_edge.validate.referee.figures.thesis import ThesisFigure, thesis_figures
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.published.record import OUTCOMES
from spectral_edge.validate.referee.report import typeset
from spectral_edge.validate.referee.scoreboard import FAMILY, Scoreboard, run_row
from spectral_edge.validate.referee.statistics import Estimate, short
from spectral_edge.validate.referee.verdict import VERDICTS, Verdict

if TYPE_CHECKING:
    from spectral_edge.validate.referee.early_warning.result import EarlyWarning

W = 10
#: A sign for every verdict: colour alone would not do.
SIGNS = dict(zip(VERDICTS, "✓≈✗?–", strict=True))


def verdict_pictures(board: Scoreboard) -> dict[str, list[Picture]]:
    """Return the pictures of every verdict, by its id."""
    return {verdict.id: _pictures(verdict, board.seed, board.runs) for verdict in board}


def _pictures(verdict: Verdict, seed: int, runs: Sequence[GramSequence]) -> list[Picture]:
    return [picture(panel) for panel in prediction_figures.pictures(verdict, runs, seed)]


def family_pictures(runs: Sequence[GramSequence]) -> dict[str, list[Picture]]:
    """Return test accuracy (or loss), g_23 and R of every family of runs."""
    families: dict[str, list[GramSequence]] = {}
    for run in runs:
        families.setdefault(card(run).heading, []).append(run)
    drawn = {}
    for name, group in families.items():
        learnt = "accuracy" if any(metric(run, "test_accuracy") is not None for run in group) else "loss"
        panels = [
            Panel(
                partial(figures.curves, group, quantity, W=W),
                f"{name}: {figures.QUANTITIES[quantity][0].lower()} of every run over training",
                (3.7, 2.5),
            )
            for quantity in (learnt, "g_23", "ratio")
        ]
        drawn[name] = [picture(panel) for panel in panels]
    return drawn


def thesis_pictures(runs: Sequence[GramSequence]) -> list[tuple[ThesisFigure, list[Picture]]]:
    """Return the five figures of the thesis: 1 to 4 from `runs`, 5 from the propositions."""
    found = thesis_figures(runs, W) if runs else []
    # without the panels, which hold the runs: the pictures may be sent from one process to another
    drawn = [(one._replace(panels=()), [picture(panel) for panel in one.panels]) for one in found]
    caption = (
        "An arrow runs from a result to what rests on it. The list in words: spectral-edge propositions; what "
        "commutation of preconditioner and Hessian is needed for: docs/theory.md, 8.7."
    )
    leaning = ThesisFigure(5, "What rests on commuting [P, H] ≈ 0", caption, ())
    return [*drawn, (leaning, [_network()])]


def long_enough(runs: Sequence[GramSequence]) -> list[GramSequence]:
    """Those that hold a window and more."""
    return [run for run in runs if run.T > W and run.W_max >= W]


class Drawn(NamedTuple):
    """The pictures, which other processes may draw: none needs more than the runs and what was found (`beside`)."""

    families: dict[str, list[Picture]]
    figures: list[tuple[ThesisFigure, list[Picture]]]
    verdicts: dict[str, list[Picture]]
    warning: list[Picture]

    @classmethod
    def of(cls, board: Scoreboard, warning: "EarlyWarning | None" = None) -> "Drawn":
        """Those of a board and its runs, and of what warned."""
        runs = long_enough(board.runs)
        of_warning = [] if warning is None else warning_pictures(warning)
        return cls(family_pictures(runs), thesis_pictures(runs), verdict_pictures(board), of_warning)


def drawn_families(runs: Sequence[GramSequence]) -> dict[str, list[Picture]]:
    """The families of the runs that are shown: without dense ones."""
    return family_pictures(long_enough(without_dense(runs)))


def drawn_figures(runs: Sequence[GramSequence]) -> list[tuple[ThesisFigure, list[Picture]]]:
    """The figures of the thesis of the runs that are shown."""
    return thesis_pictures(long_enough(without_dense(runs)))


def drawn_verdict(verdict: Verdict, seed: int, runs: Sequence[GramSequence]) -> list[Picture]:
    """The pictures of one verdict beside the runs that are shown."""
    return _pictures(verdict, seed, without_dense(runs))


@cache
def _network() -> Picture:
    """Figure 5: the same for all runs."""
    with style():
        drawn = svg(
            dependency.plot().figure,
            "Figure 5: dependency graph of the results, coloured by how much each leans on [P, H] = 0",
        )
    return Picture("", drawn, wide=True)


def warning_pictures(warning: "EarlyWarning") -> list[Picture]:
    """Return the pictures of the early warning: areas with their intervals, lead times, ROC curves."""
    from spectral_edge.validate.referee.early_warning.features import BASELINE, SPECTRAL
    from spectral_edge.validate.referee.figures import early_warning as pictures

    names = ", ".join(one.name for one in warning.warners)
    height = 1.5 + 0.3 * len(warning.warners)
    panels = [
        Panel(partial(pictures.areas, warning), f"Area under the ROC curve of {names}", (4.9, height)),
        Panel(partial(pictures.lead_times, warning), f"Lead times of {names}", (4.9, height)),
    ]
    panels += [
        Panel(partial(pictures.roc_curves, warning, group=group), f"ROC curves, {group}", (4.3, 4.6))
        for group in (SPECTRAL, BASELINE)
    ]
    return [picture(panel) for panel in panels]


def render(
    board: Scoreboard,
    warning: "EarlyWarning | None" = None,
    *,
    dense: int = 0,
    drawn: Drawn | None = None,
) -> str:
    """Return the report as one HTML document that needs nothing else.

    Parameters
    ----------
    board : Scoreboard
    warning : EarlyWarning, optional
        What warns of a transition; without it that section is left out.
    dense : int
        How many runs recorded at every step were judged and are not among those of `board`.
    drawn : Drawn, optional
        Pictures that are there already.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("spectral_edge.validate.referee.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "figure": figure, "interval": interval, "percent": percent, "in_percent": in_percent,
        "formula": typeset.html,
    }  # fmt: skip
    environment.filters |= filters
    drawn = drawn or Drawn.of(board, warning)
    rows = [{**run_row(run), "family": card(run).heading} for run in board.runs]
    context: dict[str, Any] = {
        "board": board,
        "dense": dense,
        "tally": _tally(VERDICTS, [v.verdict for v in board]),
        "published_tally": _tally(OUTCOMES, [v.published.verdict for v in board]),
        "signs": SIGNS,
        "predictions": {prediction.id: prediction for prediction in PREDICTIONS},
        "runs": sorted(rows, key=_order),
        "pictures": drawn.verdicts,
        "families": drawn.families,
        "figures": drawn.figures,
        "warning": warning,
        "warning_pictures": drawn.warning,
        "version": version("spectral-edge"),
        "family": FAMILY,
        "W": W,
        "transition": transition(board.runs),
    }
    return environment.get_template("page.html.jinja").render(context)


def _tally(names: Sequence[str], found: Sequence[str]) -> list[tuple[str, int]]:
    """How often each name is found, in the order of the names, those that are not left out."""
    count = Counter(found)
    return [(name, count[name]) for name in names if count[name]]


def _order(row: dict[str, Any]) -> tuple[str, float, int, str]:
    return row["family"], -float(row["weight_decay"] or 0), int(row["seed"] or 0), row["run"]


def figure(x: float) -> Markup:
    """Return a number as the page shows it, with a real minus."""
    return typeset.html(short(x).replace("-", "−"))


def interval(estimate: Estimate) -> Markup:
    """Return the ends of an interval in words, nothing where it has none."""
    low, high = figure(estimate.low), figure(estimate.high)
    return low[:0] if "–" in (low, high) else low + " to " + high


def in_percent(estimate: Estimate) -> Estimate:
    """Return a rate in per cent."""
    return Estimate(*(100 * x for x in estimate))


def percent(estimate: Estimate) -> str:
    """Return a rate with its interval in per cent."""
    if estimate.value != estimate.value:
        return "not measured"
    value, low, high = (f"{x:.3g}" for x in in_percent(estimate))
    return f"{value} % ({low} to {high})"


def write_report(
    board: Scoreboard,
    folder: str | PathLike[str],
    warning: "EarlyWarning | None" = None,
    *,
    dense: int = 0,
    drawn: Drawn | None = None,
) -> Path:
    """Write ``index.html`` into `folder` (made if missing), as `render` makes it; returns its path.

    Raises
    ------
    OSError
        If the folder cannot be written; nothing is left half-written.
    """
    page = utf8(render(board, warning, dense=dense, drawn=drawn))
    return replace_atomically(Path(folder) / "index.html", lambda file: file.write(page))
