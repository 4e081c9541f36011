"""What a claim comes to as published, and how the author looks at a run: width of the window, reading of k*."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.gram.checks import cut
from spectral_edge.validate.referee.cards import PLAIN, card

CONFIRMED, NOT_CONFIRMED, NO_TEST, MISSING = (
    "confirmed",
    "not confirmed",
    "no test",
    "cannot be computed",
)
#: What a claim may come to as published.
OUTCOMES = (CONFIRMED, NOT_CONFIRMED, NO_TEST, MISSING)
#: Updates in a window, by task; elsewhere `W`.
WIDTHS = {"dyck-depth": 3, "scan": 5}
W = 10
#: Tasks in which the author takes the plain k*; elsewhere the weighted one.
PLAIN_POSITION = ("character-language",)

Runs = Sequence[GramSequence]


@dataclass(frozen=True)
class Published:
    """A claim as published.

    Attributes
    ----------
    verdict : str
        One of `OUTCOMES`: whether the author's criterion is met; or that the author has no test of the claim; or that
        runs or probes for it are missing.
    statistic : float
        The author's; NaN where there is none.
    rule : str
        Statistic and criterion in one sentence.
    found : str
        What came out, or what is missing, in words.
    difference : str
        Where the referee does not agree: the choice of the author's that makes the difference, with its size.

    Examples
    --------
    >>> str(Published(CONFIRMED, 4.0, found="4 of 4 runs"))
    'As published: confirmed: 4 of 4 runs.'
    """

    verdict: str = NO_TEST
    statistic: float = float("nan")
    rule: str = ""
    found: str = ""
    difference: str = ""

    def __str__(self) -> str:
        found = "" if self.verdict == NO_TEST else f": {self.found.rstrip('.')}"
        return f"As published: {self.verdict}{found}. {self.difference}".rstrip()

    def beside(self, supported: bool) -> "Published":
        """The same beside what the referee says: nothing makes a difference where both agree."""
        decided = self.verdict in (CONFIRMED, NOT_CONFIRMED)
        differs = decided and (self.verdict == CONFIRMED) != supported
        return self if differs else replace(self, difference="")


class Found(NamedTuple):
    """What a test of the author's finds.

    Attributes
    ----------
    statistic : float
    met : bool or None
        Whether the criterion is met; None where `told` says what is missing.
    told : str
        What came out, in words.
    choice : str
        The choice that matters most to what comes out, with its size.
    """

    statistic: float
    met: bool | None
    told: str
    choice: str = ""


def lacking(what: str, statistic: float = float("nan")) -> Found:
    """What is found where something is missing."""
    return Found(statistic, None, what)


@dataclass(frozen=True)
class AsPublished:
    """A test of the author's.

    Attributes
    ----------
    rule : str
        Statistic and criterion in one sentence; where the author makes no test of the claim, why not.
    find : callable, optional
        ``find(runs) -> Found``; None where there is no test.
    experiment : str
        That of the runs it looks at.
    """

    rule: str
    find: Callable[[Runs], Found] | None = None
    experiment: str = PLAIN

    def judge(self, runs: Runs) -> Published:
        """The claim as published, on the author's own runs where there are some."""
        if self.find is None:
            return Published(NO_TEST, rule=self.rule, found=self.rule)
        found = self.find(by_the_author(runs, self.experiment))
        verdict = MISSING if found.met is None else CONFIRMED if found.met else NOT_CONFIRMED
        return Published(verdict, found.statistic, self.rule, found.told, found.choice)


def by_the_author(runs: Runs, experiment: str = PLAIN) -> Runs:
    """The runs of an experiment as the author has them: to where the recipe stops them."""
    return [until_stop(run) for run in runs if card(run).experiment == experiment]


def stop_step(run: GramSequence) -> int | None:
    """The step at which its recipe would have stopped a run that went on; None where it did not, or nothing is said."""
    stop = run.config.get("stop_step")
    return stop if isinstance(stop, int) and run.T and stop < run.steps[-1] else None


def until_stop(run: GramSequence) -> GramSequence:
    """The run without the records after its ``stop_step``, where its card says one."""
    stop = stop_step(run)
    if stop is None:
        return run
    end = int(np.searchsorted(run.steps, stop, side="right"))
    metrics, probes = ({name: x[:end] for name, x in of.items()} for of in (run.metrics, run.probes))
    return replace(run, K=cut(run.K, 0, end), steps=run.steps[:end], metrics=metrics, probes=probes)


def width(run: GramSequence) -> int:
    """Updates in a window of the author's."""
    return WIDTHS.get(card(run).task or "", W)


def long_enough(runs: Runs, records: int = 0) -> list[GramSequence]:
    """Runs with a window of the author's width, and so many records more."""
    return [run for run in runs if min(run.T - records, run.W_max) >= width(run)]


def positions(run: GramSequence) -> FloatArray:
    """The gap position of every window, (n,), as the author reads it."""
    windows = run.window(width(run))
    return windows.k_star if card(run).task in PLAIN_POSITION else windows.k_star_weighted


def most_frequent(k_star: FloatArray) -> int:
    """The position that most windows have; 0 where none has one."""
    known = k_star[np.isfinite(k_star)].astype(int)
    return int(np.bincount(known).argmax()) if len(known) else 0


def share(counted: ArrayLike) -> str:
    """How many of them, in words."""
    return f"{int(np.sum(counted))} of {np.size(counted)}"
