"""`GramSequence`: the inner products of a run's updates, the one thing kept of a run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory._arguments import whole
from spectral_edge.theory.gram import as_band, is_full, window_blocks
from spectral_edge.validate.gram.inner_products import band_of_stream, gram_of_array, updates_of
from spectral_edge.validate.gram.storage import replace_atomically
from spectral_edge.validate.gram.windows import WindowSpectra

FORMAT = "spectral-edge/gram-sequence"
FORMAT_VERSION = 1

#: Relative size of a negative eigenvalue of K, or of an asymmetry, that rounding can explain.
ROUNDING = 1e-6


@dataclass(frozen=True)
class GramSequence:
    """Inner products of the updates of one run, with the steps, metrics and configuration that go with them.

    Every window of every width is a diagonal block of K, so all spectra of the run follow from this object.

    Attributes
    ----------
    K : (T, T) or (T, W_max + 1) float64
        K[s, t] = ⟨δ_s, δ_t⟩, parameter units². A square array is the full matrix; otherwise it is the band
        K[t, l] = ⟨δ_t, δ_{t−l}⟩, NaN where l > t.
    steps : (T,) int64
        Optimiser step at which each update ends; strictly increasing.
    P : int or None
        Number of parameters, None where unknown (sequences made from K alone).
    metrics : mapping of str to (T,) float64
        Whatever was measured at those steps (losses, accuracies); NaN where not measured.
    probes : mapping of str to array
        Inner products of other vectors with the updates; first axis T.
    config : mapping
        How the run was made (JSON values only).

    Notes
    -----
    Section 0 of docs/theory.md. Instances are made by `from_parameters`, `from_updates`,
    `from_inner_products` or `load`, which check their input.

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

    # -- making one --------------------------------------------------------------------------------------

    @classmethod
    def from_parameters(
        cls,
        thetas: NDArray[Any] | Iterable[ArrayLike],
        steps: ArrayLike | None = None,
        W_max: int | None = None,
        **extra: Any,
    ) -> "GramSequence":
        """From parameter snapshots θ_0 … θ_T.

        Parameters
        ----------
        thetas : (T+1, P) array, memmap, or iterable of (P,) arrays
            At least three snapshots. An iterable is read once; with `W_max` it need not fit in memory.
        steps : (T+1,) int, optional
            Optimiser step of each snapshot, strictly increasing; 0 … T by default.
        W_max : int, optional
            Keep only the band |s − t| ≤ W_max, enough for every window up to that width. Default: all of K.
        **extra
            `metrics`, `probes`, `config` of the sequence; metrics have one value per update.

        Raises
        ------
        ValueError
            Fewer than three snapshots, different lengths, NaN or infinity, steps that do not increase.
        """
        return cls._from_vectors(thetas, steps, W_max, differences=True, **extra)

    @classmethod
    def from_updates(
        cls,
        updates: NDArray[Any] | Iterable[ArrayLike],
        steps: ArrayLike | None = None,
        W_max: int | None = None,
        **extra: Any,
    ) -> "GramSequence":
        """From updates δ_1 … δ_T, at least two; `steps` (T,) defaults to 1 … T. Otherwise as `from_parameters`."""
        return cls._from_vectors(updates, steps, W_max, differences=False, **extra)

    @classmethod
    def _from_vectors(
        cls, vectors: Any, steps: ArrayLike | None, W_max: int | None, *, differences: bool, **extra: Any
    ) -> "GramSequence":
        name = "thetas" if differences else "updates"
        needed = 3 if differences else 2
        if W_max is not None:
            W_max = whole("W_max", W_max, 2)
        if isinstance(vectors, np.ndarray) and vectors.ndim != 2:
            raise ValueError(f"{name} must be a stack of vectors (n, P), got shape {vectors.shape}")
        if isinstance(vectors, np.ndarray) and not np.issubdtype(vectors.dtype, np.floating):
            raise ValueError(f"{name} must be floating-point numbers, got dtype {vectors.dtype}")
        if isinstance(vectors, np.ndarray) and len(vectors) >= needed and vectors.shape[1] == 0:
            raise ValueError(f"{name} must have at least one entry each, got shape {vectors.shape}")
        if hasattr(vectors, "__len__") and len(vectors) < needed:
            raise ValueError(f"{name} must hold at least {needed} vectors, got {len(vectors)}")
        if W_max is None:
            if not isinstance(vectors, np.ndarray):
                vectors = np.array(list(updates_of(vectors, name)))
            if vectors.ndim != 2 or len(vectors) < needed:
                raise ValueError(f"{name} must hold at least {needed} vectors, got {len(vectors)}")
            K, P = gram_of_array(vectors, differences=differences), vectors.shape[1]
            read = len(vectors)
        else:
            K, P, read = band_of_stream(vectors, W_max, differences=differences)
        T = len(K)
        if T < 2:
            raise ValueError(f"{name} must hold at least {needed} vectors, got {read}")
        if steps is None:
            ends = np.arange(1, T + 1)
        else:
            ends = _increasing("steps", steps, T + 1 if differences else T)[1 if differences else 0 :]
        return cls(K=K, steps=ends, P=P, **_checked_extra(T, **extra))

    @classmethod
    def from_inner_products(
        cls, K: ArrayLike, steps: ArrayLike | None = None, P: int | None = None, **extra: Any
    ) -> "GramSequence":
        """From K itself: the full (T, T) matrix or its band (T, W_max + 1).

        Raises
        ------
        ValueError
            If K is not finite, not symmetric or not positive semi-definite (beyond rounding), or steps do
            not increase.
        """
        array = np.array(K, dtype=np.float64)
        if array.ndim != 2 or len(array) < 2 or not 2 <= array.shape[1] <= len(array):
            raise ValueError(f"K must be (T, T) or a band (T, W_max + 1) with T ≥ 2, got shape {array.shape}")
        T = len(array)
        if array.shape[1] == T:
            if not np.isfinite(array).all():
                raise ValueError("K must be finite, got NaN or infinity")
            scale = np.abs(array).max()
            asymmetry = np.abs(array - array.T).max()
            if asymmetry > ROUNDING * scale:
                raise ValueError(
                    f"K must be symmetric, got an asymmetry of {asymmetry:.3g} in entries up to {scale:.3g}"
                )
            array = (array + array.T) / 2
        else:
            inside = np.arange(array.shape[1]) <= np.arange(T)[:, None]
            if not np.isfinite(array[inside]).all():
                raise ValueError("K must be finite inside the band, got NaN or infinity")
            array[~inside] = np.nan
        ends = np.arange(1, T + 1) if steps is None else _increasing("steps", steps, T)
        if P is not None:
            P = whole("P", P, 1)
        sequence = cls(K=array, steps=ends, P=P, **_checked_extra(T, **extra))
        sequence._require_positive_semidefinite()
        return sequence

    def _require_positive_semidefinite(self) -> None:
        # The widest windows the band holds cover every entry of it; a full K is one window.
        eigenvalues = np.linalg.eigvalsh(self.blocks(self.K.shape[1]))
        lowest, highest = eigenvalues[..., 0].min(), np.abs(eigenvalues).max()
        if lowest < -ROUNDING * highest:
            raise ValueError(
                f"K must be positive semi-definite, got an eigenvalue of {lowest:.3g} beside {highest:.3g}"
            )

    # -- looking at it -----------------------------------------------------------------------------------

    @property
    def T(self) -> int:
        """Number of updates."""
        return len(self.K)

    @property
    def banded(self) -> bool:
        """Whether only a band of K is kept."""
        return not is_full(self.K)

    @property
    def W_max(self) -> int:
        """Widest window that can be looked at."""
        return self.K.shape[1] - 1 if self.banded else self.T

    def band(self, lags: int) -> NDArray[np.float64]:
        """⟨δ_t, δ_{t−l}⟩ for l = 0 … `lags` as a (T, lags + 1) array, NaN where l > t."""
        return as_band(self.K, lags)

    def blocks(self, W: int) -> NDArray[np.float64]:
        """The Gram matrices G_t of all full windows: (T − W + 1, W, W), in time order."""
        return window_blocks(self.K, W)

    def window(self, W: int) -> WindowSpectra:
        """Spectra of all full windows of width `W`, 2 ≤ W ≤ T (and ≤ `W_max` for a band).

        Raises
        ------
        ValueError
            If W is out of range.
        """
        if not 2 <= whole("W", W, 2) <= self.T:
            raise ValueError(f"W must be at most the number of updates T = {self.T}, got {W}")
        if self.W_max < W:
            raise ValueError(f"W must be at most W_max = {self.W_max}, the band that was kept, got {W}")
        return WindowSpectra.from_sequence(self, W)

    # -- keeping it --------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a ``.npz`` (no pickle, format version inside); an existing file is replaced in one step.

        Raises
        ------
        OSError
            If the target cannot be written; nothing is left half-written.
        """
        header = {"format": FORMAT, "version": FORMAT_VERSION, "P": self.P, "config": dict(self.config)}
        arrays = {"K": self.K, "steps": self.steps}
        arrays |= {f"metrics/{name}": values for name, values in self.metrics.items()}
        arrays |= {f"probes/{name}": values for name, values in self.probes.items()}
        try:
            text = np.array(json.dumps(header, sort_keys=True))
        except TypeError as error:
            raise ValueError(f"config must hold JSON values only, got {error}") from None
        return replace_atomically(path, lambda file: np.savez_compressed(file, header=text, **arrays))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "GramSequence":
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is truncated, foreign, or of a newer format version. Nothing is ever unpickled.
        OSError
            If it cannot be opened.
        """
        path = Path(path)
        try:
            # opened here, because numpy leaves a damaged file open
            with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays.pop("header")))
            if header["format"] != FORMAT:
                raise ValueError
        except OSError:
            raise
        except Exception:  # what zip, numpy and JSON raise on foreign bytes is no fixed list
            raise ValueError(
                f"path must be a sequence saved by spectral-edge, got a foreign or damaged file: {path}"
            ) from None
        if header["version"] > FORMAT_VERSION:
            raise ValueError(
                f"path must be of format version {FORMAT_VERSION} or older, got version {header['version']}: {path}"
            )
        groups: dict[str, dict[str, NDArray[np.float64]]] = {"metrics": {}, "probes": {}}
        for key in [key for key in arrays if "/" in key]:
            group, name = key.split("/", 1)
            groups[group][name] = arrays.pop(key)
        return cls.from_inner_products(
            arrays["K"], arrays["steps"], header["P"], config=header["config"], **groups
        )


def _increasing(name: str, steps: ArrayLike, length: int) -> NDArray[np.int64]:
    array = np.asarray(steps)
    if array.shape != (length,):
        raise ValueError(f"{name} must have one entry per record, ({length},), got shape {array.shape}")
    if array.dtype.kind not in "iuf" or not (np.isfinite(array) & (array == np.floor(array))).all():
        raise ValueError(f"{name} must be whole numbers, got {array[:3]} … of type {array.dtype}")
    whole_steps = array.astype(np.int64)
    if not (np.diff(whole_steps) > 0).all():
        first = int(np.argmax(np.diff(whole_steps) <= 0))
        raise ValueError(
            f"{name} must increase, got {whole_steps[first]} followed by {whole_steps[first + 1]}"
        )
    return whole_steps


def _checked_extra(
    T: int,
    metrics: Mapping[str, ArrayLike] | None = None,
    probes: Mapping[str, ArrayLike] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    checked: dict[str, Any] = {"metrics": {}, "probes": {}, "config": dict(config or {})}
    for group, values in (("metrics", metrics or {}), ("probes", probes or {})):
        for name, value in values.items():
            array = np.asarray(value, dtype=np.float64)
            if array.ndim == 0 or len(array) != T:
                raise ValueError(
                    f"{group}[{name!r}] must have one entry per update, ({T},), got shape {array.shape}"
                )
            checked[group][name] = array
    return checked
