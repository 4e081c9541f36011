"""Prediction 20: the gap flow says when a gap will collapse."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.collapse import LEAD, State, missing, states
from spectral_edge.validate.referee.collapse_calibration import (
    Calibration,
    calibrate,
    less_error,
    relative_error,
)
from spectral_edge.validate.referee.collapse_forms import FORMS, HORIZON, predict, predict_mean
from spectral_edge.validate.referee.statistics import short
from spectral_edge.validate.referee.verdict import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Prediction,
    Reading,
    Verdict,
)

EVENTS = 8  # fewer collapses than this decide nothing
RUNS = 5  # nor do fewer runs: intervals resample runs
SLACK = 0.1  # a slope this near to 1 does not refute, however narrow its interval
#: The reading that the rule uses; "integrated" is told the coefficients of the future and cannot be it.
FORM = "exact"
LINE = "straight line"

Floats = NDArray[np.float64]


class Collapses(NamedTuple):
    """States before collapses, with the number of the run each comes from."""

    states: list[State]
    run: NDArray[np.int64]

    @property
    def events(self) -> list[Any]:
        """Of each state, the collapse it leads to."""
        return [(int(run), state.collapse) for run, state in zip(self.run, self.states, strict=True)]

    @property
    def observed(self) -> Floats:
        """Steps from each state to its collapse."""
        return np.array([state.observed for state in self.states])


def holds(found: Calibration) -> bool | None:
    """The rule: the slope's interval holds 1 and not 0, and the error is below the control's.

    False where the slope is wrong by more than `SLACK` or the error above the control's; None = neither way.
    """
    slope, ratio = found.slope, found.ratio
    if slope.high < 1 - SLACK or slope.low > 1 + SLACK or ratio.low >= 1:
        return False
    return True if 0 < slope.low <= 1 <= slope.high and ratio.high < 1 else None


def collect(runs: Sequence[GramSequence]) -> Collapses:
    """The states before all collapses of `runs`, of those that lack nothing."""
    found = [
        (state, number) for number, run in enumerate(runs) if missing(run) is None for state in states(run)
    ]
    return Collapses([state for state, _ in found], np.array([number for _, number in found], dtype=np.int64))


def _undecided(found: Collapses, n: int) -> Verdict:
    events, runs = len(set(found.events)), len(np.unique(found.run))
    return PREDICTION.verdict(
        UNDECIDED,
        n=n,
        statistic_name="median relative error of the predicted time",
        effect_name="calibration slope",
        details={"events": events, "runs": runs},
        meaning=(
            f"{events} collapses in {runs} of {n} runs could be followed from a state {LEAD} records before or "
            f"more. Fewer than {EVENTS} in {RUNS} runs decide nothing."
        ),
    )


def judge(runs: Sequence[GramSequence], noise: Sequence[Sequence[GramSequence]]) -> Verdict:
    """Compare predicted with observed times to collapse, and their error with that of predicting the mean."""
    usable = sorted((run for run in runs if missing(run) is None), key=lambda run: worlds.key(run, 0))
    if not usable:
        reasons = sorted({str(missing(run)) for run in runs})
        return PREDICTION.not_run(f"no run with all it takes; missing: {'; '.join(reasons)}")
    found = collect(usable)
    if len(set(found.events)) < EVENTS or len(np.unique(found.run)) < RUNS:
        return _undecided(found, len(usable))
    observed, control = found.observed, predict_mean(found.states, found.events)
    predicted = {form: np.array([predict(state, form) for state in found.states]) for form in FORMS}
    results = {form: calibrate(times, observed, control, found.run) for form, times in predicted.items()}
    mean = calibrate(control, observed, control, found.run)
    first = results[FORM]
    passed = holds(first)
    own, other = (relative_error(times, observed) for times in (predicted[FORM], control))
    return PREDICTION.verdict(
        {True: SUPPORTED, False: REFUTED, None: UNDECIDED}[passed],
        statistic=first.error.value,
        control=mean.error.value,
        statistic_name="median relative error of the predicted time",
        effect=first.slope,
        effect_name="slope of log predicted on log observed time",
        p_value=less_error(own, other, found.run),
        n=len(usable),
        readings=tuple(
            Reading(form, result.error, mean.error, holds(result), False) for form, result in results.items()
        ),
        details=_details(found, predicted, control, results),
        meaning=(
            f'Over {len(set(found.events))} collapses in {len(np.unique(found.run))} runs the form "{FORM}" errs by '
            f"{first.error.value:.0%} in the median, the mean of the other collapses by {mean.error.value:.0%}, a "
            f"straight line of the gap by {results[LINE].error.value:.0%}. Twice the time observed is predicted as "
            f"{short(2**first.slope.value, 2)} times as long."
        ),
    )


def _details(
    found: Collapses, predicted: dict[str, Floats], control: Floats, results: dict[str, Calibration]
) -> dict[str, Any]:
    """JSON values: what `collapse_figures.calibration_figure` draws."""
    return {
        "events": len(set(found.events)),
        "runs": len(np.unique(found.run)),
        "form": FORM,
        "slopes": {form: list(result.slope) for form, result in results.items()},
        "error_ratios": {form: list(result.ratio) for form, result in results.items()},
        "pairs": [
            {
                "run": state.run,
                "step": state.step,
                "collapse_step": state.collapse.step,
                "observed": state.observed,
                "horizon": HORIZON * state.end,
                "mean": float(control[i]),
                **{form: float(times[i]) for form, times in predicted.items()},
            }
            for i, state in enumerate(found.states)
        ],
    }


PREDICTION = Prediction(
    number=20,
    id="collapse-time",
    claim="The gap flow predicts when a gap collapses.",
    reference="section 3; docs/theory.md, 3.3 to 3.6",
    statistic="slope of log predicted on log observed time to collapse; median relative error",
    treatment=f"every tenth record from which a collapse of the gap was followed, {LEAD} records before it or more",
    control="predict the mean time of the other collapses",
    rule="interval of the slope holds 1 and not 0, and the error lies below the control's",
    judge=judge,
    planted=worlds.planted("collapse-time", 12),
)
