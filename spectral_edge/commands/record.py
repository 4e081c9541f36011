"""``spectral-edge record``: train a task and record it, or make the whole plan of runs."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import (
    AsJson,
    console,
    print_json,
    progress_bar,
    runs_table,
    say,
    stderr,
    target_folder,
)

if TYPE_CHECKING:
    from spectral_edge.validate.runs.pool import Board, Run, Watch


def record(
    task: Annotated[
        str | None,
        typer.Argument(
            help="What to make: modular-addition, a planned run by its name (--list), all, or dense."
        ),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of modular-addition; 1 by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of modular-addition; 42 by default.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Of modular-addition; 200,000 by default.")] = None,
    record_every: Annotated[int | None, typer.Option(help="Of modular-addition; 100 by default.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, one thread each (with all, dense).")] = 1,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1 …")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder for the recordings.")] = Path("runs"),
    show: Annotated[
        bool, typer.Option("--list", help="Show every planned run and whether it is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a task (needs PyTorch) and record the inner products of its updates.

    A run that was cut short goes on where it stopped; one that is there is not made again.

    Example: spectral-edge record modular-addition --weight-decay 1 --seed 42

    The whole plan: spectral-edge record all --jobs 2 --out runs

    Small networks, every step: spectral-edge record dense --jobs 2 --out runs
    """
    from spectral_edge.validate.runs.dense.config import EXPLORED, FRESH, FURTHER, REFINED, dense_runs
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
        show_plan(out, as_json)
        return
    if as_json:
        raise ValueError("--json goes with --list")
    target_folder(out)
    dense = {run.name: run for run in dense_runs((*FRESH, *EXPLORED, *REFINED, *FURTHER))}
    if task is None or task not in ("all", "dense", "modular-addition", *planned(), *dense):
        names = ", ".join(list(planned())[:2])
        raise ValueError(
            f"task must be all, dense, modular-addition or a planned run (--list) like {names}, got {task}"
        )
    if given and task != "modular-addition":
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} goes with modular-addition, got {task}")
    if task in ("all", "dense"):
        record_all(out, jobs, planned().values() if task == "all" else dense_runs(), device)
    else:
        chosen = ModularConfig(**given) if task == "modular-addition" else (planned() | dense)[task]
        record_one(chosen, out, device)


def show_plan(out: Path, as_json: bool) -> None:
    """Print every planned run with its status."""
    from spectral_edge.validate.referee.scoreboard import run_row
    from spectral_edge.validate.runs.plan import survey

    rows = []
    for config, status, sequence in survey(out):
        planned_row = {"run": config.name, "family": config.family, "recipe": config.recipe, "task": config.task,
                "optimizer": config.optimizer, "weight_decay": config.weight_decay, "seed": config.seed,
                "grok_step": None, "steps": None}  # fmt: skip
        row = planned_row if sequence is None else {**planned_row, "grok_step": run_row(sequence)["grok_step"],
                                             "steps": int(sequence.steps[-1])}  # fmt: skip
        rows.append({**row, "status": status})
    if as_json:
        print_json(rows)
    else:
        console.print(runs_table(rows, made_by=True))


def record_all(out: Path, jobs: int, runs: "Iterable[Run]", device: str = "cpu") -> None:
    """Make all of `runs` that are not there, with a live table; where nobody watches, a line for every change."""
    from rich.live import Live

    from spectral_edge.validate.runs.pool import make

    try:
        if stderr.is_terminal:
            with Live(console=stderr, refresh_per_second=2) as live:
                board = make(runs, out, jobs, lambda board: live.update(board.table()), device)
        else:
            board = make(runs, out, jobs, _changes(), device)
    except KeyboardInterrupt:
        say("spectral-edge: interrupted; the same command goes on from there", stderr)
        raise typer.Exit(130) from None
    failed = sum(status.startswith("failed") for status in board.status.values())
    say(f"{len(board.runs) - failed} of {len(board.runs)} runs in {out}")
    if failed:
        raise typer.Exit(1)


def _changes() -> "Watch":
    """Print what begins, is done or fails, once and with the time: a log cannot redraw a table."""
    said: dict[str, str] = {}

    def tell(board: "Board") -> None:
        for name, status in board.status.items():
            if status not in ("waiting", "there", said.get(name)):
                said[name] = status
                say(f"{datetime.now():%H:%M} {name}: {status}", stderr)

    return tell


def record_one(config: "Run", out: Path, device: str = "cpu") -> None:
    """Make one run, with a progress bar."""
    from spectral_edge.validate.runs.bundle import Files
    from spectral_edge.validate.runs.training import train

    files, group = Files(out, config.name, config.groups), config.groups[0]
    figures_shown = ("{task.completed:,} of at most {task.total:,} steps", "{task.fields[figures]}")
    done = "was there already" if files.done else "recorded"
    try:
        with progress_bar(*figures_shown, transient=False) as progress:
            bar = progress.add_task(config.name, total=config.max_steps, figures="")

            def show(step: int, metrics: dict[str, float]) -> None:
                figures = [
                    f"{kind} {metrics[f'train_{kind}']:.3g}/{metrics[f'test_{kind}']:.3g}"
                    for kind in ("loss", "accuracy")
                    if f"train_{kind}" in metrics
                ]
                progress.update(bar, completed=step, figures="  ".join(figures))

            sequence = train(config, out, show, device)[group]
    except KeyboardInterrupt:
        there = files.unfinished.exists()
        kept = f"what was recorded is in {files.unfinished}" if there else "nothing was recorded yet"
        say(f"spectral-edge: interrupted; {kept}", stderr)
        raise typer.Exit(130) from None
    say(f"{sequence.T} updates in {files.recordings[group]} ({done})")
