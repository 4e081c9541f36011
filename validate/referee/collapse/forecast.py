"""`validate.forecast`: when the modes of your own run are expected to exchange, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.gram.derived import between
from spectral_edge.validate.referee.collapse import table
from spectral_edge.validate.referee.collapse.forecasts import CHECKED, FORMS, fitted, misses, propagated
from spectral_edge.validate.referee.collapse.states import HORIZON, LEADING, missing
from spectral_edge.validate.referee.collapse.tracks import EVERY, PAST, Tracks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: The best form first: what the sentence and the picture show is the first that a run allows.
BEST = ("checked", "fitted")
WORDS = {"checked": "the window carried on by the optimiser", "fitted": "a recurrence fitted to the window"}
#: Regimes with fewer exchanges than this do not say how good a form is.
EXCHANGES = 8
#: Windows before the last that a picture shows, and that say how long modes last.
SHOWN, COUNTED = 30, 100


@dataclass(frozen=True, eq=False)
class Forecast:
    """When neighbouring modes of a window are expected to exchange ranks.

    Attributes
    ----------
    step : int
        Optimiser step at which the window ends: that of the last record at or before the one asked for whose curvature
        is known, if that is no more than five records back.
    spacing : int
        Optimiser steps from one record to the next.
    W, horizon : int
        Window, and how many records ahead were looked at.
    k_star, k_star_weighted : float
        Gap position, NaN where there is none.
    pairs : (m, 2) int64
        Ranks, from 1, of neighbouring leading modes.
    followed : (m,) bool
        Whether both have been themselves for the last windows: else nothing can be said of the pair.
    collapse_time : mapping of str to (m,) float64, records
        By form, infinite where no exchange is foreseen within the horizon, NaN where nothing can be said. Forms that
        the run does not allow are left out.
    lasts : float
        For how many records the two modes that bound the gap stay themselves, on average; infinite where none was lost.
    best : str
        The form that the sentence and the picture show.
    past : (n, W) float64, parameter units
        Singular values of the last windows, up to this one.
    ahead : (horizon + 1, W) float64, parameter units
        Those that `best` expects, from this window on; NaN where it says nothing.
    record : mapping
        How good each form was on the dense runs of the same kind: concordance, median relative error, share within
        30 %, share "never", each the range over the regimes of that kind. Empty where there is none.

    Notes
    -----
    Section 10 of docs/theory.md.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> found = validate.forecast(validate.bundled("dense")[8], step=750)
    >>> found.step, found.best, found.pairs[0].tolist(), found.ahead.shape
    (750, 'checked', [1, 2], (61, 10))
    """

    step: int
    spacing: int
    W: int
    horizon: int
    k_star: float
    k_star_weighted: float
    pairs: NDArray[np.int64]
    followed: NDArray[np.bool_]
    collapse_time: Mapping[str, Floats]
    lasts: float
    best: str
    past: Floats
    ahead: Floats
    record: Mapping[str, Mapping[str, tuple[float, float]]]

    def __str__(self) -> str:
        """One honest sentence, or two."""
        if not self.followed.any():
            return self._cannot_be_said()
        times = self.collapse_time[self.best]
        gap = "There is no gap" if np.isnan(self.k_star) else f"The gap lies at k* = {self.k_star:.0f}"
        soon = [i for i in np.argsort(times) if np.isfinite(times[i])]
        if soon:
            (first, at), *others = ((self._named(i), f"in {_records(float(times[i]))}") for i in soon)
            then = "".join(f", {pair} {when}" for pair, when in others)
            told = f"modes {first} are expected to exchange {at}{then}"
        else:
            told = f"no two leading modes are expected to exchange within {self.horizon} records"
        return f"{gap} at step {self.step:,}; {told} ({WORDS[self.best]}). {self._how_sure()}"

    def _named(self, i: int) -> str:
        upper, lower = self.pairs[i]
        return f"{upper} and {lower}" + (" (those of the gap)" if upper == self.k_star else "")

    def _how_sure(self) -> str:
        known = self.record.get(self.best)
        if known is None:
            return "On no run like it was tested how good that is."
        (low, high), (worst, best) = known["concordance"], known["error"]
        return (
            f"On dense runs like it the order of such times was right in {_between(low, high)} of pairs, and the "
            f"median error {_between(worst, best)}."
        )

    def _cannot_be_said(self) -> str:
        lost = np.isinf(self.lasts)  # not those around the gap, which may have lain elsewhere: the others
        told = (
            "no leading mode has lasted" if lost else f"those around the gap last for {_records(self.lasts)}"
        )
        if self.spacing == 1:
            advice = "every step is recorded already: each brings directions of its own, as batches do"
        elif lost:
            advice = f"record more often than every {self.spacing:,} steps"
        else:
            # as many records within the life of a mode as there are in a window
            every = max(1, int(self.spacing * self.lasts / self.W))
            advice = "record every step" if every == 1 else f"record every {every:,} steps"
        return f"When modes will exchange cannot be said: at step {self.step:,} {told}; {advice}."

    def plot(self, ax: "Axes | None" = None, happened: GramSequence | None = None) -> "Axes":
        """Draw the leading singular values of the last windows, what is expected of them, and the next exchange.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default axes of a new figure.
        happened : GramSequence, optional
            The same run recorded further: what came of it is drawn beside what was expected.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> from spectral_edge import validate
        >>> run = validate.bundled("dense")[8]
        >>> axes = validate.forecast(run, step=750).plot(happened=run)
        >>> axes.get_xlabel()
        'step'
        """
        from spectral_edge.validate.referee.figures.collapse import continued_spectrum

        return continued_spectrum(self, ax, happened)


def forecast(
    sequence: GramSequence, W: int = 10, step: int | None = None, horizon: int = HORIZON
) -> Forecast:
    """Forecast when the leading modes of a run exchange ranks, by every form that the run allows (section 10).

    Parameters
    ----------
    sequence : GramSequence
        A run, finished or being recorded: at least `W` + 6 records, in a band as wide. With the probe "response" (or
        "hessian", where the optimiser has no preconditioner) and its optimiser on its card the window can be
        propagated; with a gradient the flow of the thesis can be asked as well; K alone allows the rest. Record the
        response in float64, and train in float64 where every step is recorded: in float32 the weaker modes of a smooth
        run are rounding.
    W : int
        Window.
    step : int, optional
        The last record at or before this step is the last that is used; by default the last there is.
    horizon : int
        Records ahead, at most 60: beyond nothing was ever tested.

    Returns
    -------
    Forecast

    Raises
    ------
    ValueError
        If an argument is out of its range, or the run too short.

    Notes
    -----
    The propagated window is 10.3, the fitted recurrence 10.4, the flow of the thesis 3.6, damping alone 10.2. How good
    the forms are is in docs/findings.md.

    Examples
    --------
    >>> from spectral_edge import simulate, validate
    >>> world = simulate.planted("window-exchange", 3)  # gradient descent on a quadratic loss, exact
    >>> run = validate.GramSequence.from_inner_products(
    ...     world.K, world.steps, world.P, probes=world.probes, config=world.config
    ... )
    >>> found = validate.forecast(run, step=60)
    >>> sorted(found.collapse_time)[:3]
    ['blended', 'checked', 'corrected']
    """
    W, horizon = whole("W", W, 2), whole("horizon", horizon, 1, HORIZON)
    run = _until(sequence, step)
    lacking = missing(run, W)
    if lacking is not None:
        raise ValueError(
            f"sequence must hold {lacking}, got {run.T} with {run.W_max} lags (a smaller W needs fewer, "
            "GramTracker(W_max=…) keeps more)"
        )
    tracks, last = _looking(Tracks.of(run, W))
    leading = min(LEADING, W - 1)
    times = {name: found[-1, :leading] for name, form in FORMS.items() if (found := form(tracks)) is not None}
    order = tracks.order[last]
    own = np.all([tracks.modes.followed[last - back, order] for back in range(PAST - 1)], axis=0)
    followed = own[:leading] & own[1 : leading + 1]
    best = next(name for name in BEST if name in times)
    return Forecast(
        step=int(tracks.windows.steps[last]),
        spacing=tracks.optimizer.spacing,
        W=W,
        horizon=horizon,
        k_star=float(tracks.windows.k_star[last]),
        k_star_weighted=float(tracks.windows.k_star_weighted[last]),
        pairs=np.arange(1, leading + 1)[:, None] + np.arange(2),
        followed=followed,
        collapse_time={name: _within(found, horizon, followed) for name, found in times.items()},
        lasts=_lasts(tracks, last),
        best=best,
        past=tracks.windows.sigma[max(0, last - SHOWN + 1) : last + 1],
        ahead=_ahead(tracks, best)[: horizon + 1],
        record=_record(run),
    )


def _between(low: float, high: float) -> str:
    one, other = f"{low:.0%}", f"{high:.0%}"
    return one if one == other else f"{one} to {other}"


def _records(number: float) -> str:
    """A number of records, in words that go with it."""
    told = f"{number:.0f}"
    return f"{told} record{'' if told == '1' else 's'}"


def _within(times: Floats, horizon: int, followed: NDArray[np.bool_]) -> Floats:
    """Infinite beyond the horizon, NaN where nothing can be said."""
    return np.where(~followed | np.isnan(times), np.nan, np.where(times <= horizon, times, np.inf))


def _until(sequence: GramSequence, step: int | None) -> GramSequence:
    """The run as it stood at `step`."""
    if step is None:
        return sequence
    step = whole("step", step, int(sequence.steps[0]), int(sequence.steps[-1]))
    return between(sequence, 0, int(np.searchsorted(sequence.steps, step, side="right")))


def _looking(tracks: Tracks) -> tuple[Tracks, int]:
    """The same run, looked at in its last window (or the last whose curvature is known), and where it is checked."""
    last = len(tracks.windows.steps) - 1
    everywhere = replace(tracks, looked=np.arange(PAST - 1, last + 1))
    if everywhere.response is not None:
        known = everywhere.looked[np.isfinite(everywhere.response).all(axis=(1, 2))]
        if len(known) and last - known[-1] <= EVERY:
            last = int(known[-1])
    looked = [window for window in (last - CHECKED, last) if window >= PAST - 1]
    found = replace(tracks, looked=np.array(looked))
    if np.isnan(found.stepping.eta[-1]):  # a schedule has come to 0: what needs the rate has nothing to say
        found = replace(found, optimizer=found.optimizer._replace(eta=np.full(tracks.run.T, np.nan)))
    return found, last


def _lasts(tracks: Tracks, last: int) -> float:
    """1/(1 − q), q the share of the last windows in which both modes around the gap were what they had been before."""
    windows = np.arange(max(1, last - COUNTED + 1), last + 1)
    k = tracks.windows.k_star[windows]
    windows, rank = windows[np.isfinite(k)], k[np.isfinite(k)].astype(int)
    pair = tracks.order[windows[:, None], rank[:, None] + np.array([-1, 0])]
    lost = 1 - np.mean(tracks.modes.followed[windows[:, None], pair].all(axis=1)) if len(rank) else 1.0
    return float(1 / lost) if lost > 0 else float("inf")


def _ahead(tracks: Tracks, best: str) -> Floats:
    """Singular values that the best form expects; of the checked one, those of whichever it takes at the gap."""
    one = propagated(tracks) if best == "checked" else None
    other = fitted(tracks)
    if one is None:
        return other.sigma[-1]
    wrong, alternative = (misses(tracks, found)[-1].sum() for found in (one, other))
    return other.sigma[-1] if alternative < wrong / 2 else one.sigma[-1]


def _record(run: GramSequence) -> dict[str, dict[str, tuple[float, float]]]:
    """Ranges over the regimes of the same kind in which exchanges enough were seen."""
    kind = table.kind_of(run)
    alike: list[dict[str, Any]] = [
        regime["forms"]
        for regime in table.stored().values()
        if kind is not None and regime["kind"] == kind and regime["exchanges"] >= EXCHANGES
    ]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for form in FORMS:
        own = [forms[form] for forms in alike if form in forms]
        if own:
            found[form] = {
                what: (min(values), max(values))
                for what, values in {
                    "concordance": [one["concordance"][0] for one in own],
                    "error": [one["error"][0] for one in own],
                    "within": [one["within"] for one in own],
                    "never": [one["never"] for one in own],
                }.items()
            }
    return found
