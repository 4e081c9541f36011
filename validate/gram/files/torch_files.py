"""PyTorch files, read with ``weights_only=True``: what they hold and where each tensor lies in them."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.files.content import Content, witness
from spectral_edge.validate.gram.files.tensors import COMPLEX, STORED, Flat, Leaf, Spilled, Unread, source

#: Keys of mappings in which training scripts keep the step.
ABOUT = ("state", "timestamp", "Timestamp", "train_state", "trainer_state", "trainer", "meta", "info")


def torch_file(path: Path) -> Content:
    """A file written by ``torch.save``: a state dict, or one somewhere in a training checkpoint."""
    try:
        # Under FakeTensorMode torch.load reads the layout only, and says where each storage lies in the file.
        from torch._subclasses.fake_tensor import FakeTensorMode
    except ImportError:
        raise ImportError(f"reading {path} needs PyTorch: pip install 'spectral-edge[torch]'") from None
    try:
        with FakeTensorMode():
            loaded, fake = _load(path), True
    except (NotImplementedError, AttributeError):  # quantised and other tensors that cannot be faked
        loaded, fake = _load(path), False
    return Content(
        {place: _leaf(path, place, tensor, fake) for place, tensor in _tensors(loaded)}, _witness(loaded)
    )


def _load(path: Path) -> Any:
    import torch

    mapped = zipfile.is_zipfile(path)  # files of before PyTorch 1.6 cannot be mapped
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped or None)
    except pickle.UnpicklingError as error:
        lines = [
            line.strip() for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line
        ]
        reason = lines[0] if lines else str(error).splitlines()[0]
        raise ValueError(f"path must be safe to read (weights_only=True), got {reason}: {path}") from None
    except NotImplementedError:
        raise
    except RuntimeError as error:
        raise ValueError(
            f"path must be a PyTorch file, got {str(error).splitlines()[0].partition('. ')[0]}: {path}"
        ) from None


def _tensors(loaded: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every tensor in mappings and lists, by the keys that lead to it."""
    if hasattr(loaded, "untyped_storage"):
        yield place or ("params",), loaded
    elif isinstance(loaded, Mapping):
        for key, value in loaded.items():
            yield from _tensors(value, (*place, str(key)))
    elif isinstance(loaded, list | tuple):
        for index, value in enumerate(loaded):
            yield from _tensors(value, (*place, str(index)))


def _witness(loaded: Any) -> int | None:
    if not isinstance(loaded, Mapping):
        return None
    found = witness(loaded)
    inside = (_witness(loaded[key]) for key in ABOUT if key in loaded)
    return found if found is not None else next((step for step in inside if step is not None), None)


def _leaf(path: Path, place: tuple[str, ...], tensor: Any, fake: bool) -> Leaf:
    import torch

    dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
    if dtype not in STORED and dtype not in COMPLEX:
        return Unread(dtype, shape)
    if tensor.layout is not torch.strided:
        return Unread(dtype, shape, f"its layout is {str(tensor.layout).removeprefix('torch.')}")
    base = getattr(tensor.untyped_storage(), "_checkpoint_offset", None) if fake else None
    if base is not None and tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg():
        return source(Flat(path, base + tensor.storage_offset() * tensor.element_size(), dtype, shape))
    return source(Spilled(path, ".".join(place), dtype, shape, partial(_whole, path, place)))


def _whole(path: Path, place: tuple[str, ...]) -> NDArray[Any]:
    """One tensor of a file, in memory; complex as pairs of reals."""
    import torch

    tensor = dict(_tensors(_load(path)))[place].detach().resolve_conj().resolve_neg().contiguous()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    narrow = tensor.element_size() == 1 or tensor.dtype is torch.bfloat16
    return np.asarray(tensor.float().numpy() if narrow else tensor.numpy())
