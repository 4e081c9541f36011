"""Prediction 3: the gap position is small."""

from collections.abc import Callable, Sequence

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.cards import card
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import spectra as published
from spectral_edge.validate.referee.series import gap_share, has_gap
from spectral_edge.validate.referee.statistics import UNKNOWN, Estimate, against, clustered_proportion
from spectral_edge.validate.referee.verdict import (
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    decide,
    drawn,
    tried,
)

W = 10
SMALL = 3
SHARE = 0.9

Copies = Sequence[GramSequence]
#: k* of every window of a run, NaN where it does not count; and that of a noise copy of it.
Positions = Callable[[GramSequence, Copies, GramSequence], FloatArray]


def _where_there_is_one(run: GramSequence, copies: Copies, seen: GramSequence) -> FloatArray:
    return np.where(has_gap(run, copies, W), seen.window(W).k_star, np.nan)


READINGS: dict[str, Positions] = {
    "k* where R exceeds noise": _where_there_is_one,
    "k* weighted by σ_j": lambda run, copies, seen: seen.window(W).k_star_weighted,
    "k* of every window, as published": lambda run, copies, seen: seen.window(W).k_star,
}


def small(k_star: FloatArray) -> tuple[float, float]:
    """How many windows have k* ≤ `SMALL`, and how many count."""
    known = k_star[np.isfinite(k_star)]
    return float(np.sum(known <= SMALL)), float(len(known))


def _pooled(counts: Sequence[tuple[float, float]]) -> Estimate:
    """The share over runs, windows counted once per W; unknown where there is none."""
    hits, n = np.array(counts).T / W
    return clustered_proportion(hits[n > 0], n[n > 0]) if (n > 0).any() else UNKNOWN


def _share(counts: tuple[float, float]) -> float:
    return counts[0] / counts[1] if counts[1] else float("nan")


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Share of windows with k* ≤ 3 with weight decay; without it, and in noise, it must not pass as well.

    The largest ratio of a window that is all noise lies anywhere: windows count where R exceeds that of noise.
    """
    long = [(run, others) for run, others in zip(runs, noise, strict=True) if min(run.T, run.W_max) >= W]
    treated = [(run, others) for run, others in long if (card(run).weight_decay or 0) > 0]
    without = [(run, others) for run, others in long if card(run).weight_decay == 0]
    if not treated:
        return PREDICTION.not_run(f"no run with weight decay and a window of {W} updates")
    readings: list[Reading] = []
    p_value = float("nan")  # of the first reading
    for name, positions in tried(READINGS).items():
        own = [small(positions(run, copies, run)) for run, copies in treated]
        beside = [[small(positions(run, copies, copy)) for copy in copies] for run, copies in treated]
        share = _pooled(own)
        controls = {"noise": _pooled([tuple(np.mean(counts, axis=0)) for counts in beside])}
        if without:
            controls["no weight decay"] = _pooled(
                [small(positions(run, copies, run)) for run, copies in without]
            )
        if not readings:
            p_value = against(
                [_share(counts) for counts in own], [[_share(c) for c in counts] for counts in beside]
            ).p_value
        for control, estimate in controls.items():
            readings.append(Reading.above(f"{name}, against {control}", share, estimate, SHARE))
    first = [reading for reading in readings if reading.name.startswith(next(iter(READINGS)))]
    controls_pass = [reading.control_passes for reading in first]
    # one control that passes is enough to say that the claim is not specific
    any_passes = True if True in controls_pass else None if None in controls_pass else False
    gaps, enough = gap_share(treated, W)
    return PREDICTION.verdict(
        decide(first[0].passes, any_passes) if enough else UNDECIDED,
        statistic=first[0].treated.value,
        control=first[0].control.value,
        statistic_name=f"share of windows with k* ≤ {SMALL}, where R exceeds noise",
        effect=first[0].treated,
        effect_name="the share",
        p_value=p_value,
        n=len(treated) + len(without),
        readings=tuple(readings),
        details={"share_of_windows_with_a_gap": gaps.value, "k_star_counts": [
            np.bincount(k[np.isfinite(k)].astype(int), minlength=W)[1:].tolist()
            for k in (run.window(W).k_star for run, _ in treated)
        ]},
        meaning=(
            f"{gaps.value:.0%} of the windows of runs with weight decay have a gap that noise like them does not show"
            + (f"; k* is at most {SMALL} in {first[0].treated.value:.0%} of those. Noise has it there in "
               f"{first[0].control.value:.0%} of the same windows" if gaps.value else "")
            + (f", runs without weight decay in {first[-1].control.value:.0%} of theirs."
               if without and np.isfinite(first[-1].control.value) else ".")
            + ("" if enough else " That is no more than chance makes, and decides nothing.")
        ),
    )  # fmt: skip


PREDICTION = Prediction(
    number=3,
    id="small-gap-position",
    version=2,
    claim=f"The gap position is at most {SMALL}.",
    reference="key result; docs/theory.md, section 1",
    statistic=f"share of windows with k* ≤ {SMALL}, of those whose R exceeds that of noise",
    treatment="runs with weight decay",
    control="runs without weight decay; noise of the same effective dimension, norms and colour",
    rule=f"≥ {SHARE:.0%} of the windows, if more windows have a gap than chance makes",
    boundaries=(SHARE,),
    changed_by=(
        "Records at every step with full batch: there windows have a gap. Where none stands above noise, more "
        "runs of the same kind say nothing of its position."
    ),
    judge=judge,
    compares=True,
    published=published.SMALL_POSITION,
    planted=worlds.planted("small-gap-position", 12, with_controls=True),
    turned={"small": lambda counts: (counts[1] - counts[0], counts[1])},
    picture=drawn("positions"),
    needs=Needs(runs="runs with weight decay, and better also without", config=("weight_decay",)),
)
