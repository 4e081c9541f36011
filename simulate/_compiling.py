"""Kernels compile where nothing can be written, and say so where it takes long; one short run needs no compiler."""

import atexit
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any

#: What has been imported in this process: a second import costs nothing, and shall cost no thread either.
_there: set[str] = set()
#: Where numba keeps what it has compiled until this process ends, if it can keep it nowhere else.
_place = ""
#: Whether this is within `once`.
_once: ContextVar[bool] = ContextVar("once", default=False)

_KERNELS = "spectral_edge.simulate._kernels"


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


@contextmanager
def once() -> Iterator[None]:
    """Within, a run of few steps is left to Python's interpreter: for a command that makes one run and ends.

    Even a kernel that is in the cache takes longer to load than such a run to make. The numbers are those of the
    compiled kernel but for rounding, which a processor that multiplies and adds at once does otherwise: tests hold
    that they agree to 1e-9.
    """
    before = _once.set(True)
    try:
        yield
    finally:
        _once.reset(before)


def is_once() -> bool:
    """Whether this is within `once`."""
    return _once.get()


def in_python(name: str) -> Any:
    """The kernels of the module `name` as the interpreter runs them; those that are compiled stay what they are."""
    settings, compiled = numba_settings(), _take_out()
    before, settings.DISABLE_JIT = settings.DISABLE_JIT, 1
    try:
        return import_module(f"{_KERNELS}.{name}")
    finally:
        settings.DISABLE_JIT = before
        _take_out()
        sys.modules.update(compiled)


def _take_out() -> dict[str, Any]:
    """Forget that the kernels have been imported; return their modules by name."""
    vars(import_module("spectral_edge.simulate")).pop("_kernels", None)
    return {key: sys.modules.pop(key) for key in list(sys.modules) if f"{key}.".startswith(f"{_KERNELS}.")}
