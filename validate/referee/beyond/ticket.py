"""Whether the largest entries of the leading modes, early in training, say which weights are enough (torch extra).

The lottery-ticket hypothesis says that a network holds a sparse one that, trained from the same start, does as well.
Here all weights but a fifth are set to 0 and kept there: those that the leading modes of an early window move most,
against as many at random, as many at random in every tensor, and as many by what else could say it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spectral_edge.theory.spectrum import gap_position, gram_rtol, gram_spectrum
from spectral_edge.validate.referee.beyond.finding import Finding, judged, paired
from spectral_edge.validate.referee.beyond.training import Trainer
from spectral_edge.validate.referee.statistics import mean
from spectral_edge.validate.runs.dense.config import DenseConfig, dense_run
from spectral_edge.validate.runs.threads import one_thread

W = 10
#: Steps before the mask is made, share of the weights that is kept.
EARLY, KEPT = 40, 0.2
#: By what the weights are chosen.
MASKS = ("modes", "random", "random by tensor", "bulk", "change", "size", "all")
LENGTHS = {"mlp-adamw": 500, "quadratic-adamw": 500, "mlp-gd": 500}
SEEDS = (103, 104, 105, 106)


class Sparse(NamedTuple):
    """ln of the test loss in the end of one run, by what chose its weights."""

    run: str
    ln_loss: dict[str, float]


def scores(thetas: Any, kind: str, sizes: Sequence[int], generator: Any) -> Any:
    """What orders the weights, (P,), largest first; `thetas` are those of the first steps, (n, P)."""
    import torch

    P = thetas.shape[1]
    if kind == "all":
        return torch.ones(P, dtype=thetas.dtype)
    if kind == "random":
        return torch.rand(P, generator=generator, dtype=thetas.dtype)
    if kind == "change":
        return (thetas[-1] - thetas[0]).abs()
    if kind == "size":
        return thetas[-1].abs()
    X = thetas[-W - 1 :].diff(dim=0)
    lam, u = gram_spectrum((X @ X.T).numpy())
    sigma = np.sqrt(lam)
    k = int(gap_position(sigma, weighted=True, rtol=gram_rtol(W)))
    held = int(np.sum(sigma > gram_rtol(W) * sigma[0]))
    modes = torch.from_numpy(u[:, :held] / sigma[:held]).T @ X
    leading = modes[:k].abs().amax(0)
    if kind == "bulk":
        return modes[k:].abs().amax(0) if held > k else torch.rand(P, generator=generator, dtype=thetas.dtype)
    if kind == "random by tensor":  # as many of each tensor as "modes" keeps
        kept, drawn, at = chosen(leading), torch.zeros(P, dtype=thetas.dtype), 0
        for size in sizes:
            part = torch.randperm(size, generator=generator)[: int(kept[at : at + size].sum())]
            drawn[at + part] = 1
            at += size
        return drawn
    return leading


def chosen(score: Any) -> Any:
    """The mask, (P,) bool, of the `KEPT` largest; of equal ones all, or the first."""
    import torch

    if bool((score == 1).all()):
        return score.bool()
    mask = torch.zeros(len(score), dtype=torch.bool)
    mask[score.argsort(descending=True, stable=True)[: round(KEPT * len(score))]] = True
    return mask


def prune(config: DenseConfig, problem: Any = None) -> Sparse:
    """Train a run once with every mask, from the same start."""
    import torch

    with one_thread():
        first = Trainer(config, problem)
        thetas = [first.now()]
        for _ in range(EARLY):
            first.step()
            thetas.append(first.now())
        generator = torch.Generator().manual_seed(config.seed + 8_000_000)
        sizes = [tensor.numel() for tensor in first.problem.start.values()]
        found = {}
        for kind in MASKS:
            mask = chosen(scores(torch.stack(thetas), kind, sizes, generator))
            trainer = Trainer(config, problem)
            with torch.no_grad():
                trainer.theta *= mask
            for _ in range(config.max_steps):
                trainer.step(mask.mul)
            found[kind] = float(np.log(trainer.test_loss()))
    return Sparse(config.name, found)


def runs(seeds: Sequence[int] = SEEDS) -> list[DenseConfig]:
    """The runs that are made with every mask."""
    return [dense_run(regime, seed, max_steps=steps) for regime, steps in LENGTHS.items() for seed in seeds]


def judge(found: Sequence[Sparse]) -> Finding:
    """The weights that leading modes move most do better than as many at random."""
    losses = {kind: [one.ln_loss[kind] for one in found] for kind in MASKS}
    nulls = {kind: paired(losses[kind], losses["modes"]) for kind in MASKS if kind not in ("modes", "all")}
    return Finding.of(
        nulls["random"], len(found), id="lottery-ticket",
        claim="The largest entries of v_1 … v_k*, early in training, are a ticket.",
        statistic="ln of the test loss with a random fifth of the weights",
        against="with the fifth that v_1 … v_k* move most",
        verdict=judged((nulls["random"], nulls["random by tensor"])),
        rule="the loss is lower than with random weights, and than with as many random ones of every tensor",
        readings={
            **{f"excess of the loss, {kind}": one.excess for kind, one in nulls.items() if kind != "random"},
            "ln of the loss with all weights": mean(losses["all"]),
        },
    )  # fmt: skip


def planted(seed: int, sparse: bool = True) -> Sparse:
    """A linear regression in which a tenth of the weights matter, or all alike."""
    import torch

    from spectral_edge.validate.runs.dense.networks import Examples, Problem

    P, n = 200, 600
    generator = torch.Generator().manual_seed(seed)
    true = torch.zeros(P, dtype=torch.float64)
    true[torch.randperm(P, generator=generator)[: P // 10 if sparse else P]] = 1
    x = torch.randn(2 * n, P, generator=generator, dtype=torch.float64)
    y = x @ true
    made = Problem(
        {"x": torch.zeros(P, dtype=torch.float64)},
        lambda p, inputs: inputs @ p["x"],
        lambda output, labels: (output - labels).square().mean() / 2,
        Examples(x[:n], y[:n]), Examples(x[n:], y[n:]), False,
    )  # fmt: skip
    return prune(DenseConfig(regime="planted", seed=seed, learning_rate=0.02, max_steps=200), made)
