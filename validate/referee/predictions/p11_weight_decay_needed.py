"""Prediction 11: grokking needs weight decay."""

from collections.abc import Sequence

from scipy import stats

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import placebos, worlds
from spectral_edge.validate.referee.events import grok_step, transition
from spectral_edge.validate.referee.needs import TRANSITION, Needs
from spectral_edge.validate.referee.partners import decay_groups, shuffled
from spectral_edge.validate.referee.published import grokking as published
from spectral_edge.validate.referee.published.record import stop_step
from spectral_edge.validate.referee.statistics import difference_of_proportions, proportion
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    drawn,
    passes,
)

LEVEL = 0.05
CLAIMED = 0.5  # the thesis claims a difference near 1: an interval wholly below one half refutes it


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Fisher's exact test on grokked or not, with decay or without."""
    treated, control = decay_groups(runs)
    if not treated or not control:
        return PREDICTION.not_run("runs with and without weight decay and their test accuracies")
    hits, others = (sum(grok_step(run) is not None for run in group) for group in (treated, control))
    n, m = len(treated), len(control)
    p_value = float(stats.fisher_exact([[hits, n - hits], [others, m - others]]).pvalue)
    effect = difference_of_proportions(hits, n, others, m)
    verdict = (
        SUPPORTED if p_value < LEVEL and effect.value > 0 else REFUTED if effect.high < CLAIMED else UNDECIDED
    )
    rate, other = proportion(hits, n), proportion(others, m)
    readings = [Reading(transition(runs), rate, other, passes(rate, 0.5), passes(other, 0.5))]
    ends = [[end for run in group if (end := _ended(run)) is not None] for group in (treated, control)]
    told = ""
    if all(ends):
        there, elsewhere = (proportion(sum(group), len(group)) for group in ends)
        shown = passes(there, 0.5), passes(elsewhere, 0.5)
        readings.append(Reading("where the recipe stops", there, elsewhere, *shown))
        counts = [f"{sum(group)} of {len(group)}" for group in ends]
        told = (
            f" {counts[0]} with it and {counts[1]} without reached the accuracy at which their recipe stops."
        )
    return PREDICTION.verdict(
        verdict,
        statistic=rate.value,
        control=other.value,
        statistic_name="share of runs that grok (control: without weight decay)",
        effect=effect,
        effect_name="difference of the shares",
        p_value=p_value,
        n=n + m,
        readings=tuple(readings),
        meaning=(
            f"{hits} of {n} runs grokked with weight decay and {others} of {m} without (p = {p_value:.2g}, "
            "Fisher's exact test, two-sided). "
            + ("That many runs decide it." if p_value < LEVEL else "So few runs cannot decide it.")
            + told
        ),
    )


def _ended(run: GramSequence) -> bool | None:
    """Whether a run came to the accuracies at which its recipe stops; None where its card does not say."""
    known = run.config.get("target_accuracy") is not None and isinstance(run.config.get("stop_step"), int)
    return stop_step(run) is not None if known else None


def _decays_permuted(runs: Sequence[GramSequence], seed: int) -> list[GramSequence]:
    # among the runs that are compared: those of other experiments have decays of their own
    compared = {id(run) for group in decay_groups(runs) for run in group}
    return shuffled([run for run in runs if id(run) in compared], "weight_decay", seed)


PREDICTION = Prediction(
    number=11,
    id="weight-decay-needed",
    version=1,
    claim="Runs grok with weight decay and not without it.",
    reference="abstract, (iii): 24 of 24 with, 0 of 24 without (a later version: 1 of 24); docs/theory.md, 8.4",
    reported="24 of 24 with weight decay, 0 of 24 without (a later version: 1 of 24)",
    statistic="share of runs whose test accuracy reaches 0.95",
    treatment="runs with weight decay",
    control="runs without weight decay",
    rule=f"p < {LEVEL:g}, Fisher's exact test",
    boundaries=(0.0,),
    changed_by=(
        "Runs without weight decay that grok if they are trained for longer: by the author's recipe twelve were "
        "trained for ten times the steps that those with decay need and more, and two of a² + b² came to 0.95. More "
        "operations, or more seeds of that one, minutes each on a GPU, would say where they end."
    ),
    judge=judge,
    compares=True,
    published=published.NEEDED,
    planted=worlds.planted("weight-decay-needed", 12, with_controls=True),
    null_runs=_decays_permuted,
    noise_refutes="a coin that groks as often without weight decay is what the claim denies",
    placebos=placebos.OF_DECAY,
    turned={"grok_step": lambda step: 100 if step is None else None},
    picture=drawn("grok_steps"),
    needs=Needs("runs with weight decay and without", ("weight_decay",), (TRANSITION,), records=0, band=0),
)
