"""What ``spectral-edge validate`` shows while it works; loaded when it is called."""

from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from spectral_edge.cli import console, print_json, runs_table, stderr
from spectral_edge.validate import bundled, check, early_warning
from spectral_edge.validate.referee import size_and_power as calibration
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.processes import processes
from spectral_edge.validate.referee.report.page import write_report
from spectral_edge.validate.referee.statistics import Estimate
from spectral_edge.validate.referee.verdict import Prediction
from spectral_edge.validate.runs.bundle import recorded

#: Parts of the work beside the predictions: the noise world, the early warning, the report.
_OTHER_PARTS = 3


def judged(runs: Path | None, out: Path, seed: int, jobs: int, as_json: bool) -> None:
    """Judge, write the report and print the verdicts."""
    sequences = bundled() if runs is None else recorded(runs)
    out.mkdir(parents=True, exist_ok=True)  # an unwritable target is said before the work, not after
    with _bar() as progress:
        task = progress.add_task("reading", total=len(PREDICTIONS) + _OTHER_PARTS)

        def tell(part: str) -> None:
            progress.update(task, description=part, advance=1)

        board = check(sequences, seed=seed, jobs=jobs, progress=tell)
        tell("early warning")
        try:
            warning, why = early_warning(sequences, seed=seed), ""
        except ValueError as error:  # no transitions to warn of
            warning, why = None, str(error)
        tell("report")
        page = write_report(board, out, warning)
    if as_json:
        print_json({**board.to_dict(), "early_warning": None if warning is None else warning.to_dict()})
        return
    console.print(runs_table(board.to_dict()["runs"]))
    console.print(board.table(wide=console.width >= 120))
    for verdict in board:
        console.print(
            Padding(f"[bold]{verdict.number}. {verdict.id}.[/] {escape(verdict.meaning)}", (0, 0, 0, 2)),
            highlight=False,
        )
    if warning is None:
        console.print(f"\nNo early warning: {why}", highlight=False, markup=False)
    else:
        console.print()
        console.print(warning.table(wide=console.width >= 120))
        console.print(str(warning), highlight=False, markup=False)
    console.print(f"\nreport: {page}", highlight=False, markup=False, soft_wrap=True)


def calibrated(out: Path, quick: bool, only: str | None, jobs: int, as_json: bool) -> int:
    """Measure size and power; exit status 1 where ``--quick`` contradicts what is stored, or a size is too large."""
    chosen = [p for p in PREDICTIONS if only is None or p.id == only]
    if not chosen:
        raise ValueError(f"only must be the id of a prediction, got {only!r}")
    replicates = calibration.QUICK if quick else calibration.REPLICATES
    target = out / "size_and_power.json"
    done: dict[str, int] = {}
    with processes(jobs) as executor, _bar() as progress:
        task = progress.add_task("", total=len(chosen) * replicates)

        def tell(id: str, n: int) -> None:
            done[id] = n
            progress.update(task, description=id, completed=sum(done.values()))

        counts = calibration.calibrate(
            chosen, replicates=replicates, path=None if quick else target, executor=executor, progress=tell
        )
    rows = [_row(p, counts[p.id], calibration.rates(p) if quick else None) for p in chosen]
    if as_json:
        print_json(rows)
    else:
        console.print(_table(rows, quick))
        console.print(
            f"{replicates} sets of runs in each world" + ("" if quick else f"; written to {target}"),
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    return int(any(row["agrees"] is False or row["too_large"] for row in rows))


def _row(
    prediction: Prediction, count: calibration.Count, before: calibration.Count | None
) -> dict[str, Any]:
    agrees = None
    if before is not None and before.n:
        pairs = ((count.size, before.size), (count.power, before.power))
        agrees = all(new.low <= old.high and old.low <= new.high for new, old in pairs)
    return {
        "id": prediction.id,
        "size": count.size.value, "size_interval": [count.size.low, count.size.high],
        "power": count.power.value, "power_interval": [count.power.low, count.power.high],
        "due": prediction.expected_when_planted, "n": count.n, "agrees": agrees,
        # beyond doubt: the whole interval lies above what is allowed
        "too_large": count.size.low > calibration.LARGEST_SIZE,
    }  # fmt: skip


def _table(rows: list[dict[str, Any]], quick: bool) -> Table:
    table = Table(
        title="Size and power", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in ("prediction", "size, 95 %", "power, 95 %", "due", *(["as stored"] if quick else [])):
        table.add_column(name, no_wrap=True)
    for row in rows:
        size, power = (Estimate(row[name], *row[f"{name}_interval"]) for name in ("size", "power"))
        cells = [row["id"], escape(str(size)), escape(str(power)), row["due"]]
        if quick:
            cells.append({True: "yes", False: "[red]no[/]", None: "–"}[row["agrees"]])
        table.add_row(*cells)
    return table


def _bar() -> Progress:
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=stderr, transient=True)
