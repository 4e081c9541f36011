"""What one file of weights holds, whatever its format; nothing is ever unpickled that could run code.

safetensors, ``.npy`` and ``.npz`` here, PyTorch in `torch_files`, folders of torch.distributed.checkpoint in
`distributed`. Only headers are read.
"""

import json
import re
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.files.content import STEP_KEYS, Content, start_of, witness
from spectral_edge.validate.gram.files.distributed import distributed
from spectral_edge.validate.gram.files.tensors import (
    STORED,
    Flat,
    Leaf,
    Spilled,
    Unread,
    source,
)
from spectral_edge.validate.gram.files.torch_files import torch_file

#: How files of weights end. ``.tar`` is PyTorch's own advice for checkpoints; it is not a tape archive.
TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar")
SUFFIXES = (".safetensors", *TORCH, ".npz", ".npy")
SAFETENSORS: dict[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
    "BOOL": "bool",
    **{
        f"{kind}{bits}": f"{name}{bits}"
        for kind, name in (("I", "int"), ("U", "uint"))
        for bits in (8, 16, 32, 64)
    },
}


def suffix_of(path: Path) -> str:
    """The ending of a weights file, "" if it has none of them."""
    return path.suffix if path.suffix in SUFFIXES else ""


def stem_of(path: Path) -> str:
    """The name without the ending of a weights file (``.pth.tar`` is one)."""
    stem = path.name.removesuffix(suffix_of(path))
    return stem.removesuffix(suffix_of(Path(stem))) if path.suffix == ".tar" else stem


def has_own_ending(path: Path) -> bool:
    """Whether the ending of `path` is one that no framework gives to weights (``.chk``, ``.model``)."""
    known = suffix_of(path) or path.name.endswith(".index.json")
    return not known and re.fullmatch(r"\.[A-Za-z]\w*", path.suffix) is not None


def is_weights(path: Path) -> bool:
    """Whether `path` ends as a weights file does, or, without a known ending, is one by its first bytes."""
    if suffix_of(path):
        return True
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    if not has_own_ending(path):
        return True
    with zipfile.ZipFile(path) as archive:  # what torch.save wrote
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def content_of(path: Path) -> Content:
    """What the file, index of shards, or folder of torch.distributed.checkpoint at `path` holds.

    Raises
    ------
    ValueError
        If it is damaged, of an unknown kind, or not safe to read.
    """
    reader, kind = _reader(path)
    try:
        return reader(path)
    except OSError:
        raise
    except (ValueError, KeyError, TypeError, EOFError, struct.error, zipfile.BadZipFile) as error:
        if isinstance(error, ValueError) and str(error).startswith("path must"):
            raise
        raise ValueError(f"path must be a whole {kind} file, got {error}: {path}") from None


def _reader(path: Path) -> tuple[Callable[[Path], Content], str]:
    if path.name.endswith(".index.json"):
        return _sharded, "index"
    if path.is_dir():
        return distributed, ".metadata"
    readers = {".safetensors": safetensors, ".npz": npz, ".npy": npy}
    if path.suffix in readers:
        return readers[path.suffix], path.suffix
    if not is_weights(path):
        raise ValueError(f"path must end in one of {', '.join(SUFFIXES)}, got {path}")
    return torch_file, path.suffix or "PyTorch"


def _sharded(index: Path) -> Content:
    try:
        names = json.loads(index.read_text())["weight_map"]
        shards = {shard: content_of(index.parent / shard) for shard in sorted(set(names.values()))}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if str(error).startswith("path must"):
            raise
        raise ValueError(f"path must be an index of shards, got a damaged file: {index}") from None
    found: dict[tuple[str, ...], Leaf] = {}
    for name, shard in names.items():
        if (name,) not in shards[shard].leaves:
            raise ValueError(
                f"path must be an index of the shards beside it, got no {name!r} in {shard}: {index}"
            )
        found[(name,)] = shards[shard].leaves[(name,)]
    return Content(found)


def safetensors(path: Path) -> Content:
    """A ``.safetensors`` file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if not 2 <= length <= size - 8:
            raise ValueError("a header longer than the file")
        header = json.loads(file.read(length))
    found: dict[tuple[str, ...], Leaf] = {}
    about = header.pop("__metadata__", None) or {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= size - 8 - length:
            raise ValueError(f"tensor {name!r} beyond the end of the file")
        written: str = entry["dtype"]
        dtype, shape = SAFETENSORS.get(written, written.lower()), tuple(entry["shape"])
        leaf = source(Flat(path, 8 + length + begin, dtype, shape))
        if isinstance(leaf, Flat) and end - begin != STORED[leaf.dtype].size * leaf.size:
            raise ValueError(f"tensor {name!r} of another size than its shape says")
        found[(name,)] = leaf
    return Content(found, witness(about))


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, fortran and len(shape) > 1, dtype


def npy(path: Path) -> Content:
    """A ``.npy`` file: one array, called "params"."""
    with open(path, "rb") as file:
        shape, fortran, dtype = _npy_header(file)
        leaf = source(Flat(path, file.tell(), dtype.name, shape))
    if isinstance(leaf, Unread):
        raise ValueError(f"an array of {dtype}")
    if fortran or dtype.byteorder == ">":
        load = partial(_member, path, None)
        return Content({("params",): source(Spilled(path, "params", dtype.name, shape, load))})
    assert isinstance(leaf, Flat)
    if path.stat().st_size < leaf.offset + leaf.size * STORED[leaf.dtype].size:
        raise ValueError("an array that is cut short")
    return Content({("params",): leaf})


def _member(path: Path, name: str | None) -> NDArray[Any]:
    """An array of a ``.npz`` by its name, or that of a ``.npy``; complex as pairs of reals."""
    with open(path, "rb") as file:
        found = np.load(file, allow_pickle=False)
        array = np.ascontiguousarray(found if name is None else found[name])
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.view(np.real(array).dtype) if np.iscomplexobj(array) else array


def npz(path: Path) -> Content:
    """A ``.npz`` archive."""
    found: dict[tuple[str, ...], Leaf] = {}
    about: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as raw:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                shape, fortran, dtype = _npy_header(member)
                header = member.tell()
            if name in STEP_KEYS and dtype.kind in "iu" and np.prod(shape) == 1:
                about[name] = int(_member(path, name).item())
            if info.compress_type == zipfile.ZIP_STORED and not fortran and dtype.byteorder != ">":
                start = start_of(raw, info.header_offset) + header
                found[(name,)] = source(Flat(path, start, dtype.name, shape))
            else:
                load = partial(_member, path, name)
                found[(name,)] = source(Spilled(path, name, dtype.name, shape, load))
    return Content(found, witness(about))
