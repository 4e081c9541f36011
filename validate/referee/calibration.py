"""How often each test is right where the truth is known: its size in noise, its power in the planted world."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from spectral_edge.theory._arguments import whole
from spectral_edge.validate.gram.storage import replace_atomically
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.statistics import UNKNOWN, Estimate, proportion
from spectral_edge.validate.referee.verdict import SUPPORTED, Prediction

#: Sets of runs in each world.
REPLICATES = 200
#: The same for ``--quick``.
QUICK = 20
#: Largest false-positive rate of a test whose rule says 5 %.
LARGEST_SIZE = 0.07
#: Replicates judged at a time by one task of an executor.
_CHUNK = 5


class Count(NamedTuple):
    """What came of `n` replicates: verdicts as due in the planted world, verdicts "supported" in noise."""

    n: int
    as_due: int
    false_positives: int

    def __add__(self, other: "Count") -> "Count":  # type: ignore[override]
        return Count(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def power(self) -> Estimate:
        """Share of planted worlds with the verdict that is due there."""
        return proportion(self.as_due, self.n) if self.n else UNKNOWN

    @property
    def size(self) -> Estimate:
        """Share of noise worlds that come out supported."""
        return proportion(self.false_positives, self.n) if self.n else UNKNOWN


def replicate(prediction: Prediction, seed: int) -> Count:
    """One set of planted runs, and the same runs with noise in their place."""
    with threadpool_limits(limits=1, user_api="blas"):
        runs = prediction.planted(seed)
        noise = [worlds.matched_noise(run, seed) for run in runs]
        due = prediction.judge(runs, noise).verdict == prediction.expected_when_planted
        supported = prediction.judge_noise(runs, noise, seed) == SUPPORTED
    return Count(1, int(due), int(supported))


def _task(number: int, seeds: range) -> Count:
    from spectral_edge.validate.referee.predictions import PREDICTIONS

    prediction = next(p for p in PREDICTIONS if p.number == number)
    total = Count(0, 0, 0)
    for seed in seeds:
        total += replicate(prediction, seed)
    return total


def calibrate(
    predictions: Sequence[Prediction],
    *,
    replicates: int = REPLICATES,
    first: int = 1000,
    executor: Executor | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> dict[str, Count]:
    """Measure size and power of the tests.

    Parameters
    ----------
    predictions : sequence of Prediction
        Those to calibrate.
    replicates : int
        Sets of runs in each world.
    first : int
        Seed of the first set; the same seeds give the same counts, whatever the executor.
    executor : concurrent.futures.Executor, optional
        Shares the work; without one it is done here.
    progress : callable, optional
        Called with a prediction's id and how many of its replicates are done.

    Returns
    -------
    dict of str to Count
        By the predictions' ids.

    Raises
    ------
    ValueError
        If `replicates` is not a positive whole number.
    """
    end = first + whole("replicates", replicates, 1)
    tasks = [(p, range(s, min(s + _CHUNK, end))) for p in predictions for s in range(first, end, _CHUNK)]
    counts = {p.id: Count(0, 0, 0) for p in predictions}
    for prediction, found in _results(tasks, executor):
        counts[prediction.id] += found
        if progress is not None:
            progress(prediction.id, counts[prediction.id].n)
    return counts


def _results(
    tasks: Iterable[tuple[Prediction, range]], executor: Executor | None
) -> Iterator[tuple[Prediction, Count]]:
    if executor is None:
        yield from ((prediction, _task(prediction.number, seeds)) for prediction, seeds in tasks)
        return
    waiting = {executor.submit(_task, p.number, seeds): p for p, seeds in tasks}
    for done in as_completed(waiting):
        yield waiting[done], done.result()


def stored_file() -> Path:
    """Where the counts that come with the package are."""
    return Path(str(files(__name__.rpartition(".")[0]) / "calibration.json"))


@cache
def stored() -> dict[str, Count]:
    """The counts that come with the package."""
    path = stored_file()
    if not path.exists():
        return {}
    return {id: Count(**found) for id, found in json.loads(path.read_text())["predictions"].items()}


def store(counts: dict[str, Count], path: str | Path, **about: Any) -> Path:
    """Write counts where `stored` finds them; those of other predictions that are there stay."""
    path = Path(path)
    before = json.loads(path.read_text())["predictions"] if path.exists() else {}
    merged = {**before, **{id: count._asdict() for id, count in counts.items()}}
    text = json.dumps({**about, "predictions": dict(sorted(merged.items()))}, indent=1) + "\n"
    stored.cache_clear()
    return replace_atomically(path, lambda file: file.write(text.encode()))


def rates(prediction: Prediction) -> dict[str, Estimate]:
    """Size and power of a prediction's test, as stored; for `Verdict`."""
    count = stored().get(prediction.id, Count(0, 0, 0))
    return {"size": count.size, "power": count.power}
