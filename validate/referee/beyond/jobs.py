"""Several runs at a time, one thread each; a run that is finished is kept, and taken up again."""

import hashlib
import inspect
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from threadpoolctl import threadpool_limits

from spectral_edge.theory.files import replace_atomically

_T = TypeVar("_T")


class Kept(NamedTuple):
    """How what came of one run is written to a file and read again.

    Attributes
    ----------
    suffix : str
    write : callable
        ``write(path, found)``.
    read : callable
        ``read(path)``.
    """

    suffix: str
    write: Callable[[Path, Any], object]
    read: Callable[[Path], Any]


def _write_json(path: Path, found: Any) -> None:
    text = json.dumps(found._asdict() if hasattr(found, "_asdict") else found)
    replace_atomically(path, lambda file: file.write(text.encode()))


def _read_json(path: Path, kind: Callable[..., Any] | None = None) -> Any:
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if kind is None else kind(**found)


#: JSON values.
VALUES = Kept(".json", _write_json, _read_json)


def tuples(kind: type) -> Kept:
    """Of a named tuple of JSON values."""
    return Kept(".json", _write_json, partial(_read_json, kind=kind))


def _save(path: Path, found: Any) -> None:
    found.save(path)


def saved(kind: Any) -> Kept:
    """Of a class with `save` and `load`."""
    return Kept(".npz", _save, kind.load)


def each(
    function: Callable[..., _T],
    arguments: Sequence[tuple[Any, ...]],
    jobs: int = 1,
    *,
    work: Path | None = None,
    kept: Kept = VALUES,
) -> Iterator[_T]:
    """What `function` returns of each of `arguments`, in their order, by so many processes.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it.
    arguments : sequence of tuple
    jobs : int
    work : Path, optional
        Folder in which what came of each is kept as soon as it is there. What is there already, of the same arguments
        and by the same source of the module that `function` stands in, is not made again.
    kept : Kept
        How it is kept.

    Examples
    --------
    >>> list(each(pow, [(2, 3), (3, 2)]))
    [8, 9]
    """
    one = partial(_once, function, work, kept)
    if jobs == 1:
        yield from (one(given) for given in arguments)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=threadpool_limits, initargs=(1,)) as pool:
        yield from pool.map(one, arguments)


def _once(function: Callable[..., _T], work: Path | None, kept: Kept, given: tuple[Any, ...]) -> _T:
    if work is None:
        return function(*given)
    source = inspect.getsource(sys.modules[function.__module__])
    said = f"{source}\n{function.__qualname__}{given!r}"
    path = work / f"{function.__name__}-{hashlib.sha256(said.encode()).hexdigest()[:16]}{kept.suffix}"
    if not path.exists():
        kept.write(path, function(*given))
    found: _T = kept.read(path)
    return found
