"""Vectors that can be read by columns: arrays, memmaps, lists (`files.bands` adds files)."""

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Rows(Protocol):
    """Vectors of one length that can be read by columns."""

    name: str
    n: int
    P: int
    dtype: np.dtype[Any]
    #: Whether reading waits for a device, so that more threads than cores are of use.
    waits: bool

    def block(self, start: int, stop: int) -> tuple[NDArray[Any], int, int]:
        """An array (n, ≥) in C order, float32 or float64, and the columns of it that were asked for."""
        ...

    def label(self, row: int) -> str:
        """What row `row` is called in an error."""
        ...


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is a real floating type, bfloat16 of ml_dtypes among them."""
    return bool(np.issubdtype(dtype, np.floating)) or dtype.name == "bfloat16"


def native(array: NDArray[Any]) -> NDArray[Any]:
    """`array` as float32 or float64 without loss; those two in native byte order are not copied."""
    if array.dtype.name == "bfloat16":
        return (np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if array.dtype.type in (np.float16, np.float32):
        return array.astype(np.float32, copy=False)
    return array.astype(np.float64, copy=False)


class Buffers(threading.local):
    """A block for each thread, used again: fresh memory would have to be cleared by the system every time."""

    _block: NDArray[Any] = np.empty(0, np.uint8)

    def block(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Uninitialised memory, valid until the thread asks again."""
        size = shape[0] * shape[1] * dtype.itemsize
        if self._block.size < size:
            self._block = np.empty(size, np.uint8)
        return self._block[:size].view(dtype).reshape(shape)


class ArrayRows:
    """Rows of a two-dimensional array or memmap.

    A memmap is read from its file, a block at a time, and not through its mapping: that is faster, and
    nothing stays in memory.
    """

    def __init__(self, array: NDArray[Any], name: str) -> None:
        self.array, self.name, self.dtype = array, name, array.dtype
        self.n, self.P = array.shape
        ready = array.dtype.newbyteorder("=") == array.dtype and array.dtype.type in (np.float32, np.float64)
        self._direct = np.asarray(array) if ready and array.flags.c_contiguous else None
        self._file = _MappedFile.of(array)
        self.waits = self._file is not None

    def block(self, start: int, stop: int) -> tuple[NDArray[Any], int, int]:
        """See `Rows`."""
        if self._file is not None:
            return native(self._file.read(self.array, start, stop)), 0, stop - start
        if self._direct is not None:
            return self._direct, start, stop
        return np.ascontiguousarray(native(np.asarray(self.array[:, start:stop]))), 0, stop - start

    def label(self, row: int) -> str:
        """See `Rows`."""
        return f"{self.name}[{row}]"


class _MappedFile:
    """The file behind a memmap, and where in it the array begins."""

    def __init__(self, path: Any, position: int) -> None:
        self._path, self._position, self._buffers = path, position, Buffers()

    @classmethod
    def of(cls, array: NDArray[Any]) -> "_MappedFile | None":
        mapping = getattr(array, "_mmap", None)
        if mapping is None or not isinstance(array, np.memmap) or not hasattr(os, "preadv") or not array.size:
            return None
        # a copy-on-write mapping (mode "c") may hold changes that exist nowhere else
        if getattr(array, "mode", "") not in ("r", "r+", "w+") or array.strides[-1] != array.itemsize:
            return None
        base = np.frombuffer(mapping, dtype=np.uint8).__array_interface__["data"][0]
        within = array.__array_interface__["data"][0] - base
        found = cls(array.filename, array.offset - array.offset % mmap.ALLOCATIONGRANULARITY + within)
        # the name may stand for another file by now, or for none
        ends = [(0, 16), (max(array.shape[1] - 16, 0), array.shape[1])]
        try:
            same = all(found.read(array, *end).tobytes() == array[:, slice(*end)].tobytes() for end in ends)
        except (OSError, TypeError, ValueError):
            return None
        return found if same else None

    def read(self, array: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
        """Columns `start` … `stop` of `array`, from the file."""
        block = self._buffers.block((len(array), min(stop, array.shape[1]) - start), array.dtype)
        with open(self._path, "rb", buffering=0) as file:
            for row in range(len(array)):
                place = self._position + row * array.strides[0] + start * array.itemsize
                target = block[row].view(np.uint8).data
                done = 0
                while done < len(target):
                    count = os.preadv(file.fileno(), [target[done:]], place + done)
                    if not count:
                        raise ValueError(f"path must be a whole file, got one cut short: {self._path}")
                    done += count
        return block


class ListRows:
    """Separate vectors of one length, joined block by block."""

    waits = False

    def __init__(self, vectors: Sequence[NDArray[Any]], name: str) -> None:
        self.vectors, self.name = vectors, name
        self.n, self.P = len(vectors), vectors[0].size
        self.dtype = np.result_type(*{np.dtype(native(vector[:0]).dtype) for vector in vectors})

    def block(self, start: int, stop: int) -> tuple[NDArray[Any], int, int]:
        """See `Rows`."""
        block = np.empty((self.n, stop - start), self.dtype)
        for row, vector in zip(block, self.vectors, strict=True):
            row[:] = native(vector[start:stop])
        return block, 0, stop - start

    def label(self, row: int) -> str:
        """See `Rows`."""
        return f"{self.name}[{row}]"


def require_finite(block: NDArray[Any], name: str, label: Callable[[int], str] | int) -> None:
    """Raise a ``ValueError`` that names the first row of `block` that is not finite, by its number or `label`."""
    good = np.isfinite(block).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        where = label(row) if callable(label) else f"{name}[{label + row}]"
        raise ValueError(f"{name} must be finite, got NaN or infinity in {where}")


def require_floating(array: NDArray[Any], name: str) -> None:
    """Raise a ``ValueError`` unless `array` is of a floating dtype and not empty."""
    if not is_floating(array.dtype):
        raise ValueError(f"{name} must be floating-point numbers, got dtype {array.dtype}")
    if array.shape[-1] == 0:
        raise ValueError(f"{name} must have at least one entry each, got shape {array.shape}")


def require_stack(array: Any, name: str) -> None:
    """Raise a ``ValueError`` unless `array` has two axes and a floating dtype."""
    if array.ndim != 2:
        raise ValueError(f"{name} must be a stack of vectors (n, P), got shape {array.shape}")
    if len(array):
        require_floating(array, name)
