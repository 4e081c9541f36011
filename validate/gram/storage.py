"""Files that are either whole or not there."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an `OSError` about a temporary or a parent into one about the `path` that was asked for."""
    try:
        yield
    except OSError as error:
        raise type(error)(
            error.errno, f"path must be writable, got {path} ({error.strerror or error})"
        ) from None


def writable(path: str | PathLike[str]) -> Path:
    """`path` as a `Path` in which a file can be put; its folder is made.

    Raises
    ------
    OSError
        If it is a folder, or its folder cannot be made or written.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path must be a file, got a folder: {path}")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, probe = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        os.unlink(probe)
    return path


def replace_atomically(path: str | PathLike[str], write: Callable[[IO[bytes]], object]) -> Path:
    """Write beside `path`, then put the new file in its place in one step.

    Parameters
    ----------
    path : path
        Where the file is to be; missing folders are made.
    write : callable
        Called with a binary file opened for writing.

    Raises
    ------
    OSError
        If the target cannot be written; what was there before stays, and no partial file is left.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path must be a file, got a folder: {path}")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return path


def write_sequence(path: str | PathLike[str], header: dict[str, Any], arrays: dict[str, Any]) -> Path:
    """Write arrays and a JSON header as ``.npz`` without pickle."""
    try:
        text = np.array(json.dumps(header, sort_keys=True))
    except TypeError as error:
        raise ValueError(f"config must hold JSON values only, got {error}") from None
    return replace_atomically(path, lambda file: np.savez_compressed(file, header=text, **arrays))


def read_sequence(
    path: str | PathLike[str], format_name: str, version: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of what `write_sequence` wrote; nothing is ever unpickled.

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
