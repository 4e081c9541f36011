"""Train small networks that grok, and keep what the statements on function space look at (torch extra)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.referee.beyond.bulk import bulk_edge
from spectral_edge.validate.referee.beyond.seen import Floats, Seen, W
from spectral_edge.validate.referee.beyond.training import Trainer
from spectral_edge.validate.runs.dense.config import dense_run
from spectral_edge.validate.runs.threads import one_thread


class Plan(NamedTuple):
    """How long a regime of `runs.dense` is trained, and how many steps lie between two records."""

    regime: str
    max_steps: int
    record_every: int


#: From the test accuracies of seeds 100 to 102: some 160 records, the transition in their middle third.
PLANS = (
    Plan("quadratic-adamw", 300, 2),
    Plan("quadratic-gd-edge", 500, 3),
    Plan("quadratic-gd", 1_500, 9),
    Plan("transformer-adamw", 900, 5),
)
#: Seeds of which nothing was looked at before.
SEEDS = (103, 104, 105, 106)
#: Test examples of the batch, records between two looks at kernel and ablations, eigenvalues that are kept.
BATCH, LOOK_EVERY, KEPT = 16, 3, 16


def watch(plan: Plan, seed: int) -> Seen:
    """Train one run and look at it; ten seconds to a minute.

    Parameters
    ----------
    plan : Plan
    seed : int

    Returns
    -------
    Seen
    """
    import torch

    with one_thread():
        config = dense_run(plan.regime, seed, max_steps=plan.max_steps, record_every=plan.record_every)
        trainer = Trainer(config)
        test = trainer.problem.test
        batch = test.take(torch.arange(min(BATCH, len(test.labels))))
        centred = config.network == "transformer"  # what cross-entropy does not see is no function

        def outputs(theta: Any) -> Any:
            found = trainer.output(theta, batch)
            return (found - found.mean(-1, keepdim=True) if centred else found).flatten()

        generator = torch.Generator().manual_seed(seed + 5_000_000)
        thetas, decays, seen = [trainer.now()], [], [outputs(trainer.theta.detach())]
        accuracy, looks, before = [], [], None
        for step in range(1, config.max_steps + 1):
            if (step - 1) % config.record_every == 0:
                decays.append(torch.zeros_like(trainer.theta))
            decays[-1] -= config.learning_rate * config.weight_decay * trainer.theta.detach()
            trainer.step()
            if step % config.record_every:
                continue
            thetas.append(trainer.now())
            seen.append(outputs(trainer.theta.detach()))
            accuracy.append(trainer.accuracy(trainer.theta.detach()))
            record = len(accuracy) - 1
            if record >= W - 1 and (record - W + 1) % LOOK_EVERY == 0:
                kernel = _kernel(outputs, trainer.theta.detach())
                fall = _ablated(torch.stack(thetas[-W - 1 :]), trainer.accuracy, generator)
                looks.append((record, *_spectrum(kernel, len(thetas[0])), _rate(kernel, before, plan), fall))
                before = kernel
    looked, kernel_spectra, outliers, rate, ablation = (
        np.array(column) for column in zip(*looks, strict=True)
    )
    return Seen.of(
        config.name,
        torch.stack(thetas).numpy(),
        torch.stack(decays).numpy(),
        torch.stack(seen).numpy(),
        np.arange(len(thetas)) * config.record_every,
        accuracy=np.array(accuracy),
        looked=looked,
        kernel=kernel_spectra,
        outliers=outliers,
        kernel_rate=rate,
        ablation=ablation,
        eta=config.learning_rate,
    )


def _kernel(outputs: Callable[[Any], Any], theta: Any) -> Any:
    """The empirical tangent kernel JJᵀ of the outputs at `theta`."""
    import torch

    J = torch.func.jacrev(outputs)(theta)
    return (J @ J.T).detach()


def _spectrum(kernel: Any, P: int) -> tuple[Floats, float]:
    """Its leading eigenvalues, and how many of all lie above the edge of the bulk."""
    lam = np.maximum(np.linalg.eigvalsh(kernel.numpy())[::-1], 0)
    return lam[:KEPT], float(np.sum(lam > bulk_edge(lam, P)))


def _rate(kernel: Any, before: Any, plan: Plan) -> float:
    if before is None:
        return float("nan")
    return float((kernel - before).norm()) / (LOOK_EVERY * plan.record_every)


def _ablated(window: Any, accuracy: Callable[[Any], float], generator: Any) -> NDArray[np.float64]:
    """Fall of the accuracy when the window's step along v_1 and v_2 is undone, and as long a step elsewhere."""
    import torch

    theta, step = window[-1], window[-1] - window[0]
    v = torch.linalg.svd(window.diff(dim=0), full_matrices=False)[2]
    lead, bulk = v[:2].T @ (v[:2] @ step), v[2:].T @ (v[2:] @ step)
    random = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    now = accuracy(theta)
    along = (lead, bulk * (lead.norm() / bulk.norm()), random * (lead.norm() / random.norm()))
    return np.array([now - accuracy(theta - undone) for undone in along])
