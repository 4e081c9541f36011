"""Several runs at a time, one thread each."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

_T = TypeVar("_T")


def each(function: Callable[..., _T], arguments: Sequence[tuple[Any, ...]], jobs: int = 1) -> Iterator[_T]:
    """What `function` returns of each of `arguments`, in their order, by so many processes.

    Examples
    --------
    >>> list(each(pow, [(2, 3), (3, 2)]))
    [8, 9]
    """
    if jobs == 1:
        yield from (function(*one) for one in arguments)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=threadpool_limits, initargs=(1,)) as pool:
        yield from pool.map(function, *zip(*arguments, strict=True))
