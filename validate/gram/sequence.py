"""`GramSequence`: the inner products of a run's updates, the one thing kept of a run."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory import detection
from spectral_edge.theory.checks import whole
from spectral_edge.theory.gram import as_band, is_full, window_blocks
from spectral_edge.validate.gram import derived, storage
from spectral_edge.validate.gram.arrays import inner_products as products
from spectral_edge.validate.gram.arrays.from_vectors import gram
from spectral_edge.validate.gram.checks import checked_extra, checked_K, increasing
from spectral_edge.validate.gram.files.bands import read_bands
from spectral_edge.validate.gram.live.records import continued
from spectral_edge.validate.gram.windows import WindowSpectra

if TYPE_CHECKING:
    import xarray as xr

_T = TypeVar("_T")


@dataclass(frozen=True)
class GramSequence:
    """Inner products of the updates of one run, with the steps, metrics and configuration that go with them.

    Every window of every width is a diagonal block of K, so all spectra of the run follow from this object.

    Attributes
    ----------
    K : (T, T) or (T, W_max + 1) float64
        K[s, t] = ⟨δ_s, δ_t⟩, parameter units². A square array is the full matrix; otherwise it is the band
        K[t, l] = ⟨δ_t, δ_{t−l}⟩, NaN where l > t. Where a recording was taken up again without the updates
        it had kept, products of updates before with updates after are NaN, and so are windows across.
    steps : (T,) int64
        Optimiser step at which each update ends; strictly increasing.
    P : int or None
        Number of parameters, None where unknown (sequences made from K alone).
    metrics : mapping of str to (T,) float64
        Whatever was measured at those steps (losses, accuracies); NaN where not measured.
    probes : mapping of str to array
        Inner products of other vectors with the updates; first axis T (see `GramTracker`).
    config : mapping
        How the run was made (JSON values only).
    rounding : float
        Typical error of K_st relative to |δ_s||δ_t|: of float64, or more where products were float32.

    Notes
    -----
    Section 0 of docs/theory.md. Instances are made by `from_parameters`, `from_updates`,
    `from_inner_products`, `from_checkpoints` or `load`, which check their input. Sequences of disjoint
    parameters (shards, layers) add: the inner products of the whole are the sum over its parts.

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
    >>> sequence = validate.GramSequence.from_parameters(thetas)
    >>> sequence.K.shape, sequence.P
    ((20, 20), 1000)
    >>> sequence.window(5).sigma.shape
    (16, 5)
    """

    K: NDArray[np.float64]
    steps: NDArray[np.int64]
    P: int | None = None
    metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    probes: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    rounding: float = products.EPS
    _known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    # -- making one --------------------------------------------------------------------------------------

    @classmethod
    def from_parameters(
        cls,
        thetas: NDArray[Any] | Iterable[ArrayLike],
        steps: ArrayLike | None = None,
        W_max: int | None = None,
        *,
        precision: str = "auto",
        progress: Callable[[int], None] | None = None,
        **extra: Any,
    ) -> "GramSequence":
        """From parameter snapshots θ_0 … θ_T: the updates are their differences (section 0).

        Parameters
        ----------
        thetas : (T+1, P) array, memmap or dask array, or iterable of (P,) arrays
            At least three snapshots in float64, float32, float16 or bfloat16 (ml_dtypes). Arrays are read
            once, in blocks of columns; beside them a thread needs 32 MiB and its scratch. An iterable is
            read once too: with `W_max` only the last W_max + 1 updates are held.
        steps : (T+1,) int, optional
            Optimiser step of each snapshot, strictly increasing; 0 … T by default.
        W_max : int, optional
            Keep only the band |s − t| ≤ W_max, enough for every window up to that width. Default: all of K.
        precision : {"auto", "float32", "float64"}
            Dtype of the products of float32 (or narrower) arrays; sums over blocks are float64 always.
            "auto" is float64 below a million parameters, where it costs nothing that matters.
        progress : callable, optional
            Called with the number of columns just read.
        **extra
            `metrics`, `probes`, `config` of the sequence; metrics have one value per update.

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If there are fewer than three snapshots, or they have different lengths, a dtype that is not floating,
            NaN or infinity, or steps that do not increase.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> sequence.T, sequence.P
        (20, 1000)
        """
        found = gram(thetas, W_max, differences=True, precision=precision, progress=progress)
        return cls._from_products("thetas", found, steps, **extra)

    @classmethod
    def from_updates(
        cls,
        updates: NDArray[Any] | Iterable[ArrayLike],
        steps: ArrayLike | None = None,
        W_max: int | None = None,
        *,
        precision: str = "auto",
        progress: Callable[[int], None] | None = None,
        **extra: Any,
    ) -> "GramSequence":
        """From updates δ_1 … δ_T (section 0).

        Parameters
        ----------
        updates : (T, P) array, memmap or dask array, or iterable of (P,) arrays
            At least two updates, parameter units.
        steps : (T,) int, optional
            Optimiser step at which each update ends, strictly increasing; 1 … T by default.
        W_max, precision, progress
            As in `from_parameters`.
        **extra
            As in `from_parameters`.

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If there are fewer than two updates; else as in `from_parameters`.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> updates = np.random.default_rng(0).normal(size=(20, 1000))
        >>> GramSequence.from_updates(updates, W_max=5).K.shape
        (20, 6)
        """
        found = gram(updates, W_max, differences=False, precision=precision, progress=progress)
        return cls._from_products("updates", found, steps, **extra)

    @classmethod
    def from_checkpoints(cls, path: str | PathLike[str], **options: Any) -> "GramSequence":
        """From checkpoints, read once, a stretch of one tensor at a time.

        Parameters
        ----------
        path : path or glob pattern
            A folder of checkpoints, a pattern, or one file that holds a run: safetensors, PyTorch (read with
            ``weights_only=True``), torch.distributed.checkpoint, ``.npz`` or ``.npy``.
        **options
            `W_max`, `select`, `exclude`, `steps`, `skip_damaged`, `drop`, `at_least`, `precision`, `progress`,
            `resume`, `client`, `config`: see `validate.gram.files.bands.read_bands`.

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If the checkpoints do not belong together, are damaged or not safe to read, or do not differ: the file and
            the tensor are named.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for step in (0, 100, 200, 300):
        ...         np.save(pathlib.Path(folder) / f"step_{step}.npy", np.full(10, step**0.5))
        ...     sequence = GramSequence.from_checkpoints(folder)
        >>> sequence.steps.tolist(), sequence.P
        ([100, 200, 300], 10)
        """
        bands = read_bands(path, **options)
        return cls(**bands.fields_of(bands.moving))

    @classmethod
    def _from_products(
        cls, name: str, found: products.Products, steps: ArrayLike | None, **extra: Any
    ) -> "GramSequence":
        T, needed = len(found.K), 3 if name == "thetas" else 2
        if T < 2:
            raise ValueError(f"{name} must hold at least {needed} vectors, got {found.read}")
        skipped = found.read - T  # the step of θ_0 ends no update
        ends = np.arange(1, T + 1) if steps is None else increasing("steps", steps, found.read)[skipped:]
        return cls(K=found.K, steps=ends, P=found.P, rounding=found.rounding, **checked_extra(T, **extra))

    @classmethod
    def from_inner_products(
        cls,
        K: ArrayLike,
        steps: ArrayLike | None = None,
        P: int | None = None,
        rounding: float = products.EPS,
        **extra: Any,
    ) -> "GramSequence":
        """From K itself, the inner products of the updates (section 0).

        Parameters
        ----------
        K : (T, T) or (T, W_max + 1) array
            The full matrix, or its band with NaN where l > t, parameter units²; copied.
        steps : (T,) int, optional
            Optimiser step at which each update ends, strictly increasing; 1 … T by default.
        P : int, optional
            Number of parameters.
        rounding : float
            Typical error of K_st relative to |δ_s||δ_t|; by default that of float64.
        **extra
            `metrics`, `probes`, `config` of the sequence; metrics and probes have one entry per update.

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If K is not finite, not symmetric or not positive semi-definite (beyond rounding), steps do not increase,
            or P is not a positive whole number.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> GramSequence.from_inner_products(np.eye(6), P=1000).window(3).sigma[0].tolist()
        [1.0, 1.0, 1.0]
        """
        array = checked_K(K)
        ends = np.arange(1, len(array) + 1) if steps is None else increasing("steps", steps, len(array))
        if P is not None:
            P = whole("P", P, 1)
        return cls(K=array, steps=ends, P=P, rounding=float(rounding), **checked_extra(len(array), **extra))

    # -- looking at it -----------------------------------------------------------------------------------

    @property
    def T(self) -> int:
        """Number of updates (records after the first)."""
        return len(self.K)

    @property
    def banded(self) -> bool:
        """Whether only a band of K is kept."""
        return not is_full(self.K)

    @property
    def W_max(self) -> int:
        """Widest window that can be looked at (updates)."""
        return self.K.shape[1] - 1 if self.banded else self.T

    def band(self, lags: int) -> NDArray[np.float64]:
        """⟨δ_t, δ_{t−l}⟩ for l = 0 … `lags` (section 0).

        Parameters
        ----------
        lags : int
            Largest lag, from 0 to T − 2 and within the band.

        Returns
        -------
        (T, lags + 1) float64
            Parameter units²; NaN where l > t.

        Raises
        ------
        ValueError
            If `lags` is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> sequence.band(4).shape
        (20, 5)
        """
        return as_band(self.K, lags)

    def blocks(self, W: int) -> NDArray[np.float64]:
        """The Gram matrices G_t of all full windows, in time order (section 0).

        Parameters
        ----------
        W : int
            Window, 1 ≤ W ≤ `W_max`.

        Returns
        -------
        (T − W + 1, W, W) float64
            Parameter units²; rows and columns are the window's updates, oldest first.

        Raises
        ------
        ValueError
            If W is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> sequence.blocks(5).shape
        (16, 5, 5)
        """
        return window_blocks(self.K, W)

    def every(self, n: int) -> "GramSequence":
        """The run as it is when only every `n`-th record is taken (section 0): exact, the updates between are added.

        Metrics are those of the records that remain; probes, which cannot be added, are left out. A band of width
        `W_max` + 1 becomes one of (`W_max` + 1) // n.

        Parameters
        ----------
        n : int
            Records that become one; those left over at the end are dropped.

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If `n` is not a whole number from 1 on, or leaves fewer than two updates or no lag.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> coarse = GramSequence.from_parameters(thetas).every(5)
        >>> coarse.steps, bool(np.allclose(coarse.K, GramSequence.from_parameters(thetas[::5]).K))
        (array([ 5, 10, 15, 20]), True)
        """
        return derived.every(self, n)

    def window(self, W: int, *, refine: bool = False, vectors: Any = None) -> WindowSpectra:
        """Spectra of all full windows of width `W` (section 1).

        Parameters
        ----------
        W : int
            Window, 2 ≤ W ≤ `W_max`.
        refine : bool
            Recover the singular values that squaring loses (`WindowSpectra.sigma_reliable`) by a second
            pass over the vectors: QR of each window that has any.
        vectors : (T+1, P) or (T, P) array, optional
            The snapshots, or the updates, that the sequence was made from; `refine` needs them.

        Returns
        -------
        WindowSpectra

        Raises
        ------
        ValueError
            If W is out of range, or `refine` lacks the vectors.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> windows = sequence.window(5)
        >>> windows.k_star.shape, windows.sigma.shape
        ((16,), (16, 5))
        """
        W = whole("W", W, 2)
        if W > self.T:
            raise ValueError(f"W must be at most the number of updates T = {self.T}, got {W}")
        if self.W_max < W:
            raise ValueError(f"W must be at most W_max = {self.W_max}, the band that was kept, got {W}")
        spectra = self.once(("window", W), lambda: WindowSpectra.from_sequence(self, W))
        if not refine:
            return spectra
        from spectral_edge.validate.gram.arrays.refine import refined

        return refined(spectra, vectors, self.T)

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """What `make` returns: made when it is first asked for under `key`, kept as long as the sequence itself.

        For what many ask of the same run. A sequence that is made of this one begins with nothing kept.

        Parameters
        ----------
        key : hashable
            Whose it is, and whatever it depends on beside the sequence.
        make : callable
            Without arguments.

        Returns
        -------
        object

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> sequence = GramSequence.from_inner_products(np.eye(6))
        >>> sequence.once("its trace", sequence.K.trace) is sequence.once("its trace", sequence.K.trace)
        True
        """
        if key not in self._known:
            self._known[key] = make()
        found: _T = self._known[key]
        return found

    def effective_dimension(self, W: int) -> float:
        """Effective dimension P̂_eff from the pairs more than `W` apart (2.5); signal lowers it.

        Parameters
        ----------
        W : int
            Pairs at most this many records apart are left out.

        Returns
        -------
        float
            A number of parameters.

        Raises
        ------
        ValueError
            If the sequence has no lags beyond `W`.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> bool(500 < sequence.effective_dimension(5) < 2000)
        True
        """
        return detection.effective_dimension(self.K, W)

    def autocorrelation(self, lags: int) -> NDArray[np.float64]:
        """Autocorrelation of the updates, τ̂_l = mean K_{t,t−l}/mean K_tt (2.7).

        Parameters
        ----------
        lags : int
            Largest lag, in records.

        Returns
        -------
        (lags + 1,) float64
            From lag 0, where it is 1.

        Raises
        ------
        ValueError
            If the sequence has no such lag.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> sequence.autocorrelation(3).shape
        (4,)
        """
        return detection.autocorrelation(self.K, lags)

    def pieces(self) -> "list[GramSequence]":
        """The uninterrupted stretches of the run, in order: itself, unless its recording was interrupted.

        Returns
        -------
        list of GramSequence

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> len(sequence.pieces())
        1
        """
        return derived.pieces(self)

    def parts(self) -> "dict[str, GramSequence]":
        """The sequence of every group of parameters that a tracker with ``by=`` recorded, by its name.

        Returns
        -------
        dict of str to GramSequence

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> sequence.parts()
        {}
        """
        return derived.parts(self)

    def __add__(self, other: "GramSequence") -> "GramSequence":
        """The sequence of both parts' parameters together; steps must agree.

        Metrics and configuration are those of the first where both have them.
        """
        if not isinstance(other, GramSequence):
            return NotImplemented
        return derived.added(self, other)

    def to_xarray(self) -> "xr.Dataset":
        """K, metrics and probes over the coordinate ``step`` (needs the extra ``data``).

        Returns
        -------
        xarray.Dataset

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> dict(sequence.to_xarray().sizes)
        {'step': 20, 'other_step': 20}
        """
        import xarray as xr

        axes = ("step", "lag") if self.banded else ("step", "other_step")
        data: dict[str, Any] = {"K": (axes, self.K)}
        data |= {name: ("step", values) for name, values in self.metrics.items()}
        for name, values in self.probes.items():
            data[f"probe_{name}"] = (("step", *(f"{name}_lag_{i}" for i in range(values.ndim - 1))), values)
        coordinates = {"step": self.steps} | ({} if self.banded else {"other_step": self.steps})
        return xr.Dataset(
            data, coordinates, {"P": -1 if self.P is None else self.P, "rounding": self.rounding}
        )

    # -- keeping it --------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a ``.npz`` (no pickle, format version inside); an existing file is replaced in one step.

        Parameters
        ----------
        path : path
            Where; ends in ``.npz``. Folders that are missing are made.

        Returns
        -------
        pathlib.Path
            `path`.

        Raises
        ------
        OSError
            If the target cannot be written; nothing is left half-written.
        ValueError
            If `path` does not end in ``.npz``, or `config` holds something that is not a JSON value.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = sequence.save(pathlib.Path(folder) / "run.npz")
        ...     np.array_equal(GramSequence.load(path).K, sequence.K)
        True
        """
        return storage.write_sequence(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "GramSequence":
        """Read what `save` wrote, or a `GramTracker`, be it still running or killed.

        Parameters
        ----------
        path : path
            A ``.npz``; the journal that a tracker keeps beside it is read too.

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If the file is truncated, foreign, or of a newer format version. Nothing is ever unpickled.
        OSError
            If it cannot be opened.

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge.validate import GramSequence
        >>> thetas = np.cumsum(np.random.default_rng(0).normal(size=(21, 1000)), axis=0)
        >>> sequence = GramSequence.from_parameters(thetas)
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     GramSequence.load(sequence.save(pathlib.Path(folder) / "run.npz")).T
        20
        """
        while True:
            before = storage.state(path)
            try:
                found = cls._read(path)
            except FileNotFoundError:
                if storage.state(path) == before:
                    raise
                continue
            # a tracker may have moved records from its journal into the file after that was read: read both again
            if storage.state(path) == before:
                return found

    @classmethod
    def _read(cls, path: str | PathLike[str]) -> "GramSequence":
        """The file and the journal beside it, as they are."""
        try:
            header, arrays = storage.read_sequence(path)
        except FileNotFoundError:
            fields = continued(path, None, None)
            if fields is None:
                raise
            return cls(**fields)
        groups: dict[str, dict[str, NDArray[np.float64]]] = {"metrics": {}, "probes": {}}
        for key in [key for key in arrays if "/" in key]:
            group, name = key.split("/", 1)
            groups[group][name] = arrays.pop(key)
        found = cls.from_inner_products(
            arrays["K"],
            arrays["steps"],
            header["P"],
            header.get("rounding", products.EPS),
            config=header["config"],
            **groups,
        )
        fields = continued(path, header, found)
        return found if fields is None else cls(**fields)
