"""What the commands share: two consoles, JSON, a progress bar, the table of runs, paths in and files out."""

import glob
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.progress import Progress
    from rich.table import Table

FIGURES = (".png", ".pdf", ".svg")

console = Console()
stderr = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def say(text: str, to: Console = console) -> None:
    """Print `text` as it is: no markup, no colours, no folding of paths."""
    to.print(text, highlight=False, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print `value` as strict JSON, one document on standard output; NaN and infinity become null."""
    from spectral_edge.theory.files import jsonable

    sys.stdout.write(json.dumps(jsonable(value), indent=2, allow_nan=False) + "\n")


def progress_bar(*more: str, transient: bool = True) -> "Progress":
    """Return a bar on standard error; see `theory.progress.progress_bar`."""
    from spectral_edge.theory import progress

    return progress.progress_bar(*more, transient=transient, console=stderr)


def existing(path: Path, name: str = "path") -> Path:
    """Return `path`, called `name`, if there is something, be it a file, a folder or what a glob pattern finds.

    Raises
    ------
    FileNotFoundError
        If there is nothing. Said before anything heavy is imported.
    """
    if path.exists() or (glob.has_magic(str(path)) and next(glob.iglob(str(path), recursive=True), None)):
        return path
    raise FileNotFoundError(
        f"{name} must be a file, a folder or a pattern that finds some, got nothing at {path}"
    )


def target_folder(out: Path) -> Path:
    """Return `out` if it is a folder or can become one: said before the work, not after.

    Raises
    ------
    ValueError
        If it, or what it would lie in, is a file.
    """
    there = next(each for each in (out, *out.absolute().parents) if each.exists())
    if not there.is_dir():
        raise ValueError(f"out must be a folder, got the file {there}")
    return out


def numbers(name: str, text: str) -> list[float]:
    """Return the numbers of a comma separated option.

    Raises
    ------
    ValueError
        If a part is not a number.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be numbers separated by commas, got {text!r}") from None


def checked_target(out: Path | None, others: tuple[str, ...]) -> Path | None:
    """Return `out` if it can become a figure or one of `others`: said before the work, not after.

    Raises
    ------
    ValueError
        If its ending is unknown or its folder is missing.
    """
    if out is None:
        return None
    from spectral_edge.theory.files import ending_in

    ending_in("out", out, *FIGURES, *others)
    if not out.parent.is_dir():
        raise ValueError(f"out must lie in a folder that exists, got {out}")
    return out


def write_text(text: str, path: Path) -> None:
    """Write `text`, whole or not at all."""
    from spectral_edge.theory.files import replace_atomically, utf8

    replace_atomically(path, lambda file: file.write(utf8(text)))


def write_figure(figure: "Figure", path: Path) -> Path:
    """Write `figure` where `path` says, in the format its suffix names, whole or not at all."""
    from matplotlib import rc_context

    from spectral_edge.theory.files import replace_atomically

    kind = path.suffix.lstrip(".")
    metadata = {"Date": None} if kind == "svg" else None
    with rc_context({"svg.hashsalt": "spectral-edge"}):  # the same figure gives the same bytes
        return replace_atomically(
            path, lambda file: figure.savefig(file, format=kind, metadata=metadata, dpi=150)
        )


def say_written(path: Path | None) -> None:
    """Print where a file was written, if one was."""
    if path is not None:
        say(f"written: {path}")


def runs_table(rows: Sequence[Mapping[str, Any]], *, made_by: bool = False) -> "Table":
    """Return runs line by line, with family and recipe where asked; all of it fits in 80 columns."""
    from rich import box
    from rich.table import Table

    card = ("family", "recipe") if made_by else ("weight_decay", "seed")  # decay and seed are in the names
    shown = {"run": "run", **{name: name.replace("weight_", "") for name in card}, "status": "status",
             "grok_step": "grok step", "steps": "steps"}  # fmt: skip
    table = Table(
        title="Runs",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 0 if made_by else 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    words = ("run", "status", "family", "recipe")
    for name, label in shown.items():
        table.add_column(label, justify="left" if name in words else "right", no_wrap=True)
    for row in rows:
        steps = {name: f"{row[name]:,}" for name in ("grok_step", "steps") if row[name] is not None}
        cells = (({**row, **steps})[name] for name in shown)
        table.add_row(*("–" if cell is None else str(cell) for cell in cells))
    return table
