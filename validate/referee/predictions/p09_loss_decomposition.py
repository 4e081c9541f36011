"""Prediction 9: stability times gradients ranks what the modes are worth to the loss."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import neg
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import placebos, worlds
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import stability as published
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
    tried,
)

W = 10
SHUFFLES = 200
VALIDATION_CHANGE, G_TRAIN, G_VALIDATION, ALONG = 1, 2, 3, 4  # columns of the probe "ablation"

Floats = NDArray[np.float64]
#: Something that ranks the modes of windows: (n, W) values.
Score = Callable[["Ablated"], Floats]
#: Rankings of two things in the same windows, (m, W) each.
Pairs = tuple[Floats, Floats]

#: α_j of a window to the next, (n − 1, W), by reading.
STABILITY: dict[str, Callable[[WindowSpectra], Floats]] = {
    "α_j, C = 4, operator norm": lambda windows: windows.alpha(),
    "α_j, C = 1, Frobenius norm": lambda windows: windows.alpha(1.0, "frobenius"),
    "α_j, C = 1, eigenvalues alone": lambda windows: windows.alpha(1.0, "eigenvalue"),
}


class Ablated(NamedTuple):
    """The n windows of a run whose directions were ablated, and that have a next one.

    Attributes
    ----------
    row : (n,) int64
        Of the window.
    table : (n, W, 5) array
        What was measured.
    given : (n, W, W) array
        What takes out of a ranking of the modes its mean, their strength (their order) and the size of ⟨θ, v_j⟩: those
        rank the cost whatever the gradients are.
    """

    row: NDArray[np.int64]
    table: Floats
    given: Floats


def ablated(run: GramSequence, probe: str = "ablation") -> Ablated:
    """The windows in which directions were ablated and a next window exists."""
    tables = run.probes[probe][W - 1 : run.T - 1]
    row = np.flatnonzero(np.isfinite(tables).all(axis=(1, 2)))
    table = tables[row]
    size = stats.rankdata(table[:, :, ALONG] ** 2, axis=1)
    known = np.stack(np.broadcast_arrays(1.0, np.arange(W), size), axis=-1)
    return Ablated(row, table, np.eye(W) - known @ np.linalg.pinv(known))


def ranks(values: Floats, kept: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """What is left of the ranks of `values` (n, W), of length 1, and whether anything is: equal values rank nothing."""
    x = stats.rankdata(values, axis=1)
    rest = (kept @ x[:, :, None])[:, :, 0]
    length = np.linalg.norm(rest, axis=1)
    some = length > 1e-6 * np.linalg.norm(x, axis=1)
    return np.where(some[:, None], rest, 0.0) / np.where(some, length, 1.0)[:, None], some


def pairs(windows: Ablated, score: Score, of: Score | None = None, given: bool = True) -> Pairs:
    """Ranks of a score of the modes and of the rise of the loss, in every window that the score `of` ranks.

    A score that ranks nothing where `of` (by default itself) does counts as zeros.
    """
    kept = windows.given if given else np.eye(W) - 1 / W  # takes the mean out
    change, changes = ranks(windows.table[:, :, VALIDATION_CHANGE], kept)
    counts = changes & ranks((of or score)(windows), kept)[1]
    return ranks(score(windows), kept)[0][counts], change[counts]


def correlation(found: Pairs) -> float:
    """Mean over windows of the correlation of two rankings; NaN where there is none."""
    one, other = found
    return float(np.mean(np.sum(one * other, axis=1))) if len(one) else float("nan")


def importance(alpha: Floats | None) -> Score:
    """α_jG_j^trainG_j^val, α = 1 where None."""
    return lambda windows: (
        windows.table[:, :, G_TRAIN]
        * windows.table[:, :, G_VALIDATION]
        * (1.0 if alpha is None else alpha[windows.row])
    )


def _alone(alpha: Floats) -> Score:
    """α_j without the gradients."""
    return lambda windows: alpha[windows.row]


#: What says nothing of gradients, beside α alone.
PLACEBOS: dict[str, Score] = {
    "rank alone, −j": lambda windows: np.tile(-np.arange(float(W)), (len(windows.row), 1)),
    "⟨θ, v_j⟩² alone": lambda windows: windows.table[:, :, ALONG] ** 2,
}


def _permuted(run: GramSequence, found: Pairs) -> Floats:
    one, other = found
    if not len(one):
        return np.zeros(0)
    rng = np.random.default_rng(worlds.key(run, PREDICTION.number))
    return np.array([np.mean(np.sum(one * rng.permuted(other, axis=1), axis=1)) for _ in range(SHUFFLES)])


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Partial ρ of the importances with the measured loss under ablation, and the same for what measures nothing."""
    reaching = [run for run in runs if "ablation" in run.probes and min(run.T, run.W_max) >= W]
    seen = [ablated(run) for run in reaching]
    chosen = [run for run, own in zip(reaching, seen, strict=True) if len(own.row)]
    windows = [own for own in seen if len(own.row)]
    if not chosen:
        return PREDICTION.not_run("no run in which the directions were ablated")
    alphas = {name: [of(run.window(W)) for run in chosen] for name, of in tried(STABILITY).items()}
    scores = {name: [importance(alpha) for alpha in own] for name, own in alphas.items()}
    (first, judged), *others = scores.items()

    def estimated(scores: Sequence[Score], given: bool = True) -> Floats:
        """ρ of each run, in the windows that the judged importance ranks."""
        return np.array(
            [correlation(pairs(*row, given)) for row in zip(windows, scores, judged, strict=True)]
        )

    plain = [importance(None)] * len(chosen)
    alone = [_alone(alpha) for alpha in alphas[first]]
    rho, controls = estimated(judged), {"α = 1": estimated(plain), "α_j alone": estimated(alone)}
    differences = {name: mean(rho - other) for name, other in controls.items()}
    ranked = [pairs(*row) for row in zip(windows, judged, strict=True)]
    found = against(rho, [_permuted(run, row) for run, row in zip(chosen, ranked, strict=True)])
    readings = [Reading.above(f"{first}, against {c}", mean(rho), mean(x), 0.0) for c, x in controls.items()]
    readings += [
        Reading.above(f"{name}, against α = 1", mean(estimated(own)), mean(controls["α = 1"]), 0.0)
        for name, own in others
    ]
    placebos = {"α_j alone": alone, **{name: [one] * len(chosen) for name, one in PLACEBOS.items()}}
    for name, placebo in tried(placebos, 0).items():
        raw, other = (mean(estimated(one, False)) for one in (judged, placebo))
        readings.append(Reading.above(f"nothing taken out, against {name}", raw, other, 0.0))
    for name, probe in tried({"random directions": "ablation_random"}, 0).items():
        isotropic = [ablated(run, probe) for run in chosen if probe in run.probes]
        own, other = (
            mean([correlation(pairs(x, importance(None), None, False)) for x in y])
            for y in (windows, isotropic)
        )
        readings.append(Reading.above(f"nothing taken out, α = 1, against {name}", own, other, 0.0))
    least = min(differences.values(), key=lambda one: one.low)
    value, one, alpha = (mean(x).value for x in (rho, *controls.values()))
    return PREDICTION.verdict(
        _verdict(mean(rho), tuple(differences.values())),
        statistic=value,
        control=one,
        statistic_name="rank correlation of α_jG_jG_j' with the rise of the loss without v_j, given j and ⟨θ, v_j⟩²",
        effect=least,
        effect_name="that, less the same with α = 1 or with α alone, whichever is nearer",
        p_value=found.p_value,
        n=int(np.isfinite(rho).sum()),
        readings=tuple(readings),
        details={
            "windows_that_rank": sum(len(one) for one, _ in ranked),
            "windows": sum(len(one.row) for one in windows),
        },
        meaning=(
            "Given the strength of a mode and its part of the parameters, the importance α_jG_j^trainG_j^val ranks "
            f"the measured rise of the validation loss with ρ = {value:.2f}; without the stability coefficient "
            f"ρ = {one:.2f}, with it alone {alpha:.2f}. A window in which every α_j is 0 ranks nothing and does not "
            "count. Removed is v_j from the parameters: what undoing it in the update would cost was not recorded."
        ),
    )


def without_link(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """The runs with the measured changes of the loss permuted among the modes of each window."""
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


def _verdict(rho: Estimate, differences: tuple[Estimate, ...]) -> str:
    better = [passes(one, 0.0) for one in differences]
    if rho.high < 0:
        return REFUTED
    if passes(rho, 0.0) and all(better):
        return SUPPORTED
    return NOT_SPECIFIC if passes(rho, 0.0) and False in better else UNDECIDED


PREDICTION = Prediction(
    number=9,
    id="loss-decomposition",
    version=2,
    claim="The importance α_jG_j^trainG_j^val ranks what removing v_j costs.",
    reference="abstract, (ii); docs/theory.md, 6.2 and 6.3",
    statistic="Spearman's ρ over the modes of a window, given their order and ⟨θ, v_j⟩²",
    treatment="runs whose directions were ablated",
    control="α = 1; α alone; random directions",
    rule="ρ's interval above 0, and above those of α = 1 and of α alone (paired over runs)",
    boundaries=(0.0,),
    changed_by=(
        "Undoing v_j in the last update, L(θ − ⟨δ, v_j⟩v_j) − L(θ), in the place of taking v_j out of the "
        "parameters: W forward passes per record on the validation set, minutes per run."
    ),
    judge=judge,
    published=published.ABLATION,
    planted=worlds.planted("loss-decomposition"),
    null_runs=without_link,
    placebos=placebos.OF_IMPORTANCE,
    turned={"correlation": neg},
    needs=Needs(probes=("ablation",)),
)
