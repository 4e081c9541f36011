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
#: Where numba keeps what it has compiled until this process ends, if it can keep it nowhere else.
_place = ""


@contextmanager
def compiling(what: str, patience: float = 1.0) -> Iterator[None]:
    """Print one line on standard error if the body, the import of a kernel, takes over `patience` s and compiles.

    What is only loaded from numba's cache is not mentioned, however long the machine takes for it.
    """
    if what in _there:
        yield
        return
    events = import_module("numba.core.event")
    compiled, done = events.RecordingListener(), threading.Event()

    def watch() -> None:
        if done.wait(patience):
            return
        while not compiled.buffer:  # what has begun to be compiled
            if done.wait(patience / 10):
                return
        again = "nothing can be kept here" if _place else "the first time only"
        sys.stderr.write(f"spectral-edge: compiling {what} ({again})\n")

    threading.Thread(target=watch, daemon=True).start()
    try:
        with events.install_listener("numba:compile", compiled):
            yield
    finally:
        done.set()
    _there.add(what)


def numba_settings() -> Any:
    """Numba's settings: a module whose names are made when it is imported, which no type checker sees."""
    return import_module("numba.core.config")


def cache_somewhere() -> None:
    """Give numba a place for its cache where it has none: a read-only installation without a writable home.

    numba refuses to compile a function that it is to cache and cannot. The place is new in every process and goes with
    it: a cache that others could write is code that others could run.
    """
    global _place
    import numba

    def probe() -> None:
        pass

    try:
        numba.njit(cache=True)(probe)
    except RuntimeError:
        _place = numba_settings().CACHE_DIR = tempfile.mkdtemp(prefix="spectral-edge-cache-")
        atexit.register(shutil.rmtree, _place, ignore_errors=True)
