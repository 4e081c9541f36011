"""The report: one self-contained HTML file with the verdicts, their pictures and how to repeat them."""

import io
import zlib
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from spectral_edge.validate.gram.storage import replace_atomically
from spectral_edge.validate.referee import figures
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.scoreboard import FAMILY, Scoreboard, run_row
from spectral_edge.validate.referee.statistics import short

W = 10

# Drawn in this colour, then given to the page's own text colour, so that pictures follow light and dark.
_INK = "#010203"
_DRAWING: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spectral-edge",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor"),
        _INK,
    ),
}


def svg(figure: Figure, description: str) -> str:
    """Return `figure` as inline SVG: transparent, in the page's own ink, with a text alternative."""
    from markupsafe import escape

    buffer = io.StringIO()
    with rc_context(_DRAWING):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor").replace(figures.BLACK, "currentColor")
    # ids are unique within one drawing only: several share the page
    prefix = f"f{zlib.crc32(description.encode()):x}-"
    for before in ('id="', 'xlink:href="#', "url(#"):
        text = text.replace(before, before + prefix)
    label = f'<svg role="img" aria-label="{escape(description)}" preserveAspectRatio="xMidYMid meet" '
    return label + text[len("<svg ") :]


def save_figure(figure: Figure, path: str | PathLike[str]) -> Path:
    """Write `figure` where `path` says, in the format its suffix names, whole or not at all."""
    kind = Path(path).suffix.lstrip(".")
    with rc_context({"svg.hashsalt": "spectral-edge"}):
        metadata = {"Date": None} if kind == "svg" else None
        return replace_atomically(path, lambda file: figure.savefig(file, format=kind, metadata=metadata))


def draw(board: Scoreboard) -> dict[str, str]:
    """Return the pictures of the report as inline SVG, by name."""
    with rc_context(_DRAWING):
        pictures = {
            verdict.id: svg(
                figures.readings_figure(verdict),
                f"{verdict.id}: {verdict.statistic_name}, treated runs against the control, for every reading",
            )
            for verdict in board
            if verdict.readings
        }
        long_enough = [run for run in board.runs if run.T > W and run.W_max >= W]
        if long_enough:
            pictures["grokking"] = svg(
                figures.grokking_figure(long_enough, W),
                "Test accuracy, sub-leading gap and gap ratio of every run, with and without weight decay",
            )
            run = long_enough[-1]
            name = run.config.get("run", "the run")
            pictures["window"] = svg(
                figures.window_figure(run, W),
                f"Singular values, ratio profile, gap ratio and validation loss of {name}",
            )
            pictures["evolution"] = svg(
                figures.evolution_figure(run, W),
                f"Consecutive ratios, eigenvalue gaps and R over loss of {name}",
            )
            pictures["drawn_run"] = str(name)
    return pictures


def render(board: Scoreboard) -> str:
    """Return the report as one HTML document that needs nothing else."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("spectral_edge.validate.referee", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = short
    context: dict[str, Any] = {
        "board": board,
        "predictions": {prediction.id: prediction for prediction in PREDICTIONS},
        "runs": [run_row(run) for run in board.runs],
        "pictures": draw(board),
        "version": version("spectral-edge"),
        "family": FAMILY,
        "W": W,
    }
    return environment.get_template("report.html.jinja").render(context)


def write_report(board: Scoreboard, folder: str | PathLike[str]) -> Path:
    """Write ``index.html`` into `folder` (made if missing); returns its path.

    Raises
    ------
    OSError
        If the folder cannot be written; nothing is left half-written.
    """
    page = render(board).encode()
    return replace_atomically(Path(folder) / "index.html", lambda file: file.write(page))
