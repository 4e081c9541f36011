"""`GramTracker`: K of a training run, recorded while it runs."""

import weakref
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import choice, positive, whole
from spectral_edge.validate.gram.live.journal import Record
from spectral_edge.validate.gram.live.recording import Recording
from spectral_edge.validate.gram.live.stores import Exact, Sketched
from spectral_edge.validate.gram.parameters import Select, difference, named, selector, traits
from spectral_edge.validate.gram.sequence import GramSequence

Floats = NDArray[np.float64]
STATE_FORMAT = 1


class GramTracker:
    """Keep the last updates of a training run where they are and record their inner products as it goes.

    Parameters
    ----------
    W_max : int
        Widest window that will be looked at, at least 2.
    path : path, optional
        Where to keep the sequence. Every record is on disk before `update` returns and the files are valid
        whenever the process dies (`GramSequence.load` reads them). Default: in memory only.
    config : mapping, optional
        How the run is made (JSON values); travels in the file.
    every : int
        Record every this many steps; calls of `update` in between return at once.
    select : str, list of str, or callable, optional
        Glob patterns for the parameters' names (``"*attn*"``), or a test. Default: all floating tensors.
    store : {"float32", "float64", "bfloat16"}, optional
        Dtype in which updates are kept, by default that of the parameters (half precision: float32).
        "bfloat16" halves the memory; K is then exactly the Gram matrix of the rounded updates.
    sketch : int, optional
        Keep a random projection to this many numbers (even, at least 4) instead of the updates: W·d numbers
        in all. `WindowSpectra.ratio_error` measures what it does to R.
    seed : int
        Decides the projection.
    probe_parameters : bool
        Record ⟨θ_t, δ_{t−l}⟩ too, as the probe "parameters".
    group : process group of torch.distributed, or "world", optional
        The parameters are shards: inner products are added up over the group, with one all-reduce per
        record. DTensors give their local shard; every other tensor counts as this rank's own.
    eta : float, optional
        Learning rate, for 𝒜 in `log`; a metric called ``learning_rate`` takes precedence.
    log : callable, optional
        Called as ``log({"k_star": …, "ratio": …, "gap": …, "adiabatic": …}, step=…)`` with plain floats (NaN
        where undefined) once a window is full, for instance ``log=wandb.log``.
    log_window : int, optional
        The window of `log`, by default the smaller of 10 and `W_max`.

    Notes
    -----
    Memory: W_max + 2 vectors of P numbers, on the device of the parameters. An update reads each of them
    once. Products and sums are float64.

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
        config: Mapping[str, Any] | None = None,
        every: int = 1,
        select: Select = None,
        store: str | None = None,
        sketch: int | None = None,
        seed: int = 0,
        probe_parameters: bool = False,
        group: Any = None,
        eta: float | None = None,
        log: Callable[..., Any] | None = None,
        log_window: int | None = None,
    ) -> None:
        self.W_max = whole("W_max", W_max, 2)
        self.every = whole("every", every, 1)
        self.store = None if store is None else choice("store", store, ("float32", "float64", "bfloat16"))
        self.sketch = None if sketch is None else 2 * (whole("sketch", sketch, 4) // 2)
        self.seed = whole("seed", seed, 0)
        self.probe_parameters = bool(probe_parameters)
        self.eta = None if eta is None else float(positive("eta", eta))
        self.log = log
        self.log_window = whole("log_window", log_window or min(10, self.W_max), 2, self.W_max)
        self.wanted = selector(select)
        self._shards = None
        if group is not None:
            from spectral_edge.validate.gram.live.shards import Shards

            self._shards = Shards(group)
        writes = self._shards is None or self._shards.first
        self._recording = Recording(path if writes else None, dict(config or {}))
        self._store: Exact | Sketched | None = None
        self._state: dict[str, Any] | None = None  # loaded, to be taken up at the next record
        self._layout: dict[str, dict[str, str]] = {}
        self._step: int | None = None
        self._broken = ""
        self.attached = False
        # the .npz is brought up to date when the tracker or the process ends, however it ends short of a kill
        self._finish = weakref.finalize(self, self._recording.save)

    @property
    def step(self) -> int | None:
        """Step of the last record, None before the first."""
        return self._step

    @property
    def path(self) -> Any:
        """Where the sequence is kept, or None."""
        return self._recording.path

    @property
    def config(self) -> dict[str, Any]:
        """How the run is made."""
        return self._recording.config

    # -- recording ---------------------------------------------------------------------------------------

    def update(
        self,
        params: Any,
        step: int | None = None,
        *,
        probes: Mapping[str, Any] | None = None,
        hessian: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        **metrics: float,
    ) -> None:
        """Record the parameters as they are now.

        Parameters
        ----------
        params : array, tensor, model, mapping (nested too), or iterable of arrays
            The parameters θ, the same at every call: numpy, torch on any device, or anything with the array
            API. They are copied.
        step : int, optional
            The optimiser step; must increase. Default: one more than at the last call.
        probes : mapping, optional
            Other vectors q with the names and shapes of `params` (gradients, say), as
            ``{"gradient": {name: array}}``: ⟨q, δ_{t−l}⟩, l = 0 … W_max, is recorded for each.
        hessian : callable, optional
            Maps a direction, as {name: array}, to H times it (`probes.hessian_product`); W_max products
            give the window Hessian δ_sᵀHδ_r, recorded as the probe "hessian" where this is passed.
        **metrics : float
            What was measured at this step. The first record is the starting point θ_0: its metrics have no
            update to go with and are not kept.

        Raises
        ------
        ValueError
            If the parameters hold NaN or infinity (step and tensor are named; earlier records are kept, and
            the tracker takes no more), if they change their names, shapes, dtype, device or
            ``requires_grad``, or if `step` does not increase.
        OSError
            If the record cannot be written; it is kept in memory.
        """
        last = self._step
        step = (0 if last is None else last + 1) if step is None else whole("step", step, 0)
        if last is not None and step <= last:
            raise ValueError(f"step must increase, got {step} after {last}")
        if self._broken:
            raise ValueError(self._broken)
        if last is not None and step % self.every:
            return
        metrics = {name: float(value) for name, value in metrics.items()}
        found = self._together(lambda: self._products(params, step, probes or {}, hessian))
        self._step = step
        if found is None:
            return
        index = len(self._recording.records)
        lagged = {name: self._by_lag(values, index) for name, values in found.items()}
        row = lagged.pop("")
        self._recording.add(Record(index, step, row, metrics, lagged))
        self._report(step, metrics)

    def _products(
        self, params: Any, step: int, probes: Mapping[str, Any], hessian: Any
    ) -> dict[str, Floats] | None:
        """Products with every slot of the ring: of the new update under "", of probes; None at the start."""
        arrays = named(params, self.wanted)
        self._check_layout(arrays, step)
        if self._store is None:
            self._start(arrays, step)
            if self._state is None:
                return None
            self._take_up(self._state)
        assert self._store is not None
        vectors = {name: named(vector, lambda key: key in arrays) for name, vector in probes.items()}
        for name, vector in vectors.items():
            if vector.keys() != arrays.keys():
                raise ValueError(
                    f"probes[{name!r}] must have the names of params, {difference(arrays, vector)}"
                )
        if self.probe_parameters:
            vectors["parameters"] = arrays
        if hessian is not None and (self._shards or self.sketch):
            raise ValueError("hessian needs whole updates, got a tracker with sketch= or group=")
        # from here on the ring changes: if this is interrupted, the tracker cannot go on
        self._broken = f"params cannot be recorded any more: the record at step {step} was interrupted"
        slot = len(self._recording.records) % (self.W_max + 1)
        found = {"": self._store.advance(arrays, slot)}
        if not np.isfinite(found[""][..., slot]).all():
            where = self._store.not_finite(arrays)
            self._broken = f"params must be finite, got NaN or infinity in {where!r} at step {step}"
            raise ValueError(self._broken)
        found |= {name: self._store.inner(vector) for name, vector in vectors.items()}
        if hessian is not None and isinstance(self._store, Exact):
            found["hessian"] = self._store.curvature(hessian, len(self._recording.records))
        self._broken = ""
        return self._split(found)

    def _split(self, found: dict[str, Floats]) -> dict[str, Floats]:
        """The estimate of the sketch's first half as a probe of its own."""
        if self.sketch:
            halves = found[""]
            found["first_half"], found[""] = halves[0], halves.mean(axis=0)
            found |= {name: found[name].mean(axis=0) for name in found if name not in ("", "first_half")}
        return found

    def _by_lag(self, values: Floats, index: int) -> list[Any]:
        """Products by slot of the ring as products by lag, NaN before the start."""
        R = self.W_max + 1
        slots = (index - np.arange(R)) % R
        ordered = values[slots] if values.ndim == 1 else values[np.ix_(slots, slots)]
        ordered = ordered.copy()
        ordered[index + 1 :] = np.nan
        if ordered.ndim == 2:
            ordered[:, index + 1 :] = np.nan
        return list(ordered.tolist())

    def _check_layout(self, arrays: Mapping[str, Any], step: int) -> None:
        layout = {name: traits(array) for name, array in arrays.items()}
        before = self._layout or layout
        if layout.keys() != before.keys():
            raise ValueError(f"params must keep their tensors, {difference(before, layout)} at step {step}")
        for name, expected in before.items():
            for trait, was in expected.items():
                now = layout[name].get(trait)
                if now != was:
                    raise ValueError(
                        f"params must keep their {trait}, {was} of {name!r}, got {now} at step {step}"
                    )
        self._layout = layout

    def _start(self, arrays: Mapping[str, Any], step: int) -> None:
        size = sum(int(np.prod(array.shape)) for array in arrays.values())
        R = self.W_max + 1
        store = (
            Exact(arrays, R, self.store)
            if self.sketch is None
            else Sketched(arrays, R, self.sketch, self.seed)
        )
        bad = store.not_finite(arrays)
        if bad is not None:
            self._layout = {}
            raise ValueError(f"params must be finite, got NaN or infinity in {bad!r} at step {step}")
        self._store = store
        self._recording.P = self._shards.total(size) if self._shards else size

    def _together(self, work: Callable[[], dict[str, Floats] | None]) -> dict[str, Floats] | None:
        if self._shards is None:
            return work()
        try:
            return self._shards.added(work, (self.W_max, self.every, self.sketch or 0))
        except ValueError as error:
            self._broken = self._broken or str(error)  # this rank may have gone on where another has not
            raise

    def _report(self, step: int, metrics: Mapping[str, float]) -> None:
        W, records = self.log_window, self._recording.records
        if self.log is None or len(records) < W:
            return
        from spectral_edge.validate.gram.live.recording import sequence_of

        first = max(0, len(records) - W - 1)
        tail = []
        for t, record in enumerate(records[first:]):
            row = [value if lag <= t else float("nan") for lag, value in enumerate(record.row)]
            tail.append(Record(t, record.step, row))
        spectra = sequence_of(tail, None, {}, self._recording.rounding).window(W)
        eta = metrics.get("learning_rate", self.eta)
        adiabatic = float("nan")
        if eta is not None and len(spectra.steps) > 1:
            adiabatic = float(spectra.adiabatic(eta)[-1])
        values = {name: float(getattr(spectra, name)[-1]) for name in ("k_star", "ratio", "gap")}
        self.log(values | {"adiabatic": adiabatic}, step=step)

    # -- using it ----------------------------------------------------------------------------------------

    def sequence(self) -> GramSequence:
        """The run so far, as a banded `GramSequence` (full where the run is no longer than the band).

        The file, if there is one, is brought up to date.

        Raises
        ------
        ValueError
            If fewer than three snapshots have been recorded.
        """
        if len(self._recording.records) < 2:
            recorded = 0 if self._store is None else len(self._recording.records) + 1
            raise ValueError(f"a sequence needs at least 3 snapshots, got {recorded}")
        self._recording.save()
        return self._recording.sequence()

    def attach(self, optimizer: Any, model: Any, **options: Any) -> Any:
        """Record `model` after every step of the PyTorch `optimizer`; see `integrations.pytorch.attach`."""
        from spectral_edge.validate.gram.integrations.pytorch import attach

        return attach(self, optimizer, model, **options)

    # -- resuming ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs to continue the same sequence; for ``torch.save`` with the model."""
        return {
            "format": STATE_FORMAT,
            "options": self.options(),
            "run": self._recording.run,
            "P": self._recording.P,
            "step": self._step,
            "layout": self._layout,
            "records": [dict(vars(record)) for record in self._recording.records],
            "store": None if self._store is None else self._store.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken; records made after that are dropped.

        Raises
        ------
        ValueError
            If the state is of another format or of a tracker with other options.
        """
        if state.get("format") != STATE_FORMAT:
            raise ValueError(f"state must be of format {STATE_FORMAT}, got {state.get('format')!r}")
        if dict(state["options"]) != self.options():
            raise ValueError(
                f"state must be of a tracker with {self.options()}, got {dict(state['options'])}"
            )
        self._broken, self._store = "", None
        # a run may be resumed on another device
        keep = {
            name: {t: v for t, v in found.items() if t != "device"} for name, found in state["layout"].items()
        }
        self._step, self._layout = state["step"], keep
        self._state = dict(state) if state["store"] is not None else None
        records = [Record(**record) for record in state["records"]]
        self._recording.restore(records, state["run"], state["P"])

    def _take_up(self, state: Mapping[str, Any]) -> None:
        assert self._store is not None
        self._store.load(state["store"])
        self._state = None

    def options(self) -> dict[str, Any]:
        """The arguments that decide what is kept: a state belongs to trackers that have the same."""
        return {name: getattr(self, name) for name in ("W_max", "every", "store", "sketch", "seed")}
