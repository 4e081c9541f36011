"""What `spectral-edge ode` and `spectral-edge sweep` compute, print and write."""

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from spectral_edge import simulate, theory
from spectral_edge.simulate import GapRun, GapSweep

FIGURES = (".png", ".pdf", ".svg")


def checked_target(out: Path | None, others: tuple[str, ...]) -> Path | None:
    """`out` if its ending is known and its folder is there: said before the work, not after."""
    if out is None:
        return None
    if out.suffix not in FIGURES + others:
        raise ValueError(f"out must end in one of {', '.join(FIGURES + others)}, got {out.name}")
    if not out.parent.is_dir():
        raise ValueError(f"out must lie in a folder that exists, got {out}")
    return out


def replaced(out: Path, write: Callable[[Path], Any]) -> None:
    """Write beside `out` and put it in its place in one step."""
    partial = out.with_name(f".{out.stem}.partial{out.suffix}")
    try:
        write(partial)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def number(value: Any) -> float | None:
    """A finite float, or None for JSON."""
    return float(value) if math.isfinite(value) else None


def ode_summary(run: GapRun, d0: tuple[float, float], parameters: dict[str, Any]) -> dict[str, Any]:
    """Regime and collapse times: integrated, and by the closed forms of the theory."""
    times = {
        form: number(theory.collapse_time(d0, **parameters, form=form))
        for form in ("exact", "linear", "frozen")
    }
    h, p, omega, W = (parameters[name] for name in ("h", "p", "omega", "W"))
    return {
        "regime": run.regime,
        "collapse_time": number(run.collapse_time),
        "reopen_time": number(run.reopen_time),
        **{f"collapse_time_{form}": value for form, value in times.items()},
        "equilibrium_gap": number(theory.equilibrium_gap(h, p, omega, W)),
        "final_gap": number(run.gap[-1]),
        "steps": run.n_steps,
    }


def ode_table(summary: dict[str, Any]) -> Table:
    """The summary for a person."""
    labels = {
        "regime": "regime", "collapse_time": "collapse time, integrated (steps)",
        "collapse_time_exact": "  closed form, exact (3.6)", "collapse_time_linear": "  linear in the gap (3.5)",
        "collapse_time_frozen": "  driving frozen, the thesis (3.4)", "reopen_time": "second crossing (steps)",
        "equilibrium_gap": "equilibrium gap g*", "final_gap": "gap at the end", "steps": "integration steps",
    }  # fmt: skip
    table = Table(show_header=False, box=None)
    for name, label in labels.items():
        value = summary[name]
        shown = value if isinstance(value, str) else ("never" if value is None else f"{value:.8g}")
        table.add_row(label, shown)
    return table


def write_ode(run: GapRun, summary: dict[str, Any], out: Path) -> None:
    """Write a figure, or the run as CSV or JSON."""
    columns = {"t": run.t, "gap": run.gap, "d": run.d, **run.terms._asdict()}
    if out.suffix == ".csv":

        def write(path: Path) -> None:
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))

        replaced(out, write)
    elif out.suffix == ".json":
        text = json.dumps(summary | {name: values.tolist() for name, values in columns.items()})
        replaced(out, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    else:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 7), layout="constrained")
        upper, lower = figure.subplots(2, 1)
        run.plot(upper)
        run.plot_terms(lower)
        replaced(out, lambda path: figure.savefig(path, dpi=150))


def axis(text: str) -> tuple[str, np.ndarray]:
    """The parameter and values of NAME:START:STOP:COUNT."""
    parts = text.split(":")
    try:
        name, (start, stop), count = parts[0], (float(part) for part in parts[1:3]), int(parts[3])
        if len(parts) != 4 or count < 2 or not math.isfinite(start) or not math.isfinite(stop):
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(f"an axis must be NAME:START:STOP:COUNT with COUNT >= 2, got {text!r}") from None
    return name, np.linspace(start, stop, count)


def swept(x: str, y: str, values: dict[str, Any], method: str, progress: bool) -> tuple[GapSweep, str, str]:
    """The sweep over two axes; `values` holds every parameter by its name in `GapSweep`."""
    (x_name, x_values), (y_name, y_values) = axis(x), axis(y)
    for name in (x_name, y_name):
        if name not in values:
            raise ValueError(f"an axis must be one of {', '.join(values)}, got {name!r}")
    if x_name == y_name:
        raise ValueError(f"x and y must be two parameters, got {x_name!r} twice")
    values = values | {x_name: x_values, y_name: y_values[:, None]}
    pairs: dict[str, Any] = {
        name: (values.pop(f"{name}_k"), values.pop(f"{name}_next")) for name in ("h", "p")
    }
    return simulate.gap_sweep(**values, **pairs, method=method, progress=progress), x_name, y_name


def sweep_summary(sweep: GapSweep) -> dict[str, Any]:
    """Share of each regime and the range of collapse times."""
    names, counts = np.unique(sweep.regime, return_counts=True)
    times = sweep.collapse_time[np.isfinite(sweep.collapse_time)]
    return {
        "trajectories": int(sweep.gap.size),
        "method": sweep.method,
        "regimes": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "collapse_time_min": number(times.min()) if times.size else None,
        "collapse_time_median": number(np.median(times)) if times.size else None,
        "collapse_time_max": number(times.max()) if times.size else None,
    }


def sweep_table(summary: dict[str, Any]) -> Table:
    """The summary for a person."""
    table = Table("regime", "trajectories", "share", box=None)
    for name, count in summary["regimes"].items():
        table.add_row(name, f"{count:,}", f"{count / summary['trajectories']:.1%}")
    return table


def write_sweep(sweep: GapSweep, x: str, y: str, out: Path) -> None:
    """Write the regime map, or the arrays as .npz."""
    if out.suffix == ".npz":
        arrays: dict[str, Any] = {
            name: getattr(sweep, name)
            for name in ("collapse_time", "reopen_time", "gap", "minimal_gap", "regime")
        }
        arrays |= {f"parameter_{name}": value for name, value in sweep.parameters.items()}
        replaced(out, lambda path: np.savez_compressed(path, **arrays))
    else:
        figure: Any = sweep.plot(x=x, y=y).figure
        replaced(out, lambda path: figure.savefig(path, dpi=150))
