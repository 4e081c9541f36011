"""Lightning: a callback that records a run and fills its card; its state is kept in Lightning's checkpoints."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from spectral_edge.validate.gram.integrations.shared import Seat, also_log, begin, fill, numbers
from spectral_edge.validate.gram.live import loggers
from spectral_edge.validate.gram.live.tracker import GramTracker


class GramCallback(Callback):
    """Record the module of a ``lightning.Trainer`` with a `GramTracker`.

    A batch is not an optimiser step (gradients may be accumulated): a record is made only when
    ``global_step`` has changed. What is recorded and the memory it takes is said before the first step.

    The card (`config`) gets decay, learning rate, betas, batch, seed, hyperparameters and the module's name; the
    metrics get the learning rate and everything the module logs. k*, R, gap and 𝒜 go to the Trainer's loggers.
    Errors while recording are warnings.

    Parameters
    ----------
    tracker : GramTracker, int or mapping, optional
        The tracker; or its W_max or all of its arguments, also given as keywords: then it is made when it is known
        which processes record (under DistributedDataParallel the first, of a sharded model all).
    probes : `probes.LossProbes`, optional
        Measures gradients and curvature of a loss at every record.
    metrics : callable, optional
        Called with the model at every record; returns what was measured, such as `probes.query_spectra`.
    ring : bool
        Keep the updates in the checkpoints (W_max + 2 times the trained parameters). Without them, and of a sharded
        model, a resumed sequence has a gap.
    **options
        Arguments of the tracker.

    Examples
    --------
    ::

        callback = GramCallback(10, path="run.npz", resume=True, every=100)
        lightning.Trainer(callbacks=[callback]).fit(module, data)
    """

    def __init__(
        self,
        tracker: GramTracker | dict[str, Any] | int | None = None,
        *,
        probes: Any = None,
        metrics: Callable[[Any], Mapping[str, float]] | None = None,
        ring: bool = True,
        **options: Any,
    ) -> None:
        self._seat = Seat(tracker, options)
        self.probes, self.metrics, self.ring = probes, metrics, ring
        self._step = -1
        self._before: dict[str, float] = {}
        self._validated: set[str] = set()
        path = self.tracker.path if self.tracker is not None else options.get("path")
        self._name = None if path is None else Path(path).name

    @property
    def tracker(self) -> GramTracker | None:
        """The tracker; None where this process records nothing, or does not know that yet."""
        return self._seat.tracker

    @property
    def state_key(self) -> str:
        """What tells several of these callbacks apart: the file's name."""
        return self._generate_state_key(path=self._name)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Fill the card; take the first snapshot, unless a checkpoint's sequence is continued."""
        self._step = trainer.global_step
        tracker = self._seat.take(pl_module, trainer.is_global_zero)
        if tracker is None:
            return
        fill(tracker, _facts(trainer, pl_module), trainer.optimizers, pl_module)
        also_log(tracker, [loggers.lightning(trainer.loggers)] if trainer.loggers else [])
        begin(tracker, pl_module, trainer.global_step)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Take in what has begun to be trained."""
        if self.tracker is not None:
            with self.tracker.sheltered():
                self.tracker.notice(pl_module)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record if an optimiser step has been taken."""
        step = trainer.global_step
        if self.tracker is None or step == self._step:
            return
        self._step = step
        with self.tracker.sheltered():
            metrics: dict[str, Any] = {}
            if self.tracker.wants(step):
                found = numbers(trainer.callback_metrics)
                metrics = {name: value for name, value in found.items() if name not in self._validated}
                if trainer.optimizers:
                    metrics["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
                if self.metrics is not None:
                    metrics |= self.metrics(pl_module)
            self.tracker.update(pl_module, step=step, probes=self.probes, **metrics)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Remember what is known before."""
        self._before = numbers(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record what the validation has found."""
        if self.tracker is None or trainer.sanity_checking:
            return
        found = numbers(trainer.callback_metrics)
        new = {name: value for name, value in found.items() if self._before.get(name) != value}
        self._validated |= new.keys()
        again = {name: found[name] for name in self._validated if name in found}
        with self.tracker.sheltered():
            self.tracker.add_metrics(trainer.global_step, **again)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Bring the file up to date."""
        if self.tracker is not None:
            with self.tracker.sheltered():
                self.tracker.save()

    def state_dict(self) -> dict[str, Any]:
        """See `GramTracker.state_dict`."""
        if self.tracker is None:
            return {}
        return self.tracker.state_dict(ring=self.ring and not self.tracker.sharded)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `GramTracker.load_state_dict`."""
        if state_dict:
            self._seat.restore(state_dict)


def _facts(trainer: Any, module: Any) -> dict[str, Any]:
    """What Lightning knows of the run; None where it does not."""
    from lightning import __version__

    loader = trainer.train_dataloader
    batch = getattr(loader, "batch_size", None)
    seed = os.environ.get("PL_GLOBAL_SEED")
    hyper = {
        name: value for name, value in dict(module.hparams).items() if isinstance(value, str | int | float)
    }
    logger = trainer.logger
    return {
        "run": None if logger is None else f"{logger.name}-{logger.version}",
        "task": type(module).__name__,
        "batch_size": None if batch is None else batch * trainer.accumulate_grad_batches * trainer.world_size,
        "seed": None if seed is None else int(seed),
        "gradient_clip": trainer.gradient_clip_val,
        "max_steps": None if trainer.max_steps < 0 else trainer.max_steps,
        "hyperparameters": hyper or None,
        "lightning": __version__,
    }
