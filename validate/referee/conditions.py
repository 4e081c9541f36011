"""Transitions of your own: a condition on a metric, a step, or a step of each run, written on the runs' cards."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import ge, gt, le, lt
from typing import Any

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.gram.parameters import shortened
from spectral_edge.validate.referee.cards import card, recorded
from spectral_edge.validate.referee.events import first_step

#: What may be called a transition: a condition ("val_loss<1.2"), a step, or a step of each run, by a function of the
#: run or by its name; None where it never came.
Event = str | int | Callable[[GramSequence], int | None] | Mapping[str, int | None]

_CONDITION = re.compile(
    r"\s*(?P<metric>[^<>=!]+?)\s*(?P<sign><=|>=|<|>)\s*(?P<number>[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*"
)
_SIGNS: dict[str, Callable[[Any, float], Any]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def with_event(runs: Sequence[GramSequence], event: Event | None) -> list[GramSequence]:
    """The runs with the step of another transition on their cards.

    Parameters
    ----------
    runs : sequence of GramSequence
    event : str, int, callable or mapping, optional
        A condition on a metric, by any of its names: the transition is where it is first met. Or the step itself,
        or what gives it for each run: a function of the run, or a mapping of their names (None where it never came;
        a run that is not named is not known). None leaves the runs as they are.

    Returns
    -------
    list of GramSequence

    Raises
    ------
    ValueError
        If the condition cannot be read, or no run has its metric.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> from spectral_edge.validate.referee.events import grok_step
    >>> runs = [run for run in validate.bundled() if run.config["run"] == "single-a+b-wd1-seed42"]
    >>> (run,) = with_event(runs, "val_loss < 1.5")
    >>> grok_step(run), card(run).event
    (2500, 'val_loss<1.5')
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
        return event, "a step of your own"
    if isinstance(event, Mapping):
        return lambda run: event.get(card(run).run or "", False), "a step of your own"
    if isinstance(event, int):
        return lambda run: event, f"step {event}"
    condition = _CONDITION.fullmatch(event)
    if condition is None:
        raise ValueError(f"event must be a step or a condition such as 'val_loss<1.2', got {event!r}")
    name, sign, limit = condition["metric"], condition["sign"], float(condition["number"])

    def met(run: GramSequence) -> Any:
        values = recorded(run, name)  # in the unit it was recorded in
        return False if values is None else first_step(run, _SIGNS[sign](values, limit))

    return met, f"{name}{sign}{limit:g}"
