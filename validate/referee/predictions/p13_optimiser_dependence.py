"""Prediction 13: the gap position depends on the optimiser."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.partners import shuffled
from spectral_edge.validate.referee.statistics import Estimate, mean
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    drawn,
)

W = 10
LEVEL = 0.05
CLAIMED = {"muon": 1, "adamw": 2}

READINGS: dict[str, Callable[[WindowSpectra], NDArray[np.float64]]] = {
    "k* = argmax σ_j/σ_{j+1}": lambda windows: windows.k_star,
    "k* weighted by σ_j": lambda windows: windows.k_star_weighted,
}


def shares(k_star: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of windows at each position 1 … W − 1."""
    known = k_star[np.isfinite(k_star)].astype(int)
    return np.bincount(known, minlength=W)[1:] / max(1, len(known))


def _between(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Total variation between the mean distributions of k* of two groups of runs, (m, W − 1) each."""
    return float(np.abs(one.mean(axis=0) - other.mean(axis=0)).sum() / 2)


def _permutation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Share of the ways to deal out the runs in which the two groups differ at least as much."""
    pooled = np.concatenate([one, other])

    def statistic(x: NDArray[np.int64], y: NDArray[np.int64]) -> float:
        return _between(pooled[x.astype(int)], pooled[y.astype(int)])

    rows = np.arange(len(pooled))
    sets = rows[: len(one)], rows[len(one) :]
    found = stats.permutation_test(
        sets,
        statistic,
        vectorized=False,
        n_resamples=2000,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def _seeds(group: NDArray[np.float64]) -> list[float]:
    """Total variation between the runs of one optimiser, pair by pair."""
    return [_between(a[None], b[None]) for a, b in combinations(group, 2)]


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Modal k* of each optimiser on one model, and whether the optimisers differ more than seeds do."""
    groups: dict[str, list[GramSequence]] = {name: [] for name in CLAIMED}
    for run in runs:
        name = (card(run).optimizer or "").lower()
        if card(run).experiment == "optimizer" and name in groups and min(run.T, run.W_max) >= W:
            groups[name].append(run)
    if min(map(len, groups.values())) < 2:
        return PREDICTION.not_run("two runs of Muon and two of AdamW on one model")
    readings, modes, first = [], {}, None
    for reading, k_star in READINGS.items():
        muon, adamw = (np.array([shares(k_star(run.window(W))) for run in groups[name]]) for name in CLAIMED)
        pairs = mean([_between(a[None], b[None]) for a in muon for b in adamw])
        seeds = mean(_seeds(muon) + _seeds(adamw))
        p_value = _permutation(muon, adamw)
        modes[reading] = [int(group.mean(axis=0).argmax()) + 1 for group in (muon, adamw)]
        readings.append(
            Reading(f"{reading}: Muon {modes[reading][0]}, AdamW {modes[reading][1]}", pairs, seeds,
                    modes[reading] == list(CLAIMED.values()), None)
        )  # fmt: skip
        first = first or (pairs, seeds, p_value, _between(muon, adamw))
    assert first is not None
    pairs, seeds, p_value, between = first
    found = next(iter(modes.values()))
    as_claimed = found == list(CLAIMED.values())
    verdict = REFUTED if not as_claimed else SUPPORTED if p_value < LEVEL else UNDECIDED
    n = sum(map(len, groups.values()))
    return PREDICTION.verdict(
        verdict,
        statistic=between,
        control=seeds.value,
        statistic_name="distance between the distributions of k* (total variation)",
        effect=Estimate(pairs.value - seeds.value, pairs.low - seeds.high, pairs.high - seeds.low),
        effect_name="distance between runs of different optimisers, less that between seeds of one",
        p_value=p_value,
        n=n,
        readings=tuple(readings),
        details={"modal_k_star": {reading: dict(zip(CLAIMED, k, strict=True)) for reading, k in modes.items()}},
        meaning=(
            f"The most frequent gap position is {found[0]} under Muon and {found[1]} under AdamW, where the claim is "
            f"{CLAIMED['muon']} and {CLAIMED['adamw']}. "
            + (f"The two differ more than runs dealt out anew do with p = {p_value:.2g}"
               + (", the least that so few runs can give." if n <= 6 else "."))
        ),
    )  # fmt: skip


def _dealt_anew(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    return shuffled(runs, "optimizer", seed)


PREDICTION = Prediction(
    number=13,
    id="optimiser-dependence",
    version=1,
    claim="On one model k* is 1 under Muon and 2 under AdamW.",
    reference="abstract, (iii); docs/theory.md, 8.5",
    reported="k* = 1 under Muon, 2 under AdamW",
    statistic="most frequent k* of each optimiser; distance between their distributions",
    treatment="Muon against AdamW",
    control="seeds of one optimiser",
    rule=f"the stated positions, and p < {LEVEL:g} when runs are dealt out anew",
    judge=judge,
    planted=worlds.planted("optimiser-dependence", with_controls=True),
    null_runs=_dealt_anew,
    turned={"READINGS": lambda k_star: W - k_star},
    picture=drawn("positions", experiment="optimizer"),
    needs=Needs(
        runs="two runs of Muon and two of AdamW on one model, with experiment='optimizer' on their cards",
        config=("optimizer",),
    ),
)
