"""Early warning: whether, at step t of a new run, a transition is coming.

A record is positive where the transition (the onset of learning) comes within the next `HORIZON` records. Every score
knows the records up to its own only. What a feature needs (which side warns, the alarm's threshold, the weights
of a combination) is learned on the other families and judged on the one left out, where a positive record is
compared with the negative ones of the same step: time since the start cannot pass for a warning.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from spectral_edge.theory.checks import FloatArray, whole
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import card, is_plain, metric
from spectral_edge.validate.referee.conditions import Event, with_event
from spectral_edge.validate.referee.early_warning import folds
from spectral_edge.validate.referee.early_warning.features import (
    BASELINE,
    FEATURES,
    SPECTRAL,
    TOGETHER,
    WARM_UP,
    Feature,
)
from spectral_edge.validate.referee.early_warning.folds import FALSE_ALARMS, HORIZON, Pairs, Watched
from spectral_edge.validate.referee.early_warning.result import MIN_RUNS, EarlyWarning, Warner
from spectral_edge.validate.referee.events import ONSET, is_watched, onset_step, transition
from spectral_edge.validate.referee.statistics import Estimate, proportion
from spectral_edge.validate.referee.verdict import UNKNOWN

#: Draws of the bootstrap over runs.
DRAWS = 2000
#: The plain baseline that every feature is compared with.
PLAIN = "validation loss"
COMBINED = {"all spectral": (SPECTRAL,), "all baselines": (BASELINE,), "all together": (SPECTRAL, BASELINE)}


def early_warning(
    runs: Sequence[GramSequence],
    *,
    seed: int = 0,
    features: Sequence[Feature] = FEATURES,
    event: Event | None = None,
    horizon: int = HORIZON,
) -> EarlyWarning:
    """Judge what warns of a transition (8.4), each time on a family of runs that it was not learned on.

    Parameters
    ----------
    runs : sequence of GramSequence
        With their test accuracies; families are tasks and operations (``config``). Runs of experiments
        other than "grokking" are left out, and the result says so.
    seed : int
        Seed of the bootstrap over runs.
    event : str, int, callable or mapping, optional
        What counts as a transition, if not its onset, where the test accuracy has gone a fifth of the way from where it
        started to 1: see `validate.check`. A test accuracy of 0.95, reached when learning is half over, is a reading
        beside it; where no onset can be judged it takes its place, and the result says so.
    horizon : int
        A record is positive where the transition comes within this many records.
    features : sequence of Feature
        Default: g_23, R, k*, 𝒜, the validation loss, the weight norm, and what is trivial.

    Returns
    -------
    EarlyWarning

    Raises
    ------
    ValueError
        If fewer than two families or seeds have a transition beside a run that can be compared with it, two features
        share a name, or an argument is out of its range.

    Notes
    -----
    Runs that never have a transition mostly have no weight decay, so whatever depends on weight decay has a high
    `auc`; `when`, and the feature "weight decay", say how much of it that is. Noise matched run by run
    (`worlds.matched_noise`) keeps the size, dimension and autocorrelation of its run: what a feature reaches there
    it does not owe to the order of the updates. In noise that is alike in all runs (12 planted transitions and 12
    controls, 200 replicates) a spectral feature passed in 1.5 to 7 % of the replicates, "all spectral" in 6 %.

    Examples
    --------
    >>> from spectral_edge import simulate, validate
    >>> worlds = [simulate.planted("gap-precedes-grokking", seed, control=c) for seed in (1, 2) for c in (0, 1)]
    >>> runs = [
    ...     validate.GramSequence.from_inner_products(w.K, w.steps, metrics=w.metrics, config=w.config)
    ...     for w in worlds
    ... ]
    >>> found = validate.early_warning(runs)
    >>> found["g_23"].warns, found["weight norm"].runs
    ('low', 0)
    """
    chosen = tuple(features)
    if not chosen or len({feature.name for feature in chosen}) < len(chosen):
        raise ValueError("features must be at least one, each with its own name")
    seed = whole("seed", seed, 0)
    horizon = whole("horizon", horizon, 1)
    # One BLAS thread: the same bits whatever the machine's cores, and matrices this small are slower with more.
    runs = list(runs)
    with threadpool_limits(limits=1, user_api="blas"):
        if event is not None or any(_says_its_own(run) for run in runs):
            own = with_event(runs, event)
            return replace(_judged(own, chosen, seed, horizon), label=transition(own))
        return _from_the_onset(runs, chosen, seed, horizon)


def _says_its_own(run: GramSequence) -> bool:
    """Whether the card says what counts as a transition."""
    return card(run).event is not None or card(run).event_step is not None


def _from_the_onset(
    runs: list[GramSequence], chosen: tuple[Feature, ...], seed: int, horizon: int
) -> EarlyWarning:
    """The transition is where learning sets in; where it is half over is a reading."""
    label = f"onset, {ONSET:g} of the way from the first test accuracy to 1"
    known = [run for run in runs if metric(run, "test_accuracy") is not None]
    steps = {id(run): onset_step(run) for run in known}
    labelled = with_event(runs, lambda run: steps.get(id(run), False)) if known else runs
    late = None
    try:
        late = replace(_judged(runs, chosen, seed, horizon), label=transition(runs))
        found = replace(_judged(labelled, chosen, seed, horizon), label=label)
    except ValueError as error:
        if late is None:
            raise
        return replace(late, unfair=f"{label}: {error}")
    return replace(found, late={one.name: one.auc for one in late.warners})


def _judged(runs: list[GramSequence], chosen: tuple[Feature, ...], seed: int, horizon: int) -> EarlyWarning:
    watched, left_out, not_judged = _watched(runs, chosen, horizon)
    draws = _draws(len(watched), seed)
    scored = [_single(watched, feature) for feature in chosen]
    scored += _combinations(watched, chosen)
    named = {one.feature.name: one for one in scored}
    plain = named.get(PLAIN)
    both, spectral, baselines = (
        named.get(name) for name in ("all together", "all spectral", "all baselines")
    )
    families = {run.family: 0 for run in watched}
    for run in watched:
        families[run.family] += run.transition is not None
    return EarlyWarning(
        warners=tuple(_warner(watched, one, plain, draws) for one in scored),
        adds=_difference(both, baselines, draws),
        instead=_difference(spectral, baselines, draws),
        left_out=left_out,
        families=families,
        not_judged=not_judged,
        horizon=horizon,
        false_alarms=FALSE_ALARMS,
        seed=seed,
    )


# -- which runs ----------------------------------------------------------------------------------------------


def _watched(
    runs: list[GramSequence], features: tuple[Feature, ...], horizon: int
) -> tuple[list[Watched], str, dict[str, str]]:
    """Return the runs that can be judged, what is left out in turn, and why the others cannot be judged."""
    not_judged: dict[str, str] = {}
    kept: list[Watched] = []
    for i, run in enumerate(runs, start=1):
        own = card(run)
        name = own.run or f"run {i}"
        if not is_plain(run):
            not_judged[name] = "of another experiment"
        elif not is_watched(run):
            not_judged[name] = "no test accuracy was recorded"
        elif run.T <= WARM_UP:
            not_judged[name] = f"{run.T} records, and the first {WARM_UP} are not judged"
        else:
            fold = str(i if own.seed is None else own.seed)
            one = folds.watch(run, name, own.family, fold, features, horizon)
            if len(one.steps):
                kept.append(one)
            else:
                not_judged[name] = f"its transition comes within the first {WARM_UP} records"
    comparable = _comparable(kept)
    for one in kept:
        if one.family not in comparable:
            not_judged[one.name] = "no transition in its family beside a run at the same step"
    kept = [one for one in kept if one.family in comparable]
    if len(comparable) > 1:
        return [one._replace(fold=one.family) for one in kept], "family", not_judged
    if len(comparable) == 1 and len({one.fold for one in kept}) > 1:
        return kept, "seed", not_judged
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(not_judged.items())[:3])
    raise ValueError(
        "runs must hold a transition, and a run without one at its step, in at least two families (task, "
        f"operation) or seeds, got {len(runs)} runs with {len(comparable)} such families"
        + (f" ({reasons})" if reasons else "")
    )


def _comparable(runs: list[Watched]) -> set[str]:
    pairs, _ = folds.matched_pairs(runs, [np.zeros(len(run.steps)) for run in runs])
    return {run.family for run, count in zip(runs, pairs.compared.sum(axis=1), strict=True) if count}


# -- scores with what was learned on the other folds -------------------------------------------------------------


class _Scored(NamedTuple):
    """A feature or a combination, its scores turned so that high ones warn, and the pairs they make."""

    feature: Feature
    warns: str
    values: list[FloatArray]
    threshold: dict[str, float]
    pairs: Pairs
    missing: tuple[str, ...]


def _same_fold(runs: Sequence[Watched]) -> NDArray[np.bool_]:
    names = np.array([run.fold for run in runs])
    return np.asarray(names[:, None] == names)


def _single(runs: list[Watched], feature: Feature) -> _Scored:
    raw = [run.scores[feature.name] for run in runs]
    pairs, _ = folds.matched_pairs(runs, raw)
    learned = folds.directions(runs, pairs)
    turned = {sign: [sign * score for score in raw] for sign in (1, -1)}
    threshold = folds.thresholds(runs, lambda fold: turned[learned[fold]])
    values = [learned[run.fold] * score for run, score in zip(runs, raw, strict=True)]
    sides = {"high" if sign > 0 else "low" for sign in learned.values()}
    signs = np.array([learned[run.fold] for run in runs])[:, None]
    judged = Pairs(np.where(signs > 0, pairs.concordant, pairs.turned().concordant), pairs.compared)
    missing = tuple(run.name for run, score in zip(runs, raw, strict=True) if np.isnan(score).all())
    warns = sides.pop() if len(sides) == 1 else "mixed"
    return _Scored(feature, warns, values, threshold, judged.within(_same_fold(runs)), missing)


def _combinations(runs: list[Watched], features: tuple[Feature, ...]) -> list[_Scored]:
    """Logistic regressions on the features that every run has, each with the steps beside them."""
    known = [f for f in features if not any(np.isnan(run.scores[f.name]).all() for run in runs)]
    groups = {name: [f.name for f in known if f.group in wanted] for name, wanted in COMBINED.items()}
    if not groups["all spectral"] or not groups["all baselines"]:
        return []
    runs = [run._replace(scores=run.scores | {"time": np.log1p(run.steps.astype(float))}) for run in runs]
    # all are judged at the records at which all are known
    whole_rows = [np.sum([run.scores[name] for name in groups["all together"]], axis=0) * 0 for run in runs]
    made = []
    for name, used in groups.items():
        fitted = {fold: folds.logistic(runs, [*used, "time"], fold) for fold in {run.fold for run in runs}}
        values = [fitted[run.fold][i] + whole_rows[i] for i, run in enumerate(runs)]
        threshold = folds.thresholds(runs, fitted.__getitem__)
        pairs, _ = folds.matched_pairs(runs, values)
        feature = Feature(name, TOGETHER, "logistic regression on " + ", ".join(used), lambda r, w: r.K[:0])
        made.append(_Scored(feature, "high", values, threshold, pairs.within(_same_fold(runs)), ()))
    return made


# -- estimates -------------------------------------------------------------------------------------------------


def _draws(n: int, seed: int) -> FloatArray:
    """How often each run occurs in each draw of the bootstrap, (DRAWS, n); the same for all features."""
    rng = np.random.default_rng([seed, n])
    return rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(float)


def _resampled(pairs: Pairs, draws: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        concordant, count = (((draws @ matrix) * draws).sum(axis=1) for matrix in pairs)
        return np.asarray(concordant / count)


def _kinds(pairs: Pairs) -> int:
    """Runs of the rarer kind: with positive or with negative records in a pair."""
    return int(min((pairs.compared.sum(axis=axis) > 0).sum() for axis in (0, 1)))


def _interval(pairs: Pairs, draws: FloatArray) -> Estimate:
    """AUC with the percentile interval of a bootstrap over runs.

    With fewer than `MIN_RUNS` runs of either kind, or where no draw differs, Clopper and Pearson's interval of a
    share of that many runs takes its place.
    """
    auc, n = pairs.auc, _kinds(pairs)
    if not n:
        return UNKNOWN
    low, high = np.nanquantile(_resampled(pairs, draws), [0.025, 0.975])
    return proportion(auc * n, n) if n < MIN_RUNS or low == high else Estimate(auc, float(low), float(high))


def _difference(one: _Scored | None, other: _Scored | None, draws: FloatArray) -> Estimate:
    """Difference of the AUCs of two scores on the runs that have both, with its paired bootstrap interval."""
    if one is None or other is None:
        return UNKNOWN
    common = (one.pairs.compared > 0) & (other.pairs.compared > 0)
    first, second = one.pairs.within(common), other.pairs.within(common)
    if _kinds(first) < MIN_RUNS:
        return UNKNOWN
    low, high = np.nanquantile(_resampled(first, draws) - _resampled(second, draws), [0.025, 0.975])
    return Estimate(first.auc - second.auc, float(low), float(high))


def _warner(runs: list[Watched], scored: _Scored, plain: _Scored | None, draws: FloatArray) -> Warner:
    pairs, values = scored.pairs, scored.values
    has = np.array([run.transition is not None for run in runs])
    same = _same_fold(runs)
    # a curve of scores that were learned fold by fold compares within a fold only
    alone = [run._replace(family=f"{run.family}\n{run.fold}") for run in runs]
    _, roc = folds.matched_pairs(alone, values)
    auc = _interval(pairs, draws)
    sounded = folds.alarms(runs, values, scored.threshold)
    leads = [lead for lead in sounded.leads if lead is not None]
    involved = (pairs.compared.sum(axis=0) + pairs.compared.sum(axis=1)) > 0
    return Warner(
        name=scored.feature.name,
        group=scored.feature.group,
        meaning=scored.feature.meaning,
        warns=scored.warns if pairs.compared.any() else "–",
        auc=auc,
        when=_interval(pairs.within(np.outer(has, has)), draws),
        unmatched=_interval(folds.all_pairs(runs, values).within(same), draws),
        over_loss=UNKNOWN if plain is scored else _difference(scored, plain, draws),
        by_family={
            family: pairs.within(np.outer(at, at)).auc
            for family in dict.fromkeys(run.family for run in runs)
            for at in [np.array([run.family == family for run in runs])]
        },
        hit_rate=proportion(len(leads), len(sounded.leads)) if sounded.leads else UNKNOWN,
        false_alarm_rate=proportion(int(np.count_nonzero(sounded.false)), len(sounded.false))
        if sounded.false
        else UNKNOWN,
        false_alarms_per_run=float(np.mean(sounded.false)) if sounded.false else float("nan"),
        lead_records=tuple(records for records, _ in leads),
        lead_steps=tuple(steps for _, steps in leads),
        transitions=int((pairs.compared.sum(axis=1) > 0).sum()),
        runs=int(involved.sum()),
        missing=scored.missing,
        passes=None if _kinds(pairs) < MIN_RUNS else bool(auc.low > 0.5),
        roc=roc,
    )
