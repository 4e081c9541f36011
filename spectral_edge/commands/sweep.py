"""``spectral-edge sweep``: a map of the regimes of the gap equation."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import (
    AsJson,
    checked_target,
    console,
    numbers,
    print_json,
    say,
    say_written,
    write_figure,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from spectral_edge.simulate import GapSweep


def sweep(
    x: Annotated[str, typer.Option(help="Horizontal axis, NAME:START:STOP:COUNT.")] = "p_next:0.5:6:200",
    y: Annotated[str, typer.Option(help="Vertical axis, NAME:START:STOP:COUNT.")] = "omega:0.02:0.6:200",
    g0: Annotated[float, typer.Option(help="Gap at t = 0 (parameter units).")] = 1.0,
    d0: Annotated[float, typer.Option(help="Mean signal at t = 0 (parameter units).")] = 5.0,
    h: Annotated[
        str, typer.Option(help="Curvatures of modes k and k+1 (1/eta scale), comma separated.")
    ] = "0.1,0.9",
    p: Annotated[str, typer.Option(help="Gradient powers of modes k and k+1, comma separated.")] = "0.7,2.0",
    eta: Annotated[float, typer.Option(help="Learning rate (per step).")] = 1e-3,
    omega: Annotated[float, typer.Option(help="Decoupled weight decay.")] = 0.1,
    W: Annotated[int, typer.Option("--W", help="Window: the number of last updates looked at.")] = 10,
    t_max: Annotated[float, typer.Option(help="End, in steps.")] = 8000.0,
    method: Annotated[str, typer.Option(help="How: auto, integrate or exact (closed form).")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Regime map (.png, .pdf, .svg) or data (.npz).")] = None,
    as_json: AsJson = False,
) -> None:
    """Map the regimes of the gap equation over two of g0, d0, h_k, h_next, p_k, p_next, eta, omega, W, t_max.

    Example: spectral-edge sweep --x p_next:0.5:6:200 --y omega:0.02:0.6:200 --out regimes.png
    """
    target = checked_target(out, (".npz",))
    values: dict[str, Any] = {"g0": g0, "d0": d0}
    for name, text in (("h", h), ("p", p)):
        pair = numbers(name, text)
        if len(pair) != 2:
            raise ValueError(f"{name} must be two numbers (modes k and k+1), got {len(pair)}")
        values |= {f"{name}_k": pair[0], f"{name}_next": pair[1]}
    values |= {"eta": eta, "omega": omega, "W": W, "t_max": t_max}
    # the smallest gaps are not shown, only kept in data: without them, less is compiled the first time
    data = target is not None and target.suffix == ".npz"
    how = {"method": method, "minimal_gap": data, "progress": sys.stderr.isatty()}
    result, x_name, y_name = run_sweep(x, y, values, how)
    if target:
        write(result, x_name, y_name, target)
    found = summary(result)
    if as_json:
        print_json(found)
        return
    console.print(table(found))
    if found["collapse_time_min"] is not None:
        low, middle, high = (found[f"collapse_time_{name}"] for name in ("min", "median", "max"))
        say(f"collapse times from {low:.4g} to {high:.4g}, median {middle:.4g} steps")
    say_written(target)


def axis(text: str) -> "tuple[str, NDArray[np.float64]]":
    """Return the parameter and the values of NAME:START:STOP:COUNT."""
    import numpy as np

    parts = text.split(":")
    try:
        name, (start, stop), count = parts[0], (float(part) for part in parts[1:3]), int(parts[3])
        if len(parts) != 4 or count < 2 or not math.isfinite(start) or not math.isfinite(stop):
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(f"an axis must be NAME:START:STOP:COUNT with COUNT >= 2, got {text!r}") from None
    return name, np.linspace(start, stop, count)


def run_sweep(x: str, y: str, values: dict[str, Any], how: dict[str, Any]) -> "tuple[GapSweep, str, str]":
    """Sweep over two axes; `values` holds every parameter by its name in `GapSweep`, `how` is for `gap_sweep`."""
    from spectral_edge.simulate import gap_sweep

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
    return gap_sweep(**values, **pairs, **how), x_name, y_name


def summary(sweep: "GapSweep") -> dict[str, Any]:
    """Return the count of each regime and the range of collapse times, None where nothing collapses."""
    import numpy as np

    names, counts = np.unique(sweep.regime, return_counts=True)
    times = sweep.collapse_time[np.isfinite(sweep.collapse_time)]
    return {
        "trajectories": int(sweep.gap.size),
        "method": sweep.method,
        "regimes": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "collapse_time_min": times.min() if times.size else None,
        "collapse_time_median": np.median(times) if times.size else None,
        "collapse_time_max": times.max() if times.size else None,
    }


def table(summary: dict[str, Any]) -> "Table":
    """Return the summary for a person."""
    from rich.table import Table

    shown = Table("regime", "trajectories", "share", box=None)
    for name, count in summary["regimes"].items():
        shown.add_row(name, f"{count:,}", f"{count / summary['trajectories']:.1%}")
    return shown


def write(sweep: "GapSweep", x: str, y: str, out: Path) -> None:
    """Write the regime map, or the arrays as .npz."""
    if out.suffix == ".npz":
        import numpy as np

        from spectral_edge.theory.files import replace_atomically

        arrays: dict[str, Any] = {
            name: getattr(sweep, name)
            for name in ("collapse_time", "reopen_time", "gap", "minimal_gap", "regime")
        }
        arrays |= {f"parameter_{name}": value for name, value in sweep.parameters.items()}
        replace_atomically(out, lambda file: np.savez_compressed(file, **arrays))
    else:
        figure: Any = sweep.plot(x=x, y=y).figure
        write_figure(figure, out)
