"""Say that kernels compile when the first use takes long, and nothing when they come from the cache."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: What has been imported in this process: a second import costs nothing, and shall cost no thread either.
_there: set[str] = set()


@contextmanager
def compiling(what: str, patience: float = 1.0) -> Iterator[None]:
    """Print one line on standard error if the body, the import of a kernel, takes over `patience` s."""
    if what in _there:
        yield
        return
    message = f"spectral-edge: compiling {what} (the first time only)\n"
    timer = threading.Timer(patience, lambda: sys.stderr.write(message))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    _there.add(what)
