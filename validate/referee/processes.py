"""Processes that work side by side."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any


@contextmanager
def processes(
    jobs: int, prepare: Callable[..., None] | None = None, *given: Any
) -> Iterator[ProcessPoolExecutor]:
    """An executor of `jobs` processes, each made ready by ``prepare(*given)``.

    An exception in the body, an interrupt above all, ends it and drops what still waits.
    """
    # spawned, not forked: numba's threads do not survive a fork
    with ProcessPoolExecutor(jobs, get_context("spawn"), prepare, given) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
