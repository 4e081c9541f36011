"""A sequence from a file a user has: one saved by this package, or a stack of parameter vectors."""

import glob
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.parameters import Select
from spectral_edge.validate.gram.sequence import GramSequence


def read_sequence(
    path: str | PathLike[str],
    W_max: int | None = None,
    select: Select = None,
    progress: bool = False,
) -> GramSequence:
    """Read a saved `GramSequence`, or make one from a stack of parameter vectors or from checkpoints.

    Parameters
    ----------
    path : path
        A ``.npz`` saved by `GramSequence.save`; a ``.npy`` holding a (T+1, P) stack of snapshots (it is
        mapped, not loaded); a ``.npz`` with one such stack and, if it likes, ``steps`` (T+1,); or a folder or
        glob pattern of checkpoints (`checkpoints.read_checkpoints`).
    W_max : int, optional
        Keep only the band |s − t| ≤ W_max of a stack or of checkpoints.
    select : str, list of str, or callable, optional
        Which tensors of checkpoints, by name.
    progress : bool
        Draw a progress bar while checkpoints are read.

    Raises
    ------
    ValueError
        If the file is truncated, foreign, or holds no stack. Nothing is ever unpickled.
    OSError
        If it cannot be opened.
    """
    path = Path(path)
    if path.is_dir() or (not path.exists() and glob.has_magic(str(path))):
        from spectral_edge.validate.gram.files.checkpoints import read_checkpoints

        return read_checkpoints(path, W_max=W_max, select=select, progress=progress).whole
    if select is not None:
        raise ValueError(f"select needs checkpoints, whose tensors have names, got {path}")
    if path.suffix == ".npy":
        try:
            stack = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError):
            raise ValueError(f"path must be a .npy array of numbers, got a damaged file: {path}") from None
        return GramSequence.from_parameters(stack, W_max=W_max)
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError
            if "header" in file.files:
                return GramSequence.load(path)
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if str(error).startswith("path "):
            raise
        raise ValueError(
            f"path must be a .npz or .npy of numbers, got a foreign or damaged file: {path}"
        ) from None
    steps = arrays.pop("steps", None)
    stacks = [name for name, array in arrays.items() if array.ndim == 2]
    if len(stacks) != 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise ValueError(f"path must hold one stack of parameter vectors (T+1, P), got {found}: {path}")
    return GramSequence.from_parameters(arrays[stacks[0]], steps, W_max)
