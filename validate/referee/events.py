"""Events in a recorded run: when its transition came, when a gap fell."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import ge, gt, le, lt
from typing import Any, NamedTuple

import numpy as np

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.gram.parameters import shortened
from spectral_edge.validate.referee.cards import card, metric, recorded

#: A run has grokked when its test accuracy first reaches this.
GROKKED = 0.95
#: It sets out to where its test accuracy has gone this part of the way from where it started to 1.
ONSET = 0.2
#: What may be called a transition: a condition ("val_loss<1.2"), a step, or a step of each run, by a function of the
#: run or by its name; None where it never came.
Event = str | int | Callable[[GramSequence], int | None] | Mapping[str, int | None]

_CONDITION = re.compile(
    r"\s*(?P<metric>[^<>=!]+?)\s*(?P<sign><=|>=|<|>)\s*(?P<number>[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*"
)
_SIGNS: dict[str, Callable[[Any, float], Any]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def grok_step(run: GramSequence) -> int | None:
    """Step of the transition; None if it never came or is not known to have.

    It is where the test accuracy first reaches `GROKKED`, unless the card of the run says its `event_step`.
    """
    own = card(run)
    if own.event is not None or own.event_step is not None:
        return own.event_step if own.event_step is not None and own.event_step >= 0 else None
    accuracy = metric(run, "test_accuracy")
    return None if accuracy is None else _first(run, accuracy >= GROKKED)


def is_watched(run: GramSequence) -> bool:
    """Whether it is known if, and when, the transition of a run came."""
    own = card(run)
    if own.event is not None or own.event_step is not None:
        return own.event_step is not None
    return metric(run, "test_accuracy") is not None


def transition(runs: Sequence[GramSequence]) -> str:
    """What counts as the transition of `runs`, in words."""
    named = {own.event or "a step of one's own" for run in runs if (own := card(run)).event_step is not None}
    return " or ".join(sorted(named)) or f"test accuracy ≥ {GROKKED:g}"


def onset_step(run: GramSequence) -> int | None:
    """Step at which the test accuracy has gone `ONSET` of the way from where it started to 1; None if it never has.

    Where it started is its median over the first three records: where chance is 0.04, the onset is at 0.23.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> run = next(run for run in validate.bundled() if grok_step(run) is not None)
    >>> onset_step(run) <= grok_step(run)
    True
    """
    accuracy = metric(run, "test_accuracy")
    if accuracy is None:
        return None
    start = float(np.median(accuracy[:3]))
    return _first(run, accuracy >= start + ONSET * (1 - start))


def _first(run: GramSequence, reached: Any) -> int | None:
    rows = np.flatnonzero(reached)
    return int(run.steps[rows[0]]) if len(rows) else None


def with_event(runs: Sequence[GramSequence], event: Event | None) -> list[GramSequence]:
    """The runs with the step of another transition on their cards.

    Parameters
    ----------
    runs : sequence of GramSequence
    event : str, int, callable or mapping, optional
        A condition on a metric, by any of its names: the transition is where it is first met. Or the step itself,
        or what gives it for each run: a function of the run, or a mapping of their names (None where it never came;
        a run that is not named is not known). None leaves the runs as they are.

    Raises
    ------
    ValueError
        If the condition cannot be read, or no run has its metric.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> (run,) = with_event(validate.bundled()[:1], "val_loss > 9")
    >>> grok_step(run), card(run).event
    (9350, 'val_loss>9')
    """
    if event is None:
        return list(runs)
    step_of, name = _reader(event)
    found = []
    known = 0
    for run in runs:
        config = {key: value for key, value in run.config.items() if key not in ("event", "event_step")}
        with_step = step_of(run)
        if with_step is not False:
            known += 1
            config["event_step"] = -1 if with_step is None else whole("event", with_step, 0)
        found.append(replace(run, config={**config, "event": name}))
    if not known:
        there = sorted({metric for run in runs for metric in run.metrics})
        raise ValueError(
            f"event must be about what was recorded of a run ({shortened(there) or 'no metrics'}), got {name!r}"
        )
    return found


def _reader(event: Event) -> tuple[Callable[[GramSequence], Any], str]:
    """What gives the step of a run's transition (None: never, False: not known), and what to call it."""
    if callable(event):
        return event, "a step of one's own"
    if isinstance(event, Mapping):
        return lambda run: event.get(card(run).run or "", False), "a step of one's own"
    if isinstance(event, int):
        return lambda run: event, f"step {event}"
    condition = _CONDITION.fullmatch(event)
    if condition is None:
        raise ValueError(f"event must be a step or a condition such as 'val_loss<1.2', got {event!r}")
    name, sign, limit = condition["metric"], condition["sign"], float(condition["number"])

    def met(run: GramSequence) -> Any:
        values = recorded(run, name)  # in the unit it was recorded in
        return False if values is None else _first(run, _SIGNS[sign](values, limit))

    return met, f"{name}{sign}{limit:g}"


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
