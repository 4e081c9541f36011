"""Small networks that grok, and others that cannot, recorded with what K does not hold and what may warn (torch extra).

Every run has a seed of which nothing was looked at before, and stands beside the same run with its labels permuted,
where there is nothing to find, and, where there is weight decay, beside the same without.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spectral_edge.theory.checks import choice
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond import watched
from spectral_edge.validate.referee.beyond.measured import (
    BATCH,
    commutator_defect,
    learning_coefficient,
    response,
)
from spectral_edge.validate.referee.beyond.seen import W
from spectral_edge.validate.referee.beyond.training import Trainer
from spectral_edge.validate.referee.beyond.watched import LOOK_EVERY, Plan
from spectral_edge.validate.runs.dense.config import dense_run
from spectral_edge.validate.runs.threads import one_thread

#: Those of `watched`; a longer one of the transformer, which reaches half of the test accuracy after some 1,200 steps
#: of seeds 100 to 102.
PLANS = (*watched.PLANS[:3], Plan("transformer-adamw", 1_600, 10))
#: What a run learns: its task, its task with permuted labels, its task without weight decay.
ARMS = ("task", "permuted labels", "no weight decay")


def plans(seeds: Sequence[int]) -> list[tuple[Plan, int, str]]:
    """Every run that is made, the longest first."""
    return [
        (plan, seed, arm)
        for plan in reversed(PLANS)
        for seed in seeds
        for arm in ARMS
        if arm != ARMS[2] or dense_run(plan.regime, seed).weight_decay
    ]


def record(plan: Plan, seed: int, arm: str = ARMS[0]) -> GramSequence:
    """Train one run and record it with what may warn; ten seconds to a minute.

    Parameters
    ----------
    plan : Plan
    seed : int
    arm : str
        One of `ARMS`.

    Returns
    -------
    GramSequence
        All of K. Metrics: losses and accuracies; ``NAME.norm``, ``.sigma_1`` and ``.sigma_2`` of every matrix; and at
        every third record "commutator" and "llc" (`measured`). Probe "response", (T, W, W), at the same records.

    Raises
    ------
    ValueError
        If there is no such arm.
    """
    import torch

    choice("arm", arm, ARMS)
    with one_thread():
        config = dense_run(plan.regime, seed, max_steps=plan.max_steps, record_every=plan.record_every)
        trainer = Trainer(replace(config, weight_decay=0.0) if arm == ARMS[2] else config)
        if arm == ARMS[1]:
            trainer.problem = _permuted(trainer.problem, seed)
        chosen = torch.Generator().manual_seed(seed + 7_000_000)
        thetas, rows, looks = [trainer.now()], [], []
        for step in range(1, config.max_steps + 1):
            trainer.step()
            if step % config.record_every:
                continue
            thetas.append(trainer.now())
            rows.append(_row(trainer))
            done = len(rows)
            looks.append(np.full((W, W), np.nan))
            if done >= W and (done - W) % LOOK_EVERY == 0:
                X = torch.stack(thetas[-W - 1 :]).diff(dim=0).flip(0)
                looks[-1] = _look(trainer, X, chosen, rows[-1])
    names = rows[-1] | {"commutator": 0.0, "llc": 0.0}
    own = trainer.config
    return GramSequence.from_parameters(
        torch.stack(thetas).numpy(),
        np.arange(len(thetas)) * config.record_every,
        precision="float64",
        metrics={name: np.array([row.get(name, np.nan) for row in rows]) for name in names},
        probes={"response": np.array(looks)},
        config={
            "run": f"{config.name}, {arm}", "task": plan.regime, "arm": arm, "seed": seed,
            "optimizer": own.optimizer, "learning_rate": own.learning_rate, "weight_decay": own.weight_decay,
            "momentum": own.momentum, "beta1": own.beta1, "beta2": own.beta2,
            "record_every": config.record_every,
        },
    )  # fmt: skip


def _permuted(problem: Any, seed: int) -> Any:
    """The same examples with their labels permuted, training and test labels among themselves."""
    import torch

    generator = torch.Generator().manual_seed(seed + 8_000_000)
    halves = {
        half: one._replace(labels=one.labels[torch.randperm(len(one.labels), generator=generator)])
        for half, one in (("train", problem.train), ("test", problem.test))
    }
    return problem._replace(**halves)


def _row(trainer: Trainer) -> dict[str, float]:
    """What is measured at every record."""
    import torch

    theta, found = trainer.theta.detach(), {}
    with torch.no_grad():
        for half in ("train", "test"):
            examples = getattr(trainer.problem, half)
            output = trainer.output(theta, examples)
            found[f"{half}_loss"] = float(trainer.problem.loss(output, examples.labels))
            found[f"{half}_accuracy"] = float((output.argmax(-1) == examples.labels).double().mean())
        for name, matrix in trainer.parts(theta).items():
            sigma = torch.linalg.svdvals(matrix)
            found[f"{name}.norm"] = float(sigma.norm())
            found[f"{name}.sigma_1"], found[f"{name}.sigma_2"] = float(sigma[0]), float(sigma[1])
    return found


def _look(trainer: Trainer, X: Any, chosen: Any, row: dict[str, float]) -> np.ndarray:
    """Put commutator and learning coefficient into `row`; the response of the window X (W, P), newest first."""
    import torch

    examples = trainer.problem.train
    n = len(examples.labels)

    def gradient(theta: Any, rows: Any) -> Any:
        at = theta.detach().clone().requires_grad_()
        return torch.autograd.grad(trainer.loss(at, examples.take(rows)), at)[0]

    def draw() -> Any:
        return torch.randint(n, (BATCH,), generator=chosen)

    def loss(theta: Any) -> Any:
        return trainer.loss(theta, examples)

    theta = trainer.theta.detach()
    row["commutator"] = commutator_defect(gradient, theta, draw)
    row["llc"] = learning_coefficient(loss, theta, n, chosen)
    return np.asarray(response(loss, theta, X, trainer.preconditioner()).numpy())
