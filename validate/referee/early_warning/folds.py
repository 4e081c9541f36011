"""Leave one family out: what is learned on the others, and how it does on the one left out, matched in time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.early_warning.features import WARM_UP, Feature, scores
from spectral_edge.validate.referee.events import grok_step

#: A record is positive where the transition comes within this many records.
HORIZON = 10
#: Share of the runs that an alarm may sound falsely in, on the families it was learned on.
FALSE_ALARMS = 0.05
#: Ridge penalty of the logistic regression, on standardised features.
RIDGE = 0.01


class Watched(NamedTuple):
    """The records of one run that are judged: after the warm-up and before the transition.

    Attributes
    ----------
    name, family, fold : str
        Of the run; runs of one fold are left out together.
    steps : (m,) int64
    positive : (m,) bool
        Whether the transition comes within the horizon.
    transition : int or None
        Its step.
    scores : dict of str to (m,) array
        By feature; NaN where unknown.
    """

    name: str
    family: str
    fold: str
    steps: NDArray[np.int64]
    positive: NDArray[np.bool_]
    transition: int | None
    scores: dict[str, FloatArray]


def watch(
    run: GramSequence,
    name: str,
    family: str,
    fold: str,
    features: tuple[Feature, ...],
    horizon: int = HORIZON,
) -> Watched:
    """Label and score the records of `run`; one that never has a transition is negative at all of them."""
    transition = grok_step(run)
    end = run.T if transition is None else int(np.searchsorted(run.steps, transition))
    left = end - np.arange(WARM_UP, end)  # records to the transition
    kept = slice(WARM_UP, end)
    positive = np.zeros(len(left), dtype=bool) if transition is None else left <= horizon
    found = {key: score[kept] for key, score in scores(run, features).items()}
    return Watched(name, family, fold, run.steps[kept], positive, transition, found)


def watch_ends(runs: Sequence[Watched]) -> dict[str, int]:
    """Last step of every family at which a transition was still to come; none where there is no transition."""
    ends: dict[str, int] = {}
    for run in runs:
        if run.positive.any():
            ends[run.family] = max(ends.get(run.family, 0), int(run.steps[run.positive][-1]))
    return ends


# -- pairs of a positive and a negative record -----------------------------------------------------------------


class Pairs(NamedTuple):
    """Pairs of a positive record and a negative one, counted by the runs they come from.

    Attributes
    ----------
    concordant : (n, n) array
        [i, j]: pairs of a positive record of run i and a negative one of run j in which the first has the
        higher score; equal scores count half.
    compared : (n, n) array
        All such pairs.
    """

    concordant: FloatArray
    compared: FloatArray

    def turned(self) -> "Pairs":
        """The pairs of the scores with the opposite sign."""
        return Pairs(self.compared - self.concordant, self.compared)

    def within(self, mask: NDArray[np.bool_]) -> "Pairs":
        """The pairs for which `mask` (n, n) holds."""
        return Pairs(np.where(mask, self.concordant, 0.0), np.where(mask, self.compared, 0.0))

    @property
    def auc(self) -> float:
        """Share of the pairs that are concordant, NaN where there are none."""
        total = self.compared.sum()
        return float(self.concordant.sum() / total) if total else float("nan")


def _higher(one: FloatArray, other: FloatArray) -> FloatArray:
    return (one[:, None] > other) + 0.5 * (one[:, None] == other)


def matched_pairs(runs: Sequence[Watched], values: Sequence[FloatArray]) -> tuple[Pairs, FloatArray]:
    """Pairs at the same step of runs of one family, and the covariate-adjusted ROC curve they make.

    Returns
    -------
    pairs : Pairs
    roc : (2, m) array
        False-alarm and hit rates: the distribution of the positives' placement among the negatives of their
        step (Janes and Pepe, Biometrika 96, 371, 2009). The area under it is ``pairs.auc``.
    """
    n = len(runs)
    concordant, count = np.zeros((n, n)), np.zeros((n, n))
    placements, weights = [], []
    for family, end in watch_ends(runs).items():
        members = [i for i in range(n) if runs[i].family == family]
        grid = np.unique(np.concatenate([runs[i].steps for i in members]))
        grid = grid[grid <= end]
        score = np.full((len(members), len(grid)), np.nan)
        positive = np.zeros(score.shape, dtype=bool)
        for row, i in enumerate(members):
            inside = runs[i].steps <= end
            at = np.searchsorted(grid, runs[i].steps[inside])
            score[row, at], positive[row, at] = values[i][inside], runs[i].positive[inside]
        for column, hit in zip(score.T, positive.T, strict=True):
            known = np.isfinite(column)
            ones, others = np.flatnonzero(known & hit), np.flatnonzero(known & ~hit)
            if len(ones) and len(others):
                higher = _higher(column[ones], column[others])
                block = np.ix_(np.array(members)[ones], np.array(members)[others])
                concordant[block] += higher
                count[block] += 1
                placements.extend(1 - higher.mean(axis=1))
                weights.extend([len(others)] * len(ones))
    return Pairs(concordant, count), _roc(np.array(placements), np.array(weights, dtype=float))


def _roc(placements: FloatArray, weights: FloatArray) -> FloatArray:
    if not len(placements):
        return np.full((2, 1), np.nan)
    order = np.argsort(placements, kind="stable")
    hits = np.cumsum(weights[order]) / weights.sum()
    return np.array([[0.0, *placements[order], 1.0], [0.0, *hits, 1.0]])


def all_pairs(runs: Sequence[Watched], values: Sequence[FloatArray]) -> Pairs:
    """Pairs of runs of one family whatever their steps: what is usually reported, time included."""
    n = len(runs)
    concordant, count = np.zeros((n, n)), np.zeros((n, n))
    for i, one in enumerate(runs):
        ones = values[i][one.positive & np.isfinite(values[i])]
        for j, other in enumerate(runs):
            if one.family == other.family:
                others = values[j][~other.positive & np.isfinite(values[j])]
                concordant[i, j] = _higher(ones, others).sum()
                count[i, j] = len(ones) * len(others)
    return Pairs(concordant, count)


# -- what is learned on the other families ---------------------------------------------------------------------


def directions(runs: Sequence[Watched], pairs: Pairs) -> dict[str, int]:
    """By fold, 1 where a high score warns on the *other* folds and −1 where a low one does."""
    folds = np.array([run.fold for run in runs])
    learned = {}
    for fold in dict.fromkeys(folds.tolist()):
        rest = folds != fold
        auc = pairs.within(np.outer(rest, rest)).auc
        learned[fold] = -1 if auc < 0.5 else 1
    return learned


def thresholds(runs: Sequence[Watched], values: Callable[[str], Sequence[FloatArray]]) -> dict[str, float]:
    """By fold, the threshold that at most `FALSE_ALARMS` of the runs of the *other* folds pass falsely.

    `values(fold)` are the scores of all runs with what was learned for that fold. A run counts with the
    highest score of its negative records up to the family's last transition.
    """
    ends = watch_ends(runs)
    found = {}
    for fold in dict.fromkeys(run.fold for run in runs):
        highest = [
            float(np.nanmax(negative))
            for run, score in zip(runs, values(fold), strict=True)
            if run.fold != fold and not np.isnan(negative := score[negatives(run, ends)]).all()
        ]
        found[fold] = float(np.quantile(highest, 1 - FALSE_ALARMS, method="higher")) if highest else np.inf
    return found


def negatives(run: Watched, ends: dict[str, int]) -> NDArray[np.bool_]:
    """Negative records of `run` while a transition of its family is still to come: its time-matched control."""
    return ~run.positive & (run.steps <= ends.get(run.family, -1))


def logistic(runs: Sequence[Watched], names: Sequence[str], fold: str) -> list[FloatArray]:
    """Linear predictor of a ridge logistic regression learned on the other folds, for the records of all runs.

    Every feature is standardised on the records it is learned on; NaN where a feature is unknown.
    """
    ends = watch_ends(runs)
    X = [np.column_stack([run.scores[name] for name in names]) for run in runs]
    inside = [
        (run.positive | negatives(run, ends)) & np.isfinite(x).all(axis=1) & (run.fold != fold)
        for run, x in zip(runs, X, strict=True)
    ]
    learned = np.concatenate([x[keep] for x, keep in zip(X, inside, strict=True)])
    label = np.concatenate([run.positive[keep] for run, keep in zip(runs, inside, strict=True)]).astype(float)
    if len(np.unique(label)) < 2:
        return [np.full(len(x), np.nan) for x in X]
    centre, spread = learned.mean(axis=0), learned.std(axis=0)
    spread[spread == 0] = 1.0
    slopes = ridge_logistic((learned - centre) / spread, label, RIDGE)[1:]
    return [((x - centre) / spread) @ slopes for x in X]


def ridge_logistic(X: FloatArray, y: FloatArray, ridge: float) -> FloatArray:
    """Intercept and slopes, (1 + k,), of the logistic regression of `y` (n,) on `X` (n, k), the slopes penalised.

    The minimum of the mean negative log-likelihood plus ridge/2 times the sum of the squared slopes: convex, and
    found by scipy with its gradient and its Hessian.
    """
    design = np.column_stack([np.ones(len(X)), X])
    penalty = np.array([0.0] + [ridge] * X.shape[1])

    def value(b: FloatArray) -> tuple[float, FloatArray]:
        z = design @ b
        gradient = design.T @ (expit(z) - y) / len(y) + penalty * b
        return float(np.mean(np.logaddexp(0, z) - y * z) + penalty @ b**2 / 2), gradient

    def curvature(b: FloatArray) -> FloatArray:
        p = expit(design @ b)
        return np.asarray((design.T * (p * (1 - p))) @ design / len(y) + np.diag(penalty))

    found = minimize(value, np.zeros(len(penalty)), jac=True, hess=curvature, method="trust-exact", tol=1e-10)
    return np.asarray(found.x)


# -- alarms on the family left out -----------------------------------------------------------------------------


class Alarms(NamedTuple):
    """What the alarms of one feature did.

    Attributes
    ----------
    leads : list of (int, int) or None
        One entry per run with a transition: records and steps from the first alarm within the horizon to it,
        None where none sounded.
    false : list of int
        One entry per run with negative records: how often an alarm began at one.
    """

    leads: list[tuple[int, int] | None]
    false: list[int]


def alarms(runs: Sequence[Watched], values: Sequence[FloatArray], threshold: dict[str, float]) -> Alarms:
    """Sound an alarm where a score exceeds the threshold of its fold, and see what came of it."""
    ends = watch_ends(runs)
    found = Alarms([], [])
    for run, score in zip(runs, values, strict=True):
        sounds = score > threshold[run.fold]  # NaN is no alarm
        quiet = negatives(run, ends)
        if np.isfinite(score[quiet]).any():
            on = np.concatenate([[False], sounds & quiet])
            found.false.append(int(np.sum(on[1:] & ~on[:-1])))
        if run.transition is not None and np.isfinite(score[run.positive]).any():
            first = np.flatnonzero(sounds & run.positive)[:1]
            lead = [(len(score) - int(i), run.transition - int(run.steps[i])) for i in first]
            found.leads.append(lead[0] if lead else None)
    return found
