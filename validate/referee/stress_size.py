"""How often each test decides where nothing is to be found, in the worlds of `stress`: the worst counts."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from spectral_edge.theory.checks import whole
from spectral_edge.theory.files import replace_atomically
from spectral_edge.theory.gram import window_blocks
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import stress, worlds
from spectral_edge.validate.referee.needs import CURVATURE
from spectral_edge.validate.referee.rules import rule, shared
from spectral_edge.validate.referee.size_and_power import FIRST, LARGEST_SIZE
from spectral_edge.validate.referee.statistics import UNKNOWN, Estimate, proportion
from spectral_edge.validate.referee.verdict import NOT_RUN, REFUTED, SUPPORTED, Prediction, verdict_alone

#: Sets of runs of each world.
SETS = 40
#: Sets of a world in which a test decides too often for chance to be excluded.
MOST = 200
#: The same as `SETS` for ``--quick``.
QUICK = 4
#: Predictions that look at no update: for them all worlds are one, the first.
BLIND = frozenset({"weight-decay-needed", "gap-opens-at-grokking"})


def tried_in(prediction: Prediction) -> tuple[str, ...]:
    """The worlds in which a test is tried."""
    return tuple(stress.WORLDS)[: 1 if prediction.id in BLIND else None]


def _shared() -> str:
    return shared(stress.__name__)


class Tally(NamedTuple):
    """What came of `n` sets of runs of one world, of which `judged` held what the test asks for."""

    n: int = 0
    judged: int = 0
    supported: int = 0
    refuted: int = 0

    def plus(self, verdict: str) -> "Tally":
        """With one more set of runs that came out so."""
        came = (True, verdict != NOT_RUN, verdict == SUPPORTED, verdict == REFUTED)
        return Tally(*(count + more for count, more in zip(self, came, strict=True)))

    def share(self, what: str) -> Estimate:
        """Share of the sets that were judged which came out `what`, "supported" or "refuted"."""
        return proportion(getattr(self, what), self.judged) if self.judged else UNKNOWN


Tallies = dict[str, dict[str, Tally]]


class StressSize(NamedTuple):
    """The worst of all worlds.

    Attributes
    ----------
    size : Estimate
        Share of the sets that come out supported where that is most, of those that could be judged.
    world : str
        Which world that is; empty where none was judged.
    sets : int
        How many sets were judged there.
    refuted, refuted_world, refuted_sets : Estimate, str, int
        The same of *refuted*.
    """

    size: Estimate = UNKNOWN
    world: str = ""
    sets: int = 0
    refuted: Estimate = UNKNOWN
    refuted_world: str = ""
    refuted_sets: int = 0


def certain(size: Estimate, sets: int) -> float:
    """The share itself where `SETS` or more were counted, else what it is at least: four sets prove little."""
    return size.value if sets >= SETS else size.low


def judged(world: str, seed: int, predictions: Sequence[Prediction]) -> dict[str, str]:
    """The verdicts of predictions on one set of runs, which share its updates and its noise."""
    with threadpool_limits(limits=1, user_api="blas"), verdict_alone():
        runs = stress.runs_of(world, seed)
        noise = [worlds.matched_noise(run, seed) for run in runs]
        found = {}
        for prediction in predictions:
            seen, copies = [], []
            for run, one, shared_copies in zip(runs, viewed(runs, prediction), noise, strict=True):
                if one is not None:
                    seen.append(one)
                    # copies have the probes of their run
                    same = one.probes.keys() == run.probes.keys()
                    copies.append(shared_copies if same else worlds.matched_noise(one, seed))
            found[prediction.id] = prediction.judge(seen, copies).verdict
    return found


def viewed(runs: list[GramSequence], prediction: Prediction) -> list[GramSequence | None]:
    """`stress.viewed`, and with a metric D that prefers no direction where a claim is about what the optimiser sees."""
    seen = stress.viewed(runs, prediction.id)
    if CURVATURE not in prediction.needs.probes:
        return seen
    return [
        run if run is None else replace(run, probes={**run.probes, "metric": _isotropic_metric(run)})
        for run in seen
    ]


def _isotropic_metric(run: GramSequence) -> NDArray[np.float64]:
    metric = np.full((run.T, worlds.W, worlds.W), np.nan)
    metric[worlds.W - 1 :] = 1e-3 * window_blocks(run.K, worlds.W)[:, ::-1, ::-1]
    return metric


def _task(world: str, seed: int, numbers: tuple[int, ...]) -> dict[str, str]:
    from spectral_edge.validate.referee.predictions import PREDICTIONS

    return judged(world, seed, [p for p in PREDICTIONS if p.number in numbers])


def count(
    predictions: Sequence[Prediction],
    *,
    sets: int = SETS,
    most: int = MOST,
    path: str | Path | None = None,
    executor: Executor | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Tallies:
    """Judge sets of runs of every world of `stress`, and count what comes out supported or refuted.

    Parameters
    ----------
    predictions : sequence of Prediction
        Those to judge.
    sets : int
        Sets of runs of each world, of the seeds `FIRST`, `FIRST` + 1, …
    most : int
        A world in which more than `LARGEST_SIZE` of those that can be judged come out supported, or refuted, where
        that is an error, is counted up to so many: the worst of many worlds is bad by chance.
    path : path, optional
        File for the counts; what is there of the same rules is not done again.
    executor : concurrent.futures.Executor, optional
        Shares the work; without one it is done here.
    progress : callable, optional
        Called with a world and how many of its sets are done.

    Returns
    -------
    dict of str to dict of str to Tally
        By prediction and world.

    Raises
    ------
    ValueError
        If `sets` is not a positive whole number.
    """
    whole("sets", sets, 1)
    counts = _there(predictions, path)
    # all to a tenth first, then to the end, and only then what needs more: stopped early, something is known of each
    for goal in sorted({max(1, sets // 10), sets, most}):
        for world in stress.WORLDS:
            tried = [p for p in predictions if world in tried_in(p)]
            wanted = [p for p in tried if goal <= sets or _too_often(p, world, counts[p.id][world])]
            for verdicts in _verdicts(world, goal, wanted, counts, executor):
                for id, verdict in verdicts.items():
                    counts[id][world] = counts[id][world].plus(verdict)
                if path is not None:
                    store(predictions, counts, path)
                if progress is not None:
                    progress(world, min(counts[p.id][world].n for p in tried))
    return counts


def _too_often(prediction: Prediction, world: str, tally: Tally) -> bool:
    most = LARGEST_SIZE * tally.judged
    refuted = tally.refuted > most and not (prediction.noise_refutes or _fails(prediction, world))
    return refuted or (tally.supported > most and not _holds(prediction, world))


def _holds(prediction: Prediction, world: str) -> bool:
    """Whether what the prediction claims is so in that world."""
    return prediction.id in stress.TRUE.get(world, frozenset())


def _fails(prediction: Prediction, world: str) -> bool:
    """Whether it is known not to be so there."""
    return prediction.id in stress.FALSE.get(world, frozenset())


def _verdicts(
    world: str, goal: int, predictions: Sequence[Prediction], counts: Tallies, executor: Executor | None
) -> Iterator[dict[str, str]]:
    """The verdicts of the sets that are still to be judged, in order: what is counted is always the first so many."""
    starts = {p.number: counts[p.id][world].n for p in predictions}
    tasks = []
    for i in range(goal):
        numbers = tuple(number for number, start in starts.items() if start <= i)
        if numbers:
            tasks.append((world, FIRST + i, numbers))
    if executor is None:
        yield from (_task(*task) for task in tasks)
    elif tasks:
        yield from executor.map(_task, *zip(*tasks, strict=True))


def stored_file() -> Path:
    """Where the counts that come with the package are."""
    return Path(str(files(__name__.rpartition(".")[0]) / "stress_size.json"))


@cache
def stored() -> dict[str, Any]:
    """What is in the file that comes with the package."""
    return _read(stored_file())


def _read(path: str | Path) -> dict[str, Any]:
    path = Path(path)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _tallies(prediction: Prediction, found: dict[str, Any], of_now: bool = False) -> dict[str, Tally]:
    """The counts of a prediction's present rule, and `of_now`, with what rules share as it is now; else none."""
    entry = found.get(prediction.id, {"rule": "", "worlds": {}})
    fresh = entry["rule"] == rule(prediction) and (not of_now or entry["shared"] == _shared())
    return {
        world: Tally(*entry["worlds"].get(world, ())) if fresh else Tally() for world in tried_in(prediction)
    }


def stored_tallies(prediction: Prediction) -> dict[str, Tally]:
    """The counts of a prediction's present rule that come with the package."""
    return _tallies(prediction, stored())


def _there(predictions: Sequence[Prediction], path: str | Path | None) -> Tallies:
    found = {} if path is None else _read(path)
    return {p.id: _tallies(p, found, of_now=True) for p in predictions}


def store(predictions: Sequence[Prediction], counts: Tallies, path: str | Path) -> Path:
    """Write the counts; those of other predictions that are there stay."""
    mine = {p.id: {"rule": rule(p), "shared": _shared(), "worlds": counts[p.id]} for p in predictions}
    lines = [
        f'{json.dumps(id)}: {{"rule": "{entry["rule"]}", "shared": "{entry["shared"]}", "worlds": {{\n'
        + ",\n".join(
            f"  {json.dumps(world)}: {json.dumps(tally)}" for world, tally in entry["worlds"].items()
        )
        + "\n}}"
        for id, entry in sorted({**_read(path), **mine}.items())
    ]
    stored.cache_clear()
    return replace_atomically(path, lambda file: file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode()))


def worst(prediction: Prediction, tallies: dict[str, Tally] | None = None) -> StressSize:
    """The worst worlds of a prediction's test, of those in which the verdict is an error; by default as stored."""
    tallies = stored_tallies(prediction) if tallies is None else tallies

    def where(what: str, right: Callable[[Prediction, str], bool]) -> tuple[Estimate, str, int]:
        shares = {
            world: (tally.share(what), tally.judged)
            for world, tally in tallies.items()
            if tally.judged and not right(prediction, world)
        }
        if not shares:
            return UNKNOWN, "", 0
        world = max(shares, key=lambda one: (certain(*shares[one]), shares[one][0].value))
        share, sets = shares[world]
        return share, world, sets

    return StressSize(*where("supported", _holds), *where("refuted", _fails))


def remarks(predictions: Sequence[Prediction]) -> list[str]:
    """Say which tests were not tried, or hardly, in noise of other kinds, of those that should be."""
    from spectral_edge.validate.referee.predictions import PREDICTIONS

    few = [
        p.id for p in predictions
        if p in PREDICTIONS and min(tally.n for tally in stored_tallies(p).values()) < SETS
    ]  # fmt: skip
    return (
        [
            f"tried in noise of other kinds on fewer than {SETS} sets of runs of each kind: {', '.join(few)}; "
            "spectral-edge validate --calibrate --stress goes on counting"
        ]
        if few
        else []
    )
