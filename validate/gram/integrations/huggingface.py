"""Hugging Face Trainer: a callback that records a run, fills its card, and resumes with it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from spectral_edge.theory.files import replace_atomically
from spectral_edge.validate.gram.integrations.shared import Seat, also_log, begin, fill, numbers
from spectral_edge.validate.gram.live import loggers
from spectral_edge.validate.gram.live.tracker import GramTracker

#: Name of the tracker's state in each checkpoint folder of the Trainer.
STATE = "gram_tracker.pt"


class GramCallback(TrainerCallback, ExportableState):
    """Record the model of a ``transformers.Trainer`` with a `GramTracker`.

    The first snapshot is taken when training begins, then one after every optimiser step (the tracker's
    `every` thins them out). What is recorded and the memory it takes is said before the first step. With each
    checkpoint of the Trainer the tracker's state is saved beside the weights, and a training resumed from there
    continues the same sequence; without that state it goes on from its file, with a gap.

    The card (`config`) gets decay, learning rate, betas, batch, seed, schedule, names of model and data; the
    metrics get the learning rate and what the Trainer logs (``loss`` as "train_loss", ``eval_…`` as they are). k*,
    R, gap and 𝒜 go to the Trainer's log and to the reporters it has (TensorBoard, W&B, trackio, MLflow). Errors
    while recording are warnings.

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
        Keep the updates in the checkpoints (W_max + 2 times the trained parameters). Without them a resumed
        sequence has a gap.
    resume_from : path, optional
        The checkpoint folder that is resumed, where it has been moved since it was written.
    **options
        Arguments of the tracker.

    Examples
    --------
    ::

        callback = GramCallback(10, path="run.npz", resume=True, every=100)
        Trainer(model=model, args=args, train_dataset=data, callbacks=[callback]).train()
    """

    def __init__(
        self,
        tracker: GramTracker | dict[str, Any] | int | None = None,
        *,
        probes: Any = None,
        metrics: Callable[[Any], Mapping[str, float]] | None = None,
        ring: bool = True,
        resume_from: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        self._seat = Seat(tracker, options)
        self.probes, self.metrics, self.ring, self.resume_from = probes, metrics, ring, resume_from
        self.saved_in = ""
        self._shown: dict[str, float] = {}

    @property
    def tracker(self) -> GramTracker | None:
        """The tracker; None where this process records nothing, or does not know that yet."""
        return self._seat.tracker

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Fill the card; take the first snapshot, or take up the state of the checkpoint that is resumed."""
        tracker = self._seat.take(model, state.is_world_process_zero)
        if state.global_step:
            self._take_up(args, state)
        name = type(self).__name__
        self.saved_in = str(Path(args.output_dir).absolute() / "checkpoint-{}")
        state.stateful_callbacks.setdefault(
            name, self.state()
        )  # a checkpoint from before has none, and is written to
        if tracker is None:
            return
        fill(
            tracker,
            _facts(args, state, model, kwargs.get("train_dataloader")),
            kwargs.get("optimizer"),
            model,
        )
        also_log(tracker, [*_reporters(args), lambda values, step: self._shown.update(values)])
        begin(tracker, model, state.global_step)

    def _take_up(self, args: Any, state: Any) -> None:
        """Load what was saved with the checkpoint that is resumed, if it is found."""
        stored = state.stateful_callbacks.get(type(self).__name__, {})
        stored = stored[-1] if isinstance(stored, list) else stored
        told = str(stored.get("attributes", {}).get("saved_in", "")).format(state.global_step)
        folders = [
            self.resume_from,
            args.resume_from_checkpoint,
            told,
            f"{args.output_dir}/checkpoint-{state.global_step}",
        ]
        for folder in folders:
            path = Path(str(folder)) / _file(args)
            if folder and path.is_file():
                self._seat.restore(torch.load(path, map_location="cpu", weights_only=True))
                return
        if self.tracker is not None:
            self.tracker.say(
                f"no {STATE} with the checkpoint of step {state.global_step}: pass resume_from= if it was moved"
            )

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Take in what has begun to be trained."""
        if self.tracker is not None:
            with self.tracker.sheltered():
                self.tracker.notice(model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Record after an optimiser step."""
        if self.tracker is None:
            return
        optimizer = kwargs.get("optimizer")
        measured: dict[str, Any] = (
            {} if optimizer is None else {"learning_rate": float(optimizer.param_groups[0]["lr"])}
        )
        with self.tracker.sheltered():
            if self.metrics is not None and self.tracker.wants(state.global_step):
                measured |= self.metrics(model)
            self.tracker.update(model, step=state.global_step, probes=self.probes, **measured)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Record what the Trainer logs, and put the window beside it."""
        if (
            self.tracker is None or not logs or "train_runtime" in logs
        ):  # the summary at the end is not a measurement
            return
        rates = ("epoch", "learning_rate", "_runtime", "_per_second", "total_flos")
        found = {name: value for name, value in numbers(logs).items() if not name.endswith(rates)}
        if "loss" in found:
            found["train_loss"] = found.pop("loss")
        with self.tracker.sheltered():
            self.tracker.add_metrics(state.global_step, **found)
        if "loss" in logs and self._shown:
            shown: dict[str, float] = {}
            loggers.prefixed(lambda values, step: shown.update(values))(self._shown, state.global_step)
            logs.update(shown)
            if state.log_history:
                state.log_history[-1].update(shown)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the tracker's state into the checkpoint that has just been written."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.tracker is not None and folder.is_dir():
            with self.tracker.sheltered():
                kept = self.tracker.state_dict(ring=self.ring)
                replace_atomically(folder / _file(args), lambda file: torch.save(kept, file))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Bring the file up to date."""
        if self.tracker is not None:
            with self.tracker.sheltered():
                self.tracker.save()

    def state(self) -> dict[str, Any]:
        """What the Trainer keeps in its own state: how to make the tracker again, and where its states are."""
        arguments: dict[str, Any] = {}
        if self.tracker is not None:
            path = self.tracker.path
            arguments = self.tracker.options() | {
                "path": None if path is None else str(path),
                "resume": path is not None,
            }
        return {
            "args": {"tracker": arguments or None, "ring": self.ring},
            "attributes": {"saved_in": self.saved_in},
        }


def _file(args: Any) -> str:
    rank = int(getattr(args, "process_index", 0) or 0)
    return STATE if rank == 0 else f"{Path(STATE).stem}-rank{rank}.pt"


def _facts(args: Any, state: Any, model: Any, loader: Any) -> dict[str, Any]:
    """What the Trainer knows of the run; None where it does not."""
    from transformers import __version__

    config = getattr(model, "config", None)
    name = (
        getattr(config, "name_or_path", None) or getattr(config, "model_type", None) or type(model).__name__
    )
    info = getattr(getattr(loader, "dataset", None), "info", None)
    data = getattr(info, "dataset_name", None) or getattr(info, "builder_name", None)
    return {
        "run": args.run_name or Path(args.output_dir).name,
        "task": f"{name} on {data}" if data else str(name),
        "model": str(name),
        "learning_rate": args.learning_rate,
        "weight_decay": args.weight_decay,
        "betas": [args.adam_beta1, args.adam_beta2],
        "batch_size": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
        "seed": args.seed,
        "schedule": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        "gradient_clip": args.max_grad_norm,
        "max_steps": state.max_steps,
        "transformers": __version__,
    }


def _reporters(args: Any) -> list[loggers.Log]:
    """The loggers behind the Trainer's reporters."""
    found: list[loggers.Log] = []
    if "tensorboard" in args.report_to:
        folder = os.environ.get("TENSORBOARD_LOGGING_DIR") or os.path.join(args.output_dir, "runs")
        found.append(loggers.tensorboard(os.path.join(folder, "gap")))
    if "wandb" in args.report_to:
        found.append(loggers.wandb())
    if "trackio" in args.report_to:
        import trackio

        found.append(loggers.prefixed(trackio.log))
    if "mlflow" in args.report_to:
        import mlflow

        found.append(loggers.prefixed(mlflow.log_metrics))
    return found
