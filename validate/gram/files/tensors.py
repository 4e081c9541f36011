"""Tensors in files: safetensors, PyTorch, ``.npz`` and ``.npy``, each read a stretch at a time.

Nothing is ever unpickled that could run code, and no tensor is held whole: what lies flat in a file is read
from where it lies; what does not (compressed archives, transposed tensors) is first spilled, one tensor at a
time, to a temporary file.
"""

import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.arrays.rows import native

#: Bytes of a value of each floating type, by our name for it.
SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
SAFETENSORS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".npy")


@dataclass(frozen=True)
class Flat:
    """A tensor that lies flat in a file, little-endian."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Entries `start` … `stop`, as float32 or float64."""
        width = SIZES[self.dtype]
        raw = bytearray((stop - start) * width)
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset + start * width)
            done = 0
            while done < len(raw):
                count = file.readinto(memoryview(raw)[done:])
                if not count:
                    raise ValueError(f"path must be a whole file, got one cut short: {self.path}")
                done += count
        values = np.frombuffer(
            raw, np.dtype("u2" if self.dtype == "bfloat16" else self.dtype).newbyteorder("<")
        )
        if self.dtype == "bfloat16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return native(values)


@dataclass(frozen=True)
class Spilled:
    """A tensor that must be read whole: a member of a compressed archive, or a transposed torch tensor."""

    path: Path
    member: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    def spill(self, file: IO[bytes], offset: int) -> Flat:
        """Write the tensor to an open temporary `file` at `offset`; where it lies flat now."""
        if self.path.suffix == ".npz":
            with np.load(self.path, allow_pickle=False) as archive:
                array = archive[self.member]
        else:
            tensor = _torch_tensors(_torch_load(self.path))[self.member]
            array = tensor.float().numpy() if self.dtype == "bfloat16" else tensor.numpy()
        flat = native(np.ascontiguousarray(array).reshape(-1))
        flat = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
        file.seek(offset)
        file.write(flat.data.cast("B"))
        file.flush()
        return Flat(Path(file.name), offset, str(np.dtype(flat.dtype.type)), self.shape)


Source = Flat | Spilled


def tensors_in(path: Path) -> dict[str, Source]:
    """Floating tensors of one weights file (or of an index of shards), by name as it stands there.

    Raises
    ------
    ValueError
        If the file is damaged, of an unknown kind, or not safe to read.
    """
    if path.name.endswith(".index.json"):
        return _sharded(path)
    readers = {".safetensors": _safetensors, ".npz": _npz, ".npy": _npy}
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path must end in one of {', '.join(SUFFIXES)}, got {path}")
    try:
        return readers.get(path.suffix, _torch)(path)
    except OSError:
        raise
    except (ValueError, KeyError, TypeError, EOFError, struct.error, zipfile.BadZipFile) as error:
        if isinstance(error, ValueError) and str(error).startswith("path must"):
            raise
        raise ValueError(f"path must be a whole {path.suffix} file, got {error}: {path}") from None


def _sharded(index: Path) -> dict[str, Source]:
    try:
        names = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"path must be an index of shards, got a damaged file: {index}") from None
    shards = {shard: tensors_in(index.parent / shard) for shard in sorted(set(names.values()))}
    found: dict[str, Source] = {}
    for name, shard in names.items():
        if name in shards[shard]:
            found[name] = shards[shard][name]
    return found


def _safetensors(path: Path) -> dict[str, Source]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if not 2 <= length <= size - 8:
            raise ValueError("a header longer than the file")
        header = json.loads(file.read(length))
    found: dict[str, Source] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= size - 8 - length:
            raise ValueError(f"tensor {name!r} beyond the end of the file")
        if entry["dtype"] in SAFETENSORS:
            dtype, shape = SAFETENSORS[entry["dtype"]], tuple(entry["shape"])
            if end - begin != SIZES[dtype] * int(np.prod(shape, dtype=np.int64)):
                raise ValueError(f"tensor {name!r} of another size than its shape says")
            found[name] = Flat(path, 8 + length + begin, dtype, shape)
    return found


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, fortran and len(shape) > 1, dtype


def _npy(path: Path) -> dict[str, Source]:
    with open(path, "rb") as file:
        shape, fortran, dtype = _npy_header(file)
        if dtype.name not in SIZES:
            raise ValueError(f"an array of {dtype}")
        if fortran or dtype.byteorder == ">":
            raise ValueError("an array in Fortran or big-endian order")
        flat = Flat(path, file.tell(), dtype.name, shape)
    if path.stat().st_size < flat.offset + flat.size * SIZES[dtype.name]:
        raise ValueError("an array that is cut short")
    return {"params": flat}


def _npz(path: Path) -> dict[str, Source]:
    found: dict[str, Source] = {}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as raw:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as member:
                shape, fortran, dtype = _npy_header(member)
                header = member.tell()
            if dtype.name not in SIZES:
                continue
            if info.compress_type == zipfile.ZIP_STORED and not fortran and dtype.byteorder != ">":
                raw.seek(info.header_offset + 26)
                name_length, extra_length = struct.unpack("<HH", raw.read(4))
                start = info.header_offset + 30 + name_length + extra_length + header
                found[name] = Flat(path, start, dtype.name, shape)
            else:
                found[name] = Spilled(path, name, dtype.name, shape)
    return found


def _torch(path: Path) -> dict[str, Source]:
    # Under FakeTensorMode torch.load reads the layout only, and says where each storage lies in the file.
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        tensors = _torch_tensors(_torch_load(path))
    found: dict[str, Source] = {}
    for name, tensor in tensors.items():
        dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
        if dtype not in SIZES:
            continue
        base = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
        if base is not None and tensor.is_contiguous():
            found[name] = Flat(path, base + tensor.storage_offset() * SIZES[dtype], dtype, shape)
        else:
            found[name] = Spilled(path, name, dtype, shape)
    return found


def _torch_load(path: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(f"reading {path} needs PyTorch: pip install 'spectral-edge[torch]'") from None
    import pickle

    mapped = zipfile.is_zipfile(path)  # files of before PyTorch 1.6 cannot be mapped
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped or None)
    except pickle.UnpicklingError as error:
        lines = [
            line.strip() for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line
        ]
        reason = lines[0] if lines else str(error).splitlines()[0]
        raise ValueError(f"path must be safe to read (weights_only=True), got {reason}: {path}") from None
    except RuntimeError as error:
        raise ValueError(f"path must be a PyTorch file, got {str(error).splitlines()[0]}: {path}") from None


def _torch_tensors(loaded: Any) -> dict[str, Any]:
    """Tensors of a state dict, or of the state dict inside a training checkpoint."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        loaded = {"params": loaded}
    return {str(name): value for name, value in loaded.items() if hasattr(value, "untyped_storage")}
