"""The twenty predictions, judged in three worlds, and the table of their verdicts."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from spectral_edge.theory.checks import whole
from spectral_edge.theory.files import jsonable
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import cards, stress_size
from spectral_edge.validate.referee import size_and_power as calibration
from spectral_edge.validate.referee.bench import capped, judges, with_rates, with_runs, workers
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.conditions import Event, with_event
from spectral_edge.validate.referee.events import grok_step, is_watched, transition
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.published.record import CONFIRMED, MISSING, NO_TEST, NOT_CONFIRMED
from spectral_edge.validate.referee.statistics import holm, short
from spectral_edge.validate.referee.stretches import usable
from spectral_edge.validate.referee.verdict import SUPPORTED, Prediction, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

#: The thesis names twenty predictions; p-values are corrected within that family however many are judged.
FAMILY = 20

_STYLES = {
    "supported": "bold green",
    "not specific": "bold yellow",
    "refuted": "bold red",
    "undecided": "bold cyan",
    "not run": "dim",
}
#: Whether the author's criterion is met, where there is little room.
_WORDS = {CONFIRMED: "yes", NOT_CONFIRMED: "no", NO_TEST: "no test", MISSING: "missing"}


@dataclass(frozen=True)
class Scoreboard:
    """Verdicts of the predictions on a set of runs; made by `check`.

    Attributes
    ----------
    verdicts : tuple of Verdict
        In the order of their numbers.
    runs : tuple of GramSequence
        What was judged.
    seed : int
        Seed of the noise and planted worlds.
    notes : tuple of str
        What was not taken as it stands on the runs' cards, and what is stored of another state of the tests.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
    >>> board = validate.check(validate.bundled()[0], predictions=PREDICTIONS[10:11])
    >>> [verdict.id for verdict in board], board["weight-decay-needed"].verdict
    (['weight-decay-needed'], 'not run')
    """

    verdicts: tuple[Verdict, ...]
    runs: tuple[GramSequence, ...]
    seed: int
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __getitem__(self, id: str) -> Verdict:
        return next(verdict for verdict in self.verdicts if verdict.id == id)

    def to_dict(self) -> dict[str, Any]:
        """JSON values with stable keys; NaN and infinity become None.

        Returns
        -------
        dict
            With "verdicts", "runs", "seed" and "notes": what `schema` describes.

        Examples
        --------
        >>> from spectral_edge import validate
        >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
        >>> board = validate.check(validate.bundled()[0], predictions=PREDICTIONS[10:11])
        >>> board.to_dict()["verdicts"][0]["verdict"]
        'not run'
        """
        return {
            "verdicts": [jsonable(_flat(verdict)) for verdict in self.verdicts],
            "runs": [jsonable(run_row(run)) for run in self.runs],
            "seed": self.seed,
            "notes": list(self.notes),
        }

    @staticmethod
    def schema() -> dict[str, Any]:
        """JSON schema of what `to_dict` returns and of what ``spectral-edge validate --json`` prints.

        Returns
        -------
        dict

        Examples
        --------
        >>> from spectral_edge import validate
        >>> "verdicts" in validate.Scoreboard.schema()["required"]
        True
        """
        text = files(__name__.rpartition(".")[0]).joinpath("scoreboard.schema.json").read_text()
        found: dict[str, Any] = json.loads(text)
        return found

    def to_dataframe(self) -> "pd.DataFrame":
        """One row per verdict (needs the extra ``data``).

        Returns
        -------
        pandas.DataFrame
            With the predictions' ids as its index.

        Examples
        --------
        >>> from spectral_edge import validate
        >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
        >>> board = validate.check(validate.bundled()[0], predictions=PREDICTIONS[10:11])
        >>> board.to_dataframe()["n"].to_dict()
        {'weight-decay-needed': 0}
        """
        import pandas as pd

        return pd.DataFrame([_flat(verdict) for verdict in self.verdicts]).set_index("id")

    def table(self, *, wide: bool = False) -> "Table":
        """Return the verdicts as a table for the terminal.

        Under "published" stands whether the author's own criterion is met.

        Parameters
        ----------
        wide : bool
            120 columns, with controls, p-values, sizes and power.

        Returns
        -------
        rich.table.Table

        Examples
        --------
        >>> from spectral_edge import validate
        >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
        >>> board = validate.check(validate.bundled()[0], predictions=PREDICTIONS[10:11])
        >>> board.table().row_count
        1
        """
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        table = Table(
            title="Verdicts",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            padding=0,  # all of it fits in 80 columns, or in 120
            show_edge=False,
        )
        columns = ["#", "prediction", "published", "refereed", "found", "effect, 95 %"]
        if wide:
            columns[5:5] = ["control"]
            columns += ["p (Holm)", "size / worst / power"]
        for name in columns:
            left = name in ("prediction", "published", "refereed", "effect, 95 %")
            table.add_column(name, justify="left" if left else "right", no_wrap=True)
        for v in self.verdicts:
            statistic, control, p = map(short, (v.statistic, v.control, v.p_holm))
            row = [str(v.number), v.id, _WORDS[v.published.verdict], f"[{_STYLES[v.verdict]}]{v.verdict}[/]"]
            row += [statistic, control] if wide else [statistic]
            row.append(escape(str(v.effect)) if v.n else "–")
            if wide:
                row += [p, " / ".join(short(one.value, 2) for one in (v.size, v.stress_size, v.power))]
            table.add_row(*row)
        return table


def check(
    runs: GramSequence | Sequence[GramSequence],
    *,
    seed: int = 0,
    event: Event | None = None,
    predictions: Sequence[Prediction] = PREDICTIONS,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Scoreboard:
    """Judge recorded runs, and beside them the planted and the noise world.

    Parameters
    ----------
    runs : GramSequence or sequence of them
        With their metrics and configuration; what cannot be judged on them says what it would need. Of runs with
        the experiment "dense" on their cards and others, the former are judged by those predictions alone that are
        about records at every step.
    seed : int
        Seed of the synthetic worlds; the same seed gives the same scoreboard.
    event : str, int, callable or mapping, optional
        What counts as a transition, if not that the test accuracy reaches 0.95: a condition on a metric, by any of its
        usual names ("val_loss<1.2"), a step, or what gives the step of each run (a function of the run, a mapping of
        their names; None where it never came). A card may say its `event_step` itself.
    predictions : sequence of Prediction
        Default: all that the package judges. Others than its own need `jobs` = 1.
    jobs : int
        Processes that judge side by side; the scoreboard does not depend on it. More than one needs a script with
        ``if __name__ == "__main__":``, as all of multiprocessing does.
    progress : callable, optional
        Called with the name of each part as it is taken up.

    Returns
    -------
    Scoreboard

    Raises
    ------
    ValueError
        If there is no run, `event` cannot be read or is about what no run has, `jobs` is not a positive whole number,
        or more than 1 with predictions of your own.

    Notes
    -----
    The claims are those of sections 1 to 8 and of section 10 of docs/theory.md, `Prediction.reference` says which; how
    they are judged is in docs/referee.md.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> board = validate.check(validate.bundled()[:1])
    >>> board["weight-decay-needed"].verdict
    'not run'
    """
    if whole("jobs", jobs, 1) > 1 and not all(prediction in PREDICTIONS for prediction in predictions):
        raise ValueError(f"jobs must be 1 with predictions that are not the package's own, got {jobs}")
    with workers(jobs) as executor:
        judged, _, _ = check_beside(
            Beside(),
            runs,
            seed=seed,
            event=event,
            predictions=predictions,
            executor=executor,
            progress=progress,
        )
    return judged


class Beside(NamedTuple):
    """What else those who judge are to make, of the runs and of each verdict: functions of modules.

    Attributes
    ----------
    of_runs : sequence of callable
        ``make(runs)``.
    of_verdict : callable, optional
        ``make(verdict, seed, runs)``; the p-value is not corrected yet.
    """

    of_runs: Sequence[Callable[[list[GramSequence]], Any]] = ()
    of_verdict: Callable[[Verdict, int, list[GramSequence]], Any] | None = None


def check_beside(
    beside: Beside,
    runs: GramSequence | Sequence[GramSequence],
    *,
    seed: int = 0,
    event: Event | None = None,
    predictions: Sequence[Prediction] = PREDICTIONS,
    executor: ProcessPoolExecutor | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Scoreboard, list[Any], dict[str, Any]]:
    """What `check` returns, what was made of the runs, and what of the verdicts, by their ids.

    All of it is made by the processes of `executor` (`bench.workers`), which have the runs; without one, here.
    """
    runs = [runs] if isinstance(runs, GramSequence) else list(runs)
    if not runs:
        raise ValueError("runs must hold at least one sequence, got none")
    seed = whole("seed", seed, 0)
    runs, left_out = usable(with_event(runs, event))
    report = progress or (lambda part: None)
    report("noise world")
    verdicts = []
    with judges(runs, seed, executor) as bench:
        begun = [bench.beside(make) for make in beside.of_runs]
        begun_of_verdicts: dict[str, Callable[[], Any]] = {}
        for prediction, verdict in zip(predictions, bench.verdicts(predictions), strict=True):
            report(prediction.id)
            found = with_runs(capped(with_rates(verdict, prediction), prediction), prediction)
            verdicts.append(replace(found, published=found.published.beside(found.verdict == SUPPORTED)))
            if beside.of_verdict is not None:
                making = partial(beside.of_verdict, verdicts[-1], seed)
                begun_of_verdicts[prediction.id] = bench.beside(making)
        made = [one() for one in begun]
        made_of_verdicts = {id: one() for id, one in begun_of_verdicts.items()}
    corrected = holm([verdict.p_value for verdict in verdicts], FAMILY)
    judged = tuple(replace(v, p_holm=float(p)) for v, p in zip(verdicts, corrected, strict=True))
    notes = [*left_out, *_event_notes(runs), *cards.remarks(runs), *calibration.remarks(predictions)]
    notes += stress_size.remarks(predictions)
    return Scoreboard(judged, tuple(runs), seed, tuple(notes)), made, made_of_verdicts


def run_row(run: GramSequence) -> dict[str, Any]:
    """Return what a table of runs shows of one run (stable keys)."""
    own, step = card(run), grok_step(run)
    known = "grokked" if step is not None else "not grokked"
    return {
        "run": own.run or "unnamed",
        "task": own.task or "",
        "optimizer": own.optimizer or "",
        "weight_decay": own.weight_decay,
        "seed": own.seed,
        "status": known if is_watched(run) else "no test accuracy",
        "grok_step": step,
        "steps": int(run.steps[-1]),
    }


def _event_notes(runs: Sequence[GramSequence]) -> list[str]:
    """Say what counted as a transition, where that is not the test accuracy."""
    if not any(card(run).event or card(run).event_step is not None for run in runs):
        return []
    known = sum(map(is_watched, runs))
    came = sum(grok_step(run) is not None for run in runs)
    unknown = f"; {len(runs) - known} more do not say" if known < len(runs) else ""
    return [f"a transition is {transition(runs)}: it came in {came} of {known} runs{unknown}"]


def _flat(verdict: Verdict) -> dict[str, Any]:
    row = asdict(verdict)
    row["effect"], row["interval"] = verdict.effect.value, [verdict.effect.low, verdict.effect.high]
    row["p_value"], row["p_uncorrected"] = verdict.p_holm, verdict.p_value
    del row["p_holm"]
    for name in ("size", "power", "stress_size", "refuted_size"):
        row[name] = getattr(verdict, name)._asdict()
    for reading, shown in zip(verdict.readings, row["readings"], strict=True):
        shown["treated"], shown["control"] = reading.treated._asdict(), reading.control._asdict()
    return row
