"""How often each test is right where the truth is known: its size in noise, its power in the planted world.

What was measured is stored, with the rule and the common ground that it belongs to: counts, and the verdict in the
planted world of `PLANTED`, which depends on no run and takes longer than all else that is judged of one.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from spectral_edge.theory.checks import whole
from spectral_edge.theory.files import replace_atomically
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.rules import rule, shared
from spectral_edge.validate.referee.statistics import UNKNOWN, Estimate, proportion
from spectral_edge.validate.referee.verdict import REFUTED, SUPPORTED, Prediction, verdict_alone

#: Sets of runs in each world.
REPLICATES = 200
#: The same for ``--quick``.
QUICK = 20
#: Largest false-positive rate of a test whose rule says 5 %.
LARGEST_SIZE = 0.07
#: Seed of the first set of runs.
FIRST = 1000
#: Seed of the planted world whose verdict is stored: that of a scoreboard where none is asked for.
PLANTED = 0
#: Replicates judged at a time by one task of an executor.
_CHUNK = 5


class Count(NamedTuple):
    """What came of replicates of a test.

    Attributes
    ----------
    n : int
        Replicates: sets of runs in each world.
    as_due : int
        Verdicts as expected in the planted world.
    false_positives, refuted : int
        "supported" and "refuted" in the noise world.

    Examples
    --------
    >>> Count(n=20, as_due=19, false_positives=1).power.value
    0.95
    """

    n: int = 0
    as_due: int = 0
    false_positives: int = 0
    refuted: int = 0

    def plus(self, other: "Count") -> "Count":
        """The two sets of replicates as one."""
        return Count(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def power(self) -> Estimate:
        """Share of planted worlds with the verdict that is expected there."""
        return proportion(self.as_due, self.n) if self.n else UNKNOWN

    @property
    def size(self) -> Estimate:
        """Share of noise worlds that come out supported."""
        return proportion(self.false_positives, self.n) if self.n else UNKNOWN

    @property
    def refuted_size(self) -> Estimate:
        """Share of noise worlds that come out refuted."""
        return proportion(self.refuted, self.n) if self.n else UNKNOWN


def replicate(prediction: Prediction, seed: int) -> Count:
    """One set of planted runs, and the same runs with noise in their place."""
    with threadpool_limits(limits=1, user_api="blas"), verdict_alone():
        runs = prediction.planted(seed)
        noise = [worlds.matched_noise(run, seed) for run in runs]
        expected = prediction.judge(runs, noise).verdict == prediction.expected_when_planted
        found = prediction.judge_noise(runs, noise, seed)
    return Count(1, int(expected), int(found == SUPPORTED), int(found == REFUTED))


def _task(number: int, seeds: range) -> Count:
    total = Count()
    for seed in seeds:
        total = total.plus(replicate(_by_number(number), seed))
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

    Examples
    --------
    >>> from spectral_edge.validate.referee.predictions import PREDICTIONS
    >>> calibrate(PREDICTIONS[10:11], replicates=2)["weight-decay-needed"].n
    2
    """
    whole("replicates", replicates, 1)
    there = {} if path is None else read(path)
    counts = {}
    for p in predictions:
        entry = _entry(p, there)
        counts[p.id] = _count(entry if _is_current(entry, p) else None)
    # all to a tenth, then to a half, then to the end: stopped early, something is known of each
    for goal in sorted({max(1, replicates // 10), max(1, replicates // 2), replicates}):
        for prediction in predictions:
            found = counts[prediction.id]
            tasks = [
                range(s, min(s + _CHUNK, FIRST + goal)) for s in range(FIRST + found.n, FIRST + goal, _CHUNK)
            ]
            for more in _results(prediction, tasks, executor):
                counts[prediction.id] = counts[prediction.id].plus(more)
                if path is not None:
                    store(predictions, counts, path)
                if progress is not None:
                    progress(prediction.id, counts[prediction.id].n)
    return counts


def planted(prediction: Prediction, seed: int) -> str:
    """The verdict in the planted world, as stored where that is of this rule over this ground, else judged now."""
    from spectral_edge.validate.referee.predictions import PREDICTIONS

    entry = stored().get(prediction.id, {}).get("planted")
    known = seed == PLANTED and prediction in PREDICTIONS and _is_current(entry, prediction)
    return str(entry["verdict"]) if known else prediction.judge_planted(seed)


def _is_current(entry: dict[str, Any] | None, prediction: Prediction) -> bool:
    return entry is not None and (entry["rule"], entry["shared"]) == (rule(prediction), shared())


def store_planted(
    predictions: Sequence[Prediction],
    path: str | Path,
    executor: Executor | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> None:
    """Write the verdicts in the planted world of `PLANTED` beside the counts, where they are not there already."""
    missing = [p for p in predictions if not _is_current(read(path).get(p.id, {}).get("planted"), p)]
    judged = (map if executor is None else executor.map)(_planted, [p.number for p in missing])
    for prediction, verdict in zip(missing, judged, strict=True):
        found = {"rule": rule(prediction), "shared": shared(), "verdict": verdict}
        _write({prediction.id: {"planted": found}}, path)
        if progress is not None:
            progress(prediction.id, 0)


def _planted(number: int) -> str:
    with threadpool_limits(limits=1, user_api="blas"), verdict_alone():
        return _by_number(number).judge_planted(PLANTED)


def _by_number(number: int) -> Prediction:
    from spectral_edge.validate.referee.predictions import PREDICTIONS

    return next(p for p in PREDICTIONS if p.number == number)


def _results(prediction: Prediction, tasks: Sequence[range], executor: Executor | None) -> Iterator[Count]:
    """The counts of the tasks, in order: what is stored is always the first so many seeds."""
    if executor is None:
        yield from (_task(prediction.number, seeds) for seeds in tasks)
    else:
        yield from executor.map(
            _task, [prediction.number] * len(tasks), tasks
        )  # dask asks how many there are


def stored_file() -> Path:
    """Where the counts that come with the package are."""
    return Path(str(files(__name__.rpartition(".")[0]) / "size_and_power.json"))


@cache
def stored() -> dict[str, Any]:
    """What `read` finds in the file that comes with the package."""
    return read(stored_file())


def read(path: str | Path) -> dict[str, Any]:
    """What is stored by id, each with its rule and what rules share; nothing where there is no such file."""
    path = Path(path)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _entry(prediction: Prediction, found: dict[str, Any]) -> dict[str, Any] | None:
    """What was counted of the rule as it is now."""
    entry: dict[str, Any] | None = found.get(prediction.id, {}).get("counts")
    return entry if entry is not None and entry["rule"] == rule(prediction) else None


def _count(entry: dict[str, Any] | None) -> Count:
    return Count() if entry is None else Count(*(entry.get(name, 0) for name in Count._fields))


def store(predictions: Sequence[Prediction], counts: dict[str, Count], path: str | Path) -> Path:
    """Write the counts; those of other predictions that are there stay."""
    mine = {
        p.id: {"counts": {"rule": rule(p), "shared": shared(), **counts[p.id]._asdict()}} for p in predictions
    }
    return _write(mine, path)


def _write(more: dict[str, dict[str, Any]], path: str | Path) -> Path:
    there = read(path)
    merged = {**there, **{id: there.get(id, {}) | entry for id, entry in more.items()}}
    text = json.dumps(dict(sorted(merged.items())), indent=1) + "\n"
    stored.cache_clear()
    return replace_atomically(path, lambda file: file.write(text.encode()))


def rates(prediction: Prediction) -> Count:
    """Size and power of a prediction's test, as stored for its present rule; for `Verdict`."""
    return _count(_entry(prediction, stored()))


def remarks(predictions: Sequence[Prediction]) -> list[str]:
    """Say where sizes and powers were counted before what all rules share was changed, or are hardly counted yet."""
    entries = [entry for p in predictions if (entry := _entry(p, stored())) is not None]
    found = []
    if before := sum(entry["shared"] != shared() for entry in entries):
        found.append(
            f"size and power of {before} tests were counted before what all of them share was changed; "
            "spectral-edge validate --calibrate counts them again"
        )
    # a prediction of one's own has no counts to wait for
    few = [p.id for p in predictions if p.id in stored() and rates(p).n < QUICK]
    if few:
        found.append(
            f"rules newer than their counts, size and power known of fewer than {QUICK} sets: {', '.join(few)}; "
            "spectral-edge validate --calibrate goes on counting"
        )
    return found
