"""The bands of K of every tensor of a run's checkpoints, in one pass over the files."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
from spectral_edge.validate.gram.files.rounding import STORAGE, Rounding
from spectral_edge.validate.gram.files.tensors import Flat, Joined, Source, Spilled, width
from spectral_edge.validate.gram.files.unfinished import Done, Work, fingerprint, reporting
from spectral_edge.validate.gram.parameters import Select, selector


@dataclass(frozen=True)
class Bands:
    """What was read: the band of K of every tensor, what the files are, and what of them was left out.

    Attributes
    ----------
    done : mapping of str to Done
        Band and rounding of each tensor.
    moving : tuple of str
        The tensors that change, in the order of the files: those that count.
    listing : Listing
        The checkpoints.
    found : Layout
        Their tensors.
    config : mapping
        That of the sequence.
    """

    done: Mapping[str, Done]
    moving: tuple[str, ...]
    listing: Listing
    found: Layout
    config: Mapping[str, Any]

    def fields_of(self, names: Iterable[str]) -> dict[str, Any]:
        """The fields of the `GramSequence` of the tensors `names` together: inner products add."""
        parts = [self.done[name] for name in names]
        ends = np.array([checkpoint.step for checkpoint in self.listing.checkpoints[1:]], dtype=np.int64)
        band = sum((part.band for part in parts[1:]), parts[0].band)
        stored = sum((part.stored for part in parts[1:]), parts[0].stored)
        return {
            "K": products.unfold(band) if band.shape[1] == len(ends) else products.padded_band(band),
            "steps": ends,
            "P": sum(self.found.tensors[name][0].size for name in names),
            "probes": {STORAGE: stored[1:] + stored[:-1]},
            "config": dict(self.config),
            "rounding": max(part.rounding for part in parts),
        }


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
def flat(sources: Sequence[Source]) -> Iterator[list[Flat | Joined]]:
    """The sources as they can be read a stretch at a time; what is spilled is gone afterwards."""
    with ExitStack() as stack:
        found: list[Flat | Joined] = []
        file, offset = None, 0
        for source in sources:
            if isinstance(source, Spilled):
                if file is None:
                    file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="spectral-edge-"))
                source, offset = source.spill(file, offset), offset + 8 * source.size
            found.append(source)
        yield found


def tensor_band(
    tensor: str,
    sources: Sequence[Source],
    paths: Sequence[str],
    lags: int,
    precision: str,
    progress: Callable[[int], None] | None = None,
) -> Done:
    """Band of K of one tensor over all checkpoints, and its rounding; runs in one process or in a worker."""
    with flat(sources) as lying:
        rows = _FileRows(tensor, lying, paths, [source.dtype for source in sources])
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


def read_bands(
    path: str | PathLike[str],
    *,
    W_max: int | None = None,
    select: Select = None,
    exclude: Select = None,
    steps: Wanted = None,
    skip_damaged: bool = False,
    drop: Sequence[int] = (),
    at_least: int = 2,
    precision: str = "auto",
    progress: bool | Callable[[int, int], None] = False,
    resume: str | PathLike[str] | None = None,
    client: Any = None,
    config: Mapping[str, Any] | None = None,
) -> Bands:
    """The bands of K of a run's checkpoints, read once, a stretch of one tensor at a time.

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
        and are not known buffers.
    steps : str, callable or array, optional
        See `find_checkpoints`.
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
        That of the sequence: how the run was made (JSON values).

    Returns
    -------
    Bands

    Raises
    ------
    ValueError
        If a tensor is missing, extra, of another shape or not finite in one checkpoint (file and tensor are
        named), a file is damaged or not safe to read, nothing is selected, or no checkpoint differs from the next.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for step in (0, 100, 200, 300):
    ...         np.save(pathlib.Path(folder) / f"step_{step}.npy", np.full(10, step**0.5))
    ...     found = read_bands(folder)
    >>> found.moving, found.done["params"].band.shape
    (('params',), (3, 3))
    """
    W_max = None if W_max is None else whole("W_max", W_max, 2)
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
    moving = tuple(name for name in found.tensors if name not in found.left_out)
    if not moving:
        raise ValueError(
            f"checkpoints must differ, got {T + 1} with the same {len(found.tensors)} tensors in {path}"
        )
    work.forget()
    return Bands(work.done, moving, listing, found, config or {})


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
