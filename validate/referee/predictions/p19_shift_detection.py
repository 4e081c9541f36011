"""Prediction 19: a change of the data shows in R within one record."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card, knows
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import loss as published
from spectral_edge.validate.referee.series import log_ratio
from spectral_edge.validate.referee.statistics import (
    LEVEL,
    against,
    clustered_proportion,
    difference_of_proportions,
    proportion,
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
)

W = 10
AROUND = 1  # records before and after the first that sees the new data
HISTORY = 10  # changes of log R with which each one is compared
THRESHOLDS = (
    5.0,
    3.0,
    8.0,
)  # how many times their median size a change must be to raise an alarm; the rule's first
MAJORITY = 0.5


def alarms(run: GramSequence, threshold: float) -> NDArray[np.bool_]:
    """Whether each record, (T,), raises an alarm: |Δ log R| beyond `threshold` medians of the last ten before it."""
    change = np.abs(np.diff(log_ratio(run, W)))
    raised = np.zeros(run.T, dtype=bool)
    for i in range(HISTORY, len(change)):
        raised[i + W] = change[i] > threshold * np.median(change[i - HISTORY : i])
    return raised


def _shift_record(run: GramSequence) -> int | None:
    """The first record whose update saw the new data; None where the data never change."""
    step = card(run).shift_step
    return int(np.searchsorted(run.steps, step, side="right")) if step else None


def _found(run: GramSequence, at: int, threshold: float) -> bool:
    return bool(alarms(run, threshold)[max(0, at - AROUND) : at + AROUND + 1].any())


def _stretches(run: GramSequence, threshold: float) -> NDArray[np.bool_]:
    """Whether each stretch of as many records, one after the other, holds an alarm: how often chance finds one."""
    size = 2 * AROUND + 1
    raised = alarms(run, threshold)[W + HISTORY :]
    whole = raised[: len(raised) // size * size].reshape(-1, size)
    return np.asarray(whole.any(axis=1))


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Shifts that raise an alarm within one record, against stretches of runs whose data stay.

    Where the size of the updates jumps at the shift, R of any updates of that size does: more shifts must be found
    than in noise of the same norms.
    """
    beside = {id(run): copies for run, copies in zip(runs, noise, strict=True)}
    both = [
        run for run in runs
        if card(run).experiment == "shift" and knows(run, "shift_step") and run.T > 2 * W + HISTORY and run.W_max >= W
    ]  # fmt: skip
    shifted = [(run, at) for run in both if (at := _shift_record(run)) is not None and at >= W + HISTORY]
    stays = [run for run in both if _shift_record(run) is None]
    if not shifted or not stays:
        return PREDICTION.not_run("runs whose data change at a known step, and runs whose data stay")
    readings, first = [], None
    for threshold in THRESHOLDS:
        hits = sum(_found(run, at, threshold) for run, at in shifted)
        stretches = np.concatenate([_stretches(run, threshold) for run in stays])
        false, m = int(stretches.sum()), len(stretches)
        rate, alarm_rate = proportion(hits, len(shifted)), proportion(false, m)
        readings.append(Reading.above(f"|Δ log R| > {threshold:g} medians", rate, alarm_rate, MAJORITY))
        first = first or (hits, false, m)
    assert first is not None
    hits, false, m = first
    n = len(shifted)
    effect = difference_of_proportions(hits, n, false, m)
    in_noise = [[_found(copy, at, THRESHOLDS[0]) for copy in beside[id(run)]] for run, at in shifted]
    copies = against([_found(run, at, THRESHOLDS[0]) for run, at in shifted], in_noise)
    against_noise = Reading.tested(
        f"|Δ log R| > {THRESHOLDS[0]:g} medians, against noise of the same norms", copies
    )
    # the intervals of shares, which end at 0 and 1, as Student's do not
    own, others = (
        proportion(hits, n),
        clustered_proportion(list(map(sum, in_noise)), list(map(len, in_noise))),
    )
    readings.append(replace(against_noise, treated=own, control=others))
    by_chance = float(
        stats.fisher_exact([[hits, n - hits], [false, m - false]], alternative="greater").pvalue
    )
    if by_chance < LEVEL:
        verdict = SUPPORTED if copies.p_value < LEVEL else NOT_SPECIFIC
    else:
        verdict = REFUTED if effect.high <= MAJORITY else UNDECIDED
    per_run = sum(int(alarms(run, THRESHOLDS[0]).sum()) for run in stays) / len(stays)
    return PREDICTION.verdict(
        verdict,
        statistic=hits / n,
        control=false / m,
        statistic_name=f"share of shifts with an alarm within {AROUND} record (control: of stretches without a shift)",
        effect=effect,
        effect_name="difference of the shares",
        p_value=max(by_chance, copies.p_value),
        n=n + len(stays),
        readings=tuple(readings),
        details={"false_alarms_per_run": per_run, "stretches": m},
        meaning=(
            f"{hits} of {n} shifts raise an alarm within {AROUND} record, and {false} of {m} stretches of the same "
            f"length in runs whose data stay; such a run has {per_run:.1f} false alarms. "
            f"Noise of the same norms raises one at {copies.control.value:.0%} of the shifts."
        ),
    )


PREDICTION = Prediction(
    number=19,
    id="shift-detection",
    version=1,
    claim=f"A change of the data shows in R within {AROUND} record.",
    reference="list of predictions, 19",
    statistic="share of shifts with an alarm: |Δ log R| beyond five medians of the ten before",
    treatment="runs whose data change at a known step",
    control="runs whose data stay: stretches of as many records; noise of the same norms",
    rule=f"hit rate above the false-alarm rate (Fisher's exact test) and above that of noise, both p < {LEVEL:g}",
    boundaries=(0.0, MAJORITY),
    changed_by=(
        "A statistic that noise of the same norms does not share: there every shift raises an alarm too, because "
        "updates grow when the data change. R of updates brought to one length would ask about their directions "
        "alone; the runs are there."
    ),
    judge=judge,
    published=published.SHIFT,
    planted=worlds.planted("shift-detection", with_controls=True),
    noise_refutes="a change of the data that does not show in R is what the claim denies",
    turned={"alarms": np.logical_not},
    picture=drawn("shifts"),
    needs=Needs(
        runs="runs whose data change and runs whose data stay (shift_step 0), with experiment='shift' on their cards",
        config=("shift_step",),
        records=2 * W + HISTORY + 1,
    ),
)
