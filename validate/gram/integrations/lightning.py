"""Lightning: a callback that records a run; its state travels in Lightning's checkpoints."""

from typing import Any

from lightning.pytorch import Callback

from spectral_edge.validate.gram.live.tracker import GramTracker


class GramCallback(Callback):
    """Record the module of a ``lightning.Trainer`` with a `GramTracker`.

    A batch is not an optimiser step (gradients may be accumulated): a record is made only when
    ``global_step`` has changed.

    Parameters
    ----------
    tracker : GramTracker

    Examples
    --------
    ::

        tracker = GramTracker(10, path="run.npz", every=100)
        lightning.Trainer(callbacks=[GramCallback(tracker)]).fit(module, data)
    """

    def __init__(self, tracker: GramTracker) -> None:
        self.tracker = tracker
        self._step = -1

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the first snapshot, unless a checkpoint's sequence is continued."""
        self._step = trainer.global_step
        if self.tracker.step is None:
            self.tracker.update(pl_module, step=trainer.global_step)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record if an optimiser step has been taken."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        metrics: dict[str, Any] = {}
        if trainer.optimizers:
            metrics["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.tracker.update(pl_module, step=trainer.global_step, **metrics)

    def state_dict(self) -> dict[str, Any]:
        """See `GramTracker.state_dict`."""
        return self.tracker.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `GramTracker.load_state_dict`."""
        self.tracker.load_state_dict(state_dict)
