"""Files that are either whole or not there: the one place where the package replaces a file."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO


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
