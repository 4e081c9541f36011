"""Prediction 20: the gap flow says when a gap will collapse."""

from collections.abc import Sequence

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.collapse.accuracy import Agreement, Forecasts
from spectral_edge.validate.referee.collapse.forecasts import FORMS
from spectral_edge.validate.referee.collapse.states import FOLLOWED, LEAD, missing, persistence
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
)

EVENTS = 8  # fewer collapses than this decide nothing
RUNS = 5  # nor do fewer runs: intervals resample runs
SLACK = 0.1  # a slope this near to 1 does not refute, however narrow its interval
#: The reading that the rule uses; "integrated" is told the coefficients of the future and cannot be it.
FORM = "exact"
LINE = "straight line"
#: Forms whose times are also compared where modes go by rank; these decide nothing.
BY_RANK = (FORM, LINE)


def holds(found: Agreement) -> bool | None:
    """The rule: the slope's interval holds 1 and not 0, and the error is below the control's.

    False where the slope is wrong by more than `SLACK` or the error above the control's; None = neither way.
    """
    slope, ratio = found.slope, found.ratio
    if slope.high < 1 - SLACK or slope.low > 1 + SLACK or ratio.low >= 1:
        return False
    return True if 0 < slope.low <= 1 <= slope.high and ratio.high < 1 else None


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Compare predicted with observed times to collapse, and their error with that of predicting the mean."""
    usable = sorted((run for run in runs if missing(run) is None), key=lambda run: worlds.key(run, 0))
    if not usable:
        reasons = sorted({str(missing(run)) for run in runs})
        return PREDICTION.not_run(f"no run with all it takes; missing: {'; '.join(reasons)}")
    followed, ranked = Forecasts.of(usable, tuple(FORMS)), Forecasts.of(usable, BY_RANK, by_rank=True)
    readings, found, mean = _readings(followed, "")
    beside, by_rank, _ = _readings(ranked, ", modes by rank")
    (events, where), first = followed.counts, found.get(FORM)
    recognised = float(np.mean([np.mean(persistence(run).min(axis=1) > FOLLOWED) for run in usable]))
    if first is None:
        verdict, p_value = UNDECIDED, float("nan")
        meaning = (
            f"{events} collapses in {where} of {len(usable)} runs could be followed from a state {LEAD} records "
            f"before or more, and fewer than {EVENTS} in {RUNS} runs decide nothing. Both modes around k* can be "
            f"recognised so many records later in {recognised:.0%} of the windows."
        )
    else:
        verdict = {True: SUPPORTED, False: REFUTED, None: UNDECIDED}[holds(first)]
        p_value = followed.p_value(FORM)
        meaning = (
            f'Over {events} collapses in {where} runs the form "{FORM}" errs by {first.error.value:.0%} in the median, '
            f"the mean of the other collapses by {mean:.0%}, a straight line of the gap by "
            f"{found[LINE].error.value:.0%}. Twice the time observed is predicted as "
            f"{short(2**first.slope.value, 2)} times as long."
        )
    return PREDICTION.verdict(
        verdict,
        statistic=first.error.value if first else float("nan"),
        control=mean,
        statistic_name="median relative error of the predicted time",
        effect=first.slope if first else UNKNOWN,
        effect_name="slope of log predicted on log observed time",
        p_value=p_value,
        n=len(usable),
        readings=readings + beside,
        details={
            "form": FORM,
            "collapses": {"followed": list(followed.counts), "by rank": list(ranked.counts)},
            "recognised": recognised,
            "slopes": {form: list(one.slope) for form, one in (found | by_rank).items()},
            "error_ratios": {form: list(one.ratio) for form, one in (found | by_rank).items()},
            "pairs": {"followed": followed.pairs(), "by rank": ranked.pairs()},
        },
        meaning=meaning,
    )


def _readings(found: Forecasts, suffix: str) -> tuple[tuple[Reading, ...], dict[str, Agreement], float]:
    """Every form as a reading, its agreement, and the error of the control; nothing where collapses are few."""
    events, runs = found.counts
    if events < EVENTS or runs < RUNS:
        return (), {}, float("nan")
    mean = found.agreement_of(found.mean).error
    results = {form + suffix: found.agreement_of(times) for form, times in found.predicted.items()}
    readings = [Reading(form, one.error, mean, holds(one), False) for form, one in results.items()]
    return tuple(readings), results, mean.value


PREDICTION = Prediction(
    number=20,
    id="collapse-time",
    version=1,
    claim="The gap flow predicts when a gap collapses.",
    reference="section 3; docs/theory.md, 3.3 to 3.6",
    statistic="slope of log predicted on log observed time to collapse; median relative error",
    treatment=f"every tenth record from which a collapse of the gap was followed, {LEAD} records before it or more",
    control="predict the mean time of the other collapses",
    rule="interval of the slope holds 1 and not 0, and the error lies below the control's",
    judge=judge,
    published=published.COLLAPSE_TIME,
    planted=worlds.planted("collapse-time", 12),
    turned={"FORMS": lambda time: 1 / time},
    picture=drawn("collapses"),
    needs=Needs(
        runs=f"{RUNS} runs whose gaps collapse",
        config=("learning_rate", "weight_decay"),
        probes=("gradient", "hessian"),
        records=3 * LEAD,
        band=2 * LEAD,
    ),
)
