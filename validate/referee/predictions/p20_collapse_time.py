"""Prediction 20: the gap flow says when a gap will collapse."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import cards, worlds
from spectral_edge.validate.referee.collapse.accuracy import SIZE, WHERE, Forecasts, Score, placebo_of
from spectral_edge.validate.referee.collapse.forecasts import FORMS, PLACEBOS
from spectral_edge.validate.referee.collapse.states import HORIZON, LEAD, missing
from spectral_edge.validate.referee.collapse.tracks import MEMORY, PAST, W
from spectral_edge.validate.referee.needs import Needs
from spectral_edge.validate.referee.published import stability as published
from spectral_edge.validate.referee.statistics import UNKNOWN, short
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
    drawn,
    tried,
)

EVENTS = 8  # fewer exchanges than this decide nothing
RUNS = 5  # nor do fewer runs: intervals resample runs
SLACK = 0.1  # a slope this near to 1 does not refute, however narrow its interval
#: What the flow and the propagated window read of a card.
CARD = ("learning_rate", "weight_decay", "optimizer")
#: The form that the claim is judged by, and the pairs it is judged on: those that bound the gap.
FORM, GAP = "flow", WHERE[0]
#: Beside all forms there, these on the other pairs; they decide nothing.
BESIDE = (
    FORM,
    "flow-frozen",
    "damping",
    "line",
    "fitted",
    "propagated",
    "checked",
    SIZE,
    placebo_of("propagated"),
)
#: What the pictures show.
SHOWN = (FORM, "propagated", "checked")


def holds(found: Score) -> bool | None:
    """The rule: the slope's interval holds 1 and not 0, and the error is below the control's.

    False where the slope is wrong by more than `SLACK` or the error above the control's; None = neither way.
    """
    slope, ratio = found.slope, found.ratio
    if slope.high < 1 - SLACK or slope.low > 1 + SLACK or ratio.low >= 1:
        return False
    return True if 0 < slope.low <= 1 <= slope.high and ratio.high < 1 else None


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Compare predicted with observed times to exchange, and their error with that of predicting the mean."""
    usable = sorted((run for run in runs if _lacking(run) is None), key=lambda run: worlds.key(run, 0))
    if not usable:
        reasons = sorted({str(_lacking(run)) for run in runs})
        return PREDICTION.not_run(f"no run with all it takes; missing: {'; '.join(reasons)}")
    # the flow first: where the verdict alone is asked for, it is all that is made
    found = Forecasts.of(usable, tried({FORM: FORMS[FORM], **FORMS}), tried(PLACEBOS, 0))
    scores = {where: _scores(found.where(where), where) for where in WHERE}
    (events, seen), first = found.where(GAP).counts, scores[GAP].get(FORM)
    if first is None:
        verdict, p_value = UNDECIDED, float("nan")
        meaning = (
            f"{events} exchanges at k* in {seen} of {len(usable)} runs could be followed from a state {LEAD} to "
            f"{HORIZON} records before, and fewer than {EVENTS} in {RUNS} runs decide nothing. Records further apart "
            "than a mode lasts show none."
        )
    else:
        verdict = {True: SUPPORTED, False: REFUTED, None: UNDECIDED}[holds(first)]
        p_value = first.p_value()
        meaning = _told(scores, (events, seen))
    return PREDICTION.verdict(
        verdict,
        statistic=first.error.value if first else float("nan"),
        control=first.control_error.value if first else float("nan"),
        statistic_name="median relative error of the predicted time",
        effect=first.slope if first else UNKNOWN,
        effect_name="slope of log predicted on log observed time",
        p_value=p_value,
        n=len(usable),
        readings=tuple(
            Reading(f"{form}, {where}", one.error, one.control_error, holds(one), False)
            for where in WHERE
            for form, one in scores[where].items()
        ),
        details={
            "form": FORM,
            "exchanges": {where: list(found.where(where).counts) for where in WHERE},
            **{
                f"{what}s": {
                    where: {form: list(getattr(one, what)) for form, one in scores[where].items()}
                    for where in WHERE
                }
                for what in ("concordance", "slope")
            },
            "pairs": {where: found.where(where).pairs(SHOWN) for where in WHERE},
        },
        meaning=meaning,
    )


def _lacking(run: GramSequence) -> str | None:
    """What a run lacks for the flow to be tested on it."""
    if not {"gradient"} <= run.probes.keys() or not {"hessian", "response"} & run.probes.keys():
        return "the probes 'gradient' and 'response' (or 'hessian')"
    if not cards.knows(run, *CARD):
        return f"{' and '.join(CARD)} on its card"
    return missing(run)


def _scores(found: Forecasts, where: str) -> dict[str, Score]:
    """The score of every form that could be evaluated where there are exchanges enough; nothing elsewhere."""
    events, runs = found.counts
    if events < EVENTS or runs < RUNS:
        return {}
    names = [*FORMS, SIZE, *map(placebo_of, PLACEBOS)] if where == GAP else BESIDE
    made = {name: found.score(name) for name in dict.fromkeys((FORM, *names)) if name in found.predicted}
    return {name: one for name, one in made.items() if one.exchanged.any()}


def _told(scores: dict[str, dict[str, Score]], counts: tuple[int, int]) -> str:
    first, others = scores[GAP][FORM], scores[GAP]
    best: Any = others.get("propagated")
    line = "" if "line" not in others else f", a straight line of ln σ by {others['line'].error.value:.0%}"
    found = "" if best is None else (
        f" The window propagated by the linearised optimiser errs by {best.error.value:.0%} (concordance "
        f"{short(best.concordance.value, 2)}), with the curvature of another time by "
        f"{others[placebo_of('propagated')].error.value:.0%} "
        f"({short(others[placebo_of('propagated')].concordance.value, 2)})."
    )  # fmt: skip
    return (
        f"Over {counts[0]} exchanges at k* in {counts[1]} runs the flow errs by {first.error.value:.0%} in the median "
        f"(concordance {short(first.concordance.value, 2)}), the mean of the other exchanges by "
        f"{first.control_error.value:.0%}{line}.{found} Times beyond {HORIZON} records count as {HORIZON}."
    )


PREDICTION = Prediction(
    number=20,
    id="collapse-time",
    claim="The gap flow predicts when a gap collapses.",
    reference="docs/theory.md, 3.3 to 3.6 and section 10",
    statistic="slope of log predicted on log observed time to exchange; median relative error",
    treatment=(
        f"pairs of modes that bound the gap at every fifth record, {LEAD} to {HORIZON} records before they exchange"
    ),
    control="predict the mean time of the other exchanges",
    rule="interval of the slope holds 1 and not 0, and the error lies below the control's",
    judge=judge,
    published=published.COLLAPSE_TIME,
    planted=worlds.planted("collapse-time", 16),
    version=2,
    turned={"FORMS": lambda times: None if times is None else HORIZON - np.minimum(times, HORIZON)},
    picture=drawn("collapses"),
    dense=True,
    needs=Needs(
        runs=f"{RUNS} runs whose gaps collapse, recorded at every step or few",
        config=CARD,
        probes=("gradient", "response"),
        records=W + PAST + LEAD,
        band=W + MEMORY - 1,
    ),
)
