"""Train the runs of a plan and record them, with all probes, as the package's own are (torch extra)."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import Parameter, signature
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from spectral_edge.theory.files import replace_atomically
from spectral_edge.validate.gram import GramSequence, GramTracker
from spectral_edge.validate.gram.live import probes
from spectral_edge.validate.gram.live.tracker import numbers
from spectral_edge.validate.runs.own.plan import SETTINGS, Examples, Plan

if TYPE_CHECKING:
    import torch

#: A checkpoint is written when this many times its writing time has passed since the last one.
PATIENCE = 20.0
#: What cards did not name from the beginning; one that does not is taken for the same.
YOUNGER = (*SETTINGS, "schedule")
#: Called after every record with the run's name, the step and the metrics.
Progress = Callable[[str, int, dict[str, float]], object]


def record(
    plan: Plan, out: str | PathLike[str] | None = None, progress: Progress | None = None
) -> dict[str, GramSequence]:
    """Make the runs of a plan and record them; go on where an earlier call with the same `out` was cut short.

    Recorded are K, the gradients and validation gradients along the window, curvature, the optimiser's response and
    metric, ablations of the window's directions and of random ones, the parameters along the window, losses, the
    singular values of query matrices and whatever `plan.evaluate` measures: all that the predictions need.

    Parameters
    ----------
    plan : Plan
    out : path, optional
        Folder for ``NAME.npz``, judged by ``spectral-edge validate OUT``; unfinished runs and their checkpoints are in
        its folder ``unfinished``. A run that is there is not made again. Default: in memory only.
    progress : callable, optional
        Called after every record.

    Returns
    -------
    dict of str to GramSequence
        By the runs' names.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If `out` holds a run of the same name that was made in another way, or what the plan's functions return cannot
        be used.

    Examples
    --------
    >>> import torch
    >>> def data(seed):
    ...     x = torch.randn(96, 6, generator=torch.Generator().manual_seed(seed))
    ...     return (x[:64], (x[:64, 0] > 0).long()), (x[64:], (x[64:, 0] > 0).long())
    >>> def accuracy(model, half):
    ...     return {"accuracy": float((model(half[0]).argmax(1) == half[1]).float().mean())}
    >>> plan = Plan(
    ...     task="sign", make_model=lambda seed: torch.nn.Linear(6, 2), make_data=data, evaluate=accuracy,
    ...     weight_decays=(0.0,), seeds=(0,), max_steps=20, record_every=2, W_max=5, window=4, ablations=0,
    ... )
    >>> {name: run.T for name, run in record(plan).items()}
    {'sign-wd0-seed0': 10}
    """
    try:
        import torch
    except ImportError:
        raise ImportError("recording a run needs PyTorch: pip install 'spectral-edge[torch]'") from None
    found = {}
    for name, decay, seed in plan.runs():
        card = plan.card(name, decay, seed)
        path = None if out is None else Path(out) / f"{name}.npz"
        if path is not None and path.exists():
            found[name] = GramSequence.load(path)
            _require_same(card, found[name].config, name)
            continue
        with torch.random.fork_rng(devices=_indices(plan.device)):
            torch.manual_seed(seed)
            run = _Run(plan, card, decay, seed, path)
            found[name] = run.finish(None if progress is None else lambda *told, n=name: progress(n, *told))
    return found


def _indices(device: str) -> list[int]:
    import torch

    return [torch.device(device).index or 0] if device.startswith("cuda") else []


def _require_same(card: Mapping[str, Any], found: Mapping[str, Any], name: str) -> None:
    for key, value in card.items():
        if found.get(key, value if key in YOUNGER else None) != value:
            raise ValueError(
                f"out must hold no other run called {name}, got one with {key} = {found.get(key)!r}, not {value!r}: "
                "choose another folder or task name"
            )


class _Run:
    """One run, between two checkpoints."""

    def __init__(self, plan: Plan, card: dict[str, Any], decay: float, seed: int, path: Path | None) -> None:
        import torch

        from spectral_edge.validate.gram.integrations.pytorch import card as known

        self.plan, self.path, self.card = plan, path, card
        self.model = plan.make_model(seed).to(plan.device)
        self.train, test = (self._placed(half) for half in plan.make_data(seed))
        self.examined = {"train": _evenly(self.train, plan.examined), "test": _evenly(test, plan.examined)}
        self.optimizers, self.schedulers = self._stepping(decay)
        schedule = ", ".join(type(one).__name__ for one in self.schedulers)
        self.card = card = {**card, "schedule": schedule or "constant"}
        self.batches = torch.Generator().manual_seed(seed + 1)
        self.step, self.stop, self.reached, self.rate = 0, plan.max_steps, False, float("nan")
        self._due = 0.0
        self.tracker = GramTracker(
            plan.W_max,
            path=self._beside(".npz"),
            overwrite=True,  # what an earlier part wrote comes back with its checkpoint, or is made again
            config=known(self.optimizers) | {"batch_size": len(self.train[0])} | card,
            select=plan.select,
            probe_parameters=True,
            say=None,
        )
        self.probes = probes.from_loss(
            self.model,
            lambda model: plan.loss(model, self.examined["train"]),
            validation=lambda model: plan.loss(model, self.examined["test"]),
            optimizer=self.optimizers if self._has_metric() else None,
            window=plan.window,
            hessian_every=plan.hessian_every,
            ablation_every=self._ablated(),
            seed=seed,
        )
        if not self._load():
            self.tracker.update(self.model, step=0)

    def _placed(self, half: Examples) -> tuple["torch.Tensor", ...]:
        import torch

        tensors = tuple(torch.as_tensor(array).to(self.plan.device) for array in half)
        if len(tensors) < 2 or len({len(tensor) for tensor in tensors}) > 1:
            raise ValueError(
                "make_data must return two halves of at least two tensors with the examples on their first axis, "
                f"got shapes {[tuple(tensor.shape) for tensor in tensors]}"
            )
        return tensors

    def _stepping(self, decay: float) -> tuple[list[Any], list[Any]]:
        """The optimisers, and the schedulers of their learning rates."""
        import torch
        from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

        if self.plan.make_optimizer is None:
            made: Any = torch.optim.AdamW(
                self.model.parameters(), lr=self.plan.learning_rate, betas=self.plan.betas, weight_decay=decay
            )
        else:
            made = self.plan.make_optimizer(self.model, decay)
        several = list(made) if isinstance(made, list | tuple) else [made]
        optimizers = [one for one in several if isinstance(one, torch.optim.Optimizer)]
        schedulers = [one for one in several if isinstance(one, LRScheduler)]
        told = [type(one).__name__ for one in several]
        if not optimizers or len(optimizers) + len(schedulers) < len(several):
            raise ValueError(
                f"make_optimizer must return torch optimisers, and then schedulers, got {', '.join(told) or 'none'}"
            )
        for one in optimizers:
            closure = signature(one.step).parameters.get("closure")
            if closure is not None and closure.default is Parameter.empty:
                raise ValueError(
                    "make_optimizer must return optimisers that step without a closure, got "
                    f"{type(one).__name__}"
                )
        if any(isinstance(one, ReduceLROnPlateau) for one in schedulers):
            raise ValueError(
                "make_optimizer must return schedulers that need no measurement, got ReduceLROnPlateau"
            )
        return optimizers, schedulers

    def _has_metric(self) -> bool:
        from spectral_edge.validate.gram.live.metric import KNOWN

        return all(type(optimizer).__name__ in KNOWN for optimizer in self.optimizers)

    def _ablated(self) -> set[int] | None:
        """At which records directions are ablated: evenly in log time, so that a run that stops early has some."""
        last, first = self.plan.max_steps // self.plan.record_every, self.plan.window
        if not self.plan.ablations or last < first:
            return None
        return set(np.geomspace(first, last, self.plan.ablations).round().astype(int).tolist())

    def finish(self, progress: Callable[[int, dict[str, float]], object] | None) -> GramSequence:
        """Train to the end and put the recording in its place."""
        plan = self.plan
        while self.step < self.stop:
            self.step += 1
            self._train()
            if self.step % plan.record_every:
                continue
            metrics: dict[str, Any] = (
                self._measured() | {"learning_rate": self.rate} | probes.query_spectra(self.model)
            )
            self.tracker.update(self.model, step=self.step, probes=self.probes, **metrics)
            if plan.target is not None and not self.reached and plan.target(metrics):
                after = max(
                    self.step + plan.steps_after_target, 2 * plan.record_every
                )  # two updates at least
                self.reached, self.stop = True, min(self.stop, after)
            self._save()
            if progress is not None:
                progress(self.step, metrics)
        sequence = self.tracker.sequence()
        self.tracker.close()
        if self.path is not None:
            sequence.save(self.path)
            self._clear()
        return sequence

    def _train(self) -> None:
        import torch

        batch, size = self.train, self.plan.batch_size
        if size:
            rows = torch.randint(len(batch[0]), (size,), generator=self.batches)
            batch = tuple(tensor[rows.to(tensor.device)] for tensor in batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self.plan.loss(self.model, batch)
        if getattr(loss, "ndim", None) != 0:
            got = f"shape {tuple(loss.shape)}" if hasattr(loss, "shape") else type(loss).__name__
            raise ValueError(f"loss must return a scalar tensor, got {got}")
        loss.backward()
        if self.plan.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.gradient_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.rate = float(self.optimizers[0].param_groups[0]["lr"])
        for scheduler in self.schedulers:
            scheduler.step()

    def _measured(self) -> dict[str, float]:
        """Losses and whatever is evaluated of both halves, in evaluation mode; random numbers stay as they are."""
        import torch

        found: dict[str, float] = {}
        training = self.model.training
        self.model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=_indices(self.plan.device)):
            for half, examples in self.examined.items():
                found[f"{half}_loss"] = float(self.plan.loss(self.model, examples))
                values = self.plan.evaluate(self.model, examples)
                if not isinstance(values, Mapping):
                    raise ValueError(
                        f"evaluate must return a mapping of names to numbers, got {type(values).__name__}"
                    )
                found |= numbers({f"{half}_{name}": value for name, value in values.items()})
        self.model.train(training)
        return found

    # -- on disk -----------------------------------------------------------------------------------------

    def _beside(self, suffix: str) -> Path | None:
        return None if self.path is None else self.path.parent / "unfinished" / f"{self.path.stem}{suffix}"

    def _save(self) -> None:
        import torch

        target = self._beside(".pt")
        if target is None or monotonic() < self._due:
            return
        begun = monotonic()
        state = {
            "card": self.card,
            "progress": [self.step, self.stop, self.reached],
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "random": [
                self.batches.get_state(),
                torch.get_rng_state(),
                *map(torch.cuda.get_rng_state, _indices(self.plan.device)),
            ],
            "tracker": self.tracker.state_dict(),
        }
        replace_atomically(target, lambda file: torch.save(state, file))
        done = monotonic()
        self._due = done + PATIENCE * (done - begun)

    def _load(self) -> bool:
        """Take up an earlier part of the run, if there is one."""
        import torch

        source = self._beside(".pt")
        if source is None or not source.exists():
            return False
        state = torch.load(source, weights_only=True, map_location="cpu")
        _require_same(self.card, state["card"], self.card["run"])
        self.step, self.stop, self.reached = state["progress"]
        self.model.load_state_dict(state["model"])
        for optimizer, found in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
        for scheduler, found in zip(self.schedulers, state.get("schedulers", []), strict=True):
            scheduler.load_state_dict(found)
        batches, everything, *of_gpus = state["random"]
        self.batches.set_state(batches)
        torch.set_rng_state(everything)
        for index, found in zip(_indices(self.plan.device), of_gpus, strict=False):
            torch.cuda.set_rng_state(found, index)
        self.tracker.load_state_dict(state["tracker"])
        return True

    def _clear(self) -> None:
        """Remove what an interrupted run leaves."""
        rest = self._beside("")
        assert rest is not None
        for path in list(rest.parent.iterdir()):
            if path.name.startswith((f"{rest.name}.npz", f"{rest.name}.pt")):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # other runs are in it
            rest.parent.rmdir()


def _evenly(examples: tuple["torch.Tensor", ...], count: int) -> tuple["torch.Tensor", ...]:
    """`count` of the examples, evenly spaced; all where there are not more."""
    import torch

    if len(examples[0]) <= count:
        return examples
    rows = torch.linspace(0, len(examples[0]) - 1, count).long()
    return tuple(tensor[rows.to(tensor.device)] for tensor in examples)
