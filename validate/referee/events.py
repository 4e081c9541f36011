"""Events in a recorded run: when it grokked, when a gap fell."""

from typing import NamedTuple

import numpy as np

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.cards import metric

#: A run has grokked when its test accuracy first reaches this.
GROKKED = 0.95


def grok_step(run: GramSequence) -> int | None:
    """Step at which the test accuracy first reaches `GROKKED`, None if it never does or was not recorded."""
    accuracy = metric(run, "test_accuracy")
    if accuracy is None:
        return None
    reached = np.flatnonzero(accuracy >= GROKKED)
    return int(run.steps[reached[0]]) if len(reached) else None


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
    """Fall of g_23 from its peak before `step` to its value at `step`; None where fewer than two windows precede."""
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
