"""How often each test is right where the truth is known: its size in noise, its power in the planted world."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from functools import cache
from importlib.resources import files
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from spectral_edge.theory.checks import whole
from spectral_edge.theory.files import replace_atomically
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.rules import rule, shared
from spectral_edge.validate.referee.statistics import UNKNOWN, Estimate, proportion
from spectral_edge.validate.referee.verdict import SUPPORTED, Prediction

#: Sets of runs in each world.
REPLICATES = 200
#: The same for ``--quick``.
QUICK = 20
#: Largest false-positive rate of a test whose rule says 5 %.
LARGEST_SIZE = 0.07
#: Seed of the first set of runs.
FIRST = 1000
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
    path: str | Path | None = None,
    executor: Executor | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> dict[str, Count]:
    """Measure size and power of the tests.

    Parameters
    ----------
    predictions : sequence of Prediction
        Those to calibrate.
    replicates : int
        Sets of runs in each world. Their seeds are `FIRST`, `FIRST` + 1, …: the same counts whatever the executor.
    path : path, optional
        File for the counts. What is there already of the same rule is not done again, and every few replicates are
        added as they come: interrupted work goes on from there.
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
    whole("replicates", replicates, 1)
    there = {} if path is None else read(path)
    counts = {}
    for p in predictions:
        entry = _entry(p, there)
        fresh = entry is not None and entry["shared"] == shared()
        counts[p.id] = _count(entry if fresh else None)
    # all to a tenth, then to a half, then to the end: stopped early, something is known of each
    for goal in sorted({max(1, replicates // 10), max(1, replicates // 2), replicates}):
        for prediction in predictions:
            found = counts[prediction.id]
            tasks = [
                range(s, min(s + _CHUNK, FIRST + goal)) for s in range(FIRST + found.n, FIRST + goal, _CHUNK)
            ]
            for more in _results(prediction, tasks, executor):
                counts[prediction.id] += more
                if path is not None:
                    store(predictions, counts, path)
                if progress is not None:
                    progress(prediction.id, counts[prediction.id].n)
    return counts


def _results(prediction: Prediction, tasks: Iterable[range], executor: Executor | None) -> Iterator[Count]:
    """The counts of the tasks, in order: what is stored is always the first so many seeds."""
    if executor is None:
        yield from (_task(prediction.number, seeds) for seeds in tasks)
    else:
        yield from executor.map(_task, repeat(prediction.number), tasks)


def stored_file() -> Path:
    """Where the counts that come with the package are."""
    return Path(str(files(__name__.rpartition(".")[0]) / "size_and_power.json"))


@cache
def stored() -> dict[str, Any]:
    """What `read` finds in the file that comes with the package."""
    return read(stored_file())


def read(path: str | Path) -> dict[str, Any]:
    """The stored counts by id, each with its rule and what rules share; nothing where there is no such file."""
    path = Path(path)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _entry(prediction: Prediction, found: dict[str, Any]) -> dict[str, Any] | None:
    """What is stored of the rule as it is now."""
    entry: dict[str, Any] | None = found.get(prediction.id)
    return entry if entry is not None and entry["rule"] == rule(prediction) else None


def _count(entry: dict[str, Any] | None) -> Count:
    return Count(0, 0, 0) if entry is None else Count(entry["n"], entry["as_due"], entry["false_positives"])


def store(predictions: Sequence[Prediction], counts: dict[str, Count], path: str | Path) -> Path:
    """Write the counts; those of other predictions that are there stay."""
    mine = {p.id: {"rule": rule(p), "shared": shared(), **counts[p.id]._asdict()} for p in predictions}
    text = json.dumps(dict(sorted({**read(path), **mine}.items())), indent=1) + "\n"
    stored.cache_clear()
    return replace_atomically(path, lambda file: file.write(text.encode()))


def rates(prediction: Prediction) -> Count:
    """Size and power of a prediction's test, as stored for its present rule; for `Verdict`."""
    return _count(_entry(prediction, stored()))


def remarks(predictions: Sequence[Prediction]) -> list[str]:
    """Say whether what all rules share has changed since sizes and powers were counted."""
    entries = [entry for p in predictions if (entry := _entry(p, stored())) is not None]
    before = sum(entry["shared"] != shared() for entry in entries)
    if not before:
        return []
    return [
        f"size and power of {before} tests were counted before what all of them share was changed; "
        "spectral-edge validate --calibrate counts them anew"
    ]
