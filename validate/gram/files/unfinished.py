"""Long work: what is done of it, on screen and on disk."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.files import writable
from spectral_edge.theory.progress import progress_bar
from spectral_edge.validate.gram import storage

PARTIAL = "spectral-edge/partial-gram"
#: Seconds between two savings of unfinished work.
SAVE_EVERY = 5.0


class Done(NamedTuple):
    """What is known of one tensor: the band of its K, the rounding of that, and Σ ulp²/12 of every checkpoint."""

    band: NDArray[np.float64]
    rounding: float
    stored: NDArray[np.float64]


class Work:
    """What is done of a pass over checkpoints, kept on disk now and then if there is a path."""

    def __init__(self, path: str | PathLike[str] | None, fingerprint: str) -> None:
        self.path = None if path is None else writable(path)
        self._fingerprint, self._saved = fingerprint, time.monotonic()
        self.done: dict[str, Done] = {}
        if self.path is not None and self.path.exists():
            header, arrays = storage.read_arrays(self.path, PARTIAL, 1)
            if header["fingerprint"] != fingerprint:
                raise ValueError(
                    f"resume must be of the same files and arguments, got other work: {self.path}"
                )
            pairs = enumerate(header["tensors"])
            self.done = {
                name: Done(arrays[f"band/{i}"], rounding, arrays[f"stored/{i}"])
                for i, (name, rounding) in pairs
            }

    def add(self, name: str, done: Done) -> None:
        """Take note of a tensor that is done."""
        self.done[name] = done
        if self.path is not None and time.monotonic() >= self._saved + SAVE_EVERY:
            header: dict[str, Any] = {"format": PARTIAL, "version": 1, "fingerprint": self._fingerprint}
            header["tensors"] = [[name, done.rounding] for name, done in self.done.items()]
            arrays = {f"band/{i}": done.band for i, done in enumerate(self.done.values())}
            arrays |= {f"stored/{i}": done.stored for i, done in enumerate(self.done.values())}
            storage.write_arrays(self.path, header, arrays)
            self._saved = time.monotonic()

    def forget(self) -> None:
        """Remove what was kept: all is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def fingerprint(paths: Iterable[Path], tensors: Sequence[str], lags: int, precision: str) -> str:
    """The same for the same files and arguments, different otherwise."""
    files = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    return hashlib.sha256(json.dumps([files, list(tensors), lags, precision]).encode()).hexdigest()


@contextmanager
def reporting(progress: bool | Callable[[int, int], None], total: int) -> Iterator[Callable[[int], None]]:
    """A function to be told of bytes done: it draws a bar, calls `progress`, or does nothing."""
    done = 0
    if callable(progress):

        def tell(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total)

        yield tell
    elif not progress:
        yield lambda count: None
    else:
        from rich.progress import DownloadColumn, TransferSpeedColumn

        with progress_bar(DownloadColumn(), TransferSpeedColumn(), transient=False) as bar:
            task = bar.add_task("checkpoints", total=total)
            yield lambda count: bar.advance(task, count)
