"""Prediction 13: the gap position depends on the optimiser."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.partners import shuffled
from spectral_edge.validate.referee.published import spectra as published
from spectral_edge.validate.referee.series import has_gap
from spectral_edge.validate.referee.statistics import (
    LEVEL,
    Estimate,
    mean,
    monte_carlo_p,
)
from spectral_edge.validate.referee.verdict import (
    NOT_SPECIFIC,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    drawn,
    tried,
)

W = 10
CLAIMED = {"muon": 1, "adamw": 2}

Floats = NDArray[np.float64]
Copies = Sequence[GramSequence]
#: k* of every window of a run, NaN where it does not count.
READINGS: dict[str, Callable[[GramSequence, Copies], Floats]] = {
    "k* where R exceeds noise": lambda run, copies: np.where(
        has_gap(run, copies, W), run.window(W).k_star, np.nan
    ),
    "k* weighted by σ_j": lambda run, copies: run.window(W).k_star_weighted,
    "k* of every window, as published": lambda run, copies: run.window(W).k_star,
    f"k* of every window of {W // 2} updates": lambda run, copies: run.window(W // 2).k_star,
}


def shares(k_star: Floats) -> Floats:
    """Share of windows at each position 1 … W − 1, and first of those that have none."""
    return np.bincount(np.nan_to_num(k_star).astype(int), minlength=W) / len(k_star)


def _between(one: NDArray[np.float64], other: Floats) -> float:
    """Total variation between the mean distributions of k* of two groups of runs, (m, W) each."""
    return float(np.abs(one.mean(axis=0) - other.mean(axis=0)).sum() / 2)


def _permutation(one: NDArray[np.float64], other: Floats) -> float:
    """Share of the permutations of the optimisers over the runs in which the two groups differ at least as much."""
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


def _seeds(group: Floats) -> list[float]:
    """Total variation between the runs of one optimiser, pair by pair."""
    return [_between(a[None], b[None]) for a, b in combinations(group, 2)]


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Modal k* of each optimiser on one model, and whether they differ more than seeds and than their noise do.

    The updates of two optimisers have different colours, and noise of a colour has a k* of its own (2.7).
    """
    groups: dict[str, list[tuple[GramSequence, Copies]]] = {name: [] for name in CLAIMED}
    for run, copies in zip(runs, noise, strict=True):
        if (name := _compared_as(run)) is not None:
            groups[name].append((run, copies))
    if min(map(len, groups.values())) < 2:
        return PREDICTION.not_run("two runs of Muon and two of AdamW on one model")
    readings, modes, first = [], {}, None
    for reading, k_star in tried(READINGS).items():
        muon, adamw = (np.array([shares(k_star(*pair)) for pair in groups[name]]) for name in CLAIMED)
        pairs = mean([_between(a[None], b[None]) for a in muon for b in adamw])
        seeds = mean(_seeds(muon) + _seeds(adamw))
        modes[reading] = [int(group.mean(axis=0).argmax()) for group in (muon, adamw)]
        readings.append(
            Reading(f"{reading}: Muon {_named(modes[reading][0])}, AdamW {_named(modes[reading][1])}", pairs, seeds,
                    modes[reading] == list(CLAIMED.values()), None)
        )  # fmt: skip
        if first is None:
            gaps = [1 - float(group[:, 0].mean()) for group in (muon, adamw)]
            first = pairs, seeds, _permutation(muon, adamw), _between(muon, adamw), gaps
    assert first is not None
    pairs, seeds, permuted, between, gaps = first
    of_noise = _of_noise(groups)
    beyond_noise = monte_carlo_p(between, of_noise)
    found = next(iter(modes.values()))
    if 0 in found:
        verdict = UNDECIDED
    elif found != list(CLAIMED.values()):
        verdict = REFUTED
    elif permuted < LEVEL:
        verdict = SUPPORTED if beyond_noise < LEVEL else NOT_SPECIFIC
    else:
        verdict = UNDECIDED
    n = sum(map(len, groups.values()))
    every = sorted(
        {f"{every:g}" for group in groups.values() for run, _ in group if (every := card(run).record_every)}
    )
    return PREDICTION.verdict(
        verdict,
        statistic=between,
        control=seeds.value,
        statistic_name="distance between the distributions of k* where R exceeds noise (total variation)",
        effect=Estimate(pairs.value - seeds.value, pairs.low - seeds.high, pairs.high - seeds.low),
        effect_name="distance between runs of different optimisers, less that between seeds of one",
        p_value=max(permuted, beyond_noise),
        n=n,
        readings=tuple(readings),
        details={
            "modal_k_star": {reading: dict(zip(CLAIMED, k, strict=True)) for reading, k in modes.items()},
            "share_of_windows_with_a_gap": dict(zip(CLAIMED, gaps, strict=True)),
        },
        meaning=(
            f"Windows of {W} updates" + (f", {' or '.join(every)} steps apart," if every else "")
            + f" have a gap beyond noise in {gaps[0]:.0%} of the cases under Muon and in {gaps[1]:.0%} under AdamW; "
            f"the most frequent position is {_named(found[0])} and {_named(found[1])}, where the claim is "
            f"{CLAIMED['muon']} and {CLAIMED['adamw']}. At another interval or width it may be another. The two differ "
            f"by {between:.2f}, noise of their colours by {np.mean(of_noise):.2f}; with optimisers permuted they "
            f"differ as much with p = {permuted:.2g}" + (", the least that so few runs can give." if n <= 6 else ".")
        ),
    )  # fmt: skip


def _named(position: int) -> str:
    return str(position) if position else "none"


def _of_noise(groups: dict[str, list[tuple[GramSequence, Copies]]]) -> list[float]:
    """The distance between the distributions of k*, over all windows, of one noise copy per run."""
    copies = min(len(copies) for group in groups.values() for _, copies in group)
    return [
        _between(
            *(
                np.array([shares(copies[i].window(W).k_star) for _, copies in groups[name]])
                for name in CLAIMED
            )
        )
        for i in range(copies)
    ]


def _compared_as(run: GramSequence) -> str | None:
    """The optimiser of a run of the experiment that is long enough; None for any other run."""
    name = (card(run).optimizer or "").lower()
    counts = card(run).experiment == "optimizer" and name in CLAIMED and min(run.T, run.W_max) >= W
    return name if counts else None


def _permuted(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    # among the runs that are compared: those of other experiments all have one optimiser
    return shuffled(list(filter(_compared_as, runs)), "optimizer", seed)


PREDICTION = Prediction(
    number=13,
    id="optimiser-dependence",
    version=2,
    claim="On one model k* is 1 under Muon and 2 under AdamW.",
    reference="abstract, (iii); docs/theory.md, 8.5",
    reported="k* = 1 under Muon, 2 under AdamW",
    statistic="most frequent k* of each optimiser where R exceeds noise; distance between their distributions",
    treatment="Muon against AdamW",
    control="seeds of one optimiser; noise of each run's colour and norms",
    rule=(
        f"the stated positions, p < {LEVEL:g} when optimisers are permuted over the runs, and a distance beyond that "
        "of noise; undecided where none is the most frequent"
    ),
    changed_by=(
        "One dense run of either optimiser per seed, six seeds, thinned to intervals of 1, 10 and 100 steps: "
        "minutes for a small network. k* depends on the interval between records, and a verdict at one of "
        "them is about that one."
    ),
    judge=judge,
    published=published.BY_OPTIMISER,
    planted=worlds.planted("optimiser-dependence", with_controls=True),
    null_runs=_permuted,
    turned={"READINGS": lambda k_star: W - k_star},
    picture=drawn("positions", experiment="optimizer"),
    needs=Needs(
        runs="two runs of Muon and two of AdamW on one model, with experiment='optimizer' on their cards",
        config=("optimizer",),
    ),
)
