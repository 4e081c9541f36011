"""Prediction 10: the gap event comes before grokking, and not where nothing groks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.events import GapFall, fall_before, grok_step, last_fall
from spectral_edge.validate.referee.needs import TRANSITION, Needs
from spectral_edge.validate.referee.partners import decay_pairs
from spectral_edge.validate.referee.published import grokking as published
from spectral_edge.validate.referee.statistics import LEVEL, against, difference_of_proportions, proportion
from spectral_edge.validate.referee.verdict import (
    NOT_SPECIFIC,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    drawn,
    passes,
)

W = 10
FALL = 1.5  # published: g_23 at its peak before the grok step over g_23 at it
MAJORITY = 0.5  # a group shows the event where its rate lies above this


def _from_the_peak(windows: WindowSpectra, step: int) -> GapFall | None:
    return fall_before(windows, step, FALL)


READINGS: dict[str, Callable[[WindowSpectra, int], GapFall | None]] = {
    "peak before the grok step over the value at it": _from_the_peak,
    "last change point of log g_23": last_fall,
}


def _shown(
    run: GramSequence, step: int, reading: Callable[[WindowSpectra, int], GapFall | None]
) -> GapFall | None:
    found = reading(run.window(W), step) if run.T >= W else None
    return found if found is not None and found.fall > FALL else None


def _log_fall(run: GramSequence, step: int) -> float:
    """Log of the published fall, at least 0; NaN where there are too few windows to tell."""
    found = fall_before(run.window(W), step, FALL) if run.T >= W else None
    return float("nan") if found is None else max(0.0, float(np.log(found.fall)))


def _to_the_end(first: Reading, control: Mapping[Any, GramSequence]) -> Reading:
    """The author's own decline for runs that do not grok: from the peak to the last window, whenever that is."""
    falls = [found for run in control.values() if (found := _shown(run, int(run.steps[-1]), _from_the_peak))]
    rate = proportion(len(falls), len(control))
    return Reading(
        "the same; in runs without weight decay, peak over final value",
        first.treated,
        rate,
        first.passes,
        passes(rate, MAJORITY),
    )


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Rate of the event in runs that grok against its rate, at the matched step, in runs without weight decay.

    A peak over a later value is large in noise too, and larger where updates shrink: the falls must exceed those of
    noise of the same norms.
    """
    treated, control = decay_pairs(runs)
    beside = {id(run): copies for run, copies in zip(runs, noise, strict=True)}
    steps = {key: step for key, run in treated.items() if (step := grok_step(run)) is not None}
    control = {key: run for key, run in control.items() if key in steps}
    if not steps or not control:
        return PREDICTION.not_run("no grokked run with weight decay beside one without, at the same seed")
    readings, lines = [], []
    for name, reading in READINGS.items():
        events = {key: _shown(treated[key], step, reading) for key, step in steps.items()}
        alarms = {key: _shown(control[key], steps[key], reading) for key in control}
        hits, false = (sum(e is not None for e in group.values()) for group in (events, alarms))
        rate, alarm_rate = proportion(hits, len(events)), proportion(false, len(alarms))
        readings.append(Reading(name, rate, alarm_rate, passes(rate, MAJORITY), passes(alarm_rate, MAJORITY)))
        lines.append((hits, len(events), false, len(alarms), [e.lead for e in events.values() if e]))
    readings.append(_to_the_end(readings[0], control))
    hits, n, false, m, leads = lines[0]
    youden = difference_of_proportions(hits, n, false, m)
    copies = against(
        [_log_fall(treated[key], step) for key, step in steps.items()],
        [[_log_fall(copy, step) for copy in beside[id(treated[key])]] for key, step in steps.items()],
    )
    readings.append(Reading.tested("log of the fall, against noise of the same norms", copies))
    first = readings[0]
    if youden.low > 0:
        verdict = SUPPORTED if copies.p_value < LEVEL else NOT_SPECIFIC
    elif first.passes is False or youden.high < 0:
        verdict = REFUTED
    else:
        verdict = NOT_SPECIFIC if first.passes and first.control_passes else UNDECIDED
    lead = f", {np.median(leads):,.0f} steps ahead in the median" if leads else ""
    return PREDICTION.verdict(
        verdict,
        statistic=first.treated.value,
        control=first.control.value,
        statistic_name="true-positive rate (control: false-alarm rate)",
        effect=youden,
        effect_name="Youden's J = true-positive rate − false-alarm rate",
        p_value=max(
            copies.p_value,
            float(stats.fisher_exact([[hits, n - hits], [false, m - false]], alternative="greater").pvalue),
        ),
        n=n + m,
        readings=tuple(readings),
        details={"lead_steps": leads, "grok_steps": sorted(steps.values())},
        meaning=(
            f"g_23 fell by more than {FALL:g} before the grok step in {hits} of {n} runs that grokked{lead}. "
            f"Without weight decay it fell as far, by the same step, in {false} of {m} runs; noise of the same norms "
            f"falls by a factor {np.exp(copies.control.value):.2g}, these runs by {np.exp(copies.treated.value):.2g}."
        ),
    )


PREDICTION = Prediction(
    number=10,
    id="gap-precedes-grokking",
    version=1,
    claim="A fall of the gap precedes every grokking event.",
    reference="abstract, (iii): 24 of 24; docs/theory.md, 8.4",
    reported="24 of 24 runs with weight decay",
    statistic="share of runs in which g_23 falls by more than 1.5 before the grok step",
    treatment="runs with weight decay that grok",
    control="the run without weight decay of the same seed, at the same step; noise of the same norms",
    rule=f"interval of Youden's J above 0, and falls beyond those of noise (p < {LEVEL:g})",
    boundaries=(0.0,),
    changed_by=(
        "A fall that is larger, or comes closer, where a run groks than by the same step where it does not: "
        "six pairs recorded every ten steps around the grok step, an hour. More pairs recorded like these "
        "change nothing while the event is as frequent without grokking."
    ),
    judge=judge,
    compares=True,
    published=published.PRECEDES,
    planted=worlds.planted("gap-precedes-grokking", 12, with_controls=True),
    noise_refutes="a run that groks without a fall of its gap is what the claim denies",
    turned={"READINGS": lambda found: found and found._replace(fall=1 / found.fall)},
    picture=drawn("subleading"),
    needs=Needs(
        runs="a run with weight decay and a transition, and one without weight decay of the same task and seed",
        config=("weight_decay", "seed"),
        metrics=(TRANSITION,),
    ),
)
