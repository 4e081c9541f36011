"""``spectral-edge analyze``: what was read of one run, its windows, and whether their gap is more than noise."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spectral_edge.commands.console import (
    AsJson,
    console,
    existing,
    print_json,
    say,
    say_written,
    stderr,
    target_folder,
    write_figure,
    write_text,
)

if TYPE_CHECKING:
    from rich.table import Table

    from spectral_edge.validate.gram.files.checkpoints import CheckpointSequences
    from spectral_edge.validate.referee.analysis import Analysis, Part


def analyze(
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder or pattern of checkpoints, one file that holds several, a saved sequence, or a stack of "
            "parameter vectors (.npy, .npz)."
        ),
    ],
    W: Annotated[int, typer.Option("--W", help="Window: the number of last updates looked at.")] = 10,
    select: Annotated[
        list[str] | None, typer.Option(help="Tensors to read: a glob pattern such as '*attn*'. Repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Tensors to leave out: a glob pattern. Repeatable.")
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            help="Where the step is in the names: a regular expression whose group is the step; several give an order."
        ),
    ] = None,
    by: Annotated[
        Literal["layer", "kind"] | None,
        typer.Option(help="Also a table and a heat map by layer, or by kind of tensor."),
    ] = None,
    eta: Annotated[
        float | None, typer.Option(help="Learning rate (per step), for the a-priori BBP threshold.")
    ] = None,
    B: Annotated[
        float | None, typer.Option("--B", help="Batch size, for the a-priori BBP threshold.")
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="What the training logged: .csv, .jsonl or trainer_state.json; found by itself beside checkpoints."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("."),
    kind: Annotated[
        Literal["svg", "png", "pdf"], typer.Option("--format", help="Format of the figures.")
    ] = "svg",
    save: Annotated[
        Path | None, typer.Option(help="Save the run (.npz), to be read again or judged.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write the numbers of every window (.csv).")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out checkpoints that cannot be read.")
    ] = False,
    drop_copies: Annotated[
        bool, typer.Option("--drop-copies", help="Leave out checkpoints that equal an earlier one.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--list", help="Only list the checkpoints and tensors, read or left out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what was read of one run, show its windows, compare their gap with noise, and draw two figures.

    Example: spectral-edge analyze snapshots.npy --W 10 --out figures

    Of checkpoints: spectral-edge analyze checkpoints --select '*attn*' --by layer
    """
    if (eta is None) != (B is None):
        raise ValueError("eta and B go together: give both or neither")
    existing(path)
    target_folder(out)
    if metrics is not None:
        existing(metrics, "metrics")

    from spectral_edge.theory.files import ending_in

    for name, target, ending in (("save", save, ".npz"), ("csv", table, ".csv")):
        if target is not None:
            ending_in(name, target, ending)

    options: dict[str, Any] = {"select": select or None, "exclude": exclude or None, "steps": steps, "by": by}
    options["skip_damaged"] = skip_damaged
    if show:
        _list(path, options, as_json)
        return

    from spectral_edge import theory
    from spectral_edge.validate.referee.analysis import analyse

    found = analyse(
        path,
        W,
        drop_copies=drop_copies,
        metrics=metrics,
        progress=not as_json and sys.stderr.isatty(),
        **options,
    )
    vacuity = None
    if eta is not None and B is not None and found.sequence.P is not None:
        vacuity = theory.bbp_vacuity(found.sequence.P, W, eta, B, sigma=found.windows.sigma)
    name = figure_name(path, select or [], exclude or [])
    files = [
        write_figure(figure, out / f"{name}-{what}.{kind}")
        for what, figure in figures(found, None if vacuity is None else vacuity.nu, by).items()
    ]
    if save is not None:
        found.sequence.save(save)
    if table is not None:
        write_text(as_csv(found), table)
    for note in found.notes:
        say(f"note: {note}", stderr)
    if as_json:
        print_json({"path": path, **as_dictionary(found), "figures": files})
        return
    say_read(path, found.reading)
    say_windows(found)
    if vacuity is not None:
        console.print(str(vacuity), highlight=False)
    for file in files:
        say(f"figure: {file}")
    say_written(save)
    say_written(table)


def figure_name(path: Path, select: list[str], exclude: list[str]) -> str:
    """Return what the figures of a run are called: its own name, and what of it was looked at."""
    name = path.stem.strip("*?") or path.resolve().parent.name or "run"
    patterns = [*select, *(f"not-{pattern}" for pattern in exclude)]
    chosen = [
        re.sub(r"[^\w.-]+", "_", pattern.replace("*", "")).strip("._-") or "all" for pattern in patterns
    ]
    return "-".join([re.sub(r"[^\w.+=-]+", "_", name), *chosen])[:120]


def figures(found: "Analysis", nu: float | None, by: str | None) -> dict[str, Any]:
    """Return the figures of a run, by name."""
    from spectral_edge.validate.referee.figures.layers import layers_figure
    from spectral_edge.validate.referee.figures.run import evolution_figure, window_figure

    W, level = found.windows.W, found.noise.level
    drawn = {
        "window": window_figure(found.sequence, W, nu, level),
        "evolution": evolution_figure(found.sequence, W, level),
    }
    if found.groups:
        windows = {name: part.windows for name, part in found.groups.items()}
        drawn[f"by-{by}"] = layers_figure(
            windows, {name: part.noise.level for name, part in found.groups.items()}
        )
    return drawn


# -- what is said --------------------------------------------------------------------------------------------------


def as_dictionary(found: "Analysis") -> dict[str, Any]:
    """Return the JSON form: what was read, the run, its windows, and every window's numbers."""
    return {
        **read_dictionary(found.reading),
        "T": found.sequence.T,
        "W": found.windows.W,
        "windows": len(found.windows.steps),
        **found.summary(),
        "metrics": sorted(found.sequence.metrics),
        "copies": [{"step": later, "of": first} for later, first in found.copies.items()],
        "notes": list(found.notes),
        "groups": {
            name: {**part.summary(), "per_window": part.table()} for name, part in found.groups.items()
        },
        "per_window": found.table(),
    }


def read_dictionary(reading: "CheckpointSequences") -> dict[str, Any]:
    """Return what was read, as JSON values."""
    return {
        "files": [{"step": step, "path": name} for step, name in reading.files],
        "dtypes": dict(reading.dtypes),
        "left_out": [
            {"name": name, "reason": reason, "entries": reading.sizes.get(name)}
            for name, reason in reading.left_out
        ],
    }


def as_csv(found: "Analysis") -> str:
    """Return the numbers of every window of the run and of its groups, one row each."""
    import csv
    import io

    text = io.StringIO()
    parts: dict[str, Part] = {"": found, **found.groups}
    writer = csv.writer(text, lineterminator="\n")
    columns = list(found.table())
    writer.writerow(["group", *columns])
    for name, part in parts.items():
        table = part.table()
        for i in range(len(part.windows.steps)):
            writer.writerow([name, *(table[column][i] if column in table else "" for column in columns)])
    return text.getvalue()


def say_read(path: Path, reading: "CheckpointSequences") -> None:
    """Print the files in the order read, the size and types of what was read, and what was left out."""
    from spectral_edge.validate.gram.files.discovery import gathered
    from spectral_edge.validate.referee.analysis import elided

    if reading.files:
        say(f"{len(reading.files)} checkpoints of {path}")
        width = max(len(f"{step:,}") for step, _ in reading.files)
        for line in elided(reading.files):
            say(f"  {'…':>{width}}" if line is None else f"  {line[0]:>{width},}  {_below(line[1], path)}")
    entries = {dtype: f"{n:,} {dtype}" for dtype, n in reading.dtypes.items()}
    if entries:
        say(f"read: {', '.join(entries.values())}")
    for names, reason in gathered(reading.left_out):
        size = sum(reading.sizes.get(name, 0) for name, why in reading.left_out if why == reason)
        say(f"left out: {names} ({reason}{f'; {size:,} entries' if size else ''})")


def _below(name: str, path: Path) -> str:
    return name.removeprefix(f"{path}/")


def say_windows(found: "Analysis") -> None:
    """Print the size of the run, a table of its windows, where its gap is, and how it compares with noise."""
    size = f"{found.sequence.P:,}" if found.sequence.P else "unknown"
    windows = found.windows
    said = f"{found.sequence.T} updates of {size} parameters, {len(windows.steps)} windows of {windows.W}"
    say(f"{said}; gap and σ in parameter units")
    console.print(window_table(found))
    if (windows.sigma[:, -1] <= windows.stored_floor).any():
        say("r: no larger than the rounding of the stored numbers")
    told = ", ".join(f"k* = {k} in {share:.0%}" for k, share in found.positions.items())
    say(f"{told} of the windows" if told else "no window has a gap")
    say(str(found.noise))
    if found.groups:
        console.print(group_table(found.groups))


def window_table(part: "Part", rows: int = 12) -> "Table":
    """Return a dozen windows, evenly over the run."""
    import numpy as np
    from rich.table import Table

    windows = part.windows
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("step", "k*", "R", "99 % of noise", "gap g", "σ1", f"σ{windows.W}"):
        table.add_column(name, justify="right")
    for i in np.unique(np.linspace(0, len(windows.steps) - 1, rows).astype(int)):
        values = (windows.ratio[i], part.noise.level[i], windows.gap[i])
        sigma = (windows.sigma[i, 0], windows.sigma[i, -1])
        marks = (f"{x:.4g}{' r' * bool(x <= windows.stored_floor[i])}" for x in sigma)
        table.add_row(
            f"{windows.steps[i]:,}", f"{windows.k_star[i]:.0f}", *(f"{x:.4g}" for x in values), *marks
        )
    return table


def group_table(groups: Mapping[str, "Part"]) -> "Table":
    """Return every group of tensors: its size, where its gap is, and how often it is more than noise."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("group", "P", "k*", "R (median)", "R (max)", "above noise", "p"):
        table.add_column(name, justify="left" if name == "group" else "right", no_wrap=True)
    for name, part in groups.items():
        found = part.summary()
        position = max(found["k_star_share"], key=found["k_star_share"].get, default="–")
        R = (f"{found[key]:.3g}" if found[key] else "–" for key in ("ratio_median", "ratio_max"))
        table.add_row(
            name, f"{found['P']:,}", str(position), *R, f"{part.noise.share:.0%}", f"{part.noise.p_value:.2g}"
        )
    return table


def _list(path: Path, options: dict[str, Any], as_json: bool) -> None:
    """Print the checkpoints and tensors at `path` without reading them."""
    from spectral_edge.validate.gram.files.checkpoints import inventory

    found = inventory(
        path, **{name: options[name] for name in ("select", "exclude", "steps", "skip_damaged")}
    )
    if as_json:
        print_json(found)
        return
    for each in found["files"]:
        say(f"{each['step']:>12,}  {each['path']}")
    for each in found["tensors"]:
        say(f"{each['entries']:>12,}  {each['dtype']:<10} {each['name']}")
    for each in found["left_out"]:
        say(f"left out: {each['name']} ({each['reason']})")
