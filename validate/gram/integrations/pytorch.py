"""PyTorch: record after every step of an optimiser."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram.parameters import named

if TYPE_CHECKING:
    import torch

    from spectral_edge.validate.gram.live.tracker import GramTracker


class Attachment:
    """A tracker that listens to an optimiser, until `remove`."""

    def __init__(self, tracker: "GramTracker", handle: Any) -> None:
        self._tracker, self._handle = tracker, handle

    def remove(self) -> None:
        """Stop recording."""
        self._handle.remove()
        self._tracker.attached = False


def attach(
    tracker: "GramTracker",
    optimizer: "torch.optim.Optimizer",
    model: "torch.nn.Module",
    *,
    step: int | None = None,
    gradients: bool = False,
    metrics: Callable[[], Mapping[str, float]] | None = None,
) -> Attachment:
    """Record the parameters of `model` now and after every step of `optimizer`.

    Parameters
    ----------
    tracker : GramTracker
        Its `every` and `select` decide what is recorded. A tracker that has taken up a `state_dict`
        continues at its step.
    optimizer : torch.optim.Optimizer
        Its learning rate (of the first group) is recorded as the metric ``learning_rate``.
    model : torch.nn.Module
    step : int, optional
        Steps that the optimiser has taken already; by default that of the tracker's last record, or 0.
    gradients : bool
        Record the inner products of the updates with the gradients as they are after the step (those the
        step has used), as the probe "gradient".
    metrics : callable, optional
        Called at each record; returns what was measured.

    Returns
    -------
    Attachment
        Its `remove` ends the recording.

    Raises
    ------
    ValueError
        If the tracker is attached already, or refuses the parameters.
    """
    if tracker.attached:
        raise ValueError(
            "tracker must be attached once only, got a tracker that listens already: remove() first"
        )
    start = (tracker.step or 0) if step is None else whole("step", step, 0)
    if tracker.step is None:
        tracker.update(model, step=start)
    taken = 0

    def after_step(optimizer: "torch.optim.Optimizer", args: Any, kwargs: Any) -> None:
        nonlocal taken
        taken += 1
        step = start + taken
        if step % tracker.every:
            return
        measured: dict[str, Any] = {"learning_rate": float(optimizer.param_groups[0]["lr"])}
        measured |= metrics() if metrics else {}
        probes = {"gradient": _gradients(tracker, model)} if gradients else {}
        tracker.update(model, step=step, probes=probes, **measured)

    handle = optimizer.register_step_post_hook(after_step)
    tracker.attached = True
    return Attachment(tracker, handle)


def _gradients(tracker: "GramTracker", model: "torch.nn.Module") -> dict[str, Any]:
    import torch

    chosen = named(model, tracker.wanted)
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in chosen.items()
    }
