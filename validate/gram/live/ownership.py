"""Who may write a recording: one tracker of one process, and nobody else."""

import json
import os
import platform
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

#: The owner of each recording that this process writes.
_OWNERS: "weakref.WeakValueDictionary[Path, Ownership]" = weakref.WeakValueDictionary()


def owned_here(path: Path) -> bool:
    """Whether a tracker of this process writes the recording at `path`."""
    owner = _OWNERS.get(path.resolve())
    return owner is not None and owner.holds()


def lock_path(path: Path) -> Path:
    """Where the lock of the recording at `path` is."""
    return path.with_name(path.name + ".lock")


class Ownership:
    """The right to write the recording at `path`, from now on until it is taken over or given back.

    The lock is the operating system's (filelock): it ends with the process, however that ends. Its file says whose
    it is. Within a process a new owner takes over from the old one, which a notebook's interrupted training keeps
    alive: from then on the old one writes nothing.

    Raises
    ------
    ValueError
        If another process has it; the message names that process.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock, Timeout

        self.path, self._key, self._process = path, path.resolve(), os.getpid()
        self._lock: Any
        if owned_here(path):
            self._lock = _OWNERS[self._key]._lock
        else:
            file = lock_path(path)
            first = _read(file)
            self._lock = FileLock(file, timeout=0, thread_local=False)
            try:
                self._lock.acquire()
            except Timeout:
                raise ValueError(
                    f"path is being recorded by {first}, got a second tracker for {path}{_if_distributed()}"
                ) from None
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            owner = {"process": os.getpid(), "host": platform.node(), "since": started}
            file.write_text(json.dumps(owner))
        self._file = _identity(lock_path(path))
        _OWNERS[self._key] = self

    def holds(self) -> bool:
        """Whether this is still the owner: not a forked copy, nor one whose recording another has taken over."""
        return (
            os.getpid() == self._process
            and _OWNERS.get(self._key) is self
            and self._lock.is_locked
            and _identity(lock_path(self.path)) == self._file
        )

    def release(self) -> None:
        """Give the recording back."""
        if self.holds():
            del _OWNERS[self._key]
            with suppress(OSError):
                lock_path(self.path).unlink()
            self._lock.release()


def _if_distributed() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return ""
    return ": with DistributedDataParallel make the tracker on rank 0 only; for shards pass group='world'"


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _read(file: Path) -> str:
    try:
        owner: dict[str, Any] = json.loads(file.read_text())
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
