"""Tensors that lie in files, read a stretch at a time; which stored numbers can be read, and how coarse they are.

No tensor is held whole: what lies flat in a file is read from where it lies; what does not (compressed archives,
transposed tensors) is first spilled, one tensor at a time, to a temporary file.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.arrays.rows import native


class Stored(NamedTuple):
    """A floating type as it is stored: bytes, bits of the fraction, exponent of the smallest normal number."""

    size: int
    fraction: int
    lowest: int


#: The floating types that are read, by our name for each. A complex number counts as two reals.
STORED = {
    "float64": Stored(8, 52, -1022),
    "float32": Stored(4, 23, -126),
    "float16": Stored(2, 10, -14),
    "bfloat16": Stored(2, 7, -126),
    "float8_e4m3fn": Stored(1, 3, -6),
    "float8_e5m2": Stored(1, 2, -14),
    "float8_e4m3fnuz": Stored(1, 3, -7),
    "float8_e5m2fnuz": Stored(1, 2, -15),
}
COMPLEX = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}


@lru_cache(maxsize=8)
def _eight_bits(dtype: str) -> NDArray[np.float32]:
    """The 256 values of an 8-bit floating type, NaN and infinity where it has them."""
    _, fraction, lowest = STORED[dtype]
    code = np.arange(256)
    exponent, part = (code & 0x7F) >> fraction, code & ((1 << fraction) - 1)
    scale = 2.0 ** (np.maximum(exponent, 1) - 1 + lowest)
    value = np.where(exponent > 0, 1 + part / (1 << fraction), part / (1 << fraction)) * scale
    value = np.where(code & 0x80, -value, value)
    if dtype == "float8_e4m3fn":
        value[[0x7F, 0xFF]] = np.nan
    elif dtype == "float8_e5m2":  # the only one of IEEE's kind
        value[[0x7C, 0xFC]] = np.inf, -np.inf
        value[(code & 0x7F) > 0x7C] = np.nan
    else:
        value[0x80] = np.nan
    return value.astype(np.float32)


def decoded(raw: bytes | bytearray, dtype: str) -> NDArray[Any]:
    """Numbers of type `dtype`, little-endian, as float32 or float64."""
    if STORED[dtype].size == 1:
        return _eight_bits(dtype)[np.frombuffer(raw, np.uint8)]
    values = np.frombuffer(raw, np.dtype("u2" if dtype == "bfloat16" else dtype).newbyteorder("<"))
    if dtype == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return native(values)


@dataclass(frozen=True)
class Flat:
    """A tensor that lies flat in a file, little-endian; `stored` is its type there if it is not a real number."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]
    stored: str = ""

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Entries `start` … `stop`, as float32 or float64."""
        width = STORED[self.dtype].size
        raw = bytearray((stop - start) * width)
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset + start * width)
            done = 0
            while done < len(raw):
                count = file.readinto(memoryview(raw)[done:])
                if not count:
                    raise ValueError(f"path must be a whole file, got one cut short: {self.path}")
                done += count
        return decoded(raw, self.dtype)


@dataclass(frozen=True)
class Joined:
    """A tensor whose rows lie in pieces, one after the other, in one file or in several."""

    pieces: tuple[Flat, ...]
    dtype: str
    shape: tuple[int, ...]
    stored: str = ""

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Entries `start` … `stop`, as float32 or float64."""
        found, first = [], 0
        for piece in self.pieces:
            low, high = max(start, first), min(stop, first + piece.size)
            if low < high:
                found.append(piece.read(low - first, high - first))
            first += piece.size
        return found[0] if len(found) == 1 else np.concatenate(found)


@dataclass(frozen=True)
class Spilled:
    """A tensor that must be read whole, by `load`: of a compressed archive, transposed, or cut into blocks."""

    path: Path
    member: str
    dtype: str
    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]
    stored: str = ""

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    def spill(self, file: IO[bytes], offset: int) -> Flat:
        """Write the tensor to an open temporary `file` at `offset`; where it lies flat now."""
        flat = native(np.ascontiguousarray(self.load()).reshape(-1))
        flat = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
        file.seek(offset)
        file.write(flat.data.cast("B"))
        file.flush()
        return Flat(Path(file.name), offset, str(np.dtype(flat.dtype.type)), self.shape)


@dataclass(frozen=True)
class Unread:
    """A tensor that is not read: not floating-point, or laid out in a way that is not understood."""

    dtype: str
    shape: tuple[int, ...]
    reason: str = "not floating-point"

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))


Source = Flat | Joined | Spilled
Leaf = Source | Unread


def source(leaf: Source) -> Leaf:
    """`leaf`, whose dtype is as it was found in the file: complex as pairs of reals, `Unread` if it is not floating."""
    if leaf.dtype in COMPLEX:
        part = COMPLEX[leaf.dtype]
        if isinstance(leaf, Joined):
            pieces = tuple(replace(piece, dtype=part, shape=(*piece.shape, 2)) for piece in leaf.pieces)
            leaf = replace(leaf, pieces=pieces)
        return replace(leaf, dtype=part, shape=(*leaf.shape, 2), stored=leaf.dtype)
    return leaf if leaf.dtype in STORED else Unread(leaf.dtype, leaf.shape)


def stored_dtype(leaf: Leaf) -> str:
    """The type of the numbers as they are stored."""
    return getattr(leaf, "stored", "") or leaf.dtype


def width(leaf: Source) -> int:
    """Bytes that the tensor takes in its file."""
    return STORED[leaf.dtype].size * leaf.size
