"""The other two worlds: planted, where a claim holds by construction, and noise, where nothing happens."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge import simulate, theory
from spectral_edge.theory.gram import lagged, max_lag, norms_squared, window_blocks
from spectral_edge.validate.gram import GramSequence

W = 10
#: Noise sequences made beside every run.
COPIES = 20


class NoiseModel(NamedTuple):
    """What noise must share with a run.

    Attributes
    ----------
    P_eff : float
        Effective dimension of the unit-norm updates, from pairs more than W apart: how far their inner products
        scatter around the autocorrelation at their lag. Signal lowers it; below 2W it is taken as 2W, since
        noise must fill the window to be noise.
    norms : (T,) array, parameter units
        Norm of every update.
    tau : (L,) array
        Autocorrelation of the unit-norm updates at lags 0 … L − 1, estimated from the whole run, signal
        included, and tapered by 1 − l/T so that it is an autocorrelation.
    """

    P_eff: float
    norms: NDArray[np.float64]
    tau: NDArray[np.float64]


def noise_model(run: GramSequence) -> NoiseModel:
    """Estimate from K what noise like `run` is (sections 2.5 and 2.7 of docs/theory.md)."""
    norms = np.sqrt(norms_squared(run.K))
    safe = np.where(norms > 0, norms, 1.0)
    lags = min(max_lag(run.K), run.T - 1)
    unit = [lagged(run.K, l) / (safe[l:] * safe[: run.T - l]) for l in range(lags + 1)]
    kept = min(W, lags)
    tau = np.array([unit[l].mean() * (1 - l / run.T) for l in range(kept + 1)])
    scatter = np.concatenate([pairs - pairs.mean() for pairs in unit[W + 1 :]]) if lags > W else np.zeros(0)
    mean_square = float(np.mean(scatter**2)) if len(scatter) else 0.0
    P_eff = 1 / mean_square if mean_square > 0 else float(run.P or 1e6)
    return NoiseModel(max(P_eff, 2.0 * W), np.where(norms > 0, norms, np.finfo(float).tiny), tau / tau[0])


def matched_noise(run: GramSequence, seed: int, copies: int = COPIES) -> list[GramSequence]:
    """Noise of the run's effective dimension, norms and autocorrelation, with its steps, metrics and card.

    Its probes come along too: inner products with updates that are no longer there, so they say nothing of K.
    """
    model = noise_model(run)
    rng = np.random.default_rng(key(run, seed))
    return [
        GramSequence.from_inner_products(
            simulate.noise(run.T, P=model.P_eff, norms=model.norms, autocorrelation=model.tau, seed=rng).K,
            run.steps,
            run.P,
            metrics=run.metrics,
            probes=run.probes,
            config=run.config,
        )
        for _ in range(copies)
    ]


def noise_ratios(run: GramSequence, n: int, seed: int) -> NDArray[np.float64]:
    """Gap ratio R of every window of `n` noise sequences like `run`: (n, windows)."""
    model = noise_model(run)
    rng = np.random.default_rng(key(run, seed + 1))
    ratios = []
    for _ in range(n):
        K = simulate.noise(run.T, P=model.P_eff, norms=model.norms, autocorrelation=model.tau, seed=rng).K
        lam = np.linalg.eigvalsh(window_blocks(K, W))[:, ::-1]
        ratios.append(theory.gap_ratio(np.sqrt(np.maximum(lam, 0)), rtol=np.sqrt(W * np.finfo(float).eps)))
    return np.array(ratios)


def key(run: GramSequence, seed: int) -> list[int]:
    """A seed that differs between runs and does not depend on the order in which they are judged."""
    return [seed, run.T, *np.frombuffer(np.float64(run.K[0, 0]).tobytes(), dtype=np.uint32).tolist()]


def decay_groups(runs: Sequence[GramSequence]) -> tuple[list[GramSequence], list[GramSequence]]:
    """Return the runs with and without weight decay, of those whose test accuracy was recorded."""
    known = [
        run
        for run in runs
        if "weight_decay" in run.config
        and "test_accuracy" in run.metrics
        and run.config.get("experiment", "grokking")
        == "grokking"  # shift and optimiser runs have other controls
    ]
    with_decay = [run for run in known if run.config["weight_decay"] > 0]
    return with_decay, [run for run in known if run.config["weight_decay"] == 0]


def decay_pairs(
    runs: Sequence[GramSequence],
) -> tuple[dict[tuple[str, int], GramSequence], dict[tuple[str, int], GramSequence]]:
    """Return the same two groups by task and seed, so that each run finds its control."""

    def keyed(group: list[GramSequence]) -> dict[tuple[str, int], GramSequence]:
        return {
            (f"{run.config.get('task')}/{run.config.get('operation')}", run.config["seed"]): run
            for run in group
        }

    with_decay, without = decay_groups([run for run in runs if "seed" in run.config])
    return keyed(with_decay), keyed(without)


def decay_shuffled(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """Return the runs with their weight decays dealt out anew: the outcome no longer depends on it."""
    decays = [run.config.get("weight_decay") for run in runs]
    order = np.random.default_rng([seed, len(runs)]).permutation(len(runs))
    return [
        replace(run, config={**run.config, "weight_decay": decays[i]})
        for run, i in zip(runs, order, strict=True)
    ]


def planted(
    scenario: str, runs: int = 6, *, with_controls: bool = False
) -> Callable[[int], list[GramSequence]]:
    """Return a maker of planted runs, ``maker(seed)``; with controls, each has its twin in which nothing is planted."""

    def make(seed: int) -> list[GramSequence]:
        made = [
            simulate.planted(scenario, seed * runs + i, control=control)
            for control in ((False, True) if with_controls else (False,))
            for i in range(runs)
        ]
        return [
            GramSequence.from_inner_products(
                world.K, world.steps, world.P, metrics=world.metrics, probes=world.probes, config=world.config
            )
            for world in made
        ]

    return make
