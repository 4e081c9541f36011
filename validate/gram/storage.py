"""Sequences as files: ``.npz`` with a JSON header, without pickle."""

import json
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from spectral_edge.theory.files import replace_atomically


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


def is_written(path: Path) -> bool:
    """Whether `write_arrays` wrote the file at `path`, as far as the list of what is in it tells; by no name."""
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
