"""Predicted against observed times: slope and relative error, with intervals from resampled runs.

Times are compared by their logarithms: errors are multiples, and observed times span decades. The slope is that of
predicted on observed times, because the observed ones are known to a fraction of a record and the predicted ones carry
all the error: regressed the other way round, that error would flatten the line. It is Theil and Sen's, the median over
pairs, so that a few forecasts of "never" do not turn it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse.forecasts import HORIZON, predict, predict_mean
from spectral_edge.validate.referee.collapse.states import State, states
from spectral_edge.validate.referee.statistics import TAIL, Estimate

RESAMPLES = 999
SEED = 20

Floats = NDArray[np.float64]


class Agreement(NamedTuple):
    """Predicted against observed times: slope of the logarithms, median relative error, and that over the control's."""

    slope: Estimate
    error: Estimate
    ratio: Estimate


def relative_error(predicted: Floats, observed: Floats) -> Floats:
    """|predicted − observed|/observed."""
    return np.abs(predicted - observed) / observed


def _pair_slopes(x: Floats, y: Floats) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Slopes of all pairs of points with different x, sorted, with the two points of each."""
    one, other = np.triu_indices(len(x), 1)
    apart = x[one] != x[other]
    one, other = one[apart], other[apart]
    slopes = (y[other] - y[one]) / (x[other] - x[one])
    order = np.argsort(slopes)
    return slopes[order], one[order], other[order]


def agreement(predicted: Floats, observed: Floats, control: Floats, run: NDArray[np.int64]) -> Agreement:
    """Slope, error and error over the control's, with intervals from resampled runs."""
    x, y = np.log(observed), np.log(predicted)
    errors, control_errors = relative_error(predicted, observed), relative_error(control, observed)
    slopes, one, other = _pair_slopes(x, y)
    rng = np.random.default_rng(SEED)
    numbers = np.unique(run)
    rows = [np.flatnonzero(run == number) for number in numbers]
    drawn = np.full((RESAMPLES, 3), np.nan)
    for draw in drawn:
        times = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)))
        chosen = np.repeat(np.arange(len(numbers)), times)
        sample = np.concatenate([rows[i] for i in chosen])
        count = np.bincount(sample, minlength=len(x))
        weight = np.cumsum(count[one] * count[other])
        if len(weight) and weight[-1] > 0:
            draw[0] = slopes[np.searchsorted(weight, weight[-1] / 2)]
        draw[1] = np.median(errors[sample])
        draw[2] = draw[1] / np.median(control_errors[sample])
    low, high = np.nanquantile(drawn, [TAIL, 1 - TAIL], axis=0)
    error = float(np.median(errors))
    values = (
        float(stats.theilslopes(y, x).slope),
        error,
        error / float(np.median(control_errors)),
    )
    return Agreement(*(Estimate(v, float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)))


def less_error(errors: Floats, control: Floats, run: NDArray[np.int64]) -> float:
    """P-value of Wilcoxon's signed ranks of each run's median difference of the errors, one-sided."""
    differences = np.array([np.median((errors - control)[run == number]) for number in np.unique(run)])
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    return float(stats.wilcoxon(differences, alternative="less").pvalue)


@dataclass(frozen=True)
class Forecasts:
    """Every state before a collapse, with what each form predicts from it.

    Attributes
    ----------
    states : tuple of State
    run : (n,) int64
        Number of the run each comes from.
    predicted : dict of str to (n,) array, steps
        By form.
    """

    states: tuple[State, ...]
    run: NDArray[np.int64]
    predicted: dict[str, Floats]

    @classmethod
    def of(cls, runs: Sequence[GramSequence], forms: Sequence[str], by_rank: bool = False) -> "Forecasts":
        """Find the states of all `runs` and predict from each by all `forms`."""
        found = [(state, number) for number, run in enumerate(runs) for state in states(run, by_rank)]
        chosen = tuple(state for state, _ in found)
        predicted = {form: np.array([predict(state, form) for state in chosen]) for form in forms}
        return cls(chosen, np.array([number for _, number in found], dtype=np.int64), predicted)

    @cached_property
    def events(self) -> list[Any]:
        """Of each state, the collapse it leads to."""
        return [(int(run), state.collapse) for run, state in zip(self.run, self.states, strict=True)]

    @property
    def counts(self) -> tuple[int, int]:
        """How many collapses, in how many runs."""
        return len(set(self.events)), len(np.unique(self.run))

    @cached_property
    def observed(self) -> Floats:
        """Steps from each state to its collapse."""
        return np.array([state.observed for state in self.states])

    @cached_property
    def mean(self) -> Floats:
        """The control: the mean time of the other collapses."""
        return predict_mean(self.states, self.events)

    def agreement_of(self, times: Floats) -> Agreement:
        """How `times` agree with what was observed."""
        return agreement(times, self.observed, self.mean, self.run)

    def p_value(self, form: str) -> float:
        """Of the errors of `form` being below those of the control."""
        own, other = (relative_error(times, self.observed) for times in (self.predicted[form], self.mean))
        return less_error(own, other, self.run)

    def pairs(self) -> list[dict[str, Any]]:
        """One row per state, JSON values: what `figures.collapse.agreement` draws."""
        return [
            {
                "run": state.run,
                "step": state.step,
                "collapse_step": state.collapse.step,
                "observed": state.observed,
                "horizon": HORIZON * state.end,
                "mean": float(self.mean[i]),
                **{form: float(times[i]) for form, times in self.predicted.items()},
            }
            for i, state in enumerate(self.states)
        ]
