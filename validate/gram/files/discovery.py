"""Which checkpoints a folder or a pattern names: their weights, their steps, and what is left out."""

import glob
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram.checks import increasing
from spectral_edge.validate.gram.files.content import Content
from spectral_edge.validate.gram.files.foreign import foreign
from spectral_edge.validate.gram.files.formats import content_of, is_weights, stem_of
from spectral_edge.validate.gram.files.steps import Steps, by_pattern, steps_of
from spectral_edge.validate.gram.files.trees import BESIDE_FILE

Wanted = str | Callable[[Path], int] | ArrayLike | None

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


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes
    ----------
    step : int
    path : Path
        The file or folder, as it is called in messages.
    files : tuple of Path
        What holds its weights: a file, an index, the shards, or a folder of torch.distributed.checkpoint.
    place : tuple of str
        The keys that lead to it in a file that holds a whole run.
    """

    step: int
    path: Path
    files: tuple[Path, ...]
    place: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}[{'.'.join(self.place)}]" if self.place else str(self.path)


@dataclass(frozen=True)
class Listing:
    """The checkpoints of a run, in order, and what was passed by.

    Attributes
    ----------
    checkpoints : tuple of Checkpoint
    contents : tuple of Content
        What each holds (headers only).
    left_out : tuple of (str, str)
        Files and folders that are no checkpoint of the run, each with the reason.
    notes : tuple of str
        What a user should know of the steps.
    unit : str
        What the steps are: "step", "epoch", or "order" where they only number the checkpoints.
    """

    checkpoints: tuple[Checkpoint, ...]
    contents: tuple[Content, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    unit: str = "step"

    def without(self, steps: Collection[int]) -> "Listing":
        """The same without the checkpoints at `steps`."""
        kept = [i for i, checkpoint in enumerate(self.checkpoints) if checkpoint.step not in steps]
        if len(kept) < 3:
            raise ValueError(
                f"path must name at least 3 checkpoints, got {len(kept)} without those that are dropped"
            )
        gone = [(c.path.name, "dropped") for c in self.checkpoints if c.step in steps]
        return replace(
            self,
            checkpoints=tuple(self.checkpoints[i] for i in kept),
            contents=tuple(self.contents[i] for i in kept),
            left_out=(*self.left_out, *gone),
        )


@dataclass
class _Candidates:
    """Files and folders that hold weights, by the name that may say their step."""

    names: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    files: list[tuple[Path, ...]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    contents: dict[int, Content] = field(default_factory=dict)
    damaged: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, path: Path, files: tuple[Path, ...]) -> None:
        self.names.append(name)
        self.paths.append(path)
        self.files.append(files)

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


def find_checkpoints(
    path: str | PathLike[str], steps: Wanted = None, *, skip_damaged: bool = False
) -> Listing:
    """Checkpoints of a folder or of a glob pattern, with their steps, in order.

    Parameters
    ----------
    path : path or glob pattern
        A folder holding one file or one folder for each checkpoint, or a pattern matching them. In a
        checkpoint folder the weights are what the frameworks call them (``model.safetensors``,
        ``adapter_model.safetensors``, an index of shards, shards, ``.metadata`` of torch.distributed.checkpoint), or
        else the one weights file there is. Optimisers, schedulers and random states are passed by.
    steps : str, callable or (n,) int, optional
        The step of each: a regular expression whose group is the step (several groups are an order), a function
        of its path, or the steps in order of name. Default: the number after ``step``, ``iter``, ``checkpoint`` and
        the like in the name; else the step that is written inside; else the epoch; else the one number that
        varies. Nothing above the folder that is named counts.
    skip_damaged : bool
        Leave damaged files out instead of refusing the run.

    Raises
    ------
    ValueError
        If there are fewer than three, the names do not say their order, two have the same step, or one is
        damaged.
    """
    root, entries = _entries(path)
    found = _candidates(root, entries, named=not Path(path).is_dir())
    chosen, notes = _steps(found, steps, str(path))
    left = [(found.paths[i].name, reason) for i, reason in chosen.left_out.items()]
    order = sorted(chosen.steps, key=lambda i: (chosen.steps[i], found.names[i]))
    for i in list(order):
        if found.content(i) is None:
            if not skip_damaged:
                raise ValueError(f"{found.damaged[i]} (leave such files out with --skip-damaged)")
            left.append((found.paths[i].name, "damaged"))
            order.remove(i)
    left += found.left_out
    if len(order) < 3:
        raise ValueError(
            f"path must name at least 3 checkpoints, got {len(order)} in {path}{_why(root, left)}"
        )
    for i, j in pairwise(order):
        if chosen.steps[i] == chosen.steps[j]:
            raise ValueError(
                f"steps must differ, got {chosen.steps[i]} for both {found.paths[i]} and {found.paths[j]}: "
                "name one of them with a pattern, or say the steps with --steps REGEX"
            )
    if steps is None:
        notes += _contradicted(found, chosen, order)
    checkpoints = tuple(Checkpoint(chosen.steps[i], found.paths[i], found.files[i]) for i in order)
    contents = tuple(found.contents[i] for i in order)
    return Listing(checkpoints, contents, tuple(left), tuple(notes), chosen.unit)


def _entries(path: str | PathLike[str]) -> tuple[Path, list[Path]]:
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


def _candidates(root: Path, entries: Sequence[Path], named: bool) -> _Candidates:
    """Those of `entries` that hold weights; `named`: a pattern has named each of them."""
    found = _Candidates()
    files = [entry for entry in entries if entry.is_file() and _may_be_weights(entry)]
    for members in _together(files).values():
        name = _SHARD.sub("", stem_of(members[0])) if len(members) > 1 else stem_of(members[0])
        place = members[0] if len(members) == 1 else members[0].with_name(_SHARD.sub("", members[0].name))
        found.add("/".join((*_below(root, place).parts[:-1], name)), place, members)
    for entry in entries:
        if entry.is_dir():
            try:
                weights = weights_of(entry)
            except ValueError as error:
                if named:
                    raise
                weights = str(error).partition(f": {entry}")[0].removeprefix("path must hold ")
            if isinstance(weights, str):
                found.left_out.append((entry.name, weights))
            else:
                found.add("/".join(_below(root, entry).parts), entry, weights)
        elif entry not in files:
            kind = foreign(entry)
            if kind or _is_weights_file(entry):
                found.left_out.append((entry.name, kind or "no weights"))
    return found


def _below(root: Path, path: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _is_weights_file(path: Path) -> bool:
    return path.name.endswith(".index.json") or is_weights(path)


def _may_be_weights(path: Path) -> bool:
    return _is_weights_file(path) and not BESIDE_FILE.search(stem_of(path).lower()) and not foreign(path)


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
    groups = list(
        _together([entry for entry in entries if entry.is_file() and _may_be_weights(entry)]).values()
    )
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


def _steps(found: _Candidates, wanted: Wanted, path: str) -> tuple[Steps, list[str]]:
    names = found.names
    if isinstance(wanted, str):
        chosen = by_pattern(names, wanted)
        numbered = "steps are the checkpoints' numbers 0, 1, 2 … in the order of --steps"
        return chosen, [numbered] * (chosen.unit == "order")
    if callable(wanted):
        return Steps({i: whole("steps", wanted(entry), 0) for i, entry in enumerate(found.paths)}), []
    if wanted is not None:
        order = sorted(range(len(names)), key=lambda i: found.paths[i])
        return Steps(dict(zip(order, increasing("steps", wanted, len(order)).tolist(), strict=True))), []
    chosen = steps_of(names, found.witness)
    if chosen.problem:
        shown = ", ".join(names[i] for i in range(len(names)) if i not in chosen.left_out)
        shown = shown if len(shown) < 160 else f"{shown[:150]} …"
        raise ValueError(
            f"steps must be readable from the names, got {chosen.problem} in {shown}: say which number is the step "
            "with --steps REGEX (its group is the step; several groups are an order)"
        )
    return chosen, [f"steps are those after {chosen.unit!r}: the names hold no optimiser step"] * (
        chosen.unit != "step"
    )


def _contradicted(found: _Candidates, chosen: Steps, order: Sequence[int]) -> list[str]:
    """What the steps inside the checkpoints say against those of the names."""
    inside = [step for i in order if (step := found.witness(i)) is not None]
    if len(inside) < len(order) or len(set(inside)) < len(inside):
        return []  # not the step then, but a number of the configuration
    for n, (one, other) in enumerate(pairwise(inside)):
        if other < one:
            i, j = order[n], order[n + 1]
            raise ValueError(
                f"steps must rise with those inside the files, got {one} in {found.paths[i]} and {other} in "
                f"{found.paths[j]}: say which number is the step with --steps REGEX"
            )
    for i, step in zip(order, inside, strict=True):
        if step != chosen.steps[i] and chosen.unit == "step":
            where = f"{found.paths[i].name} ({chosen.steps[i]} and {step})"
            return [f"the steps in the names are not those inside the files: {where}"]
    return []


def _why(root: Path, left: Sequence[tuple[str, str]]) -> str:
    """What was there instead of checkpoints, and where some might be."""
    said = "".join(f"; {names}: {reason}" for names, reason in gathered(left)[:3])
    if not root.is_dir():
        return said
    deeper = sorted({entry.parent.parent for entry in root.glob("*/*/*") if _looks_like_a_checkpoint(entry)})
    deeper += sorted({entry.parent for entry in root.glob("*/*") if is_weights(entry)})
    return said + (f"; checkpoints may be in {deeper[0]}" if deeper and deeper[0] != root else "")


def _looks_like_a_checkpoint(entry: Path) -> bool:
    return entry.name in (*WEIGHTS, DISTRIBUTED) or (entry.is_file() and is_weights(entry))


def gathered(left: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What was left out, by reason: the first names, and how many there are."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left:
        reasons.setdefault(reason, []).append(name)
    return [(shortened(names), reason) for reason, names in reasons.items()]


def shortened(names: Sequence[str], shown: int = 3) -> str:
    """The first of `names`, and how many more."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
