"""What a folder or a pattern holds that may be checkpoints, and which files hold the weights of each."""

import glob
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram import storage
from spectral_edge.validate.gram.files.content import Content
from spectral_edge.validate.gram.files.foreign import foreign
from spectral_edge.validate.gram.files.formats import content_of, has_own_ending, is_weights, stem_of
from spectral_edge.validate.gram.files.trees import BESIDE_FILE

#: What a checkpoint folder is known by, best first.
WEIGHTS = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
)
#: The folder of torch.distributed.checkpoint is known by its index.
DISTRIBUTED = ".metadata"
#: Where the Hugging Face Trainer says at which step a checkpoint was written.
TRAINER_STATE = "trainer_state.json"
_SHARD = re.compile(r"[-_.]?\d+-of-\d+")


@dataclass
class Candidates:
    """Files and folders that hold weights, by the name that may say their step."""

    names: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    files: list[tuple[Path, ...]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    contents: dict[int, Content] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, path: Path, files: tuple[Path, ...]) -> None:
        """Add one."""
        self.names.append(name)
        self.paths.append(path)
        self.files.append(files)

    def sound(self) -> "Candidates":
        """Those that can be read."""
        found = Candidates(left_out=list(self.left_out))
        for i, path in enumerate(self.paths):
            content = self.content(i)
            if content is None:
                found.left_out.append((path.name, "damaged"))
            else:
                found.contents[len(found.names)] = content
                found.add(self.names[i], path, self.files[i])
        return found

    def content(self, i: int) -> Content | None:
        """What candidate `i` holds, None if it is damaged."""
        if i not in self.contents and i not in self.damaged:
            try:
                self.contents[i] = joined(self.files[i])
            except (ValueError, OSError) as error:
                self.damaged[i] = str(error)
        return self.contents.get(i)

    def witness(self, i: int) -> int | None:
        """The step that is written inside candidate `i`, or beside it by the Hugging Face Trainer."""
        state = self.paths[i] / TRAINER_STATE
        if state.exists():
            try:
                return whole("global_step", json.loads(state.read_text())["global_step"], 0)
            except (ValueError, KeyError, TypeError):
                pass
        content = self.content(i)
        return None if content is None else content.step


def joined(files: Sequence[Path]) -> Content:
    """What the files of one checkpoint hold together."""
    counted = _SHARD.search(files[0].name)
    if counted and int(counted.group().rpartition("-of-")[2]) != len(files):
        raise ValueError(
            f"path must hold all shards, got {len(files)} like {files[0].name}: {files[0].parent}"
        )
    if len(files) == 1:
        return content_of(files[0])
    leaves: dict[tuple[str, ...], Any] = {}
    step = None
    for file in files:
        content = content_of(file)
        both = leaves.keys() & content.leaves.keys()
        if both:
            raise ValueError(f"path must hold shards of one model, got {'.'.join(min(both))!r} twice: {file}")
        leaves |= content.leaves
        step = content.step if step is None else step
    return Content(leaves, step)


def entries_of(path: str | PathLike[str]) -> tuple[Path, list[Path]]:
    """What is looked at, and the folder below which names count."""
    folder = Path(path)
    if folder.is_dir():
        return folder, sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    fixed = Path(*(part for part in _fixed(folder.parts)))
    return fixed, sorted(map(Path, glob.glob(str(path), recursive=True)))


def _fixed(parts: Iterable[str]) -> Iterable[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def candidates(root: Path, entries: Sequence[Path], named: bool) -> Candidates:
    """Those of `entries` that hold weights; `named`: a pattern has named each of them."""
    found = Candidates()
    recordings = [entry for entry in entries if entry.suffix == ".npz" and storage.is_written(entry)]
    found.left_out += [(entry.name, "a recording, which must be named by itself") for entry in recordings]
    entries = [entry for entry in entries if entry not in recordings]
    files = _weights_among(entries, named)
    for members in _together(files).values():
        first, *others = members
        name = _SHARD.sub("", stem_of(first)) if others else stem_of(first)
        place = first.with_name(_SHARD.sub("", first.name)) if others else first
        found.add("/".join((*_below(root, place).parts[:-1], name)), place, members)
    for entry in entries:
        if entry.is_dir():
            try:
                weights = weights_of(entry)
            except ValueError as error:
                if named:
                    raise
                weights = (
                    "several weights files, " + str(error).partition(f": {entry}")[0].partition(", got ")[2]
                )
            if isinstance(weights, str):
                found.left_out.append((entry.name, weights))
            else:
                found.add("/".join(_below(root, entry).parts), entry, weights)
        elif entry not in files:
            kind = foreign(entry)
            if kind or _is_weights_file(entry):
                odd = "another ending than the checkpoints" if has_own_ending(entry) else "no weights"
                found.left_out.append((entry.name, kind or odd))
    return found


def _below(root: Path, path: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _is_weights_file(path: Path) -> bool:
    return path.name.endswith(".index.json") or is_weights(path)


def _may_be_weights(path: Path) -> bool:
    return _is_weights_file(path) and not BESIDE_FILE.search(stem_of(path).lower()) and not foreign(path)


def _weights_among(entries: Sequence[Path], named: bool = False) -> list[Path]:
    """Files of weights; those with an ending of their own only where they are named, or nothing else is there."""
    files = [entry for entry in entries if entry.is_file() and _may_be_weights(entry)]
    usual = [file for file in files if not has_own_ending(file)]
    return files if named or not usual else usual


def _together(files: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """Files by the checkpoint they are of: shards (``-00001-of-00003``) together, those of an index not at all."""
    indexed: set[Path] = set()
    for file in files:
        if file.name.endswith(".index.json"):
            try:
                names = json.loads(file.read_text())["weight_map"].values()
                indexed |= {file.parent / str(name) for name in names}
            except (ValueError, KeyError, AttributeError):
                pass  # a damaged index is refused when it is read
    groups: dict[str, tuple[Path, ...]] = {}
    for file in files:
        if file not in indexed:
            key = str(file.with_name(_SHARD.sub("-of-", file.name)))
            groups[key] = (*groups.get(key, ()), file)
    return groups


def weights_of(folder: Path) -> tuple[Path, ...] | str:
    """What holds the weights in the folder of one checkpoint, or why nothing does."""
    if (folder / DISTRIBUTED).exists():
        return (folder,)
    for name in WEIGHTS:
        if (folder / name).exists():
            return (folder / name,)
    kind = foreign(folder)
    if kind:
        return kind
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    groups = list(_together(_weights_among(entries)).values())
    if not groups:
        inside = [entry for entry in entries if entry.is_dir() and not BESIDE_FILE.search(entry.name.lower())]
        parts = [entry for entry in inside if (entry / DISTRIBUTED).exists()]
        if len(parts) == 1:
            return (parts[0],)
        return "no weights in it"
    if len(groups) == 1:
        return groups[0]
    listed = ", ".join(members[0].name for members in groups[:4])
    raise ValueError(f"path must hold one weights file, got {listed}: {folder}: name one with a pattern")
