"""What ``spectral-edge analyze`` shows of a run; loaded when it is called."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from spectral_edge import theory
from spectral_edge.cli import console, print_json
from spectral_edge.validate import WindowSpectra
from spectral_edge.validate.gram.files.reading import read_sequence
from spectral_edge.validate.referee.figures.run import evolution_figure, window_figure
from spectral_edge.validate.referee.report.page import save_figure


def analysed(
    path: Path, W: int, select: str | None, eta: float | None, B: float | None, out: Path, as_json: bool
) -> None:
    """Read the run at `path`, write its two figures into `out` and print its gap position, ratio and gaps."""
    sequence = read_sequence(path, select=select, progress=not as_json)
    windows = sequence.window(W)
    vacuity = None
    if eta is not None and B is not None and sequence.P is not None:
        vacuity = theory.bbp_vacuity(sequence.P, W, eta, B, sigma=windows.sigma)
    files = [
        save_figure(draw, out / f"{path.stem.strip('*?') or 'run'}-{name}.svg")
        for name, draw in (
            ("window", window_figure(sequence, W, None if vacuity is None else vacuity.nu)),
            ("evolution", evolution_figure(sequence, W)),
        )
    ]
    share = position_shares(windows)
    if as_json:
        found = windows.ratio[np.isfinite(windows.ratio)]
        print_json(
            {
                "path": str(path),
                "T": sequence.T,
                "P": sequence.P,
                "W": W,
                "windows": len(windows.steps),
                "k_star_share": share,
                "ratio_median": float(np.median(found)) if len(found) else None,
                "ratio_max": float(found.max()) if len(found) else None,
                "figures": [str(file) for file in files],
                "per_window": {name: [finite(x) for x in v] for name, v in windows.to_dict().items()},
            }
        )
        return
    size = f"{sequence.P:,}" if sequence.P else "unknown"
    console.print(
        f"{sequence.T} updates of {size} parameters, {len(windows.steps)} windows of {W}", highlight=False
    )
    console.print(window_table(windows))
    told = ", ".join(f"k* = {k} in {part:.0%}" for k, part in share.items()) or "no window has a gap"
    console.print(f"{told} of the windows", highlight=False)
    if vacuity is not None:
        console.print(str(vacuity), highlight=False)
    for file in files:
        console.print(f"figure: {file}", highlight=False, markup=False, soft_wrap=True)


def position_shares(windows: WindowSpectra) -> dict[int, float]:
    """Share of the windows in which k* is at each position that occurs."""
    positions, counts = np.unique(windows.k_star[np.isfinite(windows.k_star)], return_counts=True)
    return {int(k): float(n / len(windows.k_star)) for k, n in zip(positions, counts, strict=True)}


def window_table(windows: WindowSpectra, rows: int = 12) -> Table:
    """A dozen windows, evenly over the run."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("step", "k*", "R", "gap g", "σ1", f"σ{windows.W}"):
        table.add_column(name, justify="right")
    for i in np.unique(np.linspace(0, len(windows.steps) - 1, rows).astype(int)):
        values = (windows.ratio[i], windows.gap[i], windows.sigma[i, 0], windows.sigma[i, -1])
        table.add_row(f"{windows.steps[i]:,}", f"{windows.k_star[i]:.0f}", *(f"{x:.4g}" for x in values))
    return table


def finite(value: Any) -> float | None:
    """A number for JSON: None where there is none."""
    number = float(value)
    return number if np.isfinite(number) else None
