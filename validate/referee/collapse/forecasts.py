"""When two modes will meet, from one `State`: the forms of the gap flow, and the two predictors that know no theory.

**What is fitted.** 3.1 leaves the absolute scale of the source open, so p is multiplied by one number for both modes,
chosen so that 3.1 gives the growth of u = d² that was seen over the records *before* the state: per mode
u̇ = −2η(h+ω)u + s·2ηWp, least squares on u̇/u. h is the curvature of the plain loss where the theory means the
preconditioned one; a reading fits a scale to it as well. Two scales reproduce the growth of both modes whatever the
probes say, so that reading tests little more than an extrapolation; the default fits one.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from spectral_edge import simulate, theory
from spectral_edge.theory.checks import choice
from spectral_edge.validate.referee.collapse.states import State, W

Floats = NDArray[np.float64]

#: A collapse foreseen later than this many lengths of the run counts as foreseen then, and so does none at all.
HORIZON = 5.0
#: Longest step of the integration, in records, and its relative tolerance, finer than coefficients are known.
STRIDE, TOLERANCE = 5.0, 1e-4


def source_scale(state: State) -> float:
    """The number s by which p must be multiplied for 3.1 to give the growth seen before the state, at least 0."""
    decay = 2 * state.eta * (state.h + state.omega)
    source = 2 * state.eta * W * state.p / state.level
    power = float(source @ source)
    return max(0.0, float(source @ (state.growth / state.level + decay)) / power) if power > 0 else 1.0


def both_scales(state: State) -> tuple[float, float]:
    """The numbers, at least 0, by which h and p must be multiplied for the same; ω is known and keeps its scale."""
    columns = 2 * state.eta * np.stack([-state.h, W * state.p / state.level], axis=1)
    size = np.abs(columns).max(axis=0)
    size = np.where(size > 0, size, 1.0)
    fitted, _ = nnls(columns / size, state.growth / state.level + 2 * state.eta * state.omega)
    h, p = fitted / size
    return float(h), float(p)


def _closed(form: str, fit: str = "source") -> Callable[[State], float]:
    def time(state: State) -> float:
        h, p = 1.0, 1.0
        if fit == "source":
            p = source_scale(state)
        elif fit == "both":
            h, p = both_scales(state)
        flow = {"eta": state.eta, "omega": state.omega, "W": W}
        return float(theory.collapse_time(state.d, h=h * state.h, p=p * state.p, form=form, **flow))

    return time


def _on_line(times: list[float], rows: list[tuple[float, ...]], first: int, t: float) -> tuple[float, float]:
    """Two neighbouring columns of `rows` at `t`, by straight lines; called often, so without numpy."""
    i = min(max(bisect_right(times, t), 1), len(times) - 1)
    share = min((t - times[i - 1]) / (times[i] - times[i - 1]), 1.0)
    one, other = rows[i - 1], rows[i]
    a, b = (one[j] + share * (other[j] - one[j]) for j in (first, first + 1))
    return a, b


def _integrated(state: State) -> float:
    """3.3 with h(t) and p(t) as they were measured afterwards, straight lines between records; then held.

    This is no forecast: it asks whether the flow is right once its coefficients are known.
    """
    columns = state.later * [1.0, 1.0, 1.0, *[source_scale(state)] * 2]
    columns = columns[np.isfinite(columns).all(axis=1)]
    times, last = columns[:, 0].tolist(), columns[-1]
    rows = list(zip(*columns[:, 1:].T.tolist(), strict=True))

    flow: dict[str, Any] = {"eta": state.eta, "omega": state.omega, "W": W}
    # partials go to Python at once; numba would first try to compile a function anew for every state
    try:
        run = simulate.gap_ode(
            float(state.d[0] - state.d[1]),
            float(state.d.mean()),
            h=partial(_on_line, times, rows, 0),
            p=partial(_on_line, times, rows, 2),
            t_max=times[-1],
            t_eval=[times[-1]],
            rtol=TOLERANCE,
            atol=TOLERANCE * float(state.d.min()),
            max_step=STRIDE * state.spacing,
            **flow,
        )
    except ValueError:  # strengths that grow beyond all numbers do not meet
        return float("nan")
    if np.isfinite(run.collapse_time):
        return run.collapse_time
    end = theory.collapse_time(run.sigma[-1], h=last[1:3], p=last[3:], **flow)
    return float(times[-1] + end)


def _straight(state: State) -> float:
    """The gap goes on falling as it fell before the state."""
    rate = state.growth / (2 * state.d)
    closing = rate[1] - rate[0]
    return float((state.d[0] - state.d[1]) / closing) if closing > 0 else float("nan")


#: Steps from a state to its collapse, by form; NaN = never.
FORMS: dict[str, Callable[[State], float]] = {
    "exact": _closed("exact"),
    "frozen": _closed("frozen"),
    "linear": _closed("linear"),
    "integrated": _integrated,
    "exact (nothing fitted)": _closed("exact", fit="none"),
    "exact (curvature fitted too)": _closed("exact", fit="both"),
    "straight line": _straight,
}


def predict(state: State, form: str = "exact") -> float:
    """Steps from `state` until its modes meet, by one of `FORMS`; never later than `HORIZON` lengths of the run.

    Parameters
    ----------
    state : State
    form : str
        "exact" (3.6), "frozen" (3.4), "linear" (3.5), "integrated" (3.3 with the coefficients as they were measured
        afterwards), variants of the fit, and "straight line", which knows no theory.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no such form.

    Examples
    --------
    >>> from spectral_edge.validate.referee import worlds
    >>> from spectral_edge.validate.referee.collapse.states import states
    >>> first = states(worlds.planted("collapse-time", 1)(0)[0])[0]
    >>> round(predict(first) / first.observed, 1)
    1.0
    """
    time = FORMS[choice("form", form, tuple(FORMS))](state)
    horizon = HORIZON * state.end
    return min(time, horizon) if np.isfinite(time) else horizon


def predict_mean(states: Sequence[State], events: Sequence[object]) -> Floats:
    """For each state the mean observed time, in its own records, of the states that lead to other events.

    Parameters
    ----------
    states : sequence of State
    events : sequence
        Of each state, what names the event it leads to.

    Returns
    -------
    (n,) array, steps; NaN where there is no other event
    """
    records = np.array([state.observed / state.spacing for state in states])
    labels = {event: i for i, event in enumerate(dict.fromkeys(events))}
    index = np.array([labels[event] for event in events], dtype=int)
    totals, counts = np.bincount(index, records), np.bincount(index)
    others = len(records) - counts[index]
    spacing = np.array([state.spacing for state in states])
    mean = np.divide(
        records.sum() - totals[index], others, out=np.full(len(records), np.nan), where=others > 0
    )
    return mean * spacing
