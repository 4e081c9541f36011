"""Placebos: the runs with what a claim is about replaced by something that measures nothing of it.

They go through the same rule as the runs. A verdict that a placebo gets as well says nothing of the claim.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge import simulate
from spectral_edge.theory.gram import is_full, norms_squared
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card, metric, with_field

#: ``placebo(runs, seed) -> runs``.
Placebo = Callable[[Sequence[GramSequence], int], list[GramSequence]]

#: Records over which a placebo's updates shrink by a factor e.
SHRINKING = 40.0


def _with_noise(run: GramSequence, norms: ArrayLike, seed: int) -> GramSequence:
    """The run with white noise of the given norms in the place of its updates; its probes prefer no mode."""
    rng = np.random.default_rng(worlds.key(run, seed))
    lags = None if is_full(run.K) else run.W_max
    P = worlds.noise_model(run).P_eff
    K = simulate.noise(run.T, P=P, norms=norms, W_max=lags, fix_norms=True, seed=rng).K
    return replace(run, K=K, probes=worlds.isotropic(run, K, rng))


def norms_alone(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """White noise of the size of every update."""
    return [_with_noise(run, np.maximum(np.sqrt(norms_squared(run.K)), 1e-300), seed) for run in runs]


def time_alone(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """White noise whose size is a function of time, the same in all runs."""
    return [_with_noise(run, _shrinking(run), seed) for run in runs]


def decay_alone(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """White noise whose size is a function of time and weight decay."""
    return [_with_noise(run, _shrinking(run, card(run).weight_decay or 0.0), seed) for run in runs]


def _shrinking(run: GramSequence, rate: float = 1.0) -> NDArray[np.float64]:
    return np.exp(-min(rate, 1.0) * np.arange(run.T) / SHRINKING)


#: For claims about the updates.
OF_UPDATES: Mapping[str, Placebo] = MappingProxyType({
    "the norms of the updates alone": norms_alone,
    "time alone": time_alone,
    "weight decay alone": decay_alone,
})  # fmt: skip


# -- claims about something else ---------------------------------------------------------------------------------


def by_seed(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """Weight decay by whether the seed is above the median of the seeds: it decides nothing."""
    seeds = [own for run in runs if (own := card(run).seed) is not None]
    middle = float(np.median(seeds)) if seeds else 0.0
    return [_decays(run, (card(run).seed or 0) > middle) for run in runs]


def in_turn(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """Weight decay to every second run of a family, in the order of the seeds within either decay."""
    order = sorted(range(len(runs)), key=lambda i: (card(runs[i]).family, card(runs[i]).weight_decay or 0.0,
                                                    card(runs[i]).seed or 0, i))  # fmt: skip
    given = {i: place % 2 == 0 for place, i in enumerate(order)}
    return [_decays(run, given[i]) for i, run in enumerate(runs)]


def _decays(run: GramSequence, decays: bool) -> GramSequence:
    return run if card(run).weight_decay is None else with_field(run, "weight_decay", float(decays))


def training_accuracy(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """The accuracy on the examples that were learned in the place of that on the others."""
    found = []
    for run in runs:
        seen = metric(run, "train_accuracy")
        found.append(run if seen is None else replace(run, metrics={**run.metrics, "test_accuracy": seen}))
    return found


#: For the claim that grokking needs weight decay.
OF_DECAY: Mapping[str, Placebo] = MappingProxyType({
    "the seed in the place of weight decay": by_seed,
    "every second run in the place of weight decay": in_turn,
    "training accuracy in the place of test accuracy": training_accuracy,
})  # fmt: skip


def queries_of_time(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """σ_1/σ_2 of the query matrices rises with time in every run."""
    return [_with_queries(run, np.exp(np.arange(run.T) / SHRINKING)) for run in runs]


def queries_of_decay(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """σ_1/σ_2 of the query matrices rises with time where there is weight decay."""
    return [
        _with_queries(run, np.exp(min(card(run).weight_decay or 0.0, 1.0) * np.arange(run.T) / SHRINKING))
        for run in runs
    ]


def _with_queries(run: GramSequence, ratio: NDArray[np.float64]) -> GramSequence:
    names = [name for name in run.metrics if name.endswith(".Q.sigma_1")]
    rng = np.random.default_rng(worlds.key(run, len(names)))
    queries = {}
    for name in names:
        queries[name] = ratio * np.exp(0.02 * rng.standard_normal(run.T))
        queries[name[:-1] + "2"] = np.ones(run.T)
    return replace(run, metrics={**run.metrics, **queries})


#: For the claim about the query matrices.
OF_QUERIES: Mapping[str, Placebo] = MappingProxyType({
    "query matrices of time alone": queries_of_time,
    "query matrices of weight decay alone": queries_of_decay,
})  # fmt: skip


def _with_gradients(
    run: GramSequence, of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> GramSequence:
    """The run with other products of the ablated directions with the gradients: `of` the measurement, (W,)."""
    if "ablation" not in run.probes:
        return run
    ablation = np.array(run.probes["ablation"])
    for table in ablation:
        if np.isfinite(table).all():
            table[:, 2], table[:, 3] = of(table), 1.0
    return replace(run, probes={**run.probes, "ablation": ablation})


def gradients_of_rank(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """The importance of a mode is its rank, times α."""
    return [_with_gradients(run, lambda table: len(table) - np.arange(float(len(table)))) for run in runs]


def gradients_of_parameters(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """The importance of a mode is its part of the parameters, times α."""
    return [_with_gradients(run, lambda table: table[:, 4] ** 2) for run in runs]


def gradients_of_nothing(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """The importance of a mode is its α."""
    return [_with_gradients(run, lambda table: np.ones(len(table))) for run in runs]


#: For the claim about the importance of a mode.
OF_IMPORTANCE: Mapping[str, Placebo] = MappingProxyType({
    "α_j alone": gradients_of_nothing,
    "the rank of a mode, times α_j": gradients_of_rank,
    "⟨θ, v_j⟩², times α_j": gradients_of_parameters,
})  # fmt: skip
