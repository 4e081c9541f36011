"""``spectral-edge forecast``: when the leading modes of a run are expected to exchange, and how sure that is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import (
    AsJson,
    checked_target,
    console,
    existing,
    print_json,
    say,
    say_written,
    stderr,
    write_figure,
)

if TYPE_CHECKING:
    from rich.table import Table

    from spectral_edge.validate import Forecast, GramSequence


def forecast(
    path: Annotated[Path, typer.Argument(help="A recorded run (.npz), finished or being recorded.")],
    W: Annotated[
        int, typer.Option("--window", "--W", help="Window: the number of last updates looked at.")
    ] = 10,
    step: Annotated[
        int | None, typer.Option(help="Forecast from this step on; by default from the last record.")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Records to look ahead, at most 60.")] = 60,
    out: Annotated[Path | None, typer.Option(help="Figure (.png, .pdf, .svg).")] = None,
    as_json: AsJson = False,
) -> None:
    """Say when the leading modes of a run are expected to exchange ranks, by every form that the run allows.

    Example: spectral-edge forecast run.npz --out forecast.svg

    As it was then, with what came of it in the figure: spectral-edge forecast run.npz --step 900 --out then.svg
    """
    target = checked_target(out, ())

    from matplotlib.figure import Figure

    from spectral_edge import validate

    run, notes = only_run(path)
    found = validate.forecast(run, W, step, horizon)
    if target is not None:
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        found.plot(figure.subplots(), happened=run)
        write_figure(figure, target)
    for note in notes:
        say(f"note: {note}", stderr)
    if as_json:
        print_json({"path": path, **as_dictionary(found), "notes": notes, "figure": target})
        return
    if found.followed.any():
        console.print(times_table(found))
    say(str(found))
    say_written(target)


def only_run(path: Path) -> "tuple[GramSequence, list[str]]":
    """Return the run at `path`, with what the journal of one being recorded holds already, and what is to be noted.

    Raises
    ------
    ValueError
        If there are several.
    """
    from spectral_edge.validate.gram.live.journal import journal_path
    from spectral_edge.validate.referee.reading import read_runs

    if not journal_path(path).exists():
        existing(path)
    runs, notes = read_runs([path])
    if len(runs) > 1:
        raise ValueError(f"path must hold one run, got {len(runs)} in {path}: name one of them")
    return runs[0], notes


def as_dictionary(found: "Forecast") -> dict[str, Any]:
    """Return the JSON form; times in records, null where none is foreseen or nothing can be said."""
    names = (
        "step",
        "spacing",
        "W",
        "horizon",
        "k_star",
        "k_star_weighted",
        "best",
        "lasts",
        "collapse_time",
        "record",
    )
    arrays = {name: getattr(found, name).tolist() for name in ("pairs", "followed")}
    return {**{name: getattr(found, name) for name in names}, **arrays, "sentence": str(found)}


def times_table(found: "Forecast") -> "Table":
    """Return the times of every form, a column for each pair of modes that can be followed."""
    import numpy as np
    from rich.table import Table

    table = Table(title="Records until they exchange", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("form")
    shown = np.flatnonzero(found.followed)
    for i in shown:
        upper, lower = found.pairs[i]
        table.add_column(f"{upper}, {lower}" + (" (gap)" if upper == found.k_star else ""), justify="right")
    for name, times in found.collapse_time.items():
        cells = (
            "–" if np.isnan(t) else f"> {found.horizon}" if np.isinf(t) else f"{t:.1f}" for t in times[shown]
        )
        table.add_row(name, *cells)
    return table
