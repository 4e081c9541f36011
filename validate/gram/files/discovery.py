"""Which checkpoints there are, at which steps, and what tensors they hold."""

import glob
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram.checks import increasing
from spectral_edge.validate.gram.files.tensors import SUFFIXES, Flat, Source, tensors_in
from spectral_edge.validate.gram.parameters import normalised

#: What a checkpoint folder is known by, best first.
WEIGHTS = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)


def layer_of(name: str) -> str:
    """The group of `name` up to its first number: "layers.3" of "layers.3.attn.weight".

    Examples
    --------
    >>> layer_of("encoder.layers.3.attn.weight"), layer_of("head.weight")
    ('encoder.layers.3', 'head')
    """
    found = re.match(r"(.*?\.)?\d+(?=\.)", name)
    return found.group(0) if found else name.split(".")[0]


def kind_of(name: str) -> str:
    """`name` without its numbers: "layers.*.attn.weight" of "layers.3.attn.weight"."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)


def find_checkpoints(
    path: str | PathLike[str], steps: Callable[[Path], int] | ArrayLike | None = None
) -> list[tuple[int, Path]]:
    """Checkpoints of a folder or of a glob pattern, with their steps, in order.

    Parameters
    ----------
    path : path or glob pattern
        A folder holding one file or one folder for each checkpoint, or a pattern matching them. In a
        checkpoint folder the weights are ``model.safetensors`` (or its index of shards),
        ``pytorch_model.bin`` (or its index), or else the one weights file there is.
    steps : callable or (n,) int, optional
        The step of each: a function of its path, or the steps in order of name. Default: the last number in
        the name, or in that of the nearest folder that has one.

    Raises
    ------
    ValueError
        If there are fewer than three, one has no step or no weights, or two have the same step.
    """
    text = str(path)
    folder = Path(text)
    candidates = (
        sorted(folder.iterdir()) if folder.is_dir() else sorted(map(Path, glob.glob(text, recursive=True)))
    )
    found = [
        entry for entry in candidates if entry.suffix in SUFFIXES or entry.is_dir() or entry.name in WEIGHTS
    ]
    if folder.is_dir():  # beside checkpoints a folder may hold a tokenizer, logs, …
        found = [entry for entry in found if not entry.is_dir() or _weights(entry, missing_ok=True)]
    if len(found) < 3:
        raise ValueError(f"path must name at least 3 checkpoints, got {len(found)} in {text}")
    if callable(steps):
        numbers = [whole("steps", steps(entry), 0) for entry in found]
    elif steps is not None:
        numbers = increasing("steps", steps, len(found)).tolist()
    else:
        numbers = [_step(entry) for entry in found]
    ordered = sorted(zip(numbers, found, strict=True))
    for (step, one), (next_step, other) in pairwise(ordered):
        if step == next_step:
            raise ValueError(f"steps must differ, got {step} for both {one} and {other}")
    return [(step, _weights(entry)) for step, entry in ordered]  # type: ignore[misc]


def _step(path: Path) -> int:
    stem = path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
    for part in (stem, *reversed(path.parent.parts)):
        numbers = re.findall(r"\d+", part)
        if numbers:
            return int(numbers[-1])
    raise ValueError(f"steps must be readable from the names, got {path}: pass steps=")


def _weights(path: Path, missing_ok: bool = False) -> Path | None:
    if not path.is_dir():
        return path
    for name in WEIGHTS:
        if (path / name).exists():
            return path / name
    files = sorted(entry for entry in path.iterdir() if entry.suffix in SUFFIXES)
    if len(files) == 1:
        return files[0]
    if missing_ok:
        return None
    listed = ", ".join(entry.name for entry in files[:4]) or "none"
    raise ValueError(f"path must hold one weights file, got {listed}: {path}")


def layout(checkpoints: Sequence[tuple[int, Path]], wanted: Callable[[str], bool]) -> dict[str, list[Source]]:
    """The selected tensors of every checkpoint by normalised name; tied ones once."""
    tensors: dict[str, list[Source]] = {}
    first = checkpoints[0][1]
    for _, path in checkpoints:
        here = {normalised(name): source for name, source in tensors_in(path).items()}
        seen: dict[Any, str] = {}
        for name in list(here):
            place = here[name] if isinstance(here[name], Flat) else name
            if not wanted(name) or (place in seen and here[name].size):
                del here[name]
            seen.setdefault(place, name)
        if path == first:
            tensors = {name: [] for name in here}
        for name in sorted(set(here) ^ set(tensors)):
            lacking, having = (path, first) if name in tensors else (first, path)
            raise ValueError(
                f"checkpoints must hold the same tensors, got no {name!r} in {lacking} but in {having}"
            )
        for name, source in here.items():
            if tensors[name] and source.shape != tensors[name][0].shape:
                raise ValueError(
                    f"checkpoints must keep shapes, got {source.shape} of {name!r} in {path}, "
                    f"{tensors[name][0].shape} in {first}"
                )
            tensors[name].append(source)
    tensors = {name: sources for name, sources in tensors.items() if sources[0].size}
    if not tensors:
        raise ValueError(f"select must match a floating tensor, got none in {first}")
    return tensors
