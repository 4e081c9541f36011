"""Where a tracker's k*, R, gap and 𝒜 are shown: TensorBoard, W&B, and whatever takes a dictionary.

Each function returns what `GramTracker(log=…)` takes. All names get a prefix, undefined values (NaN) are left out, and
none of them disturbs what the training itself logs.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from os import PathLike, fspath
from typing import Any

Log = Callable[..., None]

#: What the names of logged values begin with.
PREFIX = "gap/"


def _defined(values: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {f"{prefix}{name}": float(value) for name, value in values.items() if isfinite(value)}


def prefixed(log: Callable[..., Any], prefix: str = PREFIX) -> Log:
    """For anything called as ``log(values, step=step)``: ``mlflow.log_metrics``, ``trackio.log``, ``aim``'s, a file.

    Not for ``wandb.log``, whose steps must not go back: see `wandb`.

    Parameters
    ----------
    log : callable
        Takes a dict of str to float, and `step` by its name.
    prefix : str
        What the names begin with.

    Returns
    -------
    callable
        For `GramTracker(log=…)`.

    Examples
    --------
    >>> log = prefixed(lambda values, step: print(step, values))
    >>> log({"k_star": 2.0, "adiabatic": float("nan")}, step=30)
    30 {'gap/k_star': 2.0}
    """

    def write(values: Mapping[str, float], step: int) -> None:
        log(_defined(values, prefix), step=step)

    return write


def tensorboard(writer: Any, prefix: str = PREFIX) -> Log:
    """For a ``SummaryWriter``, or a folder in which one is made; TensorBoard shows all writers of a folder.

    Parameters
    ----------
    writer : SummaryWriter or path
    prefix : str
        What the names begin with.

    Returns
    -------
    callable
        For `GramTracker(log=…)`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> log = tensorboard(SimpleNamespace(add_scalar=print))  # stands for a SummaryWriter
    >>> log({"k_star": 2.0, "ratio": 1.5}, step=30)
    gap/k_star 2.0 30
    gap/ratio 1.5 30
    """
    if isinstance(writer, str | PathLike):
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(fspath(writer))

    def write(values: Mapping[str, float], step: int) -> None:
        for name, value in _defined(values, prefix).items():
            writer.add_scalar(name, value, step)

    return write


def wandb(run: Any = None, prefix: str = PREFIX, commit: bool = False) -> Log:
    """For a W&B run, by default the one that is active when the first value comes.

    W&B drops what is logged for an earlier step than the last, and counts a step at every call. So nothing is said of
    W&B's own step: the values travel with the training's next ``wandb.log``, and are drawn against
    ``gap/step``. Where a training logs more rarely than it is recorded, the last values are shown.

    Parameters
    ----------
    run : wandb run, optional
        What ``wandb.init`` returned.
    prefix : str
        What the names begin with.
    commit : bool
        Write at once, one row of W&B's for each record: where nothing else is logged to the run, or only without a
        step of its own.

    Returns
    -------
    callable
        For `GramTracker(log=…)`; it raises a `ValueError` where no run is active.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> run = SimpleNamespace(  # stands for wandb.init()
    ...     define_metric=lambda *names, **options: None, log=lambda values, commit: print(values)
    ... )
    >>> wandb(run)({"k_star": 2.0}, step=30)
    {'gap/k_star': 2.0, 'gap/step': 30}
    """
    known: list[Any] = []

    def write(values: Mapping[str, float], step: int) -> None:
        if not known:
            known.append(_active() if run is None else run)
            known[0].define_metric(f"{prefix}step")
            known[0].define_metric(f"{prefix}*", step_metric=f"{prefix}step")
        known[0].log(_defined(values, prefix) | {f"{prefix}step": step}, commit=commit)

    return write


def _active() -> Any:
    import wandb as library

    if library.run is None:
        raise ValueError("wandb must have a run, got none: call wandb.init() first, or pass the run")
    return library.run


def accelerate(accelerator: Any, prefix: str = PREFIX) -> Log:
    """For the trackers of an ``Accelerator`` whose ``init_trackers`` has been called.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    prefix : str
        What the names begin with.

    Returns
    -------
    callable
        For `GramTracker(log=…)`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> tracker = SimpleNamespace(name="mlflow", log=lambda values, step: print(step, values))
    >>> accelerate(SimpleNamespace(trackers=[tracker]))({"k_star": 2.0}, step=30)  # stands for an Accelerator
    30 {'gap/k_star': 2.0}
    """
    makers = {
        "wandb": lambda one: wandb(one.tracker, prefix),
        "tensorboard": lambda one: tensorboard(one.tracker, prefix),
    }

    def other(one: Any) -> Log:
        return prefixed(lambda values, step: one.log(values, step=step), prefix)

    return several([makers.get(one.name, other)(one) for one in accelerator.trackers])


def lightning(loggers: Any, prefix: str = PREFIX) -> Log:
    """For Lightning's loggers (``trainer.loggers``), one or several.

    Parameters
    ----------
    loggers : lightning.pytorch.loggers.Logger, or list of them
    prefix : str
        What the names begin with.

    Returns
    -------
    callable
        For `GramTracker(log=…)`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> logger = SimpleNamespace(log_metrics=lambda values, step: print(step, values))  # stands for a CSVLogger
    >>> lightning([logger])({"k_star": 2.0}, step=30)
    30 {'gap/k_star': 2.0}
    """
    found = list(loggers) if isinstance(loggers, list | tuple) else [loggers]

    def own(one: Any) -> Log:
        if type(one).__name__ == "WandbLogger":
            return wandb(one.experiment, prefix)
        return prefixed(lambda values, step: one.log_metrics(values, step=step), prefix)

    return several([own(one) for one in found])


def several(logs: list[Log]) -> Log:
    """All of `logs`, one after the other.

    Parameters
    ----------
    logs : list of callable
        What the functions above return.

    Returns
    -------
    callable
        For `GramTracker(log=…)`.

    Examples
    --------
    >>> log = several([prefixed(lambda values, step: print(step, values), prefix) for prefix in ("gap/", "R/")])
    >>> log({"ratio": 1.5}, step=30)
    30 {'gap/ratio': 1.5}
    30 {'R/ratio': 1.5}
    """

    def write(values: Mapping[str, float], step: int) -> None:
        for log in logs:
            log(values, step=step)

    return write
