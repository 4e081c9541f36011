"""The command ``spectral-edge``: thin wrappers that call the floors and print what they return."""

import json
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from spectral_edge import __version__

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    name="spectral-edge",
    help="State, simulate and referee the spectral edge thesis (arXiv:2603.28964).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
console = Console()
stderr = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print `value` as strict JSON (no NaN), one document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"spectral-edge {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def bbp(
    P: Annotated[float, typer.Option("--P", help="Number of parameters.")],
    W: Annotated[int, typer.Option("--W", help="Window: the number of last updates looked at.")],
    eta: Annotated[float, typer.Option("--eta", help="Learning rate.")],
    B: Annotated[float, typer.Option("--B", help="Batch size.")],
    sigma: Annotated[
        str | None, typer.Option(help="W singular values, comma separated, largest first.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether the BBP threshold is vacuous here, and whether that means anything.

    Example: `spectral-edge bbp --P 1.6e8 --W 10 --eta 1e-3 --B 20`
    """
    from dataclasses import asdict

    from rich.table import Table

    from spectral_edge.theory import bbp_vacuity

    answer = bbp_vacuity(P, W, eta, B, None if sigma is None else _numbers("sigma", sigma))
    if as_json:
        print_json({**asdict(answer), "sentence": str(answer)})
        return
    table = Table("quantity", "value", "in units of d_crit", box=None)
    for name, value in (
        ("noise per entry, nu", answer.nu),
        ("detection, d_crit", answer.d_crit),
        ("noise floor, nu*sqrt(P)", answer.noise_floor),
        ("direction half recovered", answer.direction_scale),
        ("sigma_W seen" if answer.observed else "sigma_W of pure noise", answer.ratio * answer.d_crit),
    ):
        table.add_row(name, f"{value:.4g}", f"{value / answer.d_crit:.4g}")
    console.print(table)
    console.print(str(answer), highlight=False, markup=False)


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be numbers separated by commas, got {text!r}") from None


@app.command()
def propositions(
    identifier: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One proposition in full, or a section.")
    ] = None,
    prove: Annotated[bool, typer.Option("--prove", help="Run the proofs.")] = False,
    as_json: AsJson = False,
) -> int:
    """List the propositions, show one in full, or prove them; exit status 1 if a proof fails.

    Example: `spectral-edge propositions 3.5`
    """
    from spectral_edge import _propositions as view

    statements = view.chosen(identifier)
    single = len(statements) == 1 and statements[0].id == identifier
    proofs = view.prove(statements, stderr) if prove or single else {}
    if as_json:
        print_json([view.as_dictionary(p, proofs.get(p.id)) for p in statements])
    elif single:
        console.print(
            view.full(statements[0], proofs[statements[0].id]), highlight=False, markup=False, soft_wrap=True
        )
    else:
        console.print(view.table(statements, proofs), highlight=False, markup=False)
        console.print(view.summary(statements, proofs), highlight=False)
    return int(any(view.status(p, proofs.get(p.id)) == "FAILED" for p in statements))


@app.command()
def validate(
    runs: Annotated[
        Path | None, typer.Option(help="Folder of recorded sequences (.npz); default: the bundled runs.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    seed: Annotated[int, typer.Option(help="Seed of the synthetic worlds.")] = 0,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure the size and power of every test instead (an hour).")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --calibrate: a tenth of it, held against what is stored.")
    ] = False,
    only: Annotated[str | None, typer.Option(help="With --calibrate: one prediction, by its id.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
    as_json: AsJson = False,
) -> int:
    """Judge recorded runs: a table of verdicts here, and a report with its figures.

    Example: `spectral-edge validate --out report`
    The tests themselves: `spectral-edge validate --calibrate --quick`
    """
    from spectral_edge import _validate

    if calibrate:
        return _validate.calibrated(out, quick, only, jobs, as_json)
    if quick or only is not None:
        raise ValueError("quick and only go with --calibrate")
    _validate.judged(runs, out, seed, jobs, as_json)
    return 0


def runs_table(rows: list[dict[str, Any]]) -> "Table":
    """Runs line by line."""
    from rich import box
    from rich.table import Table

    shown = ("run", "weight_decay", "seed", "status", "grok_step", "steps")
    table = Table(
        title="Runs",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # all of it fits in 80 columns
        pad_edge=False,
    )
    for name in shown:
        left = name in ("run", "status")
        table.add_column(
            {"weight_decay": "decay"}.get(name, name.replace("_", " ")),
            justify="left" if left else "right",
            no_wrap=True,
        )
    for row in rows:
        steps = {name: f"{row[name]:,}" for name in ("grok_step", "steps") if row[name] is not None}
        table.add_row(
            *(str(cell) if cell is not None else "–" for cell in ({**row, **steps}[n] for n in shown))
        )
    return table


@app.command()
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
    """Window analysis of one run: gap position, ratio and gaps, with two figures.

    Example: `spectral-edge analyze snapshots.npy --W 10 --out figures`
    Of checkpoints: `spectral-edge analyze checkpoints --select '*attn*'`
    """
    from spectral_edge._analysis import analysed

    if (eta is None) != (B is None):
        raise ValueError("eta and B go together: give both or neither")
    analysed(path, W, select, eta, B, out, as_json)


@app.command()
def record(
    task: Annotated[
        str | None,
        typer.Argument(help="What to make: modular-addition, a planned run by its name (--list), or all."),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of modular-addition; 1 by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of modular-addition; 42 by default.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Of modular-addition; 10,000 by default.")] = None,
    record_every: Annotated[int | None, typer.Option(help="Of modular-addition; 100 by default.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each (with all).")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the recordings.")] = Path("runs"),
    show: Annotated[
        bool, typer.Option("--list", help="Show every planned run and whether it is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a task (needs PyTorch) and record the inner products of its updates.

    A run that was cut short goes on where it stopped; one that is there is not made again.

    Example: `spectral-edge record modular-addition --weight-decay 1 --seed 42`
    """
    from spectral_edge import _record
    from spectral_edge.validate.runs.plan import planned
    from spectral_edge.validate.runs.tasks.modular import ModularConfig

    options = {
        "weight_decay": weight_decay,
        "seed": seed,
        "max_steps": max_steps,
        "record_every": record_every,
    }
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if show:
        _record.show_plan(out, as_json)
        return
    if as_json:
        raise ValueError("--json goes with --list")
    if task is None or (task not in ("all", "modular-addition") and task not in planned()):
        names = ", ".join(list(planned())[:2])
        raise ValueError(
            f"task must be all, modular-addition or a planned run (--list) like {names}, got {task}"
        )
    if given and task != "modular-addition":
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} goes with modular-addition, got {task}")
    if task == "all":
        _record.record_all(out, jobs)
    else:
        _record.record_one(ModularConfig(**given) if task == "modular-addition" else planned()[task], out)


@app.command()
def ode(
    g0: Annotated[float, typer.Option(help="Gap at t = 0.")] = 6.0,
    d0: Annotated[float, typer.Option(help="Mean signal at t = 0, above g0/2.")] = 7.0,
    h: Annotated[str, typer.Option(help="Curvatures of modes k and k+1, comma separated.")] = "0.9,0.4",
    p: Annotated[str, typer.Option(help="Gradient powers of modes k and k+1.")] = "2.0,2.2",
    eta: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    omega: Annotated[float, typer.Option(help="Decoupled weight decay.")] = 0.1,
    W: Annotated[int, typer.Option("--W", help="Window.")] = 10,
    t_max: Annotated[float, typer.Option(help="End, in steps.")] = 3000.0,
    rtol: Annotated[float, typer.Option(help="Relative tolerance.")] = 1e-8,
    out: Annotated[Path | None, typer.Option(help="Figure (.png, .pdf, .svg) or data (.csv, .json).")] = None,
    as_json: AsJson = False,
) -> None:
    """Integrate the gap equation and compare its collapse with the closed forms.

    Example: `spectral-edge ode --h 0.9,0.4 --p 2,2.2 --out collapse.png`
    """
    from spectral_edge import _simulations as view
    from spectral_edge.simulate import gap_ode

    target = view.checked_target(out, (".csv", ".json"))
    pairs: dict[str, Any] = {"h": _numbers("h", h), "p": _numbers("p", p)}
    parameters = pairs | {"eta": eta, "omega": omega, "W": W}
    run = gap_ode(g0, d0, **parameters, t_max=t_max, rtol=rtol)
    summary = view.ode_summary(run, (d0 + g0 / 2, d0 - g0 / 2), parameters)
    if target:
        view.write_ode(run, summary, target)
    if as_json:
        print_json(summary)
        return
    console.print(view.ode_table(summary))
    if target:
        console.print(f"written: {target}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def sweep(
    x: Annotated[str, typer.Option(help="Horizontal axis, NAME:START:STOP:COUNT.")] = "p_next:0.5:6:200",
    y: Annotated[str, typer.Option(help="Vertical axis, NAME:START:STOP:COUNT.")] = "omega:0.02:0.6:200",
    g0: Annotated[float, typer.Option(help="Gap at t = 0.")] = 1.0,
    d0: Annotated[float, typer.Option(help="Mean signal at t = 0.")] = 5.0,
    h: Annotated[str, typer.Option(help="Curvatures of modes k and k+1.")] = "0.1,0.9",
    p: Annotated[str, typer.Option(help="Gradient powers of modes k and k+1.")] = "0.7,2.0",
    eta: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    omega: Annotated[float, typer.Option(help="Decoupled weight decay.")] = 0.1,
    W: Annotated[int, typer.Option("--W", help="Window.")] = 10,
    t_max: Annotated[float, typer.Option(help="End, in steps.")] = 8000.0,
    method: Annotated[str, typer.Option(help="auto, integrate or exact.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Regime map (.png, .pdf, .svg) or data (.npz).")] = None,
    as_json: AsJson = False,
) -> None:
    """Map the regimes of the gap equation over two of g0, d0, h_k, h_next, p_k, p_next, eta, omega, W, t_max.

    Example: `spectral-edge sweep --x p_next:0.5:6:200 --y omega:0.02:0.6:200 --out regimes.png`
    """
    from spectral_edge import _simulations as view

    target = view.checked_target(out, (".npz",))
    pairs = {"h": _numbers("h", h), "p": _numbers("p", p)}
    values: dict[str, Any] = {"g0": g0, "d0": d0}
    for name, pair in pairs.items():
        if len(pair) != 2:
            raise ValueError(f"{name} must be two numbers (modes k and k+1), got {len(pair)}")
        values |= {f"{name}_k": pair[0], f"{name}_next": pair[1]}
    values |= {"eta": eta, "omega": omega, "W": W, "t_max": t_max}
    result, x_name, y_name = view.swept(x, y, values, method, progress=sys.stderr.isatty())
    if target:
        view.write_sweep(result, x_name, y_name, target)
    summary = view.sweep_summary(result)
    if as_json:
        print_json(summary)
        return
    console.print(view.sweep_table(summary))
    if summary["collapse_time_min"] is not None:
        low, middle, high = (summary[f"collapse_time_{name}"] for name in ("min", "median", "max"))
        console.print(
            f"collapse times from {low:.4g} to {high:.4g}, median {middle:.4g} steps", highlight=False
        )
    if target:
        console.print(f"written: {target}", highlight=False, markup=False, soft_wrap=True)


def _complain(message: str) -> None:
    """One line on standard error, and exit status 2."""
    line = " ".join(message.split())
    stderr.print(f"spectral-edge: {line}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input is one line on standard error and exit status 2."""
    try:
        status = app(args=arguments, standalone_mode=False)
    except typer.exceptions.TyperException as error:
        _complain(error.format_message())
    except (ValueError, OSError, ImportError) as error:
        _complain(str(error))
    except BrokenExecutor:
        _complain("a process was killed from outside, perhaps for want of memory: try fewer --jobs")
    except (KeyboardInterrupt, typer.Abort):
        stderr.print("spectral-edge: interrupted")
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
