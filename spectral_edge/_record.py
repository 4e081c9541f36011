"""What ``spectral-edge record`` shows while it works; loaded when it is called."""

from datetime import datetime
from pathlib import Path

import typer
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spectral_edge.cli import console, print_json, runs_table, stderr
from spectral_edge.validate.referee.scoreboard import run_row
from spectral_edge.validate.runs.bundle import Files
from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.plan import planned, survey
from spectral_edge.validate.runs.pool import Board, Watch, make
from spectral_edge.validate.runs.training import train


def show_plan(out: Path, as_json: bool) -> None:
    """Print every planned run with its status."""
    rows = []
    for config, status, sequence in survey(out):
        card = {"run": config.name, "task": config.task, "optimizer": config.optimizer,
                "weight_decay": config.weight_decay, "seed": config.seed, "grok_step": None, "steps": None}  # fmt: skip
        row = card if sequence is None else {**card, "grok_step": run_row(sequence)["grok_step"],
                                             "steps": int(sequence.steps[-1])}  # fmt: skip
        rows.append({**row, "status": status})
    if as_json:
        print_json(rows)
    else:
        console.print(runs_table(rows))


def record_all(out: Path, jobs: int) -> None:
    """Make every planned run that is not there, with a live table; where nobody watches, a line for every change."""
    runs = planned().values()
    try:
        if stderr.is_terminal:
            with Live(console=stderr, refresh_per_second=2) as live:
                board = make(runs, out, jobs, lambda board: live.update(board.table()))
        else:
            board = make(runs, out, jobs, _changes())
    except KeyboardInterrupt:
        stderr.print("spectral-edge: interrupted; the same command goes on from there", highlight=False)
        raise typer.Exit(130) from None
    failed = sum(status.startswith("failed") for status in board.status.values())
    console.print(
        f"{len(board.runs) - failed} of {len(board.runs)} runs in {out}", highlight=False, markup=False
    )
    if failed:
        raise typer.Exit(1)


def _changes() -> Watch:
    """Print what begins, is done or fails, once and with the time: a log cannot redraw a table."""
    said: dict[str, str] = {}

    def tell(board: Board) -> None:
        for name, status in board.status.items():
            if status not in ("waiting", "there", said.get(name)):
                said[name] = status
                line = f"{datetime.now():%H:%M} {name}: {status}"
                stderr.print(line, highlight=False, markup=False, soft_wrap=True)

    return tell


def record_one(config: RunConfig, out: Path) -> None:
    """Make one run, with a progress bar."""
    files = Files(out, config.name)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} of at most {task.total:,} steps"),
        TextColumn("{task.fields[figures]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    done = "was there already" if files.done else "recorded"
    try:
        with Progress(*columns, console=stderr) as progress:
            bar = progress.add_task(config.name, total=config.max_steps, figures="")

            def show(step: int, metrics: dict[str, float]) -> None:
                figures = (
                    f"loss {metrics['train_loss']:.3g}/{metrics['test_loss']:.3g}  "
                    f"accuracy {metrics['train_accuracy']:.3f}/{metrics['test_accuracy']:.3f}"
                )
                progress.update(bar, completed=step, figures=figures)

            sequence = train(config, out, show)["attention"]
    except KeyboardInterrupt:
        there = files.unfinished.exists()
        kept = f"what was recorded is in {files.unfinished}" if there else "nothing was recorded yet"
        stderr.print(f"spectral-edge: interrupted; {kept}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(130) from None
    path = files.recordings["attention"]
    console.print(f"{sequence.T} updates in {path} ({done})", highlight=False, markup=False, soft_wrap=True)
