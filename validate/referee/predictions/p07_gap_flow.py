"""Prediction 7: the gap follows its flow equation."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge import theory
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import knows, number
from spectral_edge.validate.referee.collapse.tracks import Optimizer
from spectral_edge.validate.referee.curvature import Curvature, deciding, gradients, plain, seen, source
from spectral_edge.validate.referee.needs import CURVATURE, Needs
from spectral_edge.validate.referee.published import stability as published
from spectral_edge.validate.referee.statistics import Comparison, against
from spectral_edge.validate.referee.verdict import Prediction, Reading, Verdict, above_and_specific, tried

W = 10
LEVEL = 0.05
CHANCE = 0.5
SHUFFLES = 200
FEWEST = 8  # windows with a measured curvature

Floats = NDArray[np.float64]


class Flow(NamedTuple):
    """What a run says of 3.3, one row per window with measured curvature.

    Attributes
    ----------
    observed : (m,) array
        Change of σ_k − σ_{k+1} to the next record, k = k* of the window, parameter units per step.
    terms : (m, 3) array
        Curvature asymmetry, damping, and gradient driving with the measured p_j, the same unit.
    """

    observed: Floats
    terms: Floats


def measure(run: GramSequence, curvature: Curvature = seen) -> Flow:
    """The terms of 3.3 at k*, and the change of that gap to the next record."""
    windows, eta = run.window(W), Optimizer.of(run).pace[W - 1 :]
    h, p = curvature(run, W), gradients(run, W) ** 2
    rows = np.flatnonzero(np.isfinite(windows.k_star[:-1]) & np.isfinite(eta[:-1]))
    k = windows.k_star[rows].astype(int)[:, None] - 1 + np.array([0, 1])
    told = np.isfinite(np.take_along_axis((h + p)[rows], k, axis=1)).all(axis=1)
    rows, k = rows[told], k[told]
    pairs = [np.take_along_axis(x[rows], k, axis=1) for x in (windows.sigma, h, p)]
    d = pairs[0]
    later = np.take_along_axis(windows.sigma[rows + 1], k, axis=1)
    steps = np.diff(windows.steps)[rows]
    observed = ((later - d) @ [1.0, -1.0]) / steps
    terms = theory.gap_terms(
        d[:, 0] - d[:, 1], d.mean(axis=1), h=pairs[1], p=pairs[2],
        eta=eta[rows], omega=number(run, "weight_decay"), W=W,
    )  # fmt: skip
    return Flow(observed, np.stack([terms.curvature, terms.damping, terms.driving], axis=1))


def _fitted(train: Flow, test: Flow) -> Floats:
    """ġ as stated but for the scale of the source, which the other half of the run fits (3.1 leaves it open)."""
    rest, driving = train.observed - train.terms[:, :2].sum(axis=1), train.terms[:, 2]
    scale = max(0.0, float(driving @ rest) / max(float(driving @ driving), np.finfo(float).tiny))
    return np.asarray(test.terms[:, :2].sum(axis=1) + scale * test.terms[:, 2])


def _as_stated(train: Flow, test: Flow) -> Floats:
    return np.asarray(test.terms.sum(axis=1))


def _free(train: Flow, test: Flow) -> Floats:
    """All three terms with a coefficient of their own, which the other half of the run fits."""
    size = np.linalg.norm(train.terms, axis=0)
    size[size == 0] = 1.0
    return np.asarray(test.terms / size @ np.linalg.lstsq(train.terms / size, train.observed)[0])


READINGS: dict[str, Callable[[Flow, Flow], Floats]] = {
    "scale of the source fitted on the other half": _fitted,
    "p_j as measured": _as_stated,
    "three coefficients fitted on the other half": _free,
}


def _predicted(flow: Flow, predict: Callable[[Flow, Flow], Floats]) -> Floats:
    """ġ of each half of the run, with what is to be fitted taken from the other."""
    half = len(flow.observed) // 2
    one, two = Flow(flow.observed[:half], flow.terms[:half]), Flow(flow.observed[half:], flow.terms[half:])
    return np.concatenate([predict(two, one), predict(one, two)])


def agreement(flow: Flow, predict: Callable[[Flow, Flow], Floats]) -> float:
    """Share of windows in which the predicted and the observed change have the same sign."""
    return float(np.mean(np.sign(_predicted(flow, predict)) == np.sign(flow.observed)))


def _r_squared(flow: Flow, predict: Callable[[Flow, Flow], Floats]) -> float:
    """1 − (squared error)/(squared observed change): against the prediction that nothing changes."""
    rest = flow.observed - _predicted(flow, predict)
    return 1 - float(rest @ rest) / float(flow.observed @ flow.observed)


def _compare(run: GramSequence, flow: Flow, predict: Callable[[Flow, Flow], Floats]) -> tuple[float, Floats]:
    rng = np.random.default_rng(worlds.key(run, PREDICTION.number))
    order = [rng.permutation(len(flow.observed)) for _ in range(SHUFFLES)]
    shuffled = [agreement(Flow(flow.observed, flow.terms[rows]), predict) for rows in order]
    return agreement(flow, predict), np.array(shuffled)


def _against_other_times(
    flows: Sequence[tuple[GramSequence, Flow]], predict: Callable[[Flow, Flow], Floats]
) -> Comparison:
    rows = [_compare(run, flow, predict) for run, flow in flows]
    return against([row[0] for row in rows], [row[1] for row in rows])


def _flows(runs: Sequence[GramSequence], curvature: Curvature = seen) -> list[tuple[GramSequence, Flow]]:
    """The runs that say enough, each with what it says."""
    found = [(run, measure(run, curvature)) for run in runs]
    return [(run, flow) for run, flow in found if len(flow.observed) >= FEWEST]


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Sign agreement of predicted and observed ġ, against terms taken from other times."""
    copies_of = {id(run): copies for run, copies in zip(runs, noise, strict=True)}
    usable = [
        run for run in runs
        if "gradient" in run.probes and source(run, W) is not None and min(run.T, run.W_max) >= W
        and knows(run, "learning_rate", "weight_decay")
    ]  # fmt: skip
    own, others = map(_flows, deciding(usable))
    chosen = own or others  # dense runs that say nothing decide nothing
    if not chosen:
        return PREDICTION.not_run(
            f"no run with gradients and, in {FEWEST} windows, the curvature that its optimiser sees at k*"
        )
    found = {name: _against_other_times(chosen, predict) for name, predict in tried(READINGS).items()}
    first = next(iter(found.values()))
    # a gap of noise returns to its mean, and damping predicts as much: the equation must do better than that
    reverting = [np.array([_reverts(copy) for copy in copies_of[id(run)]]) for run, _ in chosen]
    copies = against([agreement(flow, _fitted) for _, flow in chosen], reverting)
    p_value = max(first.p_value, copies.p_value)
    beside = {
        "curvature of the plain loss": lambda: _flows(
            [run for run, _ in chosen if "hessian" in run.probes], plain
        ),
        "records further apart": lambda: others if own else [],
    }
    for name, made in tried(beside, 0).items():
        if rows := made():
            found[name] = _against_other_times(rows, _fitted)
    r_squared = {
        name: float(np.median([_r_squared(flow, predict) for _, flow in chosen]))
        for name, predict in tried(READINGS).items()
    }
    return PREDICTION.verdict(
        above_and_specific(first.treated, CHANCE, (first, copies)),
        statistic=first.treated.value,
        control=first.control.value,
        statistic_name="share of windows in which ġ has the predicted sign",
        effect=first.treated,
        effect_name="the share",
        p_value=p_value,
        n=len(chosen),
        readings=tuple(
            Reading.above(name, one.treated, one.control, CHANCE)
            for name, one in {**found, "the same in noise with isotropic gradients": copies}.items()
        ),
        details={"out_of_sample_r_squared": r_squared},
        meaning=(
            f"The predicted change of the gap has the observed sign in {first.treated.value:.0%} of the windows, with "
            f"terms of other times in {first.control.value:.0%}, in noise in {copies.control.value:.0%} (a gap of "
            f"noise returns to its mean); the median out-of-sample R² is {next(iter(r_squared.values())):.2g}. "
            "Curvatures are those that the optimiser sees; the scale of the source is fitted on the other half of the "
            "run."
        ),
    )


def _reverts(copy: GramSequence) -> float:
    """The agreement in a noise copy; NaN where it says nothing."""
    flow = measure(worlds.where_curved(copy))
    return agreement(flow, _fitted) if len(flow.observed) >= FEWEST else float("nan")


PREDICTION = Prediction(
    number=7,
    id="gap-flow",
    version=3,
    claim="The gap changes as its flow equation says.",
    reference="abstract, (i); docs/theory.md, 3.3",
    statistic="share of windows in which predicted and observed ġ have the same sign; out-of-sample R²",
    treatment=(
        "runs recorded at every step (all runs where there are none) with gradients and curvatures v_jᵀD⁻¹Hv_j as the "
        "optimiser sees them"
    ),
    control="the terms of the equation taken from other times of the run; noise with isotropic gradients",
    rule=f"interval above {CHANCE:.0%}, and p < {LEVEL:g} against both controls",
    boundaries=(CHANCE,),
    changed_by=(
        "More runs of full batches at every step, seconds each: with batches, or a hundred steps between records, a "
        "window gains an update that nothing before it foretells, and the sign of ġ with it."
    ),
    dense=True,
    judge=judge,
    published=published.FLOW,
    planted=worlds.planted("gap-flow"),
    turned={"measure": lambda flow: flow._replace(observed=-flow.observed)},
    needs=Needs(
        runs=f"one run with {FEWEST} windows whose curvature is known",
        config=("learning_rate", "weight_decay"),
        probes=("gradient", CURVATURE),
    ),
)
