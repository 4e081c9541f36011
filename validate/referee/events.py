"""Events in a recorded run: when its transition came, when a gap fell."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.cards import card, metric

#: A run has grokked when its test accuracy first reaches this.
GROKKED = 0.95
#: Its learning sets in where its test accuracy has gone this part of the way from where it started to 1.
ONSET = 0.2


def grok_step(run: GramSequence) -> int | None:
    """Step of the transition; None if it never came or is not known to have.

    It is where the test accuracy first reaches `GROKKED`, unless the card of the run says its `event_step`.

    Parameters
    ----------
    run : GramSequence

    Returns
    -------
    int or None
        Optimiser step.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> run = next(run for run in validate.bundled() if run.config["run"] == "single-a+b-wd1-seed42")
    >>> grok_step(run)
    2700
    """
    own = card(run)
    if own.event is not None or own.event_step is not None:
        return own.event_step if own.event_step is not None and own.event_step >= 0 else None
    accuracy = metric(run, "test_accuracy")
    return None if accuracy is None else first_step(run, accuracy >= GROKKED)


def is_watched(run: GramSequence) -> bool:
    """Whether it is known if, and when, the transition of a run came."""
    own = card(run)
    if own.event is not None or own.event_step is not None:
        return own.event_step is not None
    return metric(run, "test_accuracy") is not None


def transition(runs: Sequence[GramSequence]) -> str:
    """What counts as the transition of `runs`, in words."""
    named = {own.event or "a step of your own" for run in runs if (own := card(run)).event_step is not None}
    return " or ".join(sorted(named)) or f"test accuracy ≥ {GROKKED:g}"


def onset_step(run: GramSequence) -> int | None:
    """Step at which the test accuracy has gone `ONSET` of the way from where it started to 1; None if it never has.

    Where it started is its median over the first three records: where chance is 0.04, the onset is at 0.23.

    Parameters
    ----------
    run : GramSequence

    Returns
    -------
    int or None
        Optimiser step.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> run = next(run for run in validate.bundled() if run.config["run"] == "single-a+b-wd1-seed42")
    >>> onset_step(run) <= grok_step(run)
    True
    """
    accuracy = metric(run, "test_accuracy")
    if accuracy is None:
        return None
    start = float(np.median(accuracy[:3]))
    return first_step(run, accuracy >= start + ONSET * (1 - start))


def first_step(run: GramSequence, reached: Any) -> int | None:
    """The step of the first record at which something holds, (T,) bool; None where it never does."""
    rows = np.flatnonzero(reached)
    return int(run.steps[rows[0]]) if len(rows) else None


class GapFall(NamedTuple):
    """How far a gap fell before a step.

    Attributes
    ----------
    fall : float
        The gap at its peak before the step, over the gap at the step.
    step : int
        Step at which it had first fallen by the threshold since its peak; −1 if it never had.
    lead : int
        Steps from there to the step asked about.
    """

    fall: float
    step: int
    lead: int


def fall_before(windows: WindowSpectra, step: int, threshold: float) -> GapFall | None:
    """Fall of g_23 from its peak before `step` to its value at `step` (8.4).

    Parameters
    ----------
    windows : WindowSpectra
        W ≥ 3.
    step : int
        Optimiser step.
    threshold : float
        Ratio of the peak to a later value from which that is a fall.

    Returns
    -------
    GapFall or None
        None where fewer than two windows precede.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> run = next(run for run in validate.bundled() if run.config["run"] == "single-a+b-wd1-seed42")
    >>> fall = fall_before(run.window(10), 5000, threshold=1.5)
    >>> fall.fall > 1.5, fall.lead == 5000 - fall.step
    (True, True)
    """
    before = windows.steps <= step
    g = windows.g_23[before]
    if len(g) < 3:
        return None
    peak = int(np.argmax(g[:-1]))
    with np.errstate(divide="ignore"):
        falls = g[peak] / g[peak:]
    fallen = np.flatnonzero(falls > threshold)
    if not len(fallen):
        return GapFall(float(falls[-1]), -1, 0)
    first = int(windows.steps[before][peak + fallen[0]])
    return GapFall(float(falls[-1]), first, step - first)


def last_fall(windows: WindowSpectra, step: int) -> GapFall | None:
    """Last change point of log g_23 before `step`, with the fall of the segment means there; None if none.

    Change points by ruptures' exact search (PELT, least squares on log g_23, no thinning) with the penalty
    2·σ²·log n, σ from the differences of neighbours.
    """
    import ruptures

    before = windows.steps <= step
    g = windows.g_23[before]
    if len(g) < 6 or np.any(g <= 0):
        return None
    signal = np.log(g)
    # the median of |differences| of a white sequence is 0.954 of its standard deviation
    spread = np.median(np.abs(np.diff(signal))) / 0.954
    if spread == 0:
        return None
    search = ruptures.Pelt(model="l2", min_size=2, jump=1).fit(signal)
    ends = search.predict(pen=2 * spread**2 * np.log(len(signal)))
    if len(ends) < 2:
        return None
    start, change, end = ([0, *ends])[-3:]
    fall = float(np.exp(signal[start:change].mean() - signal[change:end].mean()))
    first = int(windows.steps[before][change])
    return GapFall(fall, first, step - first)
