"""`GramTracker`: K of a training run, recorded while it runs."""

import atexit
import sys
import warnings
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import choice, positive, whole
from spectral_edge.validate.gram.derived import PART
from spectral_edge.validate.gram.files.rounding import STORAGE
from spectral_edge.validate.gram.live import spoken
from spectral_edge.validate.gram.live.cadence import Cadence
from spectral_edge.validate.gram.live.journal import Record
from spectral_edge.validate.gram.live.latest import Latest, stored_rounding
from spectral_edge.validate.gram.live.recording import Recording
from spectral_edge.validate.gram.live.shelter import Shelter
from spectral_edge.validate.gram.live.stores import Exact, Parts, Sketched
from spectral_edge.validate.gram.live.view import Measure, View
from spectral_edge.validate.gram.live.watched import Watched
from spectral_edge.validate.gram.parameters import (
    Chosen,
    Select,
    by_normalised_name,
    difference,
    items,
    local,
    shortened,
)
from spectral_edge.validate.gram.sequence import GramSequence

Floats = NDArray[np.float64]
STATE_FORMAT = 2


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What was measured, as numbers."""
    found = {}
    for name, value in metrics.items():
        try:
            found[name] = float(
                value.item() if hasattr(value, "item") else value
            )  # a tensor's gradient stays out
        except (TypeError, ValueError, RuntimeError):
            shown = " ".join(repr(value).split())[:80]
            raise ValueError(f"{name} must be a number, like every metric, got {shown}") from None
    return found


def aloud(line: str) -> None:
    """Say `line` on standard error."""
    print(f"spectral-edge: {line}", file=sys.stderr)


class GramTracker:
    """Keep the last updates of a training run where they are and record their inner products as it goes.

    Parameters
    ----------
    W_max : int
        Widest window that will be looked at, at least 2.
    path : path, optional
        Where to keep the sequence. Every record is on disk before `update` returns and the files are valid
        whenever the process dies (`GramSequence.load` reads them). One tracker owns a path: a second process is
        refused, and within a process a new tracker takes over. Default: in memory only.
    resume : bool
        Go on with the recording at `path`, if there is one; a `state_dict` loaded afterwards continues it without
        a gap. Without one the updates it had kept are gone: inner products across the gap are NaN.
    overwrite : bool
        Begin anew; a recording at `path` is kept under a number (``run.npz.1``).
    config : mapping, optional
        How the run is made (JSON values); stored in the file.
    every : int
        Record every this many steps: the steps given to `update`, or its calls where none is given.
    select : str, list of str, or callable, optional
        Glob patterns for the parameters' names (``"*attn*"``), or a test. Default: all floating tensors.
    frozen : bool
        Record parameters too that are not trained. By default they are left out (and so their memory is not
        needed); one that begins to be trained is taken in then.
    by : {"layer", "kind"} or callable, optional
        Record also the K of every group of parameters, by layer, by what they are, or by a function of their
        name: `GramSequence.parts`.
    store : {"float32", "float64", "bfloat16"}, optional
        Dtype in which updates are kept, by default that of the parameters (half precision: float32).
        "bfloat16" halves the memory; K is then exactly the Gram matrix of the rounded updates.
    sketch : int, optional
        Keep a random projection to this many numbers (even, at least 4) instead of the updates: W·d numbers
        in all (for each group of `by`). `WindowSpectra.ratio_error` measures what it does to R.
    seed : int
        Of the projection.
    probe_parameters : bool
        Record ⟨θ_t, δ_{t−l}⟩ too, as the probe "parameters".
    group : process group of torch.distributed, or "world", optional
        The parameters are shards: inner products are added up over the group, with one all-reduce per
        record. DTensors give their local shard; every other tensor counts as this rank's own.
    eta : float, optional
        Learning rate, per step, for 𝒜 (5.6) in `log`; a metric called ``learning_rate`` takes precedence.
    log : callable, optional
        Called as ``log({"k_star": …, "ratio": …, "gap": …, "adiabatic": …}, step=…)`` with plain floats (NaN
        where undefined) once a window is full; `validate.loggers` makes one for TensorBoard, W&B and others.
    log_window : int, optional
        The window of `log`, by default the smaller of 10 and `W_max`.
    on_error : {"raise", "warn"}, optional
        What happens where a record cannot be made: an exception, or a warning, after which the training goes on.
        Default: `update` raises; where an optimiser or a framework calls (`attach`, the callbacks), a warning.
    say : callable, optional
        Told in a line what is recorded, what is left out and how much memory it takes; None for silence. Default:
        standard error.

    Raises
    ------
    ValueError
        If an argument is out of its range, or `path` holds a recording and neither `resume` nor `overwrite` is given,
        or belongs to another process.

    Notes
    -----
    Section 0 of docs/theory.md; the sketch is that of 8.6. Memory: W_max + 2 vectors of P numbers, on the device of
    the parameters. An update reads each of them once. Products and sums are float64.

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> tracker, rng = validate.GramTracker(W_max=4), np.random.default_rng(0)
    >>> theta = np.zeros(1000)
    >>> for step in range(0, 60, 10):
    ...     theta = theta + rng.normal(size=1000)
    ...     tracker.update(theta, step=step, train_loss=1.0 / (step + 1))
    >>> tracker.sequence().window(4).k_star.shape
    (2,)
    """

    def __init__(
        self,
        W_max: int,
        *,
        path: str | PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        config: Mapping[str, Any] | None = None,
        every: int = 1,
        select: Select = None,
        frozen: bool = False,
        by: str | Callable[[str], str] | None = None,
        store: str | None = None,
        sketch: int | None = None,
        seed: int = 0,
        probe_parameters: bool = False,
        group: Any = None,
        eta: float | None = None,
        log: Callable[..., Any] | None = None,
        log_window: int | None = None,
        on_error: str | None = None,
        say: Callable[[str], object] | None = aloud,
    ) -> None:
        self.W_max = whole("W_max", W_max, 2)
        self.every = whole("every", every, 1)
        self.store = None if store is None else choice("store", store, ("float32", "float64", "bfloat16"))
        self.sketch = None if sketch is None else 2 * (whole("sketch", sketch, 4) // 2)
        self.seed = whole("seed", seed, 0)
        self.probe_parameters = bool(probe_parameters)
        self.log = log
        window = whole("log_window", log_window or min(10, self.W_max), 2, self.W_max)
        self._latest = Latest(window, None if eta is None else float(positive("eta", eta)))
        self._shelter = Shelter(None if on_error is None else choice("on_error", on_error, ("raise", "warn")))
        if resume and overwrite:
            raise ValueError("resume and overwrite exclude each other, got both")
        self._shards = None
        if group is not None:
            from spectral_edge.validate.gram.live.shards import Shards

            self._shards = Shards(group)
        self._watched = Watched(select, frozen, by, self._shards is not None)
        self._say = say if self._shards is None or self._shards.first else None
        self._cadence = Cadence(self.every, self.say)
        self._store: Parts | None = None
        self._state: dict[str, Any] | None = None  # loaded, to be taken up at the next record
        self._kept = 0  # updates in the store
        self._own: dict[str, Any] = {}
        self._later: dict[str, float] = {}  # measured since the last record
        self._broken, self._recounted = "", False
        self.attached = self._announced = False
        self._recording = self._open(path, dict(config or {}), resume, overwrite)
        # the .npz is brought up to date when the tracker or the process ends, however it ends short of a kill
        self._finish = weakref.finalize(self, self._recording.finish)
        if path is not None:
            # Its own hook at the end of the process may come after filelock's, which gives the path back: where PyTorch
            # was imported first. Hooks run in reverse order, and filelock is there by now.
            self._finish.atexit = False
            atexit.register(self._finish)

    def _open(self, path: Any, config: dict[str, Any], resume: bool, overwrite: bool) -> Recording:
        def opened(path: Any) -> Recording:
            return Recording(path, dict(config), self.W_max + 1, resume, overwrite)

        if self._shards is None or path is None:
            recording = opened(path)
        else:
            recording = self._shards.opened(opened, path)
        if recording.records:
            self._cadence.begin(recording.records[-1].step)
            changed = [name for name, value in recording.was.items() if recording.config[name] != value]
            if changed:
                warnings.warn(f"config of the resumed run is changed: {', '.join(changed)}", stacklevel=4)
        return recording

    @property
    def step(self) -> int | None:
        """Step of the last record, None before the first."""
        return self._cadence.recorded

    @property
    def started(self) -> bool:
        """Whether there are parameters that the next ones are compared with."""
        return self._store is not None or self._state is not None

    @property
    def sharded(self) -> bool:
        """Whether the products of several processes are added up."""
        return self._shards is not None

    @property
    def path(self) -> Any:
        """Where the sequence is kept, or None."""
        return self._recording.path

    @property
    def config(self) -> dict[str, Any]:
        """How the run is made; what is added before the first record is stored in the file."""
        return self._recording.config

    def say(self, line: str) -> None:
        """Tell the user a line, as the argument `say` of the tracker does; under shards the first rank alone.

        Parameters
        ----------
        line : str
            Without a line break.

        Examples
        --------
        >>> from spectral_edge import validate
        >>> validate.GramTracker(W_max=4, say=print).say("half of the steps are done")
        half of the steps are done
        """
        if self._say is not None:
            self._say(line)

    # -- recording ---------------------------------------------------------------------------------------

    def update(
        self,
        params: Any,
        step: int | None = None,
        *,
        probes: Mapping[str, Any] | Measure | None = None,
        hessian: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        **metrics: float,
    ) -> None:
        """Record the parameters as they are now: the inner products of their update (section 0).

        Parameters
        ----------
        params : array, tensor, model, mapping (nested too), or iterable of arrays
            The parameters θ, the same at every call: numpy, torch on any device, or anything with the array
            API. They are copied.
        step : int, optional
            The optimiser step; must increase. Default: one more than at the last call.
        probes : mapping or `probes.LossProbes`, optional
            Other vectors q with the names and shapes of `params` (gradients, say), as
            ``{"gradient": {name: array}}``: ⟨q, δ_{t−l}⟩, l = 0 … W_max, is recorded for each. Or
            `probes.from_loss`, which measures them, curvature and ablations by itself.
        hessian : callable, optional
            Maps a direction, as {name: array}, to H times it (`probes.hessian_product`); W_max + 1 products
            give the window Hessian δ_sᵀHδ_r, recorded as the probe "hessian" where this is passed.
        **metrics : float
            What was measured at this step. The first record is the starting point θ_0: its metrics have no
            update to go with and are not kept.

        Raises
        ------
        ValueError
            If the parameters hold NaN or infinity (step and tensor are named; earlier records are kept, and
            the tracker takes no more), if they change their names, shapes, dtype or device, are shards or
            replicas where they must not be, or if `step` does not increase.
        OSError
            If the record cannot be written; it is kept in memory.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> for step in range(4):
        ...     tracker.update({"w": np.arange(3.0) ** step}, step=step, train_loss=1 / (step + 1))
        >>> tracker.sequence().metrics["train_loss"]
        array([0.5       , 0.33333333, 0.25      ])
        """
        with self._shelter.over(framework=False):
            self._update(params, step, probes, hessian, metrics)

    def sheltered(self) -> AbstractContextManager[None]:
        """Put around calls by somebody else's training: errors become warnings, once each, but for `on_error` "raise".

        Returns
        -------
        context manager
            To put around `update` in a callback of one's own.

        Raises
        ------
        Exception
            Whatever was raised inside, if `on_error` is "raise".

        Examples
        --------
        >>> import warnings, numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> with warnings.catch_warnings(record=True, action="always") as told, tracker.sheltered():
        ...     tracker.update(np.array([1.0, np.nan]), step=0)
        >>> print(told[0].message)
        recording failed, the training goes on: params must be finite, got NaN or infinity in 'params' at step 0
        """
        return self._shelter.over()

    def wants(self, step: int) -> bool:
        """Whether parameters at `step` would be recorded, be it as the starting point.

        Parameters
        ----------
        step : int
            Optimiser step.

        Returns
        -------
        bool

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, every=10, say=None)
        >>> tracker.update(np.zeros(3), step=0)
        >>> tracker.wants(5), tracker.wants(10)
        (False, True)
        """
        return not self._broken and (not self.started or self._cadence.wants(step))

    def pass_over(self, step: int) -> None:
        """Take note of a step that is not recorded: for a caller who asks `wants` first and so spares an `update`.

        Parameters
        ----------
        step : int
            Optimiser step.

        Raises
        ------
        ValueError
            If `step` is not a whole number of at least 0.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, every=10, say=print)
        >>> tracker.update(np.zeros(3), step=0)
        >>> tracker.pass_over(5)
        every=10 counts steps: steps 10, 20, … are recorded
        """
        self._cadence.pass_over(self._cadence.next(step))

    def notice(self, params: Any) -> None:
        """Take in parameters that are trained from now on, as they are now: call it before their first step.

        `attach` and the callbacks do. Without it the first update of a layer that is thawed is not known, and counts
        as 0.

        Parameters
        ----------
        params : model, or as in `update`
            All of them; those that were trained before are left as they are.

        Raises
        ------
        ValueError
            If the parameters have changed in another way.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> tracker.update({"w": np.zeros(3)}, step=0)
        >>> tracker.notice({"w": np.ones(3)})  # nothing was thawed
        """
        if self._store is not None and self._watched.unfrozen():
            own, joined = self._watched.look(params, self._cadence.seen or 0)
            self._join(own, joined)

    def add_metrics(self, step: int, **metrics: float) -> None:
        """Add what was measured at `step` after the record was made, or before the next one.

        Metrics of the last record's step go to it, those of a later step to the next record (of two values the
        later one); those of an earlier step are dropped.

        Parameters
        ----------
        step : int
            Optimiser step.
        **metrics : float
            What was measured, by name.

        Raises
        ------
        ValueError
            If a metric is not a number.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> for step in range(3):
        ...     tracker.update(np.arange(3.0) ** step, step=step)
        >>> tracker.add_metrics(2, test_loss=0.5)
        >>> tracker.sequence().metrics["test_loss"]
        array([nan, 0.5])
        """
        found, records = numbers(metrics), self._recording.records
        if self.step is not None and step > self.step:
            self._later |= found
        elif records and step == records[-1].step and found:
            self._recording.add(Record(len(records) - 1, step, [], found))

    def _update(
        self, params: Any, step: int | None, probes: Any, hessian: Any, metrics: Mapping[str, float]
    ) -> None:
        step = self._cadence.next(step)
        self._check_step(step)
        if self._broken:
            raise ValueError(self._broken)
        if not self.wants(step):
            self._cadence.pass_over(step)
            self.notice(params)
            return
        measured = self._later | numbers(metrics)
        measure, vectors = (probes, {}) if isinstance(probes, Measure) else (None, probes or {})
        if (hessian is not None or measure is not None) and (self._shards or self.sketch):
            raise ValueError("hessian needs whole updates, got a tracker with sketch= or group=")
        self._recording.require_owned()
        found = self._together(lambda: self._products(params, step, vectors))
        self._cadence.record(step)
        if found is not None:
            self._later, self._kept = {}, self._kept + 1
            self._record(step, found, measured, measure, hessian)

    def _check_step(self, step: int) -> None:
        """A step after the last one; the first of a resumed recording may go back, but not to the beginning."""
        last, records = self._cadence.seen, self._recording.records
        if last is None or step > last or (not self.started and records and step == records[-1].step):
            return
        if self.started or not records:
            raise ValueError(f"step must increase, got {step} after {last}")
        if step < records[0].step:
            raise ValueError(
                f"step must go on from the recording that is resumed, got {step} where it has steps "
                f"{records[0].step} to {last}: pass overwrite=True to begin anew"
            )
        dropped = self._recording.drop_after(step)
        self.say(f"the training goes on at step {step}: {dropped} records after that are put aside")

    def _products(self, params: Any, step: int, probes: Mapping[str, Any]) -> dict[str, Floats] | None:
        """Products with every slot of the ring: of the new update under "", of probes; None at the start."""
        own, joined = self._watched.look(params, step)
        self._own = own
        if self._store is None:
            self._start(own, step)
            if self._state is None:
                return None
            self._take_up(self._state)
        assert self._store is not None
        if joined:
            self._join(own, joined)
            warnings.warn(
                f"{shortened(list(joined))} began to be trained: what moved them up to step {step} is not known and "
                "counts as 0; `attach`, or `notice` before their first step, would have seen it",
                stacklevel=5,
            )
        vectors = {name: self._vector(name, vector) for name, vector in probes.items()}
        if self.probe_parameters:
            vectors["parameters"] = own
        # from here on the ring changes: if this is interrupted, the tracker cannot go on
        self._broken = f"params cannot be recorded any more: the record at step {step} was interrupted"
        slot = self._kept % (self.W_max + 1)
        parts = self._store.advance(own, slot)
        found = {"": np.asarray(sum(parts.values()))}
        if not np.isfinite(found[""][..., slot]).all():
            where = self._store.not_finite(own)
            self._broken = f"params must be finite, got NaN or infinity in {where!r} at step {step}"
            raise ValueError(self._broken)
        if self._watched.by is not None:
            found |= {f"{PART}{group}": products for group, products in parts.items()}
        found |= {name: self._store.inner(vector) for name, vector in vectors.items()}
        self._broken = ""
        return self._split(found)

    def _vector(self, name: str, vector: Any) -> dict[str, Any]:
        vectors = by_normalised_name(items(vector), f"probes[{name!r}]")
        shared = self._shards is not None
        found = {key: local(array, shared=shared) for key, array in vectors.items() if key in self._own}
        if found.keys() != self._own.keys():
            raise ValueError(
                f"probes[{name!r}] must have the names of params, {difference(self._own, found)}"
            )
        return {key: found[key] for key in self._own}

    def _split(self, found: dict[str, Floats]) -> dict[str, Floats]:
        """The estimate of the sketch's first half as a probe of its own."""
        if self.sketch:
            halves = found[""]
            found["first_half"], found[""] = halves[0], halves.mean(axis=0)
            found |= {name: found[name].mean(axis=0) for name in found if name not in ("", "first_half")}
        return found

    def _together(self, work: Callable[[], dict[str, Floats] | None]) -> dict[str, Floats] | None:
        if self._shards is None:
            return work()
        early = len(self._recording.records) < 2
        options = (self.W_max, self.every, self.sketch or 0)
        try:
            found = self._shards.added(work, options, lambda: self._watched.mark(self._own, early))
        except ValueError as error:
            self._broken = self._broken or str(error)  # this rank may have gone on where another has not
            raise
        self._recording.P = self._shards.P
        if self._recounted and self._watched.by is not None:
            self._recording.config["parts"] = self._shards.summed(self._watched.sizes(self._own))
        self._recounted = False
        return found

    def _record(
        self,
        step: int,
        found: dict[str, Floats],
        metrics: dict[str, float],
        measure: Measure | None,
        hessian: Any,
    ) -> None:
        """Write the record, with what is measured along the window; where that fails, without."""
        assert self._store is not None
        records = self._recording.records
        view = View(self._store, self._own, self._kept, self.W_max + 1)
        lagged: dict[str, Any] = {name: view.by_lag(values).tolist() for name, values in found.items()}
        row = lagged.pop("")
        total = float if self._shards is None else self._shards.total
        stored = lagged[STORAGE] = stored_rounding(records, self._own, self._store.moved, total)
        try:
            if hessian is not None:
                lagged["hessian"] = view.window_hessian(hessian).tolist()
            if measure is not None:
                probes, scalars = measure.along(view)
                lagged |= {name: np.asarray(values).tolist() for name, values in probes.items()}
                metrics = metrics | scalars
        finally:
            self._recording.add(Record(len(records), step, row, metrics, lagged))
        trouble = self._latest.trouble(records, self._own, self._recording.rounding, stored)
        if trouble and (self._shards is None or self._shards.first):
            warnings.warn(trouble, stacklevel=5)
        if self.log is not None and len(records) >= self._latest.W:
            with self._shelter.over("this was not logged", framework=False):
                self.log(self._latest.values(records, self._recording.rounding), step=step)

    def _start(self, own: Mapping[str, Any], step: int) -> None:
        """The starting point: of a run, or of one that is resumed from its file alone."""
        R, recording = self.W_max + 1, self._recording
        store = Parts(
            self._watched.groups(),
            lambda: Exact(R, self.store) if self.sketch is None else Sketched(R, self.sketch, self.seed),
        )
        large = spoken.too_large(own, self.W_max, self.store, self.sketch)
        if large:
            warnings.warn(large, stacklevel=6)
        store.join(own)
        bad = store.not_finite(own)
        if bad is not None:
            self._watched.layout = {}
            raise ValueError(f"params must be finite, got NaN or infinity in {bad!r} at step {step}")
        self._store, self._kept = store, 0
        self._count(own)
        if recording.records and self._state is None:
            recording.config["resumed_at"] = [*recording.config.get("resumed_at", []), step]
            recording.save_next()
            self.say(f"recording goes on at step {step} from its file: products across the gap are not known")
        chosen = self._watched.chosen
        if chosen is not None and chosen.left_out() and not self._announced:
            self.say(self._described(chosen, own))

    def _join(self, own: Mapping[str, Any], joined: Mapping[str, Any]) -> None:
        assert self._store is not None
        self._store.join(joined)
        self._count(own)
        self._recording.save_next()
        self.say(f"{shortened(list(joined))} began to be trained and are recorded from now on")

    def _count(self, own: Mapping[str, Any]) -> None:
        sizes = self._watched.sizes(own)
        self._recording.P = sum(sizes.values())
        self._recounted = True
        if self._watched.by is not None:
            self._recording.config["parts"] = sizes

    # -- using it ----------------------------------------------------------------------------------------

    def sequence(self) -> GramSequence:
        """The run so far, as a banded `GramSequence` (full where the run is no longer than the band).

        The file, if there is one, is brought up to date; where that cannot be, a warning says so.
        `GramSequence.parts` has the groups of `by`.

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If fewer than three snapshots have been recorded.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> for step in range(3):
        ...     tracker.update(np.array([step, step**2.0]), step=step)
        >>> tracker.sequence().K
        array([[ 2.,  4.],
               [ 4., 10.]])
        """
        if len(self._recording.records) < 2:
            recorded = 0 if self._store is None else len(self._recording.records) + 1
            raise ValueError(f"a sequence needs at least 3 snapshots, got {recorded}")
        try:
            self._recording.save()
        except OSError as error:  # it is asked for what is in memory
            warnings.warn(f"{error.strerror or error}; the file is not up to date", stacklevel=2)
        return self._recording.sequence()

    def save(self) -> None:
        """Bring the file, if there is one, up to date.

        Raises
        ------
        OSError
            If it cannot be written.

        Examples
        --------
        >>> import numpy as np, pathlib, tempfile
        >>> from spectral_edge import validate
        >>> rng, folder = np.random.default_rng(0), tempfile.TemporaryDirectory()
        >>> tracker = validate.GramTracker(W_max=4, path=pathlib.Path(folder.name) / "run.npz", say=None)
        >>> for step in range(9):
        ...     tracker.update(rng.normal(size=50), step=step)
        >>> tracker.save()
        >>> validate.GramSequence.load(pathlib.Path(folder.name) / "run.npz").T
        8
        >>> tracker.close(); folder.cleanup()
        """
        self._recording.save()

    def attach(self, optimizer: Any, model: Any, **options: Any) -> Any:
        """Record `model` after every step of the PyTorch `optimizer`.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer, or several
        model : torch.nn.Module
        **options
            `step`, `gradients`, `probes`, `metrics`: see `validate.gram.integrations.pytorch.attach`.

        Returns
        -------
        integrations.pytorch.Attachment
            Its `remove` ends the recording.

        Raises
        ------
        ValueError
            If the tracker is attached already, or refuses the parameters, or `optimizer` is not an optimiser.

        Examples
        --------
        >>> import torch
        >>> from spectral_edge import validate
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Linear(8, 2, dtype=torch.float64)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> attachment = tracker.attach(optimizer, model)
        >>> for batch in torch.randn(6, 32, 8, dtype=torch.float64):
        ...     optimizer.zero_grad()
        ...     model(batch).square().mean().backward()
        ...     optimizer.step()
        >>> tracker.sequence().T
        6
        """
        from spectral_edge.validate.gram.integrations.pytorch import attach

        return attach(self, optimizer, model, **options)

    def describe(self, params: Any) -> str:
        """How many parameters of `params` are recorded, and the memory that takes: a line, before training.

        Parameters
        ----------
        params : model, or as in `update`

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If the tracker refuses the parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> tracker.describe({"w": np.zeros(1000)})
        'recording 1,000 parameters in 1 tensor (w); 6 vectors, 48 kB on cpu'
        """
        watched = self._watched.fresh()
        own, _ = watched.look(params, 0)
        assert watched.chosen is not None
        return self._described(watched.chosen, own)

    def _described(self, chosen: Chosen, own: Mapping[str, Any]) -> str:
        return spoken.recorded(chosen, own, self.W_max, self.store, self.sketch, self.sharded)

    def announce(self, params: Any) -> None:
        """Tell the user what `describe` returns, before the training; the first `update` does not say it again.

        Parameters
        ----------
        params : model, or as in `update`

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> validate.GramTracker(W_max=4, say=print).announce({"w": np.zeros(1000)})
        recording 1,000 parameters in 1 tensor (w); 6 vectors, 48 kB on cpu
        """
        self._announced = True
        self.say(self.describe(params))

    def close(self) -> None:
        """Bring the file up to date and give it back to others; nothing more is recorded.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> tracker.close()
        >>> tracker.wants(0)
        False
        """
        self._finish()
        self._broken = "params cannot be recorded any more: the tracker is closed"

    # -- resuming ----------------------------------------------------------------------------------------

    def state_dict(self, *, ring: bool = True) -> dict[str, Any]:
        """All that a resumed training needs to continue the same sequence; for ``torch.save`` with the model.

        Parameters
        ----------
        ring : bool
            With the updates that are kept, W_max + 2 times the size of the model; without them the sequence goes on
            with a gap.

        Returns
        -------
        dict
            For `load_state_dict` of a tracker with the same `options`.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> for step in range(3):
        ...     tracker.update(np.array([step, step**2.0]), step=step)
        >>> other = validate.GramTracker(W_max=4, say=None)
        >>> other.load_state_dict(tracker.state_dict())
        >>> other.update(np.array([3.0, 9.0]), step=3)
        >>> other.sequence().T
        3
        """
        return {
            "format": STATE_FORMAT,
            "options": self.options(),
            "run": self._recording.run,
            "P": self._recording.P,
            "step": self.step,
            "kept": self._kept,
            "layout": self._watched.layout,
            "records": [dict(vars(record)) for record in self._recording.records],
            "store": self._store.state() if ring and self._store is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken; records made after that are put aside.

        Parameters
        ----------
        state : mapping
            What `state_dict` of a tracker with the same `options` returned.

        Raises
        ------
        ValueError
            If the state is of another format, of a tracker with other options, or of another run than that at
            `path`.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(9, 50)), axis=0)
        >>> first, second = (validate.GramTracker(W_max=4, say=None) for _ in range(2))
        >>> for step in range(5):
        ...     first.update(thetas[step], step=step)
        >>> second.load_state_dict(first.state_dict())
        >>> for step in range(5, 9):
        ...     second.update(thetas[step], step=step)
        >>> second.sequence().T
        8
        """
        if state.get("format") != STATE_FORMAT:
            raise ValueError(f"state must be of format {STATE_FORMAT}, got {state.get('format')!r}")
        if dict(state["options"]) != self.options():
            raise ValueError(
                f"state must be of a tracker with {self.options()}, got {dict(state['options'])}"
            )
        records = [Record(**record) for record in state["records"]]
        self._recording.restore(records, state["run"], state["P"])
        self._broken, self._store = "", None
        self._cadence.begin(state["step"])
        if state["store"] is not None:
            self._watched.expect(state["layout"])
            self._state = dict(state)

    def _take_up(self, state: Mapping[str, Any]) -> None:
        assert self._store is not None
        self._store.load(state["store"])
        self._kept, self._state = state["kept"], None

    def options(self) -> dict[str, Any]:
        """The arguments that decide what is kept: a state belongs to trackers that have the same.

        Returns
        -------
        dict

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import validate
        >>> tracker = validate.GramTracker(W_max=4, say=None)
        >>> tracker.options()["W_max"]
        4
        """
        return {name: getattr(self, name) for name in ("W_max", "every", "store", "sketch", "seed")}
