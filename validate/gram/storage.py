"""Files that are either whole or not there."""

import os
import tempfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO


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
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(f"path must be a file, got a folder: {path}")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        os.fchmod(handle, 0o644)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
