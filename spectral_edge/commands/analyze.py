"""``spectral-edge analyze``: the windows of one run, its gap position, ratio and gaps, and two figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import AsJson, console, existing, print_json, say, write_figure

if TYPE_CHECKING:
    from rich.table import Table

    from spectral_edge.validate import GramSequence, WindowSpectra


def analyze(
    path: Annotated[
        Path,
        typer.Argument(
            help="A saved sequence, a stack of parameter vectors (.npy, .npz), or a folder or pattern of checkpoints."
        ),
    ],
    W: Annotated[int, typer.Option("--W", help="Window: the number of last updates looked at.")] = 10,
    select: Annotated[
        str | None, typer.Option(help="Which tensors of checkpoints: a glob pattern, as '*attn*'.")
    ] = None,
    eta: Annotated[float | None, typer.Option(help="Learning rate, for the a-priori BBP threshold.")] = None,
    B: Annotated[
        float | None, typer.Option("--B", help="Batch size, for the a-priori BBP threshold.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the two figures.")] = Path("."),
    as_json: AsJson = False,
) -> None:
    """Show the windows of one run: gap position, ratio and gaps, with two figures.

    Example: spectral-edge analyze snapshots.npy --W 10 --out figures

    Of checkpoints: spectral-edge analyze checkpoints --select '*attn*'
    """
    if (eta is None) != (B is None):
        raise ValueError("eta and B go together: give both or neither")
    existing(path)

    from spectral_edge import theory
    from spectral_edge.validate.gram.files.reading import read_sequence
    from spectral_edge.validate.referee.figures.run import evolution_figure, window_figure

    sequence = read_sequence(path, select=select, progress=not as_json)
    windows = sequence.window(W)
    vacuity = None
    if eta is not None and B is not None and sequence.P is not None:
        vacuity = theory.bbp_vacuity(sequence.P, W, eta, B, sigma=windows.sigma)
    files = [
        write_figure(draw, out / f"{path.stem.strip('*?') or 'run'}-{name}.svg")
        for name, draw in (
            ("window", window_figure(sequence, W, None if vacuity is None else vacuity.nu)),
            ("evolution", evolution_figure(sequence, W)),
        )
    ]
    if as_json:
        print_json({"path": path, **as_dictionary(sequence, windows), "figures": files})
        return
    show(sequence, windows)
    if vacuity is not None:
        console.print(str(vacuity), highlight=False)
    for file in files:
        say(f"figure: {file}")


def as_dictionary(sequence: "GramSequence", windows: "WindowSpectra") -> dict[str, Any]:
    """Return the JSON form: the run, its windows, and every window's numbers."""
    import numpy as np

    found = windows.ratio[np.isfinite(windows.ratio)]
    return {
        "T": sequence.T,
        "P": sequence.P,
        "W": windows.W,
        "windows": len(windows.steps),
        "k_star_share": position_shares(windows),
        "ratio_median": np.median(found) if len(found) else None,
        "ratio_max": found.max() if len(found) else None,
        "per_window": windows.to_dict(),
    }


def show(sequence: "GramSequence", windows: "WindowSpectra") -> None:
    """Print the size of the run, a table of its windows and where its gap is."""
    size = f"{sequence.P:,}" if sequence.P else "unknown"
    say(f"{sequence.T} updates of {size} parameters, {len(windows.steps)} windows of {windows.W}")
    console.print(window_table(windows))
    shares = position_shares(windows).items()
    told = ", ".join(f"k* = {k} in {part:.0%}" for k, part in shares) or "no window has a gap"
    say(f"{told} of the windows" if shares else told)


def position_shares(windows: "WindowSpectra") -> dict[int, float]:
    """Return the share of the windows in which k* is at each position that occurs."""
    import numpy as np

    positions, counts = np.unique(windows.k_star[np.isfinite(windows.k_star)], return_counts=True)
    return {int(k): float(n / len(windows.k_star)) for k, n in zip(positions, counts, strict=True)}


def window_table(windows: "WindowSpectra", rows: int = 12) -> "Table":
    """Return a dozen windows, evenly over the run."""
    import numpy as np
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("step", "k*", "R", "gap g", "σ1", f"σ{windows.W}"):
        table.add_column(name, justify="right")
    for i in np.unique(np.linspace(0, len(windows.steps) - 1, rows).astype(int)):
        values = (windows.ratio[i], windows.gap[i], windows.sigma[i, 0], windows.sigma[i, -1])
        table.add_row(f"{windows.steps[i]:,}", f"{windows.k_star[i]:.0f}", *(f"{x:.4g}" for x in values))
    return table
