"""Processes that work side by side."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def processes(jobs: int, modules: Sequence[str] = ()) -> Iterator[ProcessPoolExecutor]:
    """An executor of `jobs` processes.

    Where the system allows, they come from one that begins at once to import `modules`, which they then have: an
    import costs once, and while it goes on here something else can be done.

    An exception in the body, an interrupt above all, ends it and drops what still waits.
    """
    # never forked from here: numba's threads do not survive a fork, and the server has none
    context = get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        from multiprocessing import forkserver  # there is none on Windows

        context.set_forkserver_preload(list(modules))
        forkserver.ensure_running()
    with ProcessPoolExecutor(jobs, context) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
