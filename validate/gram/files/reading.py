"""K of whatever a user names: a saved sequence, a stack of parameter vectors, checkpoints; and what was read."""

import glob
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import storage
from spectral_edge.validate.gram.arrays.rows import native
from spectral_edge.validate.gram.checks import increasing
from spectral_edge.validate.gram.files.checkpoints import By, CheckpointSequences, read_checkpoints
from spectral_edge.validate.gram.files.discovery import Wanted
from spectral_edge.validate.gram.files.rounding import STORAGE, Rounding
from spectral_edge.validate.gram.files.tensors import STORED
from spectral_edge.validate.gram.parameters import Select
from spectral_edge.validate.gram.sequence import GramSequence


def read_run(
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
    progress: bool = False,
) -> CheckpointSequences:
    """Read a run, and say what of it was read.

    Parameters
    ----------
    path : path
        A ``.npz`` saved by `GramSequence.save`; a ``.npy`` holding a (T+1, P) stack of snapshots (it is
        mapped, not loaded); a ``.npz`` with one such stack and, optionally, ``steps`` (T+1,); a folder or
        glob pattern of checkpoints, or one file that holds several (`checkpoints.read_checkpoints`).
    W_max : int, optional
        Keep only the band |s − t| ≤ W_max of a stack or of checkpoints.
    select, exclude, steps, by, skip_damaged
        Of checkpoints, whose files and tensors have names; see `checkpoints.read_checkpoints`.
    drop : sequence of int
        Snapshots to leave out, by their step.
    at_least : int
        Refuse a run of checkpoints with fewer updates before it is read.
    progress : bool
        Draw a progress bar while checkpoints are read.

    Returns
    -------
    CheckpointSequences

    Raises
    ------
    ValueError
        If the file is truncated, foreign, or holds no run, or an option does not go with it. Nothing is ever
        unpickled that could run code.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stack = pathlib.Path(folder) / "stack.npy"
    ...     np.save(stack, np.random.default_rng(0).normal(size=(9, 50)))
    ...     found = read_run(stack)
    >>> found.whole.T, found.whole.P
    (8, 50)
    """
    path = Path(path)
    named = {"select": select, "exclude": exclude, "steps": steps, "by": by}
    if not _is_array_file(path):
        options: dict[str, Any] = {**named, "skip_damaged": skip_damaged, "drop": drop, "at_least": at_least}
        return read_checkpoints(path, W_max=W_max, progress=progress, **options)
    for name, value in named.items():
        if value is not None and name != "by":
            raise ValueError(f"{name} needs checkpoints, whose tensors have names, got {path}")
    arrays = _arrays(path)
    if arrays is None:
        return _saved(path, by, drop)
    if by is not None:
        raise ValueError(f"by needs checkpoints, whose tensors have names, got {path}")
    return _stack(path, arrays, W_max, drop)


def _is_array_file(path: Path) -> bool:
    """Whether `path` is read as arrays: not a folder, a pattern, or a file of state dicts."""
    if path.is_dir() or (not path.exists() and glob.has_magic(str(path))):
        return False
    if path.suffix in (".npy", ".npz") or not path.exists() or storage.is_written(path):
        return True  # a recording that was put aside is called run.npz.1
    return not _other_weights(path)


def _other_weights(path: Path) -> bool:
    from spectral_edge.validate.gram.files.formats import is_weights

    return is_weights(path) or path.name.endswith(".index.json")


def _arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file, None if it is a saved sequence."""
    if path.suffix == ".npy":
        try:
            return {"thetas": np.load(path, mmap_mode="r", allow_pickle=False)}
        except (ValueError, EOFError):
            raise ValueError(f"path must be a .npy array of numbers, got a damaged file: {path}") from None
    try:
        # opened here, because numpy leaves a damaged file open
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError
            return None if "header" in file.files else {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise ValueError(
            f"path must be a .npz or .npy of numbers, got a foreign or damaged file: {path}"
        ) from None


def _saved(path: Path, by: By, drop: Sequence[int]) -> CheckpointSequences:
    sequence = GramSequence.load(path)
    if drop:
        raise ValueError(f"drop needs the checkpoints themselves, got a saved sequence: {path}")
    groups = sequence.parts() if by is not None else {}
    if by is not None and not groups:
        raise ValueError(f"by needs checkpoints, or a recording of a tracker with by=, got {path}")
    return CheckpointSequences(sequence, groups)


def _stack(
    path: Path, arrays: dict[str, NDArray[Any]], W_max: int | None, drop: Sequence[int]
) -> CheckpointSequences:
    given = arrays.pop("steps", None)
    stacks = [name for name, array in arrays.items() if array.ndim == 2]
    if len(arrays) >= 3 and not stacks:
        return read_checkpoints(path, W_max=W_max, drop=drop)  # vectors side by side
    if len(stacks) != 1 and path.suffix == ".npz":
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise ValueError(f"path must hold one stack of parameter vectors (T+1, P), got {found}: {path}")
    stack = arrays[stacks[0] if stacks else "thetas"]
    steps = np.arange(len(stack)) if given is None else increasing("steps", given, len(stack))
    kept = ~np.isin(steps, drop)
    if not kept.all():
        stack, steps = stack[kept], steps[kept]
    try:
        sequence = GramSequence.from_parameters(stack, steps, W_max)
    except ValueError as error:  # it speaks of `thetas` to someone who gave a path
        told = re.sub(r"thetas\[(\d+)\]", r"row \1", str(error)).replace("thetas", "it")
        raise ValueError(f"path {path}: {told}") from None
    stored = _stored(stack)
    if stored is not None:
        sequence = replace(sequence, probes={STORAGE: stored[1:] + stored[:-1]})
    return CheckpointSequences(
        whole=sequence,
        groups={},
        files=tuple((int(step), f"{path}[{i}]") for i, step in enumerate(steps)),
        dtypes={stack.dtype.name: stack.shape[1]},
    )


def _stored(stack: NDArray[Any]) -> NDArray[np.float64] | None:
    """Σ ulp²/12 of every row, None where the type of the numbers is not known."""
    if stack.dtype.name not in STORED:
        return None
    rounding = Rounding([stack.dtype.name] * len(stack), native(stack[:, :0]).dtype)
    columns = max(1, (1 << 22) // len(stack))
    for start in range(0, stack.shape[1], columns):
        rounding.add(np.ascontiguousarray(native(np.asarray(stack[:, start : start + columns]))))
    return rounding.energy()
