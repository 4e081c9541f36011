"""What the callbacks of all frameworks do alike: make a tracker where one is needed, and fill in the run's card."""

import os
from collections.abc import Mapping
from typing import Any

from spectral_edge.validate.gram.integrations.pytorch import card, unwrapped
from spectral_edge.validate.gram.live import loggers
from spectral_edge.validate.gram.live.tracker import GramTracker
from spectral_edge.validate.gram.parameters import is_shard


def in_several_processes() -> bool:
    """Whether this training runs in more than one process, as far as is known before it begins."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


class Seat:
    """The tracker of a callback: one it was given, or one that is made when it is known which processes record.

    Parameters
    ----------
    tracker : GramTracker, mapping, int, or None
        The tracker, its arguments, or `W_max` alone.
    options : mapping
        Its arguments, where it is None.
    """

    def __init__(
        self, tracker: GramTracker | Mapping[str, Any] | int | None, options: Mapping[str, Any]
    ) -> None:
        if isinstance(tracker, GramTracker):
            if options:
                raise ValueError(
                    f"options belong to a tracker that is still to be made, got {', '.join(options)}"
                )
            self.tracker: GramTracker | None = tracker
            self._options: dict[str, Any] = {}
        else:
            if isinstance(tracker, int):
                tracker = {"W_max": tracker}
            self._options = {**(tracker or {}), **options}
            self.tracker = None if in_several_processes() else GramTracker(**self._options)
        self._state: Mapping[str, Any] | None = None

    def take(self, model: Any, first: bool) -> GramTracker | None:
        """The tracker of this process: none where another process records a replica of the same model.

        Of a sharded model every process has one, and they add up; else only the first has.
        """
        sharded = any(is_shard(parameter) for parameter in model.parameters())
        if not sharded and not first:
            self.tracker = None
        elif self.tracker is None:
            together: dict[str, Any] = {"group": "world"} if sharded else {}
            self.tracker = GramTracker(**self._options, **together)
        if self.tracker is not None and self._state is not None:
            self.tracker.load_state_dict(self._state)
            self._state = None
        return self.tracker

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, now or as soon as there is a tracker."""
        if self.tracker is not None:
            self.tracker.load_state_dict(state)
        else:
            self._state = state


def fill(tracker: GramTracker, facts: Mapping[str, Any], optimizers: Any, model: Any) -> None:
    """Put what a framework knows of the run into the tracker's card, where the user has not; unknown stays unknown."""
    known = {name: value for name, value in facts.items() if value is not None}
    if optimizers:
        known = card(unwrapped(optimizers, model)) | known
    for name, value in (known | {"record_every": tracker.every}).items():
        tracker.config.setdefault(name, value)


def begin(tracker: GramTracker, model: Any, step: int) -> None:
    """Say what is recorded, and take the starting point unless a state is continued."""
    tracker.announce(model)
    if not tracker.started:
        tracker.update(model, step=step)


def also_log(tracker: GramTracker, logs: list[loggers.Log]) -> None:
    """Let a tracker log to `logs`, unless the user has said where it logs."""
    if tracker.log is None and logs:
        tracker.log = loggers.several(logs)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The entries that are single numbers."""
    found = {}
    for name, value in values.items():
        if hasattr(value, "item") and getattr(value, "numel", lambda: 1)() == 1:
            value = value.item()
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found
