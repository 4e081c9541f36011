"""Train a task and record it with our own tracker (torch extra)."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.runs import bundle
from spectral_edge.validate.runs.config import Data, RunConfig
from spectral_edge.validate.runs.dense.config import DenseConfig
from spectral_edge.validate.runs.tasks.modular import ModularConfig
from spectral_edge.validate.runs.threads import on_device, one_thread

if TYPE_CHECKING:
    import torch

#: A checkpoint is written when this many times its writing time has passed since the last one.
PATIENCE = 20.0
#: Steps before one is captured as a graph of the GPU: what is made at the first ones is there by then.
WARM = 3
#: Added to the seed of the batches in a twin.
TWIN = 1_000_003

#: What the command line can change of a modular addition.
OPTIONS = ("weight_decay", "seed", "max_steps", "record_every")

#: Called after every record with the step and the metrics; returns nothing.
Progress = Callable[[int, dict[str, float]], None]


def command(config: RunConfig) -> str:
    """What makes this run again: a command line, or Python where the command has no such option."""
    from spectral_edge.validate.runs.plan import planned

    changed = {
        f.name: getattr(config, f.name) for f in fields(config) if getattr(config, f.name) != f.default
    }
    if type(config) is ModularConfig and not changed.keys() - set(OPTIONS):
        words = ["spectral-edge", "record", "modular-addition"]
        for name in OPTIONS:
            if name in changed or name in ("weight_decay", "seed"):
                words += [f"--{name.replace('_', '-')}", _plain(getattr(config, name))]
        return " ".join(words)
    if planned().get(config.name) == config:
        return f"spectral-edge record {config.name}"
    arguments = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    return f"train({type(config).__name__}({arguments}))"


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def train(
    config: RunConfig | DenseConfig,
    out: str | PathLike[str] | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, GramSequence]:
    """Train one run and record it; goes on where an earlier call with the same `out` was cut short.

    Parameters
    ----------
    config : RunConfig or DenseConfig
        The run; the same configuration gives the same run on one machine, whatever its number of cores and
        however often it was interrupted.
    out : path, optional
        Folder for the recording: ``NAME.npz`` (attention weights) and ``all/NAME.npz`` (all weights) when the
        run is done, ``unfinished/NAME.npz`` and its checkpoint until then. A run that is there is not made
        again. A dense run (`dense.recording`) keeps ``dense/NAME.npz`` alone, and takes no interruption.
    progress : callable, optional
        Called after every record.
    device : str
        Where to train, as PyTorch calls it. Weights and batches begin the same everywhere; sums are rounded
        otherwise, so that a run made elsewhere is another one by the same recipe. Dense runs know "cpu" alone.

    Returns
    -------
    dict of str to GramSequence
        "dense", or "attention" and "all": the band of K (W ≤ 32) of the attention weights and of all weights, every
        `config.record_every` steps, with metrics and probes (validate/runs/data/README.md lists them).

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If `out` holds a run of this name with another configuration, or there is no such device.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ImportError("recording a run needs PyTorch: pip install 'spectral-edge[torch]'") from None
    if isinstance(config, DenseConfig):
        if device != "cpu":
            raise ValueError(f"device must be 'cpu' for a dense run, got {device!r}")
        from spectral_edge.validate.runs.dense.recording import train as train_dense

        return train_dense(config, out, progress)
    files = None if out is None else bundle.Files(Path(out), config.name)
    if files is not None and files.done:
        return {group: _same(config, GramSequence.load(path)) for group, path in files.recordings.items()}
    with one_thread(), on_device(device) as place:
        return Training(config, files, place).finish(progress)


def _same(config: RunConfig, sequence: GramSequence) -> GramSequence:
    _require_same(config, sequence.config, "finished")
    return sequence


def _require_same(config: RunConfig, found: Mapping[str, Any], what: str) -> None:
    usual = {f.name: f.default for f in fields(config)}  # of what is younger than the run
    for name, value in asdict(config).items():
        if found.get(name, usual[name]) != value:
            raise ValueError(
                f"out must hold no other run called {config.name}, got a {what} one with {name} = "
                f"{found.get(name, usual[name])}, not {value}: choose another folder"
            )


class Training:
    """A training run between two checkpoints."""

    def __init__(self, config: RunConfig, files: "bundle.Files | None", device: "torch.device") -> None:
        import torch

        from spectral_edge.validate.runs.observer import Observer

        self.config, self.files, self.device = config, files, device
        self.phases = [(first, data.to(device)) for first, data in config.phases()]
        self.model = config.model().to(device)
        self.optimizers = optimizers(config, self.model)
        # a twin's batches must be those of no other run
        self.batches = torch.Generator().manual_seed(config.seed + 1 + TWIN * (config.variant == "twin"))
        self.step, self.stop = 0, config.max_steps
        self.reached, self.stop_step = 0, config.max_steps
        checkpoint = None
        if files is not None and files.checkpoint.exists():
            checkpoint = torch.load(files.checkpoint, weights_only=True, map_location="cpu")
            _require_same(config, checkpoint["config"], "half-finished")
        unfinished = None if files is None else files.unfinished
        card = _card(config, torch.__version__, device)
        resumed = checkpoint is not None
        self.observer = Observer(config, self.model, self.optimizers, unfinished, card, resumed)
        self._due = 0.0
        #: The step as one graph of the GPU, the examples it is for, and where it finds the batch.
        self._graph: tuple[torch.cuda.CUDAGraph, Any, torch.Tensor] | None = None
        self._eager = 0
        if checkpoint is None:
            self.observer.start()
        else:
            self._load(checkpoint)

    def finish(self, progress: Progress | None) -> dict[str, GramSequence]:
        """Train to the end and put the recordings in their place."""
        config = self.config
        while self.step < self.stop:
            data = self.advance()
            if self.step % config.record_every:
                continue
            metrics = self.observer.record(self.step, data)
            if self.step % config.evaluate_every == 0:
                self._aim(metrics["test_accuracy"])
            self._checkpoint()
            if progress is not None:
                progress(self.step, metrics)
        sequences = self.observer.sequences(stop_step=self.stop_step)
        self.observer.close()
        if self.files is not None:
            self.files.put(sequences)
        return sequences

    def advance(self) -> Data:
        """Take one step; returns the data that it was taken on."""
        self.step += 1
        data = [data for first, data in self.phases if first <= self.step][-1]
        self._train(data.train)
        return data

    def _aim(self, accuracy: float) -> None:
        """Where the published run stops, and this one."""
        target, after = self.config.target_accuracy, self.config.steps_after_target
        if target is None or self.stop_step < self.config.max_steps:
            return
        self.reached = self.reached + 1 if accuracy >= target else 0
        if self.reached == self.config.target_records:
            self.stop_step = self.step
            self.stop = self.stop if after is None else min(self.stop, self.step + after)

    def _train(self, examples: Any) -> None:
        import torch

        drawn = torch.randint(examples.size, (self.config.batch_size,), generator=self.batches)
        chosen = drawn.to(self.device)
        if self._graph is not None and self._graph[1] is examples:
            self._graph[2].copy_(chosen)
            self._graph[0].replay()
            return
        if examples.padded:
            chosen = chosen[examples.answers[chosen].argsort(stable=True)]
        elif self.device.type == "cuda" and self.config.optimizer == "AdamW" and self._eager >= WARM:
            # the kernels of so small a model take longer to launch than to run
            graph = torch.cuda.CUDAGraph()
            self._forget_gradients()
            stream = torch.cuda.current_stream()  # other threads may use the GPU meanwhile
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._update(examples, chosen)
            self._graph = graph, examples, chosen
            graph.replay()
            return
        self._forget_gradients()
        self._update(examples, chosen)
        self._eager += 1

    def _forget_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def _update(self, examples: Any, chosen: "torch.Tensor") -> None:
        import torch

        from spectral_edge.validate.runs.examine import chunks, loss_of

        together = self.config.together if self.device.type == "cpu" else self.config.batch_size
        for part, share in chunks(examples.take(chosen), together):
            (share * loss_of(self.model, part)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()

    def _checkpoint(self) -> None:
        import torch

        if self.files is None or monotonic() < self._due:
            return
        begun = monotonic()
        state = {
            "config": asdict(self.config),
            "step": self.step,
            "stop": [self.stop, self.stop_step, self.reached],
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "batches": self.batches.get_state(),
            "recorder": self.observer.state(),
        }
        self.files.write_checkpoint(lambda file: torch.save(state, file))
        done = monotonic()
        self._due = done + PATIENCE * (done - begun)

    def _load(self, state: dict[str, Any]) -> None:
        self.step, (self.stop, self.stop_step, self.reached) = state["step"], state["stop"]
        self.model.load_state_dict(state["model"])
        for optimizer, found in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
            for group in optimizer.param_groups:  # the checkpoint may be from another device
                if "capturable" in group:
                    group["capturable"] = self.device.type == "cuda"
        self.batches.set_state(state["batches"])
        self.observer.load(state["recorder"])


def optimizers(config: RunConfig, model: "torch.nn.Module") -> list["torch.optim.Optimizer"]:
    """AdamW alone; or Muon for the matrices of the layers, with AdamW for embeddings, head, biases and norms."""
    import torch

    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    on_gpu = next(model.parameters()).is_cuda
    betas = config.beta1, config.beta2
    adamw: dict[str, Any] = {**shared, "betas": betas, "fused": True, "capturable": on_gpu}
    if config.optimizer == "AdamW":
        return [torch.optim.AdamW(model.parameters(), **adamw)]
    inner = {name for name, p in model.named_parameters() if p.ndim == 2 and "layers." in name}
    matrices = [p for name, p in model.named_parameters() if name in inner]
    others = [p for name, p in model.named_parameters() if name not in inner]
    return [
        torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **shared),
        torch.optim.AdamW(others, **adamw),
    ]


def _card(config: RunConfig, torch_version: str, device: "torch.device") -> dict[str, Any]:
    """What the file says of how the run was made."""
    from importlib.metadata import version

    import torch

    elsewhere = {} if device.type == "cpu" else {"device": str(device)}
    if device.type == "cuda":
        elsewhere["device"] = torch.cuda.get_device_name(device)
    return {
        **elsewhere,
        **config.card(),
        "command": command(config),
        "spectral_edge": version("spectral-edge"),
        "torch": str(torch_version),
    }
