"""Folders of torch.distributed.checkpoint (``.metadata`` and ``*.distcp``), read without running their pickle.

The index of such a folder is a pickle. It is read by an unpickler that knows no class at all: whatever the file
names becomes an inert record of its arguments, so that nothing of it can run. Each shard is a small PyTorch archive
inside a ``.distcp`` file; where its numbers lie is read the same way.
"""

import io
import pickle
import zipfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.files.content import Content, start_of
from spectral_edge.validate.gram.files.tensors import Flat, Joined, Leaf, Spilled, Unread, source
from spectral_edge.validate.gram.files.torch_files import torch_file

METADATA = ".metadata"


class _Inert:
    """What stands for an object of a class that is not loaded: its arguments and its state."""

    arguments: tuple[Any, ...] = ()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments = arguments
        self.__dict__.update(named)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)
        else:
            self.state = state


class _Blank(pickle.Unpickler):
    """An unpickler that loads no class and calls no function."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch", "Size"):
            return tuple
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        return type(name, (_Inert,), {"module": module})

    def persistent_load(self, pid: Any) -> Any:
        return pid


class _Part(io.RawIOBase):
    """A stretch of an open file, as a file of its own."""

    def __init__(self, file: IO[bytes], begin: int, length: int) -> None:
        self._file, self._begin, self._length, self._at = file, begin, length, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._length - self._at)
        size = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._begin + self._at)
        self._at += size
        return self._file.read(size)


class _Piece(NamedTuple):
    """A block of a tensor: its first index, how far apart its entries lie (in entries), and where."""

    offset: tuple[int, ...]
    strides: tuple[int, ...]
    source: Flat


def distributed(folder: Path) -> Content:
    """The tensors of a folder of torch.distributed.checkpoint, at any number of ranks."""
    try:
        index = _Blank(io.BytesIO((folder / METADATA).read_bytes())).load()
        entries, places = index.state_dict_metadata, index.planner_data or {}
        files = {(key.fqn, getattr(key, "offset", None)): info for key, info in index.storage_data.items()}
    except (pickle.UnpicklingError, AttributeError, ImportError, IndexError, EOFError, TypeError) as error:
        raise ValueError(f"path must hold a whole {METADATA}, got {error}: {folder}") from None
    found: dict[tuple[str, ...], Leaf] = {}
    for name, entry in entries.items():
        if hasattr(entry, "chunks"):
            found[tuple(map(str, places.get(name, (name,))))] = _tensor(folder, name, entry, files)
    return Content(found, _witness(folder))


def _witness(folder: Path) -> int | None:
    beside = folder / "meta.pt"  # Lightning keeps there what is not a tensor
    return torch_file(beside).step if beside.exists() else None


def _tensor(folder: Path, name: str, entry: Any, files: dict[Any, Any]) -> Leaf:
    shape = tuple(entry.size)
    dtype = next((part.__name__ for part in _properties(entry) if _is_dtype(part)), "unknown")
    pieces = []
    for chunk in sorted(entry.chunks, key=lambda chunk: tuple(chunk.offsets)):
        offset = tuple(chunk.offsets)
        info = files.get((name, offset)) or files.get((name, None))
        if info is None:
            raise ValueError(f"path must hold every shard of {name!r}, got none at {offset}: {folder}")
        if getattr(info, "transform_descriptors", None):
            return Unread(dtype, shape, "compressed by its writer")
        path = folder / str(info.relative_path)
        with open(path, "rb") as file:
            start, strides = _shard(file, info.offset, info.length, path)
        pieces.append(_Piece(offset, strides, Flat(path, start, dtype, tuple(chunk.sizes))))
    parts = tuple(piece.source for piece in pieces)
    if sum(part.size for part in parts) != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(
            f"path must hold every shard of {name!r}, got {len(parts)} that are too few: {folder}"
        )
    if all(part.shape[1:] == shape[1:] and _is_flat(part.shape, strides) for _, strides, part in pieces):
        return source(parts[0] if len(parts) == 1 else Joined(parts, dtype, shape))
    return source(Spilled(folder, name, dtype, shape, partial(_assembled, tuple(pieces), shape)))


def _properties(entry: Any) -> Iterable[Any]:
    properties = entry.properties
    state = getattr(properties, "state", None) or tuple(vars(properties).values())
    return (*state, *properties.arguments)


def _is_dtype(part: Any) -> bool:
    return isinstance(part, type) and getattr(part, "module", "") == "torch"


def _shard(file: IO[bytes], offset: int, length: int, path: Path) -> tuple[int, tuple[int, ...]]:
    """Where the numbers of one shard begin, and its strides."""
    if path.stat().st_size < offset + length:
        raise ValueError(f"path must be a whole file, got one cut short: {path}")
    part = _Part(file, offset, length)
    with zipfile.ZipFile(part) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        data = members["data/0"]
        tensor = _Blank(io.BytesIO(archive.read(members["data.pkl"]))).load()
    if data.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"path must hold shards that are not compressed, got one that is: {path}")
    while isinstance(tensor.arguments[0], _Inert):
        tensor = tensor.arguments[0]  # inside a parameter
    storage, first, shape, strides = tensor.arguments[:4]  # the storage is described by …, number of entries
    last = int(first) + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min(first, *strides, 0) < 0 or (0 not in shape and last >= int(storage[-1])):
        raise ValueError(f"path must hold whole shards, got one beyond its storage: {path}")
    size = data.file_size // max(1, int(storage[-1]))
    return offset + start_of(part, data.header_offset) + int(first) * size, tuple(strides)


def _is_flat(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    return all(n < 2 or step == s for n, step, s in zip(shape, expected, strides, strict=True))


def _assembled(pieces: tuple[_Piece, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    """A tensor from blocks that are not rows, or are transposed."""
    whole: NDArray[Any] | None = None
    for offset, strides, flat in pieces:
        leaf = source(flat)
        assert isinstance(leaf, Flat)
        values = leaf.read(0, leaf.size)
        parts, sizes = leaf.shape[len(flat.shape) :], flat.shape  # a complex number has two parts
        step = values.itemsize * int(np.prod(parts, dtype=np.int64))
        inner = (values.itemsize,) * len(parts)
        block = np.lib.stride_tricks.as_strided(values, leaf.shape, (*(s * step for s in strides), *inner))
        whole = np.empty((*shape, *parts), values.dtype) if whole is None else whole
        whole[tuple(slice(low, low + n) for low, n in zip(offset, sizes, strict=True))] = block
    assert whole is not None
    return whole
