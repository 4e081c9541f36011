"""Processes that work side by side."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def processes(jobs: int, first: Callable[[], object] | None = None) -> Iterator[ProcessPoolExecutor]:
    """An executor of `jobs` processes; with `first`, they start at once, and import its module meanwhile.

    An exception in the body, an interrupt above all, ends it and drops what still waits.
    """
    # spawned, not forked: numba's threads do not survive a fork
    with ProcessPoolExecutor(jobs, get_context("spawn")) as executor:
        try:
            for _ in range(jobs):
                if first is not None:
                    executor.submit(first)
            yield executor
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
