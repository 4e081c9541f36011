"""How good forecasts were: concordance, error and calibration, with intervals from resampled runs.

Concordance is Harrell's: of two states the one of which an exchange was foreseen earlier should be the one that
exchanged earlier, over all pairs of which the data say who did. States that were censored take part as far as they were
watched. Ties of what was foreseen count half; 0.5 is chance.

Times are compared by their logarithms: errors are multiples. The slope is that of predicted on observed times, because
the observed ones are known to a fraction of a record and the predicted ones carry all the error: regressed the other
way round, that error would flatten the line. It is Theil and Sen's, the median over pairs of points. What lies beyond
the horizon, and what is never to come, counts as foreseen for the horizon.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse.forecasts import CHECKED, FORMS, PLACEBOS, Form, size
from spectral_edge.validate.referee.collapse.states import HORIZON, States, states
from spectral_edge.validate.referee.collapse.tracks import EVERY, Tracks, W
from spectral_edge.validate.referee.statistics import TAIL, UNKNOWN, Estimate

RESAMPLES = 999
SEED = 20
#: Relative error up to which a time counts as foreseen.
NEAR = 0.3
#: The slope is taken of at most so many points, evenly spaced among them.
POINTS = 300
#: Of which the pairs are added up in so many stretches.
STRETCHES = 128
#: Exchanged states at a time in the count of concordant pairs.
CHUNK = 256
#: Which states: of all leading pairs, or of those around a gap.
WHERE = ("k*", "weighted k*", "leading pairs")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def concordant(
    predicted: Floats, time: Floats, exchanged: NDArray[np.bool_], run: Integers
) -> tuple[Floats, Floats]:
    """Pairs of states that are concordant, and that can be compared, by the runs of the two, (R, R) each.

    Parameters
    ----------
    predicted, time : (n,) arrays
    exchanged : (n,) bool
        False where `time` is how long a state was watched.
    run : (n,) int
        Number of the run of each state, from 0 and in order.
    """
    count = int(run.max()) + 1 if len(run) else 0
    agree, comparable = np.zeros((count, count)), np.zeros((count, count))
    starts = np.searchsorted(run, np.arange(count))
    full = np.flatnonzero(
        np.bincount(run, minlength=count)
    )  # reduceat would give empty runs their neighbour's
    rows = np.flatnonzero(exchanged)
    for chunk in np.split(rows, range(CHUNK, len(rows), CHUNK)):
        t, p = time[chunk, None], predicted[chunk, None]
        later = (time > t) | ((time == t) & ~exchanged)
        score = later * ((predicted > p) + 0.5 * (predicted == p))
        for into, values in ((agree, score), (comparable, later.astype(float))):
            by_run = np.zeros((len(chunk), count))
            by_run[:, full] = np.add.reduceat(values, starts[full], axis=1)
            np.add.at(into, run[chunk], by_run)
    return agree, comparable


@dataclass(frozen=True, eq=False)
class Score:
    """Forecasts beside what was observed; each figure is computed when it is asked for.

    Attributes
    ----------
    predicted, time : (n,) arrays, records
    exchanged : (n,) bool
    run : (n,) int64
        From 0 and in order.
    control : (n,) array, records
        What the mean of the other exchanges would predict.
    """

    predicted: Floats
    time: Floats
    exchanged: NDArray[np.bool_]
    run: Integers
    control: Floats

    @cached_property
    def _weights(self) -> Integers:
        """How often each run is drawn, (RESAMPLES, R)."""
        count = int(self.run.max()) + 1 if len(self.run) else 0
        if count < 2:
            return np.zeros((0, count), dtype=np.int64)
        return np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES)

    def _estimate(self, value: float, draws: Floats) -> Estimate:
        """`value` with the interval of `draws`; none where fewer than two runs have what it takes."""
        draws = draws[np.isfinite(draws)]
        low, high = np.quantile(draws, [TAIL, 1 - TAIL]) if len(draws) else (float("nan"),) * 2
        return Estimate(float(value), float(low), float(high))

    @cached_property
    def concordance(self) -> Estimate:
        """Harrell's C."""
        agree, comparable = concordant(self.predicted, self.time, self.exchanged, self.run)
        if not comparable.sum():
            return UNKNOWN
        w = self._weights.astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = ((w @ agree) * w).sum(axis=1) / ((w @ comparable) * w).sum(axis=1)
        return self._estimate(agree.sum() / comparable.sum(), draws)

    @cached_property
    def _errors(self) -> Floats:
        """Relative error of the exchanged states."""
        return np.abs(self.predicted - self.time)[self.exchanged] / self.time[self.exchanged]

    @cached_property
    def _medians(self) -> Floats:
        """Median error of the exchanged states in every draw of runs; NaN where it draws none."""
        order = np.argsort(self._errors)
        drawn = np.cumsum(self._weights[:, self.run[self.exchanged][order]], axis=1)
        count, errors = drawn[:, -1:], self._errors[order]
        one, other = (errors[(drawn > middle).argmax(axis=1)] for middle in ((count - 1) // 2, count // 2))
        return np.where(count[:, 0] > 0, (one + other) / 2, np.nan)

    @cached_property
    def _against(self) -> "Score":
        """The control in the place of the forecasts."""
        return replace(self, predicted=self.control)

    @cached_property
    def error(self) -> Estimate:
        """Median relative error |predicted − observed|/observed."""
        if not self.exchanged.any():
            return UNKNOWN
        return self._estimate(float(np.median(self._errors)), self._medians)

    @property
    def control_error(self) -> Estimate:
        """Median relative error of the control."""
        return self._against.error

    @cached_property
    def ratio(self) -> Estimate:
        """That error over the one of the control."""
        if not self.exchanged.any():
            return UNKNOWN
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(np.median(self._errors) / np.median(self._against._errors))
            return self._estimate(value, self._medians / self._against._medians)

    @cached_property
    def within(self) -> float:
        """Share of the exchanged states whose time was foreseen to within `NEAR`."""
        return float(np.mean(self._errors <= NEAR)) if len(self._errors) else float("nan")

    @cached_property
    def never(self) -> float:
        """Share of the exchanged states of which no exchange was foreseen within the horizon."""
        missed = self.predicted[self.exchanged] >= HORIZON
        return float(np.mean(missed)) if len(missed) else float("nan")

    @cached_property
    def slope(self) -> Estimate:
        """Slope of log predicted on log observed time."""
        rows = np.flatnonzero(self.exchanged)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(POINTS, len(rows))).astype(int))]
        x, y, run = np.log(self.time[rows]), np.log(np.maximum(self.predicted[rows], 1e-3)), self.run[rows]
        one, other = np.triu_indices(len(x), 1)
        apart = x[one] != x[other]
        one, other = one[apart], other[apart]
        if not len(one):
            return UNKNOWN
        slopes = (y[other] - y[one]) / (x[other] - x[one])
        present, run = np.unique(run, return_inverse=True)  # of most runs no exchange is among them
        order, runs = np.argsort(slopes), len(present)
        draws = _weighted_medians(
            slopes[order], run[one][order] * runs + run[other][order], self._weights[:, present]
        )
        return self._estimate(float(np.median(slopes)), draws)

    def p_value(self) -> float:
        """Of the errors being below the control's: Wilcoxon's signed ranks of each run's median difference."""
        differences = self._errors - self._against._errors
        run = self.run[self.exchanged]
        medians = np.array([np.median(differences[run == number]) for number in np.unique(run)])
        medians = medians[medians != 0]
        return float(stats.wilcoxon(medians, alternative="less").pvalue) if len(medians) else 1.0


def _weighted_medians(values: Floats, of_pair: Integers, weights: Integers) -> Floats:
    """Median of sorted `values` in every draw, (m,); a value counts as often as the two runs of its pair are drawn.

    Of most values only the sum of a stretch is needed: that of the median is looked through one by one.
    """
    pairs = np.einsum("mi,mj->mij", weights, weights, dtype=float).reshape(len(weights), -1)
    edges = np.linspace(0, len(values), min(STRETCHES, len(values)) + 1).astype(int)
    stretches = [of_pair[start:end] for start, end in pairwise(edges)]
    counts = np.array([np.bincount(stretch, minlength=pairs.shape[1]) for stretch in stretches], dtype=float)
    total = np.cumsum(pairs @ counts.T, axis=1)  # whole numbers far below 2^53
    middle = (total[:, -1] + 1) // 2
    found = np.full(len(weights), np.nan)
    places = (total < middle[:, None]).sum(axis=1)
    for place in np.unique(places[total[:, -1] > 0]):
        draws = np.flatnonzero((places == place) & (total[:, -1] > 0))
        before = total[draws, place - 1] if place else np.zeros(len(draws))
        inside = before[:, None] + np.cumsum(pairs[draws[:, None], stretches[place]], axis=1)
        found[draws] = values[edges[place] + (inside < middle[draws, None]).sum(axis=1)]
    return found


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Every state of some runs, with what each form predicts from it.

    Attributes
    ----------
    names : tuple of str
        Of the runs.
    run, pair, event : (n,) int64
        Number of its run, rank from 0 of the stronger mode, number of the exchange it leads to (−1: censored).
    step : (n,) int64
        Optimiser step of the state.
    spacing : (n,) array
        Steps from one record to the next.
    time : (n,) array, records
    exchanged, at_gap, at_weighted : (n,) bool
        As in `States`.
    predicted : dict of str to (n,) array, records
        By form, at most `HORIZON`; forms that a run does not allow are NaN there.

    Examples
    --------
    >>> from spectral_edge import simulate, validate
    >>> world = simulate.planted("window-exchange", 3)
    >>> about = {"probes": world.probes, "config": world.config}
    >>> run = validate.GramSequence.from_inner_products(world.K, world.steps, world.P, **about)
    >>> found = Forecasts.of([run])
    >>> found.counts, sorted(found.predicted)[:2]  # two exchanges in one run
    ((2, 1), ['blended', 'checked'])
    """

    names: tuple[str, ...]
    run: Integers
    pair: Integers
    event: Integers
    step: Integers
    spacing: Floats
    time: Floats
    exchanged: NDArray[np.bool_]
    at_gap: NDArray[np.bool_]
    at_weighted: NDArray[np.bool_]
    predicted: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        runs: Sequence[GramSequence],
        forms: Mapping[str, Form] = FORMS,
        placebos: Mapping[str, Form] = PLACEBOS,
        W: int = W,
        every: int = EVERY,
    ) -> "Forecasts":
        """Find the states of all `runs`, and predict from each by all forms and by what they are compared with.

        Parameters
        ----------
        runs : sequence of GramSequence
        forms, placebos : mapping of str to callable
            Forms of forecast by their names, and of those that have one the placebo.
        W, every : int
            Window, and records from one state to the next.

        Returns
        -------
        Forecasts

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> world = simulate.planted("window-exchange", 3)
        >>> about = {"probes": world.probes, "config": world.config}
        >>> run = validate.GramSequence.from_inner_products(world.K, world.steps, world.P, **about)
        >>> sorted(Forecasts.of([run], forms={}, placebos={}).predicted)
        ['mean of the others', 'size of the ratio']
        """
        chosen = {**forms, **{placebo_of(name): form for name, form in placebos.items()}}
        parts: list[dict[str, Any]] = []
        for number, run in enumerate(runs):
            tracks, found = _watched(Tracks.of(run, W, every))
            at = found.row, found.pair
            predicted = {}
            for name, form in {**chosen, SIZE: size}.items():
                told = form(tracks) if len(found.row) else None
                predicted[name] = np.full(len(found.row), np.nan) if told is None else told[at]
            parts.append({
                "run": np.full(len(found.row), number), "pair": found.pair, "event": found.event,
                "step": tracks.windows.steps[tracks.looked[found.row]], "time": found.time,
                "spacing": np.full(len(found.row), float(tracks.optimizer.spacing)),
                "exchanged": found.exchanged, "at_gap": found.at_gap, "at_weighted": found.at_weighted,
                **{f"by {name}": told for name, told in predicted.items()},
            })  # fmt: skip
        joined: dict[str, Any] = (
            {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}
        )
        by = {key[3:]: np.minimum(joined.pop(key), HORIZON) for key in list(joined) if key.startswith("by ")}
        names = tuple(str(run.config.get("run", f"run {i}")) for i, run in enumerate(runs, start=1))
        found_all = cls(names, **joined)
        by[SIZE] = found_all._scaled(by[SIZE])
        by[MEAN] = found_all._mean_of_others()
        return replace(found_all, predicted=by)

    def _mean_of_others(self) -> Floats:
        """The mean time of the states that lead to other exchanges; of all that exchange, for those censored."""
        label = self.run * (int(self.event.max(initial=0)) + 1) + self.event
        ids = np.unique(label[self.exchanged], return_inverse=True)[1]
        totals, counts = np.bincount(ids, self.time[self.exchanged]), np.bincount(ids)
        total, count = totals.sum(), counts.sum()
        mean = np.full(len(self.time), total / count if count else np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean[self.exchanged] = ((total - totals) / (count - counts))[ids]
        return np.where(np.isfinite(mean), mean, HORIZON)

    def _scaled(self, distance: Floats) -> Floats:
        """Distances as times: by the median time per distance of the exchanged states of the other runs."""
        out = np.full(len(distance), float(HORIZON))
        for number in np.unique(self.run):
            own = self.run == number
            others = self.exchanged & ~own & (distance > 0)
            if others.any():
                out[own] = distance[own] * np.median(self.time[others] / distance[others])
        return np.minimum(out, HORIZON)

    def where(self, which: str = "leading pairs") -> "Forecasts":
        """The states of one of `WHERE` alone.

        Parameters
        ----------
        which : {"k*", "weighted k*", "leading pairs"}

        Returns
        -------
        Forecasts

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> world = simulate.planted("window-exchange", 3)
        >>> about = {"probes": world.probes, "config": world.config}
        >>> run = validate.GramSequence.from_inner_products(world.K, world.steps, world.P, **about)
        >>> found = Forecasts.of([run], forms={}, placebos={})
        >>> bool(found.where("k*").at_gap.all()), len(found.where("k*").run) <= len(found.run)
        (True, True)
        """
        keep = {"k*": self.at_gap, "weighted k*": self.at_weighted}.get(
            which, np.ones(len(self.run), dtype=bool)
        )
        return self.only(keep)

    def only(self, keep: NDArray[np.bool_]) -> "Forecasts":
        """The states marked in `keep`.

        Parameters
        ----------
        keep : (n,) bool

        Returns
        -------
        Forecasts

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> world = simulate.planted("window-exchange", 3)
        >>> about = {"probes": world.probes, "config": world.config}
        >>> run = validate.GramSequence.from_inner_products(world.K, world.steps, world.P, **about)
        >>> found = Forecasts.of([run], forms={}, placebos={})
        >>> found.only(found.exchanged).counts == found.counts
        True
        """
        arrays: dict[str, Any] = {
            name: value[keep] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays, predicted={k: v[keep] for k, v in self.predicted.items()})

    @property
    def counts(self) -> tuple[int, int]:
        """How many exchanges were seen coming, in how many runs."""
        seen = np.column_stack([self.run, self.event])[self.exchanged]
        return len(np.unique(seen, axis=0)), len(np.unique(seen[:, 0]))

    def score(self, form: str) -> Score:
        """How good a form was on the states of which it can be evaluated: by name, `MEAN`, `SIZE` or a placebo.

        Parameters
        ----------
        form : str
            A key of `predicted`.

        Returns
        -------
        Score

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> world = simulate.planted("window-exchange", 3)
        >>> about = {"probes": world.probes, "config": world.config}
        >>> run = validate.GramSequence.from_inner_products(world.K, world.steps, world.P, **about)
        >>> found = Forecasts.of([run])  # gradient descent on a quadratic loss: the window says all
        >>> found.score("propagated").error.value < 1e-3
        True
        """
        known = np.isfinite(self.predicted[form])
        run = np.unique(self.run[known], return_inverse=True)[1].ravel()
        return Score(
            self.predicted[form][known],
            self.time[known],
            self.exchanged[known],
            run,
            self.predicted[MEAN][known],
        )

    def pairs(self, forms: Sequence[str]) -> list[dict[str, Any]]:
        """One row for each state that exchanged, JSON values: what `figures.collapse.agreement` draws.

        Parameters
        ----------
        forms : sequence of str
            Keys of `predicted`.

        Returns
        -------
        list of dict
            Times in records.

        Examples
        --------
        >>> from spectral_edge import simulate, validate
        >>> world = simulate.planted("window-exchange", 3)
        >>> about = {"probes": world.probes, "config": world.config}
        >>> run = validate.GramSequence.from_inner_products(world.K, world.steps, world.P, **about)
        >>> found = Forecasts.of([run], placebos={})
        >>> sorted(found.pairs(["line"])[0])
        ['horizon', 'line', 'mean of the others', 'observed', 'pair', 'run', 'step']
        """
        return [
            {
                "run": self.names[self.run[i]],
                "step": int(self.step[i]),
                "pair": int(self.pair[i]) + 1,
                "observed": float(self.time[i]),
                "horizon": float(HORIZON),
                **{form: float(self.predicted[form][i]) for form in (*forms, MEAN) if form in self.predicted},
            }
            for i in np.flatnonzero(self.exchanged)
        ]


def _watched(tracks: Tracks) -> tuple[Tracks, States]:
    """The states of a run, and no window looked at but theirs and those from which forecasts are checked."""
    found, looked = states(tracks), tracks.looked
    own = looked[np.unique(found.row)]
    few = looked[np.isin(looked, np.concatenate([own, own - CHECKED]))]
    rows = np.searchsorted(few, looked[found.row])
    return replace(tracks, looked=few), replace(found, row=rows)


#: What the forms are compared with.
MEAN, SIZE = "mean of the others", "size of the ratio"


def placebo_of(form: str) -> str:
    """Name of a form's placebo.

    Parameters
    ----------
    form : str

    Returns
    -------
    str

    Examples
    --------
    >>> placebo_of("propagated")
    'propagated, curvature of another time'
    """
    return f"{form}, curvature of another time"
