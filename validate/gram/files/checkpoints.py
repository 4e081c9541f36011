"""From a directory of checkpoints to K: the whole model, and groups of its tensors, in one pass."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram.arrays import inner_products as products
from spectral_edge.validate.gram.arrays.rows import Buffers
from spectral_edge.validate.gram.files.discovery import find_checkpoints, kind_of, layer_of, layout
from spectral_edge.validate.gram.files.tensors import SIZES, Flat, Source, Spilled
from spectral_edge.validate.gram.files.unfinished import Work, fingerprint, reporting
from spectral_edge.validate.gram.parameters import Select, selector
from spectral_edge.validate.gram.sequence import GramSequence


@dataclass(frozen=True)
class CheckpointSequences:
    """What one pass over checkpoints gives.

    Attributes
    ----------
    whole : GramSequence
        Of all selected tensors.
    groups : mapping of str to GramSequence
        Of each group; they add up to `whole`. Empty unless groups were asked for.
    """

    whole: GramSequence
    groups: Mapping[str, GramSequence]


class _FileRows:
    """One tensor of all checkpoints."""

    waits = True

    def __init__(self, tensor: str, sources: Sequence[Flat], paths: Sequence[Path]) -> None:
        self.name, self._sources, self._paths = "checkpoints", sources, paths
        self._tensor, self._buffers = tensor, Buffers()
        self.n, self.P = len(sources), sources[0].size
        wide = any(source.dtype == "float64" for source in sources)
        self.dtype = np.dtype(np.float64 if wide else np.float32)

    def block(self, start: int, stop: int) -> tuple[NDArray[Any], int, int]:
        block = self._buffers.block((self.n, stop - start), self.dtype)
        for row, source in zip(block, self._sources, strict=True):
            row[:] = source.read(start, stop)
        return block, 0, stop - start

    def label(self, row: int) -> str:
        return f"{self._tensor!r} of {self._paths[row]}"


@contextmanager
def _flat(sources: Sequence[Source]) -> Iterator[list[Flat]]:
    """The sources as they can be read a stretch at a time; what is spilled is gone afterwards."""
    with ExitStack() as stack:
        flat, file, offset = [], None, 0
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
    paths: Sequence[Path],
    lags: int,
    precision: str,
    progress: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Band of K of one tensor over all checkpoints, and its rounding; runs in one process or in a worker."""
    with _flat(sources) as flat:
        rows = _FileRows(tensor, flat, paths)
        width = sum(SIZES[source.dtype] for source in sources)
        count = None if progress is None else (lambda columns: progress(columns * width))
        band = products.band_of_rows(rows, lags, differences=True, precision=precision, progress=count)
        return band, products.rounding_level(rows.P, products.product_dtype(rows.P, rows.dtype, precision))


def read_checkpoints(
    path: str | PathLike[str],
    *,
    W_max: int | None = None,
    select: Select = None,
    exclude: Select = None,
    steps: Callable[[Path], int] | ArrayLike | None = None,
    by: str | Callable[[str], str] | None = None,
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
        See `find_checkpoints`. safetensors, PyTorch (read with ``weights_only=True``), ``.npz`` or ``.npy``.
    W_max : int, optional
        Keep only the band |s − t| ≤ W_max. Default: all of K.
    select, exclude : str, list of str, or callable, optional
        Glob patterns for the tensors' names (without ``_orig_mod.`` and ``module.``). Default: all
        floating tensors.
    steps : callable or array, optional
        See `find_checkpoints`.
    by : {"layer", "kind"} or callable, optional
        Also give the sequence of each group of tensors: by layer, by what they are, or by a function of
        their name.
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
        named), a file is damaged or not safe to read, or nothing is selected.
    """
    checkpoints = find_checkpoints(path, steps)
    W_max = None if W_max is None else whole("W_max", W_max, 2)
    tensors = layout(checkpoints, selector(select, exclude))
    paths = [file for _, file in checkpoints]
    T = len(checkpoints) - 1
    lags = T - 1 if W_max is None else min(W_max, T - 1)
    group = (
        {"layer": layer_of, "kind": kind_of, None: lambda name: ""}.get(by, by) if not callable(by) else by
    )
    if not callable(group):
        raise ValueError(f"by must be 'layer', 'kind' or a function of the name, got {by!r}")
    work = Work(resume, fingerprint(paths, sorted(tensors), lags, precision))
    total = sum(SIZES[source.dtype] * source.size for sources in tensors.values() for source in sources)
    with reporting(progress, total) as report:
        _bands(tensors, paths, lags, precision, client, work, report)
    parts = {
        name: GramSequence(
            K=products.unfold(band) if lags == T - 1 else products.padded_band(band),
            steps=np.array([step for step, _ in checkpoints[1:]], dtype=np.int64),
            P=tensors[name][0].size,
            config=dict(config or {}),
            rounding=rounding,
        )
        for name, (band, rounding) in work.done.items()
    }
    groups: dict[str, list[GramSequence]] = {}
    for name in tensors:
        groups.setdefault(group(name), []).append(parts[name])
    added = {name: reduce(add, members) for name, members in groups.items()}
    work.forget()
    return CheckpointSequences(reduce(add, added.values()), {} if by is None else added)


def _bands(
    tensors: Mapping[str, list[Source]],
    paths: Sequence[Path],
    lags: int,
    precision: str,
    client: Any,
    work: Work,
    report: Callable[[int], None],
) -> None:
    missing = [name for name in tensors if name not in work.done]
    for name in work.done:
        report(sum(SIZES[source.dtype] * source.size for source in tensors[name]))
    if client is None:
        for name in missing:
            work.add(name, *tensor_band(name, tensors[name], paths, lags, precision, report))
        return
    from distributed import as_completed

    futures = {
        client.submit(tensor_band, name, tensors[name], paths, lags, precision, pure=False): name
        for name in missing
    }
    for future in as_completed(list(futures)):
        name = futures[future]
        work.add(name, *future.result())
        report(sum(SIZES[source.dtype] * source.size for source in tensors[name]))
