"""One prediction judged in its three worlds, here or in other processes, and what may speak against its verdict."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import cards, stress_size, worlds
from spectral_edge.validate.referee import size_and_power as calibration
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.deciding import runs_to_decide
from spectral_edge.validate.referee.needs import how
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.processes import processes
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

_T = TypeVar("_T")


#: What judges and draws, imported once for all processes.
PRELOADED = (__name__, "spectral_edge.validate.referee.report.page")


@contextmanager
def workers(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that come up while the runs are being read; none where one is enough."""
    if jobs == 1:
        yield None
        return
    with processes(jobs, PRELOADED) as executor:
        yield executor


@contextmanager
def judges(runs: list[GramSequence], seed: int, executor: ProcessPoolExecutor | None) -> Iterator["Judges"]:
    """Those who turn predictions into verdicts: here, or in the processes of `executor`."""
    if executor is None:
        yield Judges(Bench(runs, seed))
        return
    with TemporaryDirectory(prefix="spectral-edge-") as folder:
        # by a file: a process reads it when it has time, and none waits until another has read
        place = Path(folder) / "bench"
        place.write_bytes(pickle.dumps((runs, seed), protocol=pickle.HIGHEST_PROTOCOL))
        yield Judges(place, executor)


class Judges:
    """Predictions judged, and whatever else is made of the runs, by one bench here or by one in every process."""

    def __init__(self, bench: "Bench | Path", executor: ProcessPoolExecutor | None = None) -> None:
        self._bench, self._executor = bench, executor

    def verdicts(self, predictions: Sequence[Prediction]) -> Iterator[Verdict]:
        """The verdicts, in the order of the predictions."""
        if self._executor is None:
            yield from map(_bench(self._bench).judge, predictions)
            return
        begun = [(lot, self._executor.submit(_judged, self._bench, lot)) for lot in _lots(predictions)]
        where = {number: (at, done) for lot, done in begun for at, number in enumerate(lot)}
        for prediction in predictions:
            at, done = where[prediction.number]
            yield done.result()[at]

    def beside(self, make: Callable[[list[GramSequence]], _T]) -> Callable[[], _T]:
        """Have ``make(runs)`` made, `make` a function of a module; what is returned gives it when it is there."""
        if self._executor is None:
            return partial(_made, self._bench, make)
        return self._executor.submit(_made, self._bench, make).result


def _judged(bench: "Bench | Path", numbers: Sequence[int]) -> list[Verdict]:
    by_number = {prediction.number: prediction for prediction in PREDICTIONS}
    return [_bench(bench).judge(by_number[number]) for number in numbers]


def _made(bench: "Bench | Path", make: Callable[[list[GramSequence]], _T]) -> _T:
    return make(_bench(bench).runs)


def _bench(found: "Bench | Path") -> "Bench":
    return found if isinstance(found, Bench) else _read(found)


@lru_cache(maxsize=1)
def _read(place: Path) -> "Bench":
    """The bench of this process."""
    return Bench(*pickle.loads(place.read_bytes()))  # written by the process that started this one


#: What takes longest, longest first. It is begun first, or a process would wait for it at the end.
LONGEST = (
    "gap-flow",
    "collapse-time",
    "gap-above-noise",
    "stability-hierarchy",
    "lag-flip",
    "projection-keeps-gap",
)


def _lots(predictions: Sequence[Prediction]) -> list[list[int]]:
    """What one process judges at a stretch, by number: the maker of a planted world is a closure, which cannot be sent.

    Predictions about dense runs go together, since they look at the same noise; but collapse times look at none.
    """
    together = [p for p in predictions if p.dense and p.id != "collapse-time"]
    lots = [together, *([p] for p in predictions if p not in together)]
    place = {id: i for i, id in enumerate(LONGEST)}
    lots.sort(key=lambda lot: min((place.get(p.id, len(place)) for p in lot), default=len(place)))
    return [[p.number for p in lot] for lot in lots if lot]


class Bench:
    """The runs with their noise, which is made once for all predictions that are judged in a process."""

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


def with_rates(verdict: Verdict, prediction: Prediction) -> Verdict:
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


def capped(verdict: Verdict, prediction: Prediction) -> Verdict:
    """The verdict, withheld where a world in which nothing happens, or a placebo, gets it as well."""
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
    meaning = f"{verdict.verdict.capitalize()} by its rule, but that does not count: {why}. {verdict.meaning}"
    return replace(verdict, verdict=instead, meaning=meaning)


def with_runs(verdict: Verdict, prediction: Prediction) -> Verdict:
    """The verdict with the number of runs that would decide it, where it is undecided for want of them."""
    if verdict.verdict != UNDECIDED:
        return verdict
    return replace(verdict, runs_to_decide=runs_to_decide(verdict.effect, verdict.n, prediction.boundaries))
