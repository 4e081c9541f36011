"""What leaves the process: files that are either whole or not there, and values that strict JSON can hold."""

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an `OSError` about a temporary or a parent into one about the `path` that was asked for."""
    try:
        yield
    except OSError as error:
        raise type(error)(
            error.errno, f"path must be writable, got {path} ({error.strerror or error})"
        ) from None


def ending_in(name: str, path: str | PathLike[str], *endings: str) -> Path:
    """`path`, called `name`, as a `Path` that ends in one of `endings`: later it is found, and read, by that.

    Raises
    ------
    ValueError
        If it ends otherwise.
    OSError
        If it is a folder.

    Examples
    --------
    >>> ending_in("path", "runs/x.npz", ".npz").name
    'x.npz'
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{name} must be a file, got a folder: {path}")
    if path.suffix not in endings:
        wanted = endings[0] if len(endings) == 1 else f"one of {', '.join(endings)}"
        raise ValueError(f"{name} must end in {wanted}, got {path.name}")
    return path


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


def utf8(text: str) -> bytes:
    r"""`text` as valid UTF-8: where a locale knows ASCII only, file names come with stand-ins that UTF-8 has not.

    Examples
    --------
    >>> utf8("run-\udccf\udc83").decode()
    'run-σ'
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


def jsonable(value: Any) -> Any:
    """What strict JSON can hold of `value`: arrays as lists, named tuples by name, NaN and infinity as None.

    Parameters
    ----------
    value : anything
        Dictionaries, sequences, numpy arrays and scalars, nested.

    Examples
    --------
    >>> jsonable({"p_value": float("nan"), "interval": (0.5, float("inf"))})
    {'p_value': None, 'interval': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return jsonable(value._asdict())
    if hasattr(value, "tolist"):  # numpy, without importing it
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PathLike) else value
