"""Prediction 14: the adiabatic parameter separates transitions from plateaus."""

from collections.abc import Sequence
from operator import neg

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import knows, number
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.needs import TRANSITION, Needs
from spectral_edge.validate.referee.partners import decay_pairs
from spectral_edge.validate.referee.published import stability as published
from spectral_edge.validate.referee.statistics import against, area_under_curve, mean
from spectral_edge.validate.referee.verdict import (
    Prediction,
    Reading,
    Verdict,
    above_and_specific,
    drawn,
    tried,
)

W = 10
CHANCE = 0.5
LEVEL = 0.05


def _parameter(run: GramSequence, norm: str = "frobenius") -> NDArray[np.float64]:
    """𝒜 of every window but the last."""
    return run.window(W).adiabatic(number(run, "learning_rate"), norm)


def _near(run: GramSequence, step: int) -> NDArray[np.bool_]:
    """Windows that end within one W, in records, of `step`."""
    steps = run.window(W).steps[:-1]
    return np.abs(np.arange(len(steps)) - np.searchsorted(steps, step)) <= W


def _shifted(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The area where the labels stand at every other time of the run, as `area_under_curve` has it."""
    n, known = len(labels), np.flatnonzero(~np.isnan(scores))
    # ranks once: those of one group, less the least that they can be, count the pairs that it wins
    moved = labels[(known - np.arange(1, n)[:, None]) % n]
    one = moved.sum(axis=1).astype(float)
    pairs, won = one * (len(known) - one), moved @ stats.rankdata(scores[known]) - one * (one + 1) / 2
    return np.divide(won, pairs, out=np.full(n - 1, np.nan), where=pairs > 0)


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Area under the ROC curve of 𝒜 for windows within one W of the grok step, against labels at other times."""
    _, without = decay_pairs(runs)
    without = {key: run for key, run in without.items() if run.T > W and knows(run, "learning_rate")}
    keyed, _ = decay_pairs(runs)
    chosen = {
        key: (run, step) for key, run in keyed.items()
        if knows(run, "learning_rate") and min(run.T, run.W_max) > W
        and (step := grok_step(run)) is not None and 0 < _near(run, step).sum() < run.T - W
    }  # fmt: skip
    if not chosen:
        return PREDICTION.not_run("no grokked run long enough to have windows away from the transition")
    areas = [area_under_curve(_parameter(run), _near(run, step)) for run, step in chosen.values()]
    shifted = [_shifted(_parameter(run), _near(run, step)) for run, step in chosen.values()]
    found = against(areas, shifted)
    by_run = {id(run): copies for run, copies in zip(runs, noise, strict=True)}
    copies = against(areas, [
        np.array([area_under_curve(_parameter(copy), _near(run, step)) for copy in by_run[id(run)]])
        for run, step in chosen.values()
    ])  # fmt: skip
    others = [
        Reading.above(f"{name}, as published", mean([
            area_under_curve(_parameter(run, norm), _near(run, step)) for run, step in chosen.values()
        ]), found.control, CHANCE)
        for name, norm in tried({"‖Δλ‖": "eigenvalue"}, 0).items()
    ]  # fmt: skip
    matched = [_matched(without[key], run, step) for key, (run, step) in chosen.items() if key in without]
    elsewhere = mean(matched)
    p_value = max(found.p_value, copies.p_value)
    return PREDICTION.verdict(
        above_and_specific(found.treated, CHANCE, (found, copies)),
        statistic=found.treated.value,
        control=found.control.value,
        statistic_name="area under the ROC curve of 𝒜 for windows near the transition",
        effect=found.treated,
        effect_name="the area",
        p_value=p_value,
        n=len(chosen),
        readings=(
            Reading.above("‖ΔC‖_F; labels at other times", found.treated, found.control, CHANCE),
            Reading.above("‖ΔC‖_F; noise of the same norms", copies.treated, copies.control, CHANCE),
            *others,
            Reading.above("the run without decay, same steps", found.treated, elsewhere, CHANCE),
        ),
        details={"median_A": {
            "near": float(np.median([np.nanmedian(_parameter(r)[_near(r, s)]) for r, s in chosen.values()])),
            "elsewhere": float(np.median([np.nanmedian(_parameter(r)[~_near(r, s)]) for r, s in chosen.values()])),
        }},
        meaning=(
            f"A window within {W} records of the grok step has a larger 𝒜 than one away from it with probability "
            f"{found.treated.value:.2f}, with the label at other times of the run {found.control.value:.2f}, in noise "
            f"of the same norms {copies.control.value:.2f}. At the same steps of the runs without decay it is "
            f"{elsewhere.value:.2f}."
        ),
    )  # fmt: skip


def _matched(other: GramSequence, run: GramSequence, step: int) -> float:
    """The area in another run, cut to the length of the first."""
    scores, labels = _parameter(other), _near(other, step)
    cut = min(len(scores), run.T - W)
    return area_under_curve(scores[:cut], labels[:cut])


PREDICTION = Prediction(
    number=14,
    id="adiabatic-regimes",
    version=2,
    claim="The adiabatic parameter separates plateau, transition and forgetting.",
    reference="abstract, (iii); docs/theory.md, 5.6",
    statistic=f"area under the ROC curve of 𝒜 for windows within {W} records of the grok step",
    treatment="runs with weight decay that grok",
    control="the label at other times of the run; noise of the same norms; the run without decay at the same steps",
    rule=f"interval above {CHANCE:g}, and p < {LEVEL:g} against the label at other times and against noise",
    boundaries=(CHANCE,),
    changed_by=(
        "Records every 25 steps around the grok step: a run whose windows all lie within one W of the "
        "transition cannot be judged, and those are the ones that learn fast. Minutes per run."
    ),
    judge=judge,
    published=published.REGIMES,
    planted=worlds.planted("adiabatic-regimes", with_controls=True),
    turned={"_parameter": neg},
    picture=drawn("adiabatic"),
    needs=Needs(
        runs="a run with weight decay and a transition, long enough to have windows away from it",
        config=("weight_decay", "seed", "learning_rate"),
        metrics=(TRANSITION,),
        records=W + 1,
        band=W + 1,
    ),
)
