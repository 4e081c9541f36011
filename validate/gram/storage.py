"""Sequences as files: ``.npz`` with a JSON header, without pickle."""

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from spectral_edge.theory.files import ending_in, replace_atomically

if TYPE_CHECKING:
    from spectral_edge.validate.gram.sequence import GramSequence

FORMAT = "spectral-edge/gram-sequence"
FORMAT_VERSION = 1


def write_arrays(path: str | PathLike[str], header: dict[str, Any], arrays: dict[str, Any]) -> Path:
    """Write arrays and a JSON header as ``.npz`` without pickle."""
    try:
        text = np.array(json.dumps(header, sort_keys=True))
    except TypeError as error:
        raise ValueError(f"config must hold JSON values only, got {error}") from None
    return replace_atomically(path, lambda file: np.savez_compressed(file, header=text, **arrays))


def read_arrays(
    path: str | PathLike[str], format_name: str, version: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of what `write_arrays` wrote; nothing is ever unpickled.

    Raises
    ------
    ValueError
        If the file is truncated, foreign, or of a newer format version.
    """
    path = Path(path)
    try:
        # opened here, because numpy leaves a damaged file open
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != format_name:
            raise ValueError
    except OSError:
        raise
    except Exception:  # what zip, numpy and JSON raise on foreign bytes is no fixed list
        raise ValueError(
            f"path must be a sequence saved by spectral-edge, got a foreign or damaged file: {path}"
        ) from None
    if header["version"] > version:
        raise ValueError(
            f"path must be of format version {version} or older, got version {header['version']}: {path}"
        )
    return header, arrays


def write_sequence(sequence: "GramSequence", path: str | PathLike[str], **more: str) -> Path:
    """Write a sequence, with `more` entries in the header (a tracker names its run there).

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``, or its configuration is not JSON.
    OSError
        If it cannot be written; nothing is left half-written.
    """
    header: dict[str, Any] = {"format": FORMAT, "version": FORMAT_VERSION, "P": sequence.P, **more}
    header |= {"config": dict(sequence.config), "rounding": sequence.rounding}
    arrays = {"K": sequence.K, "steps": sequence.steps}
    arrays |= {f"metrics/{name}": values for name, values in sequence.metrics.items()}
    arrays |= {f"probes/{name}": values for name, values in sequence.probes.items()}
    return write_arrays(ending_in("path", path, ".npz"), header, arrays)


def read_sequence(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of what `write_sequence` wrote; see `read_arrays`."""
    return read_arrays(path, FORMAT, FORMAT_VERSION)


def is_written(path: Path) -> bool:
    """Whether `write_arrays` wrote the file at `path`, as far as the list of its members tells, whatever its name."""
    try:
        with ZipFile(path) as file:
            return "header.npy" in file.namelist()
    except (BadZipFile, FileNotFoundError, IsADirectoryError):
        return False


def state(path: str | PathLike[str]) -> tuple[int, int, int] | None:
    """What changes when the file at `path` is replaced; None where there is none."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
