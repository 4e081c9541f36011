"""``spectral-edge ode``: one gap integrated, beside the closed forms of the theory."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import (
    AsJson,
    checked_target,
    console,
    numbers,
    print_json,
    say_written,
    write_figure,
    write_text,
)

if TYPE_CHECKING:
    from rich.table import Table

    from spectral_edge.simulate import GapRun


def ode(
    g0: Annotated[float, typer.Option(help="Gap at t = 0 (parameter units).")] = 6.0,
    d0: Annotated[float, typer.Option(help="Mean signal at t = 0 (parameter units), above g0/2.")] = 7.0,
    h: Annotated[
        str, typer.Option(help="Curvatures of modes k and k+1 (1/eta scale), comma separated.")
    ] = "0.9,0.4",
    p: Annotated[str, typer.Option(help="Gradient powers of modes k and k+1, comma separated.")] = "2.0,2.2",
    eta: Annotated[float, typer.Option(help="Learning rate (per step).")] = 1e-3,
    omega: Annotated[float, typer.Option(help="Decoupled weight decay.")] = 0.1,
    W: Annotated[int, typer.Option("--W", help="Window: the number of last updates looked at.")] = 10,
    t_max: Annotated[float, typer.Option(help="End, in steps.")] = 3000.0,
    rtol: Annotated[float, typer.Option(help="Relative tolerance of an integration step.")] = 1e-8,
    out: Annotated[Path | None, typer.Option(help="Figure (.png, .pdf, .svg) or data (.csv, .json).")] = None,
    as_json: AsJson = False,
) -> None:
    """Integrate the gap equation and compare its collapse with the closed forms.

    Example: spectral-edge ode --h 0.9,0.4 --p 2,2.2 --out collapse.png
    """
    target = checked_target(out, (".csv", ".json"))
    pairs: dict[str, Any] = {"h": numbers("h", h), "p": numbers("p", p)}

    from spectral_edge.simulate import gap_ode
    from spectral_edge.simulate._compiling import once

    parameters = pairs | {"eta": eta, "omega": omega, "W": W}
    with once():
        run = gap_ode(g0, d0, **parameters, t_max=t_max, rtol=rtol)
    found = summary(run, (d0 + g0 / 2, d0 - g0 / 2), parameters)
    if target:
        write(run, found, target)
    if as_json:
        print_json(found)
        return
    console.print(table(found))
    say_written(target)


def summary(run: "GapRun", d0: tuple[float, float], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return regime and collapse times: integrated, and by the closed forms of the theory; None = never."""
    from spectral_edge import theory
    from spectral_edge.theory.files import jsonable

    times = {
        f"collapse_time_{form}": float(theory.collapse_time(d0, **parameters, form=form))
        for form in ("exact", "linear", "frozen")
    }
    h, p, omega, W = (parameters[name] for name in ("h", "p", "omega", "W"))
    found = {
        "regime": run.regime,
        "collapse_time": run.collapse_time,
        "reopen_time": run.reopen_time,
        **times,
        "equilibrium_gap": theory.equilibrium_gap(h, p, omega, W),
        "final_gap": run.gap[-1],
        "steps": run.n_steps,
    }
    return dict(jsonable(found))


def table(summary: dict[str, Any]) -> "Table":
    """Return the summary for a person."""
    from rich.table import Table

    labels = {
        "regime": "regime", "collapse_time": "collapse time, integrated (steps)",
        "collapse_time_exact": "  closed form, exact (3.6)", "collapse_time_linear": "  linear in the gap (3.5)",
        "collapse_time_frozen": "  driving frozen, the thesis (3.4)", "reopen_time": "second crossing (steps)",
        "equilibrium_gap": "equilibrium gap g* (parameter units)",
        "final_gap": "gap at the end (parameter units)", "steps": "integration steps",
    }  # fmt: skip
    shown = Table(show_header=False, box=None)
    for name, label in labels.items():
        value = summary[name]
        text = value if isinstance(value, str) else ("never" if value is None else f"{value:.8g}")
        shown.add_row(label, text)
    return shown


def write(run: "GapRun", summary: dict[str, Any], out: Path) -> None:
    """Write a figure, or the run as CSV or JSON."""
    columns = {"t": run.t, "gap": run.gap, "d": run.d, **run.terms._asdict()}
    if out.suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
        write_text(text.getvalue(), out)
    elif out.suffix == ".json":
        write_text(
            json.dumps(summary | {name: values.tolist() for name, values in columns.items()}) + "\n", out
        )
    else:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 7), layout="constrained")
        upper, lower = figure.subplots(2, 1)
        run.plot(upper)
        run.plot_terms(lower)
        write_figure(figure, out)
