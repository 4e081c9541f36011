"""Prediction 14: the adiabatic parameter separates transitions from plateaus."""

from collections.abc import Callable, Sequence
from operator import neg
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge import theory
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import DENSE, card, knows, learning_rate
from spectral_edge.validate.referee.curvature import deciding
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
#: Metric of dense runs: by how much the tangent kernel of some examples changed with the last step.
TANGENT = "tangent_rate"


def _of_the_kernel(run: GramSequence) -> NDArray[np.float64] | None:
    """𝒜 with the rate of change of the tangent kernel in the place of that of the window; None where not recorded."""
    rate = run.metrics.get(TANGENT)
    if rate is None:
        return None
    windows = run.window(W)
    return theory.adiabatic_parameter(rate[W - 1 : -1], windows.gap[:-1], learning_rate(run)[W:])


#: Other forms of 𝒜 (5.6), that decide nothing.
FORMS: dict[str, Callable[[GramSequence], NDArray[np.float64] | None]] = {
    "‖Δλ‖, as published": lambda run: _parameter(run, "eigenvalue"),
    "‖K̇‖, K the tangent kernel": _of_the_kernel,
}


def _parameter(run: GramSequence, norm: str = "frobenius") -> NDArray[np.float64]:
    """𝒜 of every window but the last."""
    return run.window(W).adiabatic(learning_rate(run)[W:], norm)


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


class _Transition(NamedTuple):
    """A run that groks, the step, and the run without decay of the same seed where there is one."""

    run: GramSequence
    step: int
    without: GramSequence | None


def _transitions(runs: Sequence[GramSequence]) -> list[_Transition]:
    """Of the runs with weight decay; dense runs count whatever their decay: they do not come in pairs."""
    treated, control = decay_pairs(runs)
    candidates = [(run, control.get(key)) for key, run in treated.items()]
    candidates += [(run, None) for run in runs if card(run).experiment == DENSE]
    found = []
    for run, other in candidates:
        step = grok_step(run)
        if step is None or not knows(run, "learning_rate") or min(run.T, run.W_max) <= W:
            continue
        usable = other is not None and other.T > W and knows(other, "learning_rate")
        near, known = _near(run, step), ~np.isnan(_parameter(run))
        if (near & known).any() and (~near & known).any() and step >= run.steps[0]:
            found.append(_Transition(run, step, other if usable else None))
    return found


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Area under the ROC curve of 𝒜 for windows within one W of the grok step, against labels at other times."""
    own, others = (_transitions(of) for of in deciding(runs))
    chosen = own or others  # dense runs that do not grok decide nothing
    if not chosen:
        return PREDICTION.not_run("no grokked run long enough to have windows away from the transition")
    areas = [area_under_curve(_parameter(run), _near(run, step)) for run, step, _ in chosen]
    found = against(areas, [_shifted(_parameter(run), _near(run, step)) for run, step, _ in chosen])
    by_run = {id(run): copies for run, copies in zip(runs, noise, strict=True)}
    copies = against(areas, [
        np.array([area_under_curve(_parameter(copy), _near(run, step)) for copy in by_run[id(run)]])
        for run, step, _ in chosen
    ])  # fmt: skip
    readings = [
        Reading.above("‖ΔC‖_F; labels at other times", found.treated, found.control, CHANCE),
        Reading.above("‖ΔC‖_F; noise of the same norms", copies.treated, copies.control, CHANCE),
    ]
    for name, parameter in tried(FORMS, 0).items():
        pairs = [
            (scores, _near(run, step)) for run, step, _ in chosen if (scores := parameter(run)) is not None
        ]
        if pairs:
            one = against([area_under_curve(*pair) for pair in pairs], [_shifted(*pair) for pair in pairs])
            readings.append(Reading.above(f"{name}; labels at other times", one.treated, one.control, CHANCE))
    matched = mean([
        _matched(without, run, step) for run, step, without in (own + others if own else chosen) if without is not None
    ])  # fmt: skip
    with_partner = found.treated
    if own and others:
        further = against(
            [area_under_curve(_parameter(run), _near(run, step)) for run, step, _ in others],
            [_shifted(_parameter(run), _near(run, step)) for run, step, _ in others],
        )
        readings.append(
            Reading.above(
                "‖ΔC‖_F, records further apart; labels at other times",
                further.treated,
                further.control,
                CHANCE,
            )
        )
        with_partner = further.treated
    known = np.isfinite(matched.value)
    if known:
        readings.append(Reading.above("the run without decay, same steps", with_partner, matched, CHANCE))
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
        readings=tuple(readings),
        details={"median_A": {
            "near": float(np.median([np.nanmedian(_parameter(r)[_near(r, s)]) for r, s, _ in chosen])),
            "elsewhere": float(np.median([np.nanmedian(_parameter(r)[~_near(r, s)]) for r, s, _ in chosen])),
        }},
        meaning=(
            f"A window within {W} records of the grok step has a larger 𝒜 than one away from it with probability "
            f"{found.treated.value:.2f}, with the label at other times of the run {found.control.value:.2f}, in noise "
            f"of the same norms {copies.control.value:.2f}."
            + (f" At the same steps of the runs without decay it is {matched.value:.2f}." if known else "")
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
    version=3,
    claim="The adiabatic parameter separates plateau, transition and forgetting.",
    reference="abstract, (iii); docs/theory.md, 5.6",
    statistic=f"area under the ROC curve of 𝒜 for windows within {W} records of the grok step",
    treatment=(
        "runs recorded at every step that grok (runs with weight decay that grok, where there are none)"
    ),
    control="the label at other times of the run; noise of the same norms; the run without decay at the same steps",
    rule=f"interval above {CHANCE:g}, and p < {LEVEL:g} against the label at other times and against noise",
    boundaries=(CHANCE,),
    changed_by=(
        "More runs of small networks that grok, recorded at every step, seconds each: further seeds of the dense "
        "regimes of modular addition."
    ),
    dense=True,
    judge=judge,
    published=published.REGIMES,
    planted=worlds.planted("adiabatic-regimes", with_controls=True),
    turned={"_parameter": neg},
    picture=drawn("adiabatic"),
    needs=Needs(
        runs="a run with a transition, long enough to have windows away from it",
        config=("weight_decay", "seed", "learning_rate"),
        metrics=(TRANSITION,),
        records=W + 1,
        band=W + 1,
    ),
)
