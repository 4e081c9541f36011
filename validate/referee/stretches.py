"""The part of every run that can be judged, and what to say of the rest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spectral_edge.theory.gram import norms_squared
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.gram.derived import between
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card

Runs = Sequence[GramSequence]
#: Records of a rest that is too short to speak of: a warm-up begins with one, of which nothing is said.
SHORT = worlds.W // 2


def usable(runs: Runs) -> tuple[list[GramSequence], list[str]]:
    """What of `runs` is judged: without gaps and rests, and without probes that are too short for it; a note on each.

    Raises
    ------
    ValueError
        If no run is left.

    Examples
    --------
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(40, 300)), axis=0)
    >>> run = GramSequence.from_parameters(np.concatenate([walk, np.repeat(walk[-1:], 20, axis=0)]))
    >>> found, notes = usable([run])
    >>> run.T, found[0].T
    (59, 39)
    >>> notes
    ['a run rests: it is judged by the longest stretch in which its parameters move, steps 1 to 39 of 1 to 59']
    """
    runs, gaps = _uninterrupted(runs)
    runs, rests = _moving(runs)
    runs, narrow = _reaching(runs)
    return runs, gaps + rests + narrow


def _uninterrupted(runs: Runs) -> tuple[list[GramSequence], list[str]]:
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


def _moving(runs: Runs) -> tuple[list[GramSequence], list[str]]:
    """The longest stretch of every run in which its parameters do not rest, and what to say of it.

    They rest where a schedule is at 0, and where training is over or has not begun. Of less than half a window, rests
    within are left as they are, and those at the ends are cut off without a word.

    Raises
    ------
    ValueError
        If nothing is left.
    """
    found, notes = [], []
    for run in runs:
        name = card(run).run or "a run"
        # as if it rested before and after
        still = np.concatenate([[True], norms_squared(run.K) == 0, [True]])
        edges = np.flatnonzero(np.diff(still))
        stretches = edges.reshape(-1, 2).tolist()  # first record that moves, first that does not
        joined = stretches[:1]
        for first, last in stretches[1:]:
            if first - joined[-1][1] < SHORT:
                joined[-1][1] = last
            else:
                joined.append([first, last])
        first, last = max(joined, key=lambda pair: pair[1] - pair[0], default=(0, 0))
        if last - first < 2:
            notes.append(f"{name} is left out: its parameters do not move")
            continue
        found.append(between(run, first, last))
        if run.T - found[-1].T >= SHORT:
            notes.append(
                f"{name} rests: it is judged by the longest stretch in which its parameters move, steps "
                f"{run.steps[first]} to {run.steps[last - 1]} of {run.steps[0]} to {run.steps[-1]}"
            )
    if not found:
        raise ValueError(f"runs must hold at least one whose parameters move, got {len(runs)} that rest")
    return found, notes


def _reaching(runs: Runs) -> tuple[list[GramSequence], list[str]]:
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
