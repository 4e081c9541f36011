"""Kernels compile where nothing can be written, and where it takes long they say so."""

import atexit
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

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


def numba_settings() -> Any:
    """Numba's settings: a module whose names are made when it is imported, which no type checker sees."""
    return import_module("numba.core.config")


def cache_somewhere() -> None:
    """Give numba a place for its cache where it has none: a read-only installation without a writable home.

    numba refuses to compile a function that it is to cache and cannot. The place is new in every process and goes with
    it: a cache that others could write is code that others could run.
    """
    import numba

    def probe() -> None:
        pass

    try:
        numba.njit(cache=True)(probe)
    except RuntimeError:
        place = numba_settings().CACHE_DIR = tempfile.mkdtemp(prefix="spectral-edge-cache-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
