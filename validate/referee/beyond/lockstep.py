"""Train a run of the author's recipe beside a twin: the same start, other batches (torch extra)."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spectral_edge.validate.referee.beyond.twins import STRETCH, Twins
from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.plan import REPORTED, planned
from spectral_edge.validate.runs.threads import on_device, one_thread

#: Steps of every run. In the bundled ones learning sets in after 300 to 500 steps (a² + b²) or 2,200 to 3,000.
STEPS = 3_000


def plans(seeds: Sequence[int]) -> list[tuple[str]]:
    """The planned runs by name: of every seed the four operations that the author reports, and Dyck-1 of the first."""
    subjects = [f"single-{operation.replace('*', '')}" for operation in REPORTED]
    first, *others = [f"{subject}-wd1-seed{seed}" for seed in seeds for subject in subjects]
    return [(name,) for name in (first, f"dyck1-wd1-seed{seeds[0]}", *others)]


def record(name: str) -> Twins:
    """Train the planned run of this name and its twin in lockstep; two to three minutes.

    Parameters
    ----------
    name : str
        As ``spectral-edge record --list`` has it.

    Returns
    -------
    Twins
        Of the attention weights.
    """
    return watch(replace(planned()[name], max_steps=STEPS))


def watch(config: RunConfig, stretch: int = STRETCH) -> Twins:
    """Train `config` to `max_steps` beside a twin of it.

    The twin is put where the run is, optimiser and all, every `stretch` records, and draws batches of its own: at a
    new start the two are one, so that what they differ by until the next is noise and what that has grown into.

    Parameters
    ----------
    config : RunConfig
    stretch : int
        Records from one start of the twin to the next.

    Returns
    -------
    Twins
    """
    import torch

    from spectral_edge.validate.runs.training import Training

    with one_thread(), on_device("cpu") as place:
        # before the twin begins anew for the first time it is the recorded twin of the run
        run, twin = (
            Training(replace(config, variant=variant), None, place) for variant in (config.variant, "twin")
        )
        before = [_weights(run), _weights(twin)]
        updates: list[list[torch.Tensor]] = [[], []]
        for step in range(1, config.max_steps + 1):
            run.advance()
            twin.advance()
            if step % config.record_every:
                continue
            now = [_weights(run), _weights(twin)]
            for own, old, new in zip(updates, before, now, strict=True):
                own.append(new - old)
            if len(updates[0]) % stretch == 0:
                put(twin, run)
                now[1] = now[0]
            before = now
        rows = torch.stack([*updates[0], *updates[1]])
        products = (rows @ rows.T).numpy()
    return Twins(
        name=config.name,
        family=config.family,
        P=rows.shape[1],
        steps=np.arange(1, len(updates[0]) + 1) * config.record_every,
        products=products,
        stretch=stretch,
    )


def _weights(training: Any) -> Any:
    """The attention matrices as one vector, float64."""
    import torch

    from spectral_edge.validate.runs.models import attention_weights

    return torch.cat([tensor.flatten().double() for tensor in attention_weights(training.model).values()])


def put(twin: Any, run: Any) -> None:
    """Put the training `twin` where `run` is: its weights and what its optimisers remember, but not its batches."""
    twin.model.load_state_dict(run.model.state_dict())
    for own, other in zip(twin.optimizers, run.optimizers, strict=True):
        own.load_state_dict(copy.deepcopy(other.state_dict()))  # tensors that both would change else
