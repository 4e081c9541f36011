"""Training without its leading directions, from the first window to the end (prediction 16; torch extra).

At every step the leading k* directions of the last W updates are taken out of the gradient before the optimiser sees
it. Beside it stand as many directions from the rest of the same window, as many random ones, and the whole gradient
made as short as the first arm would make it: leading directions hold most of a gradient, and a short one learns slowly
whatever its direction. What is measured is by how much learning is delayed.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from spectral_edge.theory.spectrum import gap_position, gram_rtol, gram_spectrum
from spectral_edge.validate.referee.beyond.finding import Finding, judged, paired
from spectral_edge.validate.referee.beyond.training import Trainer
from spectral_edge.validate.referee.statistics import mean
from spectral_edge.validate.runs.dense.config import DenseConfig, dense_run
from spectral_edge.validate.runs.threads import one_thread

W = 10
#: What is done to the gradient; "three" takes out v_1, v_2, v_3 whatever k* is, as in a later paper of the author's.
ARMS = ("nothing", "leading", "bulk", "random", "shrunk", "three", "three random")
#: Accuracy on the test set that counts as learned; without classes, the training loss of the untouched run at a third.
LEARNED = 0.95
#: Smallest excess of the logarithm of a delay that would matter: a twentieth.
LEAST = 0.05
#: Steps after which what has not learned is given up; two to four times as many as it takes.
LENGTHS = {
    "quadratic-adamw": 400, "quadratic-gd-edge": 750, "mlp-adamw": 600, "mlp-gd-edge": 600, "mlp-sgd": 600,
    "transformer-adamw": 900,
}  # fmt: skip
SEEDS = (103, 104, 105)


class Delays(NamedTuple):
    """Of one run: ln of the steps to learn with each arm over those of the untouched run, and whether it ever did.

    Attributes
    ----------
    run : str
    delay : dict of str to float
        What had not learned in the end counts as if it just had.
    learned : dict of str to bool
    """

    run: str
    delay: dict[str, float]
    learned: dict[str, bool]


def directions(X: Any, arm: str, generator: Any) -> Any | None:
    """Orthonormal rows, (k, P), that an arm takes out; of "shrunk" those of "leading". None where there is no gap.

    Parameters
    ----------
    X : Tensor, (W, P)
        The last updates.
    arm : str
        One of `ARMS`.
    generator : torch.Generator
    """
    import torch

    lam, u = gram_spectrum((X @ X.T).numpy())
    sigma = np.sqrt(lam)
    held = int(np.sum(sigma > gram_rtol(len(X)) * sigma[0])) if sigma[0] > 0 else 0
    position = float(gap_position(sigma, weighted=True, rtol=gram_rtol(len(X)))) if held > 1 else float("nan")
    if arm.startswith("three"):
        k = min(3, held)
    else:
        k = min(int(position), len(X) // 2) if np.isfinite(position) else 0
    if k == 0:
        return None
    if arm.endswith("random"):
        drawn = torch.randn(X.shape[1], k, generator=generator, dtype=X.dtype)
        return torch.linalg.qr(drawn)[0].T
    modes = torch.linalg.qr(X.T @ torch.from_numpy(u[:, :held] / sigma[:held]))[0].T
    if arm != "bulk":
        return modes[:k]
    if held <= k:
        return None
    rest = modes[k:]
    turned = torch.linalg.qr(torch.randn(len(rest), min(k, len(rest)), generator=generator, dtype=X.dtype))[0]
    return turned.T @ rest


def _without(gradient: Any, X: Any, arm: str, generator: Any) -> Any:
    space = None if arm == "nothing" else directions(X, arm, generator)
    if space is None:
        return gradient
    rest = gradient - (space @ gradient) @ space
    return gradient * (rest.norm() / gradient.norm()) if arm == "shrunk" else rest


def _train(
    config: DenseConfig, arm: str, problem: Any, target: float | None
) -> tuple[int, bool, list[float]]:
    """Steps until it has learned, whether it has, and the training loss at every step."""
    import torch

    trainer = Trainer(config, problem)
    generator = torch.Generator().manual_seed(config.seed + 6_000_000)
    thetas = [trainer.now()]
    losses: list[float] = []
    for step in range(1, config.max_steps + 1):
        X = torch.stack(thetas).diff(dim=0) if len(thetas) == W + 1 else None
        change = (
            None if X is None or arm == "nothing" else partial(_without, X=X, arm=arm, generator=generator)
        )
        trainer.step(change)
        thetas = [*thetas[-W:], trainer.now()]
        if trainer.problem.classes:
            if trainer.accuracy(trainer.theta.detach()) >= LEARNED:
                return step, True, losses
        else:
            with torch.no_grad():
                losses.append(float(trainer.loss(trainer.theta.detach(), trainer.problem.train)))
            if target is not None and losses[-1] <= target:
                return step, True, losses
    return config.max_steps, False, losses


def remove(config: DenseConfig, problem: Any = None) -> Delays:
    """Train one run once with each arm, from the same start and with the same batches.

    Parameters
    ----------
    config : DenseConfig
    problem : Problem, optional
        In the place of the run's own.

    Returns
    -------
    Delays
    """
    with one_thread():
        target = None
        found: dict[str, tuple[int, bool]] = {}
        for arm in ARMS:
            steps, learned, losses = _train(config, arm, problem, target)
            if arm == "nothing" and losses:
                target = losses[len(losses) // 3]
                steps, learned = next(i for i, loss in enumerate(losses, 1) if loss <= target), True
            found[arm] = (steps, learned)
    base = found["nothing"][0]
    return Delays(
        config.name,
        {arm: float(np.log(steps / base)) for arm, (steps, _) in found.items()},
        {arm: learned for arm, (_, learned) in found.items()},
    )


def runs(seeds: Sequence[int] = SEEDS) -> list[DenseConfig]:
    """The runs that are made with every arm."""
    return [dense_run(regime, seed, max_steps=steps) for regime, steps in LENGTHS.items() for seed in seeds]


def judge(found: Sequence[Delays]) -> Finding:
    """Taking out the leading directions delays learning more than every control does.

    Runs that do not learn untouched do not count.
    """
    kept = [one for one in found if one.learned["nothing"]]
    delay = {arm: [one.delay[arm] for one in kept] for arm in ARMS}
    nulls = {arm: paired(delay["leading"], delay[arm]) for arm in ("shrunk", "bulk", "random")}
    return Finding.of(
        nulls["shrunk"],
        len(kept),
        id="intervention",
        claim="Learning needs the leading k* directions of the window.",
        statistic="ln of the time to learn without v_1 … v_k* of the window over that of the untouched run",
        against="a gradient made as short in every direction",
        verdict=judged(tuple(nulls.values()), smallest=LEAST),
        rule="the delay exceeds those without as many directions of the rest of the window, without as many random "
        "ones, and of a gradient as short",
        readings={f"without {arm}": nulls[arm].control for arm in ("bulk", "random")}
        | {f"excess over {arm}": nulls[arm].excess for arm in ("bulk", "random")}
        | {
            f"excess over shrunk, {name}": mean(
                [one.delay["leading"] - one.delay["shrunk"] for one in kept if ("adam" in one.run) is adaptive]
            )
            for name, adaptive in (("SGD", False), ("AdamW", True))
        }
        | {f"without {arm} directions": mean(delay[arm]) for arm in ("three", "three random")}
        | {
            f"share that never learned, {arm}": mean([float(not one.learned[arm]) for one in kept])
            for arm in ("leading", "shrunk", "bulk", "random", "three", "three random")
        },
    )  # fmt: skip


def planted(seed: int, signal: bool = True) -> Delays:
    """A world in which one direction of many carries what is learned, or in which every step has its own.

    Gradients are mostly noise, in 200 directions. With `signal` all examples ask for the same direction, which a window
    sees; without it each asks for one of its own, which no window has seen.
    """
    import torch

    from spectral_edge.validate.runs.dense.networks import Examples, Problem

    P, n = 200, 200
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, P, generator=generator, dtype=torch.float64) * (1.5 / P**0.5)
    asked = torch.zeros(n, P, dtype=torch.float64)
    asked[range(n), [0] * n if signal else list(range(P))] = 1
    examples = Examples(torch.cat([asked, noise - noise.mean(0)], dim=1), torch.zeros(n))

    def output(p: Any, inputs: Any) -> Any:
        far = ((p["x"] - 1).square() + 1e-3).sqrt()
        return inputs[:, :P] @ far + inputs[:, P:] @ p["x"]

    start = {"x": torch.zeros(P, dtype=torch.float64)}
    made = Problem(start, output, lambda output, labels: output.mean(), examples, examples, False)
    steps, rate = 150, 0.02 if signal else 0.8
    config = DenseConfig(regime="planted", seed=seed, learning_rate=rate, batch_size=1, max_steps=steps)
    return remove(config, made)
