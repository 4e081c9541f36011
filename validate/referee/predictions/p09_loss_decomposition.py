"""Prediction 9: stability times gradients ranks what the modes are worth to the loss."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import neg

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.statistics import Estimate, against, mean
from spectral_edge.validate.referee.verdict import (
    NOT_SPECIFIC,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    passes,
)

W = 10
SHUFFLES = 200
VALIDATION_CHANGE, G_TRAIN, G_VALIDATION = 1, 2, 3  # columns of the probe "ablation"

Floats = NDArray[np.float64]

#: α_j of a window to the next, (n − 1, W), by reading.
STABILITY: dict[str, Callable[[WindowSpectra], Floats]] = {
    "α_j, C = 4, operator norm": lambda windows: windows.alpha(),
    "α_j, C = 1, Frobenius norm": lambda windows: windows.alpha(1.0, "frobenius"),
    "α_j, C = 1, eigenvalues alone": lambda windows: windows.alpha(1.0, "eigenvalue"),
}


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's ρ; 0 where one of the two ranks nothing."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(stats.spearmanr(one, other).statistic)


def _ablations(run: GramSequence, probe: str = "ablation") -> list[tuple[int, Floats]]:
    """The windows in which directions were ablated, with the measurement (W, 5), where a next window exists."""
    values = run.probes[probe][W - 1 : run.T - 1]
    return [(row, table) for row, table in enumerate(values) if np.isfinite(table).all()]


def correlation(run: GramSequence, alpha: Floats | None, size: bool = False) -> float:
    """Mean over ablated windows of ρ between α_jG_j^trainG_j^val (α = 1 where None) and the rise of the loss."""
    found = []
    for row, table in _ablations(run):
        importance = table[:, G_TRAIN] * table[:, G_VALIDATION] * (1.0 if alpha is None else alpha[row])
        change = table[:, VALIDATION_CHANGE]
        pair = (np.abs(importance), np.abs(change)) if size else (importance, change)
        found.append(_rank_correlation(*pair))
    return float(np.mean(found))


def _random_directions(run: GramSequence) -> float:
    """The same for isotropic directions, which have no α."""
    tables = [table for _, table in _ablations(run, "ablation_random")]
    pairs = [(t[:, G_TRAIN] * t[:, G_VALIDATION], t[:, VALIDATION_CHANGE]) for t in tables]
    return float(np.mean([_rank_correlation(*pair) for pair in pairs])) if pairs else float("nan")


def _permuted(run: GramSequence, alpha: Floats) -> Floats:
    rng = np.random.default_rng(worlds.key(run, PREDICTION.number))
    pairs = [
        (alpha[row] * table[:, G_TRAIN] * table[:, G_VALIDATION], table[:, VALIDATION_CHANGE])
        for row, table in _ablations(run)
    ]
    ranks = [tuple(stats.rankdata(v) for v in pair) for pair in pairs if all(np.ptp(v) > 0 for v in pair)]
    scores = [tuple(stats.zscore(v) for v in pair) for pair in ranks]
    return np.array([
        sum(a @ rng.permutation(b) / len(a) for a, b in scores) / len(pairs) for _ in range(SHUFFLES)
    ])  # fmt: skip


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """ρ of the importances with the measured loss under ablation, against α = 1 and against random directions."""
    chosen = [
        run for run in runs if "ablation" in run.probes and min(run.T, run.W_max) >= W and _ablations(run)
    ]
    if not chosen:
        return PREDICTION.not_run("no run in which the directions were ablated")
    plain = np.array([correlation(run, None) for run in chosen])
    readings: list[Reading] = []
    first = difference = None
    for name, stability in STABILITY.items():
        alphas = [stability(run.window(W)) for run in chosen]
        rho = np.array([correlation(run, alpha) for run, alpha in zip(chosen, alphas, strict=True)])
        if first is None:
            first, difference = mean(rho), mean(rho - plain)
            draws = [_permuted(run, alpha) for run, alpha in zip(chosen, alphas, strict=True)]
            p_value = against(rho, draws).p_value
            by_size = mean([correlation(run, a, True) for run, a in zip(chosen, alphas, strict=True)])
            plain_size = mean([correlation(run, None, True) for run in chosen])
        readings.append(Reading.above(f"{name}, against α = 1", mean(rho), mean(plain), 0.0))
    assert first is not None
    assert difference is not None
    isotropic = mean([_random_directions(run) for run in chosen if "ablation_random" in run.probes])
    readings.append(Reading.above("sizes of both, against α = 1", by_size, plain_size, 0.0))
    readings.append(Reading.above("against random directions, α = 1", mean(plain), isotropic, 0.0))
    return PREDICTION.verdict(
        _verdict(first, difference),
        statistic=first.value,
        control=mean(plain).value,
        statistic_name="rank correlation of α_jG_jG_j' with the rise of the loss when v_j is removed",
        effect=difference,
        effect_name="that, less the same with α = 1",
        p_value=p_value,
        n=len(chosen),
        readings=tuple(readings),
        meaning=(
            "The importance α_jG_j^trainG_j^val ranks the measured rise of the validation loss with "
            f"ρ = {first.value:.2f}; without the stability coefficient ρ = {mean(plain).value:.2f}. "
            "A window in which every α_j is 0 ranks nothing and counts as 0."
        ),
    )


def without_link(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """The runs with the measured changes of the loss dealt out anew among the modes of each window."""
    found = []
    for run in runs:
        probes = dict(run.probes)
        if "ablation" in probes:
            rng = np.random.default_rng(worlds.key(run, seed))
            probes["ablation"] = np.array(probes["ablation"])
            for table in probes["ablation"]:
                table[:, :G_TRAIN] = rng.permutation(table[:, :G_TRAIN])
        found.append(replace(run, probes=probes))
    return found


def _verdict(rho: Estimate, difference: Estimate) -> str:
    positive, better = passes(rho, 0.0), passes(difference, 0.0)
    if positive is False:
        return REFUTED
    if positive and better:
        return SUPPORTED
    return NOT_SPECIFIC if positive and better is False else UNDECIDED


PREDICTION = Prediction(
    number=9,
    id="loss-decomposition",
    version=1,
    claim="The importance α_jG_j^trainG_j^val ranks what removing v_j costs.",
    reference="abstract, (ii); docs/theory.md, 6.2 and 6.3",
    statistic="Spearman's ρ over the modes of a window",
    treatment="runs whose directions were ablated",
    control="α = 1; random directions",
    rule="ρ's interval above 0, and above that of α = 1 (paired over runs)",
    judge=judge,
    planted=worlds.planted("loss-decomposition"),
    null_runs=without_link,
    turned={"correlation": neg},
    needs=Needs(probes=("ablation",)),
)
