"""Train a task and record it with our own tracker (torch extra)."""

from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from typing import Any

from spectral_edge.validate.gram import GramSequence, GramTracker
from spectral_edge.validate.runs.modular import ModularConfig, attention_weights, build_model, split

#: Widest window a recording serves.
W_MAX = 32

#: What the command line can change.
OPTIONS = ("weight_decay", "seed", "max_steps", "record_every")

#: Called after every record with the step and the metrics; returns nothing.
Progress = Callable[[int, dict[str, float]], None]


def command(config: ModularConfig) -> str:
    """What makes this run again: a command line, or Python where the command has no such option."""
    default = asdict(ModularConfig())
    changed = {name: value for name, value in asdict(config).items() if value != default[name]}
    if changed.keys() - set(OPTIONS):
        arguments = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        return f"train_modular(ModularConfig({arguments}))"
    words = ["spectral-edge", "record", "modular-addition"]
    for name in OPTIONS:
        if name in changed or name in ("weight_decay", "seed"):
            words += [f"--{name.replace('_', '-')}", _plain(getattr(config, name))]
    return " ".join(words)


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def train_modular(
    config: ModularConfig, path: str | PathLike[str] | None = None, progress: Progress | None = None
) -> GramSequence:
    """Train one modular-arithmetic run and record K of its attention weights.

    Parameters
    ----------
    config : ModularConfig
        The run; the same configuration gives the same run on one machine, whatever its number of cores.
    path : path, optional
        Where the sequence is kept while the run goes on: the file is whole after every record.
    progress : callable, optional
        Called after every record.

    Returns
    -------
    GramSequence
        Band of K (W ≤ 32) of the attention weights, every `config.record_every` steps, with train and test
        loss and accuracy.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("recording a run needs PyTorch: pip install 'spectral-edge[torch]'") from None
    from torch.nn.functional import cross_entropy

    threads = torch.get_num_threads()
    # One thread: sums come in one order, so a run does not depend on how many cores there are; and matrices
    # this small gain nothing from a second one.
    torch.set_num_threads(1)
    try:
        train_x, train_y, test_x, test_y = split(config)
        model = build_model(config)
        optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        batches = torch.Generator().manual_seed(config.seed + 1)
        tracker = GramTracker(W_MAX, path=path, config=_card(config, torch.__version__))
        tracker.update(attention_weights(model), step=0)
        stop = config.max_steps
        step = 0
        while step < stop:
            step += 1
            chosen = torch.randint(len(train_y), (config.batch_size,), generator=batches)
            optimiser.zero_grad()
            cross_entropy(model(train_x[chosen]), train_y[chosen]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
            optimiser.step()
            if step % config.record_every:
                continue
            metrics: dict[str, Any] = {}
            with torch.no_grad():
                for name, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
                    logits = model(x)
                    metrics[f"{name}_loss"] = float(cross_entropy(logits, y))
                    metrics[f"{name}_accuracy"] = float((logits.argmax(-1) == y).double().mean())
            tracker.update(attention_weights(model), step=step, **metrics)
            if metrics["test_accuracy"] >= config.target_accuracy:
                stop = min(stop, step + config.steps_after_target)
            if progress is not None:
                progress(step, metrics)
        return tracker.sequence()
    finally:
        torch.set_num_threads(threads)


def _card(config: ModularConfig, torch_version: str) -> dict[str, object]:
    """What travels in the file: how the run was made and what was recorded."""
    from importlib.metadata import version

    return {
        "run": config.name,
        "task": "modular-addition" if config.operation == "a+b" else "modular",
        "optimizer": "AdamW",
        "group": "attention weights",
        **asdict(config),
        "command": command(config),
        "spectral_edge": version("spectral-edge"),
        "torch": torch_version,
    }
