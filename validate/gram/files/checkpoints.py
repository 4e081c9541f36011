"""From checkpoints to K: the whole model, and groups of its tensors, in one pass; and what was read."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram.arrays import inner_products as products
from spectral_edge.validate.gram.arrays.rows import Buffers
from spectral_edge.validate.gram.files.discovery import Listing, Wanted, find_checkpoints
from spectral_edge.validate.gram.files.layout import Layout, layout
from spectral_edge.validate.gram.files.one_file import run_in_file
from spectral_edge.validate.gram.files.rounding import Rounding
from spectral_edge.validate.gram.files.tensors import Flat, Joined, Source, Spilled, stored_dtype, width
from spectral_edge.validate.gram.files.unfinished import Done, Work, fingerprint, reporting
from spectral_edge.validate.gram.groups import grouping, kind_of, layer_of
from spectral_edge.validate.gram.parameters import Select, selector
from spectral_edge.validate.gram.sequence import GramSequence

By = str | Callable[[str], str] | None
#: The probe that holds the expected ⟨δ_t, δ_t⟩ of the rounding of the stored parameters alone, (T,).
STORAGE = "storage_rounding"


@dataclass(frozen=True)
class CheckpointSequences:
    """What one pass over checkpoints gives.

    Attributes
    ----------
    whole : GramSequence
        Of all selected tensors.
    groups : mapping of str to GramSequence
        Of each group; they add up to `whole`. Empty unless groups were asked for.
    files : tuple of (int, str)
        Step and path of every checkpoint, in the order read.
    dtypes : mapping of str to int
        Number of entries that were read, by the type they are stored in.
    left_out : tuple of (str, str)
        Files that were passed by and tensors that are not counted, each with the reason.
    sizes : mapping of str to int
        Entries of the tensors that are not counted.
    notes : tuple of str
        What a user should know.
    unit : str
        What the steps are: "step", "epoch", or "order" where they only number the checkpoints.
    """

    whole: GramSequence
    groups: Mapping[str, GramSequence]
    files: tuple[tuple[int, str], ...] = ()
    dtypes: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unit: str = "step"


class _FileRows:
    """One tensor of all checkpoints."""

    waits = True

    def __init__(
        self, tensor: str, sources: Sequence[Flat | Joined], paths: Sequence[str], stored: list[str]
    ) -> None:
        self.name, self._sources, self._paths = "checkpoints", sources, paths
        self._tensor, self._buffers = tensor, Buffers()
        self.n, self.P = len(sources), sources[0].size
        wide = any(source.dtype == "float64" for source in sources)
        self.dtype = np.dtype(np.float64 if wide else np.float32)
        self.rounding = Rounding(stored, self.dtype)

    def block(self, start: int, stop: int) -> tuple[NDArray[Any], int, int]:
        block = self._buffers.block((self.n, stop - start), self.dtype)
        for row, source in zip(block, self._sources, strict=True):
            row[:] = source.read(start, stop)
        self.rounding.add(block)
        return block, 0, stop - start

    def label(self, row: int) -> str:
        return f"{self._tensor!r} of {self._paths[row]}"

    def constant(self) -> bool:
        """Whether no bit of it differs between checkpoints (infinities of a mask among them)."""
        step = 1 << 20
        for start in range(0, self.P, step):
            stop = min(start + step, self.P)
            first = self._sources[0].read(start, stop).tobytes()
            if any(source.read(start, stop).tobytes() != first for source in self._sources[1:]):
                return False
        return True


@contextmanager
def _flat(sources: Sequence[Source]) -> Iterator[list[Flat | Joined]]:
    """The sources as they can be read a stretch at a time; what is spilled is gone afterwards."""
    with ExitStack() as stack:
        flat: list[Flat | Joined] = []
        file, offset = None, 0
        for source in sources:
            if isinstance(source, Spilled):
                if file is None:
                    file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="spectral-edge-"))
                source, offset = source.spill(file, offset), offset + 8 * source.size
            flat.append(source)
        yield flat


def tensor_band(
    tensor: str,
    sources: Sequence[Source],
    paths: Sequence[str],
    lags: int,
    precision: str,
    progress: Callable[[int], None] | None = None,
) -> Done:
    """Band of K of one tensor over all checkpoints, and its rounding; runs in one process or in a worker."""
    with _flat(sources) as flat:
        rows = _FileRows(tensor, flat, paths, [source.dtype for source in sources])
        entry = sum(map(width, sources)) // rows.P
        count = None if progress is None else (lambda columns: progress(columns * entry))
        try:
            band = products.band_of_rows(rows, lags, differences=True, precision=precision, progress=count)
        except ValueError:
            if not rows.constant():
                raise
            band = np.zeros((rows.n - 1, lags + 1))
        rounding = products.rounding_level(rows.P, products.product_dtype(rows.P, rows.dtype, precision))
        return Done(band, rounding, rows.rounding.energy())


def read_checkpoints(
    path: str | PathLike[str],
    *,
    W_max: int | None = None,
    select: Select = None,
    exclude: Select = None,
    steps: Wanted = None,
    by: By = None,
    skip_damaged: bool = False,
    drop: Sequence[int] = (),
    at_least: int = 2,
    precision: str = "auto",
    progress: bool | Callable[[int, int], None] = False,
    resume: str | PathLike[str] | None = None,
    client: Any = None,
    config: Mapping[str, Any] | None = None,
) -> CheckpointSequences:
    """K of a run from its checkpoints, read once, a stretch of one tensor at a time.

    Parameters
    ----------
    path : path or glob pattern
        See `find_checkpoints`; or one file that holds a run, a list of state dicts or a mapping from step to state
        dict. safetensors, PyTorch (read with ``weights_only=True``), torch.distributed.checkpoint, ``.npz`` or
        ``.npy``.
    W_max : int, optional
        Keep only the band |s − t| ≤ W_max. Default: all of K.
    select, exclude : str, list of str, or callable, optional
        Glob patterns for the tensors' names (without what wrappers add). Default: all floating tensors that change
        and are no known buffers.
    steps : str, callable or array, optional
        See `find_checkpoints`.
    by : {"layer", "kind"} or callable, optional
        Also give the sequence of each group of tensors: by layer, by what they are, or by a function of
        their name.
    skip_damaged : bool
        Leave damaged files out instead of refusing the run.
    drop : sequence of int
        Checkpoints to leave out, by their step (copies of others, say).
    at_least : int
        Refuse a run of fewer updates before anything is read: the window that will be looked at.
    precision : {"auto", "float32", "float64"}
        See `GramSequence.from_parameters`.
    progress : bool or callable
        A progress bar with bytes per second and time left, or a function of bytes done and bytes in all.
    resume : path, optional
        Where unfinished work is kept: called again with the same arguments after an interruption, it goes on
        from there. Removed when done.
    client : dask.distributed.Client, optional
        Read the tensors in its workers (which must see the files); the same kernel runs there.
    config : mapping, optional
        Travels in the sequence.

    Returns
    -------
    CheckpointSequences

    Raises
    ------
    ValueError
        If a tensor is missing, extra, of another shape or not finite in one checkpoint (file and tensor are
        named), a file is damaged or not safe to read, nothing is selected, or no checkpoint differs from the next.
    """
    W_max = None if W_max is None else whole("W_max", W_max, 2)
    group = grouping(by)
    listing = listed(path, steps, skip_damaged=skip_damaged, drop=drop)
    found = layout(listing.checkpoints, listing.contents, selector(select, exclude))
    T = len(listing.checkpoints) - 1
    if at_least > T:
        raise ValueError(f"W must be at most the number of updates T = {T}, got {at_least}")
    lags = T - 1 if W_max is None else min(W_max, T - 1)
    work = _worked(found, listing, lags, precision, progress, resume, client)
    for name, done in work.done.items():
        if not done.band[:, 0].any():
            found.leave(name, found.tensors[name][0], "the same in all checkpoints")
    moving = [name for name in found.tensors if name not in found.left_out]
    if not moving:
        raise ValueError(
            f"checkpoints must differ, got {T + 1} with the same {len(found.tensors)} tensors in {path}"
        )
    ends = np.array([checkpoint.step for checkpoint in listing.checkpoints[1:]], dtype=np.int64)
    parts = {name: _sequence(work.done[name], found.tensors[name][0].size, ends, config) for name in moving}
    groups: dict[str, list[GramSequence]] = {}
    for name in moving:
        groups.setdefault(group(name), []).append(parts[name])
    added = {name: reduce(add, members) for name, members in groups.items()}
    work.forget()
    return CheckpointSequences(
        whole=reduce(add, added.values()),
        groups={} if by is None else added,
        files=tuple((checkpoint.step, str(checkpoint)) for checkpoint in listing.checkpoints),
        dtypes=found.dtypes_of(moving),
        left_out=(*listing.left_out, *found.left_out.items()),
        sizes=found.sizes,
        notes=listing.notes + tuple(found.notes(moving)),
        unit=listing.unit,
    )


def listed(
    path: str | PathLike[str], steps: Wanted, *, skip_damaged: bool = False, drop: Sequence[int] = ()
) -> Listing:
    """The checkpoints at `path`, a folder, a pattern or one file, without those at the steps `drop`."""
    if Path(path).is_file():
        found = run_in_file(Path(path))
    else:
        found = find_checkpoints(path, steps, skip_damaged=skip_damaged)
    missing = set(drop) - {checkpoint.step for checkpoint in found.checkpoints}
    if missing:
        raise ValueError(f"drop must name steps of checkpoints, got {min(missing)}")
    return found.without(drop)


def _worked(
    found: Layout,
    listing: Listing,
    lags: int,
    precision: str,
    progress: bool | Callable[[int, int], None],
    resume: str | PathLike[str] | None,
    client: Any,
) -> Work:
    """The bands of all tensors."""
    tensors = found.tensors
    files = (file for checkpoint in listing.checkpoints for file in checkpoint.files)
    work = Work(resume, fingerprint(files, sorted(tensors), lags, precision))
    names = [str(checkpoint) for checkpoint in listing.checkpoints]
    with reporting(
        progress, sum(width(source) for sources in tensors.values() for source in sources)
    ) as report:
        _bands(tensors, names, lags, precision, client, work, report)
    return work


def _sequence(done: Done, P: int, ends: NDArray[np.int64], config: Mapping[str, Any] | None) -> GramSequence:
    full = done.band.shape[1] == len(ends)
    return GramSequence(
        K=products.unfold(done.band) if full else products.padded_band(done.band),
        steps=ends,
        P=P,
        probes={STORAGE: done.stored[1:] + done.stored[:-1]},
        config=dict(config or {}),
        rounding=done.rounding,
    )


def _bands(
    tensors: Mapping[str, list[Source]],
    paths: Sequence[str],
    lags: int,
    precision: str,
    client: Any,
    work: Work,
    report: Callable[[int], None],
) -> None:
    missing = [name for name in tensors if name not in work.done]
    for name in work.done:
        report(sum(map(width, tensors[name])))
    if client is None:
        for name in missing:
            work.add(name, tensor_band(name, tensors[name], paths, lags, precision, report))
        return
    from distributed import as_completed

    futures = {
        client.submit(tensor_band, name, tensors[name], paths, lags, precision, pure=False): name
        for name in missing
    }
    for future in as_completed(list(futures)):
        name = futures[future]
        work.add(name, future.result())
        report(sum(map(width, tensors[name])))


def inventory(
    path: str | PathLike[str],
    *,
    select: Select = None,
    exclude: Select = None,
    steps: Wanted = None,
    skip_damaged: bool = False,
) -> dict[str, Any]:
    """What would be read of the checkpoints at `path`, and what left out: nothing but headers is looked at.

    Returns
    -------
    dict
        "files" (step, path), "tensors" (name, dtype, shape, entries, layer, kind) and "left_out" (name, reason).

    Raises
    ------
    ValueError
        As `read_checkpoints`.
    """
    listing = listed(path, steps, skip_damaged=skip_damaged)
    found = layout(listing.checkpoints, listing.contents, selector(select, exclude))
    tensors = []
    for name, (first, *_) in found.tensors.items():
        about = {"name": name, "dtype": stored_dtype(first), "shape": first.shape, "entries": first.size}
        tensors.append({**about, "layer": layer_of(name), "kind": kind_of(name)})
    return {
        "files": [{"step": checkpoint.step, "path": str(checkpoint)} for checkpoint in listing.checkpoints],
        "tensors": tensors,
        "left_out": [
            {"name": name, "reason": reason} for name, reason in (*listing.left_out, *found.left_out.items())
        ],
    }
