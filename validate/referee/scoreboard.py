"""The twenty predictions, judged in three worlds, and the table of their verdicts."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from spectral_edge.theory.checks import whole
from spectral_edge.theory.files import jsonable
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import cards, stress_size, worlds
from spectral_edge.validate.referee import size_and_power as calibration
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.conditions import Event, with_event
from spectral_edge.validate.referee.deciding import runs_to_decide
from spectral_edge.validate.referee.events import grok_step, is_watched, transition
from spectral_edge.validate.referee.needs import how
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.processes import processes
from spectral_edge.validate.referee.published.record import CONFIRMED, MISSING, NO_TEST, NOT_CONFIRMED
from spectral_edge.validate.referee.statistics import holm, short
from spectral_edge.validate.referee.verdict import (
    NOT_RUN,
    NOT_SPECIFIC,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Verdict,
    verdict_alone,
)

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
    """Verdicts of the predictions on a set of runs.

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

        Under "published" stands whether the author's own criterion is met; `wide` (120 columns) adds controls,
        p-values, sizes and power.

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

    Examples
    --------
    >>> from spectral_edge import validate
    >>> board = validate.check(validate.bundled()[:1])
    >>> board["weight-decay-needed"].verdict
    'not run'
    """
    runs = [runs] if isinstance(runs, GramSequence) else list(runs)
    if not runs:
        raise ValueError("runs must hold at least one sequence, got none")
    seed = whole("seed", seed, 0)
    runs, gaps = _uninterrupted(with_event(runs, event))
    runs, narrow = _reaching(runs)
    if whole("jobs", jobs, 1) > 1 and not all(prediction in PREDICTIONS for prediction in predictions):
        raise ValueError(f"jobs must be 1 with predictions that are not the package's own, got {jobs}")
    report = progress or (lambda part: None)
    report("noise world")
    verdicts = []
    with _judges(runs, seed, jobs) as judge:
        for prediction, verdict in zip(predictions, judge(predictions), strict=True):
            report(prediction.id)
            found = _with_runs(_capped(_with_rates(verdict, prediction), prediction), prediction)
            verdicts.append(replace(found, published=found.published.beside(found.verdict == SUPPORTED)))
    corrected = holm([verdict.p_value for verdict in verdicts], FAMILY)
    judged = tuple(replace(v, p_holm=float(p)) for v, p in zip(verdicts, corrected, strict=True))
    notes = [*gaps, *narrow, *_event_notes(runs), *cards.remarks(runs), *calibration.remarks(predictions)]
    notes += stress_size.remarks(predictions)
    return Scoreboard(judged, tuple(runs), seed, tuple(notes))


def _uninterrupted(runs: Sequence[GramSequence]) -> tuple[list[GramSequence], list[str]]:
    """The longest stretch of every run that was resumed without the updates it had kept, and what to say of it."""
    found, notes = [], []
    for run in runs:
        pieces = run.pieces()
        longest = max(pieces, key=lambda piece: piece.T)
        found.append(longest)
        if len(pieces) > 1:
            notes.append(
                f"{card(run).run or 'a run'} was resumed without the updates it had kept: it is judged by its longest "
                f"stretch, steps {longest.steps[0]} to {longest.steps[-1]} of {run.steps[0]} to {run.steps[-1]}"
            )
    return found, notes


def _reaching(runs: Sequence[GramSequence]) -> tuple[list[GramSequence], list[str]]:
    """The runs without probes that do not reach over the windows that are judged, and what to say of it."""
    found, notes = [], []
    for run in runs:
        narrow = {name: v.shape[1] for name, v in run.probes.items() if v.ndim == 3 and v.shape[1] < worlds.W}
        if narrow:
            run = replace(run, probes={name: v for name, v in run.probes.items() if name not in narrow})
            notes.append(
                f"{card(run).run or 'a run'}: {', '.join(sorted(narrow))} reach over {min(narrow.values())} updates, "
                f"the windows that are judged over {worlds.W}: not used (from_loss(window=…))"
            )
        found.append(run)
    return found, notes


def _with_rates(verdict: Verdict, prediction: Prediction) -> Verdict:
    """The verdict with what was counted of its test: in noise, where it is planted, in the worst of other worlds."""
    rate, worst = calibration.rates(prediction), stress_size.worst(prediction)
    refuted, world, sets = max(
        (
            (rate.refuted_size, "noise like the planted runs" if rate.n else "", rate.n),
            (worst.refuted, worst.refuted_world, worst.refuted_sets),
        ),
        key=lambda one: np.nan_to_num(stress_size.certain(one[0], one[2]), nan=-1.0),
    )
    return replace(
        verdict, size=rate.size, power=rate.power,
        stress_size=worst.size, stress_world=worst.world, stress_sets=worst.sets,
        refuted_size=refuted, refuted_world=world, refuted_sets=sets,
    )  # fmt: skip


def _capped(verdict: Verdict, prediction: Prediction) -> Verdict:
    """A verdict that a world where nothing happens or a placebo gets as well is none, and says so."""
    passed = [name for name, found in verdict.placebos.items() if found == SUPPORTED]
    supported, refuted = (
        stress_size.certain(size, sets) > calibration.LARGEST_SIZE
        for size, sets in (
            (verdict.stress_size, verdict.stress_sets),
            (verdict.refuted_size, verdict.refuted_sets),
        )
    )
    if verdict.verdict == SUPPORTED and supported:
        instead, why = (
            UNDECIDED,
            f"“{verdict.stress_world}” is supported too, {verdict.stress_size.value:.0%} of the time",
        )
    elif verdict.verdict == SUPPORTED and passed:
        instead, why = NOT_SPECIFIC, f"by the same rule {' and '.join(passed)} is supported too"
    elif verdict.verdict == REFUTED and refuted and not prediction.noise_refutes:
        instead, why = (
            UNDECIDED,
            f"“{verdict.refuted_world}” is refuted too, {verdict.refuted_size.value:.0%} of the time",
        )
    else:
        return verdict
    meaning = f"{verdict.verdict.capitalize()} by its rule, and that is no verdict: {why}. {verdict.meaning}"
    return replace(verdict, verdict=instead, meaning=meaning)


def _with_runs(verdict: Verdict, prediction: Prediction) -> Verdict:
    """The verdict with the number of runs that would decide it, where it is undecided for want of them."""
    if verdict.verdict != UNDECIDED:
        return verdict
    return replace(verdict, runs_to_decide=runs_to_decide(verdict.effect, verdict.n, prediction.boundaries))


@contextmanager
def _judges(
    runs: list[GramSequence], seed: int, jobs: int
) -> Iterator[Callable[[Sequence[Prediction]], Iterator[Verdict]]]:
    """What turns predictions into verdicts, in their order: here, or in processes of its own."""
    if jobs == 1:
        bench = _Bench(runs, seed)
        yield lambda predictions: map(bench.judge, predictions)
        return
    with processes(jobs, _Bench.sit, runs, seed) as executor:
        # by number: the maker of a planted world is a closure, which cannot be sent
        yield lambda predictions: executor.map(_Bench.called, [p.number for p in predictions])


class _Bench:
    """The runs with their noise, which is made once for all predictions that are judged in a process."""

    here: ClassVar["_Bench"]

    def __init__(self, runs: list[GramSequence], seed: int) -> None:
        self.runs, self.seed = runs, seed
        self.noise = [worlds.matched_noise(run, seed) for run in runs]

    def judge(self, prediction: Prediction) -> Verdict:
        """The verdict in the three worlds."""
        # One BLAS thread: the same bits whatever the machine's cores, and matrices this small are slower with more.
        with threadpool_limits(limits=1, user_api="blas"):
            runs, own_noise = self._own(prediction)
            published = prediction.published.judge(without_dense(self.runs))
            verdict = replace(prediction.judge(runs, own_noise), published=published)
            if verdict.verdict == NOT_RUN:
                return _with_needs(verdict, prediction, runs)
            with verdict_alone():
                planted = calibration.planted(prediction, self.seed)
                noise = prediction.judge_noise(runs, own_noise, self.seed)
                placebos = self._placebos(prediction, runs) if verdict.verdict == SUPPORTED else {}
            return replace(verdict, worlds={"planted": planted, "noise": noise}, placebos=placebos)

    def _own(self, prediction: Prediction) -> tuple[list[GramSequence], list[worlds.Noise]]:
        """The runs that a prediction is about, with their noise: dense ones only where it asks for them, or alone."""
        about = {id(run) for run in (self.runs if prediction.dense else without_dense(self.runs))}
        count = cards.comparable(self.runs) if prediction.compares else [True] * len(self.runs)
        chosen = [i for i, run in enumerate(self.runs) if count[i] and id(run) in about]
        return [self.runs[i] for i in chosen], [self.noise[i] for i in chosen]

    def _placebos(self, prediction: Prediction, judged: list[GramSequence]) -> dict[str, str]:
        """The verdicts of the same rule on what measures nothing of the claim."""
        found = {}
        for name, placebo in prediction.placebos.items():
            runs = placebo(judged, self.seed)
            noise = [worlds.matched_noise(run, self.seed) for run in runs]
            found[name] = prediction.judge(runs, noise).verdict
        return found

    @classmethod
    def sit(cls, runs: list[GramSequence], seed: int) -> None:
        """Make ready a process."""
        cls.here = cls(runs, seed)

    @classmethod
    def called(cls, number: int) -> Verdict:
        """Judge in such a process."""
        return cls.here.judge(next(p for p in PREDICTIONS if p.number == number))


def _with_needs(verdict: Verdict, prediction: Prediction, runs: Sequence[GramSequence]) -> Verdict:
    """The verdict of a test that could not be made, with what is missing for it and how it is recorded."""
    missing = {
        name: {"runs": count, "how": how(name)} for name, count in prediction.needs.missing(runs).items()
    }
    meaning = f"{verdict.meaning} {prediction.needs.told(runs)}"
    return replace(verdict, meaning=meaning, details={**verdict.details, "missing": missing})


def without_dense(runs: Sequence[GramSequence]) -> list[GramSequence]:
    """The runs that claims about transitions are judged on: none recorded at every step, unless there are no others."""
    return [run for run in runs if card(run).experiment != cards.DENSE] or list(runs)


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
