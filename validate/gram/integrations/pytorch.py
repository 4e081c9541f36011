"""PyTorch: record after every step of an optimiser."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram.live.view import Measure

if TYPE_CHECKING:
    import torch

    from spectral_edge.validate.gram.live.tracker import GramTracker


class Attachment:
    """A tracker that listens to an optimiser, until `remove`; see `attach`."""

    def __init__(self, tracker: "GramTracker", handles: list[Any]) -> None:
        self._tracker, self._handles = tracker, handles

    def remove(self) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()
        self._tracker.attached = False


def attach(
    tracker: "GramTracker",
    optimizer: "torch.optim.Optimizer | Iterable[torch.optim.Optimizer]",
    model: "torch.nn.Module",
    *,
    step: int | None = None,
    gradients: bool = False,
    probes: Measure | None = None,
    metrics: Callable[[], Mapping[str, float]] | None = None,
) -> Attachment:
    """Record the parameters of `model` now and after every step of `optimizer`.

    What is recorded and the memory it takes is said at once; what the optimiser knows (learning rate, decay, betas)
    goes into the tracker's `config` where that does not say it. An error while recording is a warning, and the
    training goes on, unless the tracker's `on_error` is "raise".

    Parameters
    ----------
    tracker : GramTracker
        Its `every` and `select` decide what is recorded. A tracker that has taken up a `state_dict`
        continues at its step.
    optimizer : torch.optim.Optimizer, or several
        Of several (Muon beside AdamW) the last one to step in the loop comes last here. What Accelerate returns is
        unwrapped. The learning rate of the first group is recorded as the metric ``learning_rate``.
    model : torch.nn.Module
    step : int, optional
        Steps that the optimiser has taken already; by default that of the tracker's last record, or 0.
    gradients : bool
        Record the inner products of the updates with the gradients as they are after the step (those the
        step has used), as the probe "gradient".
    probes : `probes.LossProbes`, optional
        Measures gradients, curvature and ablations of a loss at every record (`probes.from_loss`).
    metrics : callable, optional
        Called at each record; returns what was measured.

    Returns
    -------
    Attachment
        Its `remove` ends the recording.

    Raises
    ------
    ValueError
        If the tracker is attached already, or refuses the parameters, or `optimizer` is not an optimiser.

    Examples
    --------
    >>> import torch
    >>> from spectral_edge import validate
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(8, 2, dtype=torch.float64)  # at every step float32 would round too much away
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> tracker = validate.GramTracker(W_max=4, say=None)
    >>> attachment = tracker.attach(optimizer, model)
    >>> for batch in torch.randn(6, 32, 8, dtype=torch.float64):
    ...     optimizer.zero_grad()
    ...     model(batch).square().mean().backward()
    ...     optimizer.step()
    >>> attachment.remove()
    >>> tracker.sequence().T, tracker.config["optimizer"], tracker.config["learning_rate"]
    (6, 'SGD', 0.1)
    """
    if tracker.attached:
        raise ValueError(
            "tracker must be attached once only, got a tracker that listens already: remove() first"
        )
    if gradients and probes is not None:
        raise ValueError("gradients and probes both record 'gradient', got both")
    window = getattr(probes, "window", 0)
    if window > tracker.W_max + 1:  # of every record its probes would be lost
        raise ValueError(
            f"window of the probes must be at most W_max + 1 = {tracker.W_max + 1}, got {window}"
        )
    optimizers = unwrapped(optimizer, model)
    for name, value in card(optimizers).items():
        tracker.config.setdefault(name, value)
    start = (tracker.step or 0) if step is None else whole("step", step, 0)
    tracker.announce(model)
    if not tracker.started:
        tracker.update(model, step=start)
    taken = 0

    def before_step(optimizer: "torch.optim.Optimizer", args: Any, kwargs: Any) -> None:
        with tracker.sheltered():
            tracker.notice(model)

    def after_step(optimizer: "torch.optim.Optimizer", args: Any, kwargs: Any) -> None:
        nonlocal taken
        taken += 1
        with tracker.sheltered():
            if not tracker.wants(start + taken):
                tracker.pass_over(start + taken)
                return
            measured: dict[str, Any] = {"learning_rate": float(optimizers[0].param_groups[0]["lr"])}
            measured |= metrics() if metrics else {}
            found: Any = {"gradient": gradients_of(model)} if gradients else probes
            tracker.update(model, step=start + taken, probes=found, **measured)

    handles = [
        optimizers[0].register_step_pre_hook(before_step),
        optimizers[-1].register_step_post_hook(after_step),
    ]
    tracker.attached = True
    return Attachment(tracker, handles)


def unwrapped(optimizer: Any, model: Any) -> list[Any]:
    """The PyTorch optimisers in `optimizer`: inside Accelerate's wrapper, or several.

    Raises
    ------
    ValueError
        If it is not an optimiser, or `model` is not a module.
    """
    import torch

    if isinstance(optimizer, torch.nn.Module) and hasattr(model, "param_groups"):
        raise ValueError("attach takes the optimizer and then the model, got them the other way round")
    if not hasattr(model, "named_parameters"):
        raise ValueError(f"model must be a torch module, got {type(model).__name__}")
    several = list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
    found = []
    for one in several:
        while isinstance(inner := getattr(one, "optimizer", None), torch.optim.Optimizer):
            one = inner  # Accelerate, DeepSpeed
        if not isinstance(one, torch.optim.Optimizer):
            raise ValueError(f"optimizer must be a torch optimizer, got {type(one).__name__}")
        found.append(one)
    if not found:
        raise ValueError("optimizer must be a torch optimizer, got an empty list")
    return found


def card(optimizers: list[Any]) -> dict[str, Any]:
    """What the optimisers know of a run: decay (the largest of any group), learning rate, betas, momentum.

    The rate is the one that a schedule starts from: with a warm-up that of the moment may be 0.
    """
    groups = [group for one in optimizers for group in one.param_groups]
    decays = [float(group["weight_decay"] or 0) for group in groups if "weight_decay" in group]
    rates = [float(groups[0][name]) for name in ("lr", "initial_lr", "max_lr") if name in groups[0]]
    defaults = dict(groups[0], lr=max(rates, default=None), weight_decay=max(decays, default=None))
    found: dict[str, Any] = {"optimizer": type(optimizers[0]).__name__}
    names = {"lr": "learning_rate", "weight_decay": "weight_decay", "betas": "betas", "momentum": "momentum"}
    for key, name in (names | {"eps": "eps", "nesterov": "nesterov", "dampening": "dampening"}).items():
        value = defaults.get(key)
        if value is not None:
            found[name] = (
                [float(entry) for entry in value] if isinstance(value, tuple | list) else _plain(value)
            )
    if len(optimizers) > 1:
        found["optimizers"] = [type(one).__name__ for one in optimizers]
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else float(value)


def gradients_of(model: "torch.nn.Module") -> dict[str, Any]:
    """The gradient of every parameter, 0 where it has none; of a DTensor this process's shard.

    Raises
    ------
    ValueError
        If no parameter has one.
    """
    import torch

    parameters = dict(model.named_parameters())
    if all(parameter.grad is None for parameter in parameters.values()):
        raise ValueError(
            "gradients must be there after the optimiser's step, got none: was zero_grad called in it?"
        )
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in parameters.items()
    }
