"""Hugging Face Trainer: a callback that records a run and resumes with it."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from spectral_edge.validate.gram.live.tracker import GramTracker

#: Name of the tracker's state in each checkpoint folder of the Trainer.
STATE = "gram_tracker.pt"


class GramCallback(TrainerCallback, ExportableState):
    """Record the model of a ``transformers.Trainer`` with a `GramTracker`.

    The first snapshot is taken when training begins, then one after every optimiser step (the tracker's
    `every` thins them out). With each checkpoint of the Trainer the tracker's state is saved beside the
    weights, and a training resumed from there continues the same sequence.

    Parameters
    ----------
    tracker : GramTracker or mapping
        The tracker, or arguments to make one (what `ExportableState` hands back when it restores a callback).

    Examples
    --------
    ::

        tracker = GramTracker(10, path="run.npz", every=100)
        Trainer(model=model, args=args, train_dataset=data, callbacks=[GramCallback(tracker)]).train()
    """

    def __init__(self, tracker: GramTracker | dict[str, Any]) -> None:
        self.tracker = tracker if isinstance(tracker, GramTracker) else GramTracker(**tracker)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Take the first snapshot, or take up the state of the checkpoint that is resumed."""
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE
        if state.global_step and saved.exists():
            self.tracker.load_state_dict(torch.load(saved, map_location="cpu", weights_only=True))
        elif self.tracker.step is None:
            self.tracker.update(model, step=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Record after an optimiser step."""
        optimizer = kwargs.get("optimizer")
        metrics: dict[str, Any] = (
            {} if optimizer is None else {"learning_rate": float(optimizer.param_groups[0]["lr"])}
        )
        self.tracker.update(model, step=state.global_step, **metrics)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the tracker's state into the checkpoint that has just been written."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            torch.save(self.tracker.state_dict(), folder / STATE)

    def state(self) -> dict[str, Any]:
        """What the Trainer keeps in its own state: how to make the tracker again."""
        path = self.tracker.path
        arguments = self.tracker.options() | {"path": None if path is None else str(path)}
        return {"args": {"tracker": arguments}, "attributes": {}}
