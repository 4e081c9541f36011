"""Prediction 12: σ_1/σ_2 of the query matrices rises at grokking."""

from collections.abc import Sequence
from dataclasses import replace
from operator import neg

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import placebos, worlds
from spectral_edge.validate.referee.events import grok_step
from spectral_edge.validate.referee.needs import QUERIES, TRANSITION, Needs
from spectral_edge.validate.referee.partners import Partner, decay_pairs
from spectral_edge.validate.referee.published import grokking as published
from spectral_edge.validate.referee.statistics import LEVEL, Estimate, against, mean
from spectral_edge.validate.referee.verdict import (
    NOT_SPECIFIC,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    beyond,
    drawn,
    passes,
)

RECORDS = 5  # before and after that are compared
APART = 5  # records before the grok step that are left out: accuracy is already rising


def query_names(run: GramSequence) -> list[str]:
    """What every W_Q that reads what it writes to (self-attention) is called, as "encoder.0.Q"."""
    return [n.removesuffix(".sigma_1") for n in run.metrics if n.endswith(".Q.sigma_1") and "cross" not in n]


def query_ratios(run: GramSequence) -> list[np.ndarray]:
    """σ_1/σ_2 over time of each of them, (T,)."""
    return [run.metrics[f"{name}.sigma_1"] / run.metrics[f"{name}.sigma_2"] for name in query_names(run)]


def rise(run: GramSequence, step: int, largest: bool = False) -> float:
    """Log of σ_1/σ_2 after `step` over before, mean over the query matrices (or the largest); NaN at the ends."""
    at = int(np.searchsorted(run.steps, step))
    before = slice(max(0, at - APART - RECORDS), max(0, at - APART))
    rises = [
        float(np.median(np.log(ratio[at : at + RECORDS])) - np.median(np.log(ratio[before])))
        for ratio in query_ratios(run)
        if len(ratio[before]) and len(ratio[at:])
    ]
    if not rises:
        return float("nan")
    return max(rises) if largest else float(np.mean(rises))


def stages(run: GramSequence, step: int) -> tuple[float, float]:
    """Log of σ_1/σ_2 at `step` over before, and at the end of the run over at `step`, means over the query matrices.

    A transition that the gap foretells has the first, one that opens the gap the second.
    """
    at = int(np.searchsorted(run.steps, step))
    logs = [np.log(ratio) for ratio in query_ratios(run)]
    before = slice(max(0, at - APART - RECORDS), max(0, at - APART))
    if not logs or not len(logs[0][before]) or not len(logs[0][at:]):
        return float("nan"), float("nan")
    until = float(np.mean([log[at] - np.median(log[before]) for log in logs]))
    return until, float(np.mean([log[-1] - log[at] for log in logs]))


def elsewhere(run: GramSequence, step: int) -> list[float]:
    """The rise at every other step of the run whose records are not those of this one."""
    at = int(np.searchsorted(run.steps, step))
    others = range(APART + RECORDS, run.T - RECORDS + 1)
    return [rise(run, int(run.steps[i])) for i in others if abs(i - at) >= APART + 2 * RECORDS]


def _estimates(
    treated: dict[Partner, GramSequence], control: dict[Partner, GramSequence], largest: bool
) -> tuple[Estimate, Estimate, Estimate, int]:
    """Rise with decay, at the same step without, the difference in pairs, and of how many pairs that is known."""
    steps = {
        key: step for key, run in treated.items() if (step := grok_step(run)) is not None and key in control
    }
    one = np.array([rise(treated[key], step, largest) for key, step in steps.items()])
    other = np.array([rise(control[key], step, largest) for key, step in steps.items()])
    both = ~np.isnan(one + other)
    return mean(one[both]), mean(other[both]), mean((one - other)[both]), int(both.sum())


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Rise of σ_1/σ_2 of W_Q at the grok step, against the run without decay of the same seed at that step."""
    treated, control = decay_pairs([run for run in runs if query_ratios(run)])
    found = {
        "mean over the query matrices": _estimates(treated, control, False),
        "the query matrix that rises most": _estimates(treated, control, True),
    }
    one, other, difference, n = found["mean over the query matrices"]
    if not n:
        return PREDICTION.not_run(
            "no grokked run with the singular values of W_Q beside one without weight decay of the same seed"
        )
    paired = [(run, grok_step(run)) for key, run in treated.items() if key in control]
    grokked = [(run, step) for run, step in paired if step is not None]
    # what rises all along, as weight decay alone may make it, does not rise at grokking
    times = against(
        [rise(run, step) for run, step in grokked], [elsewhere(run, step) for run, step in grokked]
    )
    pairs = [(stages(run, step), stages(control[key], step)) for key, run in treated.items()
             if key in control and (step := grok_step(run)) is not None]  # fmt: skip
    by_stage = [
        [mean(np.array(values)[~np.isnan(values)]) for values in zip(*group, strict=True)]
        for group in zip(*pairs, strict=True)
    ]
    rises, more = passes(one, 0.0), passes(difference, 0.0)
    if rises is False or more is False:
        verdict = REFUTED
    elif rises and more:
        verdict = SUPPORTED if beyond((times,)) == SUPPORTED else NOT_SPECIFIC
    else:
        verdict = NOT_SPECIFIC if rises and passes(other, 0.0) else UNDECIDED
    return PREDICTION.verdict(
        verdict,
        statistic=float(np.exp(one.value)),
        control=float(np.exp(other.value)),
        statistic_name="σ_1/σ_2 of W_Q after the grok step over before",
        effect=_ratio(difference),
        effect_name="that ratio with decay over that without",
        p_value=float(np.max([_one_sided(difference, n), times.p_value])),
        n=2 * n,
        readings=(
            *(
                Reading(name, _ratio(a), _ratio(b), passes(a, 0), passes(b, 0))
                for name, (a, b, _, _) in found.items()
            ),
            *(
                Reading(name, _ratio(a), _ratio(b), passes(a, 0), passes(b, 0))
                for name, a, b in zip(
                    ("at the grok step over before", "at the end over the grok step"), *by_stage, strict=True
                )
            ),
            Reading(
                "mean over the query matrices, against other steps of the run",
                _ratio(times.treated),
                _ratio(times.control),
                beyond((times,)) == SUPPORTED,
                None,
            ),
        ),
        meaning=(
            f"σ_1/σ_2 of the query matrices changes by a factor {np.exp(one.value):.2f} at the grok step, and by "
            f"{np.exp(other.value):.2f} at the same step without weight decay; at other steps of the runs that grok by "
            f"{np.exp(times.control.value):.2f}. Compared are {RECORDS} records from the "
            f"grok step on with {RECORDS} that end {APART} records before it."
        ),
    )


def _ratio(log: Estimate) -> Estimate:
    return Estimate(*np.exp(log).tolist())


def queries_swapped(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    """Pairs of runs, with and without decay, whose W_Q have changed places in every other pair at random."""
    treated, control = decay_pairs(runs)
    rng, found = np.random.default_rng([seed, len(runs)]), []
    for pair in sorted(treated.keys() & control.keys()):
        one, other = treated[pair], control[pair]
        found += (
            [one, other] if rng.random() < 0.5 else [_with_queries(one, other), _with_queries(other, one)]
        )
    return found


def _with_queries(run: GramSequence, donor: GramSequence) -> GramSequence:
    """The run with the query matrices of another; where that one ended before, with its last ones."""
    rows = np.minimum(np.arange(run.T), donor.T - 1)
    queries = {name: values[rows] for name, values in donor.metrics.items() if ".Q." in name}
    return replace(run, metrics={**run.metrics, **queries})


def _one_sided(difference: Estimate, n: int) -> float:
    """Student's p-value that the mean difference is not above 0, from its interval."""
    from scipy import stats

    if n < 2 or not np.isfinite(difference.high) or difference.high == difference.low:
        return float("nan")
    error = (difference.high - difference.value) / stats.t.ppf(0.975, n - 1)
    return float(stats.t.sf(difference.value / error, n - 1))


PREDICTION = Prediction(
    number=12,
    id="gap-opens-at-grokking",
    version=2,
    claim="σ_1/σ_2 of W_Q rises at grokking.",
    reference="figure 4; docs/theory.md, 8.4",
    statistic="ratio of σ_1/σ_2 after the grok step to before it",
    treatment="runs with weight decay that grok",
    control="the run without weight decay of the same seed, at the same step; other steps of the run",
    rule=f"above 1, its interval above the control's (in pairs), and beyond other steps of the run (p < {LEVEL:g})",
    boundaries=(1.0,),
    changed_by=(
        "Records every 25 steps from 500 steps before the grok step: the query matrices are small, and "
        "singular values of a record cost milliseconds. It sharpens each pair; more pairs sharpen the mean."
    ),
    judge=judge,
    compares=True,
    published=published.OPENS,
    planted=worlds.planted("gap-opens-at-grokking", with_controls=True),
    null_runs=queries_swapped,
    placebos=placebos.OF_QUERIES,
    turned={"rise": neg},
    picture=drawn("queries"),
    needs=Needs(
        runs="a run with weight decay and a transition, and one without weight decay of the same task and seed",
        config=("weight_decay", "seed"),
        metrics=(TRANSITION, QUERIES),
    ),
)
