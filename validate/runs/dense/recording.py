"""Train a dense run and record it (torch extra)."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.runs.bundle import Files
from spectral_edge.validate.runs.dense.config import DenseConfig
from spectral_edge.validate.runs.dense.networks import Examples, Problem, problem
from spectral_edge.validate.runs.threads import one_thread

#: Called after some records with the step and the metrics; returns nothing.
Progress = Callable[[int, dict[str, float]], None]
#: Records from one call of it to the next.
TOLD_EVERY = 50
#: Examples of the tangent kernel.
TANGENT = 16


def train(
    config: DenseConfig, out: str | PathLike[str] | None = None, progress: Progress | None = None
) -> dict[str, GramSequence]:
    """Train one dense run from beginning to end and record it; seconds to minutes.

    Parameters
    ----------
    config : DenseConfig
        The run; the same configuration gives the same run on one machine, whatever its number of cores.
    out : path, optional
        Folder of runs: the recording is ``dense/NAME.npz`` in it. A run that is there is not made again.
    progress : callable, optional
        Called now and then with the step and the losses.

    Returns
    -------
    dict of str to GramSequence
        "dense", or "intervals" where not every step is recorded: the band of K of all weights, metrics and probes
        (validate/runs/data/README.md lists them).

    Raises
    ------
    ValueError
        If `out` holds a run of this name with another configuration, or the run diverges.
    """
    files = None if out is None else Files(Path(out), config.name, config.groups)
    if files is not None and files.done:
        return {group: _same(config, GramSequence.load(path)) for group, path in files.recordings.items()}
    with one_thread():
        observer = _Training(config).finish(progress)
    sequences = dict.fromkeys(config.groups, observer.sequence())
    if files is not None:
        files.put(sequences)
    return sequences


def _same(config: DenseConfig, sequence: GramSequence) -> GramSequence:
    for name, value in config.card().items():
        if sequence.config.get(name) != value:
            raise ValueError(
                f"out must hold no other run called {config.name}, got one with {name} = "
                f"{sequence.config.get(name)}, not {value}: choose another folder"
            )
    return sequence


class _Flat:
    """A problem as a function of one vector of parameters."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.theta = torch.cat([tensor.flatten() for tensor in problem.start.values()]).requires_grad_()

    def loss(self, examples: Examples) -> tuple[Tensor, Tensor]:
        """Mean loss at theta, and the outputs."""
        start = self.problem.start
        parts = self.theta.split([tensor.numel() for tensor in start.values()])
        named = {name: part.view_as(start[name]) for name, part in zip(start, parts, strict=True)}
        output = self.problem.output(named, examples.inputs)
        return self.problem.loss(output, examples.labels), output

    def kernel(self) -> Tensor:
        """Tangent kernel of the first training examples: that of the outputs which should be largest."""
        examples = self.problem.train.take(torch.arange(min(TANGENT, len(self.problem.train.labels))))
        _, output = self.loss(examples)
        values = output.gather(1, examples.labels[:, None])[:, 0]
        rows = torch.eye(len(values), dtype=values.dtype)
        (J,) = torch.autograd.grad(values, self.theta, rows, is_grads_batched=True)
        return J @ J.T


class _Training:
    """The loop: one step of the optimiser, one look at what it did."""

    def __init__(self, config: DenseConfig) -> None:
        self.config = config
        self.flat = _Flat(problem(config))
        self.optimizer = _optimizer(config, self.flat.theta)
        self.batches = torch.Generator().manual_seed(config.seed + 2_000_000)

    def finish(self, progress: Progress | None) -> "_Observer":
        config, flat = self.config, self.flat
        observer = _Observer(config, flat)
        for step in range(1, config.max_steps + 1):
            self.descend(observer)
            self.optimizer.step()
            if step % config.record_every:
                continue
            metrics = observer.record(step, self.preconditioner(step))
            if not np.isfinite(metrics["train_loss"]):
                raise ValueError(
                    f"learning_rate must let the run converge, got a loss of infinity at step {step}"
                )
            if progress is not None and len(observer.steps) % TOLD_EVERY == 0:
                progress(step, metrics)
        return observer

    def descend(self, observer: "_Observer") -> None:
        """Set the gradient of the next step; of all examples, it is the one that was just recorded."""
        flat, examples = self.flat, self.flat.problem.train
        if self.config.batch_size is None and observer.slope is not None:
            flat.theta.grad, observer.slope = observer.slope, None
            return
        if self.config.batch_size is not None:
            rows = torch.randint(len(examples.labels), (self.config.batch_size,), generator=self.batches)
            examples = examples.take(rows)
        (flat.theta.grad,) = torch.autograd.grad(flat.loss(examples)[0], flat.theta)

    def preconditioner(self, step: int) -> Tensor | None:
        """Diagonal of D, √v̂ + ε as it stood in the last update; None where D = I."""
        if self.config.optimizer == "SGD":
            return None
        (state,) = self.optimizer.state.values()
        (group,) = self.optimizer.param_groups
        corrected = state["exp_avg_sq"] / (1 - self.config.beta2**step)
        return corrected.sqrt() + group["eps"]


def _optimizer(config: DenseConfig, theta: Tensor) -> torch.optim.Optimizer:
    shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "SGD":  # without momentum, decay in the gradient is decoupled decay
        return torch.optim.SGD([theta], momentum=config.momentum, **shared)
    betas = (config.beta1, config.beta2)
    if config.optimizer == "Adam":  # its own decay goes through the moments
        return torch.optim.AdamW([theta], betas=betas, **{**shared, "weight_decay": 0.0})
    return torch.optim.AdamW([theta], betas=betas, **shared)


class _Observer:
    """All parameters of the run, and what was measured at each record."""

    def __init__(self, config: DenseConfig, flat: _Flat) -> None:
        self.config, self.flat = config, flat
        self.thetas = [flat.theta.detach().clone()]
        self.steps: list[int] = []
        self.metrics: list[dict[str, float]] = []
        self.probes: list[dict[str, Tensor]] = []
        # of what has a transition, and at every step alone
        self._kernel = flat.kernel() if flat.problem.classes and config.record_every == 1 else None
        self.slope: Tensor | None = None  # gradient of the training loss where the parameters are now
        generator = torch.Generator().manual_seed(config.seed + 3_000_000)
        self._sharpest = torch.randn(flat.theta.shape, generator=generator, dtype=torch.float64)

    def record(self, step: int, D: Tensor | None) -> dict[str, float]:
        """Look at the parameters after `step`; `D` as `_Training.preconditioner` gives it."""
        flat, config = self.flat, self.config
        self.steps.append(step)
        self.thetas.append(flat.theta.detach().clone())
        X = torch.stack(self.thetas[-config.span - 2 :]).diff(dim=0).flip(0)  # newest first
        metrics = self._tangent()
        probes: dict[str, Tensor] = {}
        curved = len(self.steps) % config.curvature_every == 0 and len(self.steps) >= config.span
        slope = flat.theta.detach()  # in the end the gradient of the training loss
        for part, name, examples in (
            ("test", "validation_gradient", flat.problem.test),
            ("train", "gradient", flat.problem.train),
        ):
            loss, output = flat.loss(examples)
            metrics[f"{part}_loss"] = float(loss.detach())
            if flat.problem.classes:
                metrics[f"{part}_accuracy"] = float((output.argmax(-1) == examples.labels).double().mean())
            if part == "train" or curved:
                (slope,) = torch.autograd.grad(loss, flat.theta, create_graph=curved and part == "train")
                probes[name] = (X @ slope.detach()).float()
        self.slope = slope.detach()
        if curved:
            probes |= self._curvature(slope, X[: config.span], D, metrics)
        self.metrics.append(metrics)
        self.probes.append(probes)
        return metrics

    def _tangent(self) -> dict[str, float]:
        """By how much the tangent kernel changed with the last step (5.6)."""
        if self._kernel is None:
            return {}
        before, self._kernel = self._kernel, self.flat.kernel()
        return {"tangent_rate": float((self._kernel - before).norm())}

    def _curvature(
        self, slope: Tensor, X: Tensor, D: Tensor | None, metrics: dict[str, float]
    ) -> dict[str, Tensor]:
        """Products of the window (newest first) with H, D⁻¹H and D; the sharpness by one step of a power iteration.

        The response, H itself where D = I, stays in float64: the weaker modes of a smooth window are a thousandth of
        the first, and what curvature says of them is a millionth of its largest entry.
        """
        root = torch.ones_like(X[0]) if D is None else D.sqrt()
        sharpest = self._sharpest / self._sharpest.norm()
        directions = torch.cat([X, (sharpest / root)[None]])
        (HX,) = torch.autograd.grad(slope, self.flat.theta, directions, is_grads_batched=True)
        self._sharpest = HX[-1] / root
        HX, response = HX[:-1], HX[:-1] / root.square()
        metrics["sharpness"] = float(sharpest @ self._sharpest)
        metrics["response_norm"] = float(response[0].norm())
        M = X @ HX.T
        M = (M + M.T) / 2
        if D is None:
            return {"hessian": M}
        return {"hessian": M.float(), "response": X @ response.T, "metric": (X * D @ X.T).float()}

    def sequence(self) -> GramSequence:
        """The recording."""
        config = self.config
        found = GramSequence.from_parameters(
            torch.stack(self.thetas).numpy(),
            [0, *self.steps],
            W_max=config.W_max,
            precision="float64",
            config={
                **config.card(),
                "spectral_edge": version("spectral-edge"),
                "torch": str(torch.__version__),
            },
        )
        # beside the checks, which would make all of it float64
        return replace(
            found,
            metrics={name: self._column(name) for name in _names(self.metrics)},
            probes={name: self._stack(name) for name in _names(self.probes)},
        )

    def _column(self, name: str) -> np.ndarray:
        return np.array([found.get(name, np.nan) for found in self.metrics], dtype=np.float32)

    def _stack(self, name: str) -> np.ndarray:
        """NaN where a probe was not measured, and before its first lags."""
        last = next(found[name] for found in reversed(self.probes) if name in found).numpy()
        stacked = np.full((len(self.probes), *last.shape), np.nan, dtype=last.dtype)
        for row, found in zip(stacked, self.probes, strict=True):
            if name in found:
                row[: len(found[name])] = found[name]
        return stacked


def _names(records: list[dict[str, Any]]) -> list[str]:
    """All that was measured, at whatever record."""
    return list(dict.fromkeys(name for found in records for name in found))
