"""``spectral-edge validate``: recorded runs judged, or the tests themselves measured."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spectral_edge.commands.console import (
    AsJson,
    console,
    existing,
    print_json,
    progress_bar,
    runs_table,
    say,
    stderr,
    target_folder,
)

if TYPE_CHECKING:
    from rich.table import Table

    from spectral_edge.validate import EarlyWarning, GramSequence, Scoreboard
    from spectral_edge.validate.referee.figures.drawing import Picture
    from spectral_edge.validate.referee.size_and_power import Count
    from spectral_edge.validate.referee.stress_size import Tally
    from spectral_edge.validate.referee.verdict import Prediction

#: Parts of the work beside the predictions: the noise world, the report.
_OTHER_PARTS = 2


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Recordings (.npz), folders of them, stacks, or folders of checkpoints; default: the bundled runs.",
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            help="What counts as a transition: a condition on a metric, such as 'val_loss<1.2', or a step."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic worlds.")] = 0,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure the size and power of every test instead (an hour).")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --calibrate: a tenth of it, compared with what is stored.")
    ] = False,
    stress: Annotated[
        bool,
        typer.Option(
            "--stress", help="With --calibrate: in noise of other kinds than the package's own (hours)."
        ),
    ] = False,
    only: Annotated[str | None, typer.Option(help="With --calibrate: one prediction, by its id.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 2,
    as_json: AsJson = False,
) -> int:
    """Judge recorded runs: a table of verdicts here, and a report with its figures.

    Example: spectral-edge validate --out report

    Your own runs: spectral-edge validate runs/ --event 'val_loss<1.2'

    The tests themselves: spectral-edge validate --calibrate --quick

    In noise of other kinds: spectral-edge validate --calibrate --stress --quick
    """
    if calibrate:
        run = run_stress if stress else run_calibration
        return run(out, quick, only, jobs, as_json)
    if quick or stress or only is not None:
        raise ValueError("quick, stress and only go with --calibrate")
    judge([existing(path) for path in paths or ()], event, target_folder(out), seed, jobs, as_json)
    return 0


def judge(paths: list[Path], event: str | None, out: Path, seed: int, jobs: int, as_json: bool) -> None:
    """Judge, write the report and print the verdicts."""
    from dataclasses import replace

    from spectral_edge.validate.referee.bench import without_dense, workers
    from spectral_edge.validate.referee.conditions import with_event
    from spectral_edge.validate.referee.predictions import PREDICTIONS
    from spectral_edge.validate.referee.reading import Read, read_runs
    from spectral_edge.validate.referee.report import page
    from spectral_edge.validate.referee.scoreboard import Beside, check_beside
    from spectral_edge.validate.runs.bundle import judged

    with progress_bar() as progress:
        task = progress.add_task("reading", total=len(PREDICTIONS) + _OTHER_PARTS)

        def tell(part: str) -> None:
            progress.update(task, description=part, advance=1)

        # what is given may be no runs, which is said at once; the package's own are read while the processes come up
        given = read_runs(paths, lambda name: progress.update(task, description=name)) if paths else None
        with workers(jobs) as executor:
            read = given or Read(judged(), [])
            runs = with_event(read.runs, int(event) if event and event.strip().isdigit() else event)
            out.mkdir(parents=True, exist_ok=True)  # an unwritable target is said before the work, not after
            beside = Beside(
                (page.drawn_families, page.drawn_figures, partial(warned, seed=seed)), page.drawn_verdict
            )
            board, (families, figures, (warning, why, of_warning)), of_verdicts = check_beside(
                beside, runs, seed=seed, executor=executor, progress=tell
            )
        shown = without_dense(board.runs)
        board = replace(board, runs=tuple(shown), notes=(*read.notes, *board.notes))
        tell("report")
        drawn = page.Drawn(families, figures, of_verdicts, of_warning)
        written = page.write_report(board, out, warning, dense=len(runs) - len(shown), drawn=drawn)
    for note in board.notes:
        say(f"note: {note}", stderr)
    if as_json:
        print_json({**board.to_dict(), "early_warning": None if warning is None else warning.to_dict()})
        return
    show(board, warning, why)
    say(f"\nreport: {written}")


def warned(runs: "list[GramSequence]", seed: int) -> "tuple[EarlyWarning | None, str, list[Picture]]":
    """What warned of the transitions of the runs that are not dense, or why nothing can be said of that; pictures."""
    from spectral_edge.validate import early_warning
    from spectral_edge.validate.referee.bench import without_dense
    from spectral_edge.validate.referee.report.page import warning_pictures

    try:
        warning = early_warning(without_dense(runs), seed=seed)
    except ValueError as error:  # no transitions to warn of
        return None, str(error), []
    return warning, "", warning_pictures(warning)


def show(board: "Scoreboard", warning: "EarlyWarning | None", why: str) -> None:
    """Print runs, verdicts and what warned; `why` says what is missing where nothing did."""
    from rich.markup import escape
    from rich.padding import Padding

    console.print(runs_table(board.to_dict()["runs"]))
    console.print(board.table(wide=console.width >= 120))
    for verdict in board:
        told = f"{verdict.meaning} {verdict.published}"
        console.print(
            Padding(f"[bold]{verdict.number}. {verdict.id}.[/] {escape(told)}", (0, 0, 0, 2)), highlight=False
        )
    if warning is None:
        console.print(f"\nNo early warning: {why}", highlight=False, markup=False)
    else:
        console.print()
        console.print(warning.table(wide=console.width >= 120))
        console.print(str(warning), highlight=False, markup=False)


def run_calibration(out: Path, quick: bool, only: str | None, jobs: int, as_json: bool) -> int:
    """Measure size and power; exit status 1 where ``--quick`` contradicts what is stored, or a size is too large."""
    from spectral_edge.validate.referee import size_and_power as calibration
    from spectral_edge.validate.referee.processes import processes

    chosen = _chosen(only)
    replicates = calibration.QUICK if quick else calibration.REPLICATES
    target = out / "size_and_power.json"
    done: dict[str, int] = {}
    with processes(jobs) as executor, progress_bar() as progress:
        task = progress.add_task("", total=len(chosen) * replicates)

        def tell(id: str, n: int) -> None:
            done[id] = n
            progress.update(task, description=id, completed=sum(done.values()))

        if not quick:
            calibration.store_planted(chosen, target, executor, tell)
        counts = calibration.calibrate(
            chosen, replicates=replicates, path=None if quick else target, executor=executor, progress=tell
        )
    rows = [_row(p, counts[p.id], calibration.rates(p) if quick else None) for p in chosen]
    if as_json:
        print_json(rows)
    else:
        console.print(_table(rows, quick))
        say(f"{replicates} sets of runs in each world" + ("" if quick else f"; written to {target}"))
    return int(any(row["agrees"] is False or row["too_large"] for row in rows))


def _chosen(only: str | None) -> "list[Prediction]":
    from spectral_edge.validate.referee.predictions import PREDICTIONS

    chosen = [p for p in PREDICTIONS if only is None or p.id == only]
    if not chosen:
        raise ValueError(f"only must be the id of a prediction, got {only!r}")
    return chosen


def run_stress(out: Path, quick: bool, only: str | None, jobs: int, as_json: bool) -> int:
    """Count verdicts in the worlds of `stress`; exit status 1 where ``--quick`` contradicts what is stored."""
    from spectral_edge.validate.referee import stress_size
    from spectral_edge.validate.referee.processes import processes

    chosen = _chosen(only)
    sets = stress_size.QUICK if quick else stress_size.SETS
    worlds = len({world for prediction in chosen for world in stress_size.tried_in(prediction)})
    target = out / "stress_size.json"
    done: dict[str, int] = {}
    with processes(jobs) as executor, progress_bar() as progress:
        task = progress.add_task("", total=worlds * sets)

        def tell(world: str, n: int) -> None:
            done[world] = min(n, sets)
            progress.update(task, description=world, completed=sum(done.values()))

        counts = stress_size.count(
            chosen, sets=sets, most=sets if quick else stress_size.MOST, path=None if quick else target,
            executor=executor, progress=tell,
        )  # fmt: skip
    rows = [_stress_row(p, counts[p.id], quick) for p in chosen]
    if as_json:
        print_json(rows)
    else:
        console.print(_stress_table(rows, quick))
        say(f"{sets} sets of runs in each of {worlds} worlds" + ("" if quick else f"; written to {target}"))
    return int(any(row["agrees"] is False for row in rows))


def _stress_row(prediction: "Prediction", tallies: "dict[str, Tally]", quick: bool) -> dict[str, Any]:
    from spectral_edge.validate.referee import stress_size

    worst, before = stress_size.worst(prediction, tallies), stress_size.stored_tallies(prediction)
    pairs = [
        (now.share(what), before[world].share(what))
        for world, now in tallies.items()
        for what in ("supported", "refuted")
        if quick and now.judged and before[world].judged
    ]
    return {
        "id": prediction.id,
        "stress_size": worst.size.value, "stress_interval": [worst.size.low, worst.size.high],
        "stress_world": worst.world,
        "refuted_size": worst.refuted.value, "refuted_interval": [worst.refuted.low, worst.refuted.high],
        "refuted_world": worst.refuted_world, "noise_refutes": prediction.noise_refutes,
        "worlds": {world: tally._asdict() for world, tally in tallies.items()},
        "agrees": all(new.low <= old.high and old.low <= new.high for new, old in pairs) if pairs else None,
    }  # fmt: skip


def _stress_table(rows: list[dict[str, Any]], quick: bool) -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from spectral_edge.validate.referee.statistics import Estimate

    table = Table(
        title="Worst of all worlds", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0,
        pad_edge=False,
    )  # fmt: skip
    for name in ("prediction", "supported, 95 %", "refuted, 95 %", *(["as stored"] if quick else [])):
        table.add_column(name, no_wrap=True)
    for row in rows:
        sizes = (Estimate(row[f"{one}_size"], *row[f"{one}_interval"]) for one in ("stress", "refuted"))
        cells = [row["id"], *(escape(str(size)) for size in sizes)]
        if quick:
            cells.append({True: "yes", False: "[red]no[/]", None: "–"}[row["agrees"]])
        table.add_row(*cells)
    return table


def _row(prediction: "Prediction", count: "Count", before: "Count | None") -> dict[str, Any]:
    from spectral_edge.validate.referee.size_and_power import LARGEST_SIZE

    agrees = None
    if before is not None and before.n:
        pairs = ((count.size, before.size), (count.power, before.power))
        agrees = all(new.low <= old.high and old.low <= new.high for new, old in pairs)
    return {
        "id": prediction.id,
        "size": count.size.value, "size_interval": [count.size.low, count.size.high],
        "power": count.power.value, "power_interval": [count.power.low, count.power.high],
        "expected": prediction.expected_when_planted, "n": count.n, "agrees": agrees,
        # beyond doubt: the whole interval lies above what is allowed
        "too_large": count.size.low > LARGEST_SIZE,
    }  # fmt: skip


def _table(rows: list[dict[str, Any]], quick: bool) -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from spectral_edge.validate.referee.statistics import Estimate

    table = Table(
        title="Size and power", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in ("prediction", "size, 95 %", "power, 95 %", "expected", *(["as stored"] if quick else [])):
        table.add_column(name, no_wrap=True)
    for row in rows:
        size, power = (Estimate(row[name], *row[f"{name}_interval"]) for name in ("size", "power"))
        cells = [row["id"], escape(str(size)), escape(str(power)), row["expected"]]
        if quick:
            cells.append({True: "yes", False: "[red]no[/]", None: "–"}[row["agrees"]])
        table.add_row(*cells)
    return table
