"""Which checkpoints a folder or a pattern names: their weights, their steps, and what is left out."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from os import PathLike
from pathlib import Path

from numpy.typing import ArrayLike

from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram.checks import increasing
from spectral_edge.validate.gram.files.candidates import (
    DISTRIBUTED,
    WEIGHTS,
    Candidates,
    candidates,
    entries_of,
)
from spectral_edge.validate.gram.files.content import Content
from spectral_edge.validate.gram.files.formats import is_weights
from spectral_edge.validate.gram.files.steps import Steps, by_pattern, steps_of

Wanted = str | Callable[[Path], int] | ArrayLike | None


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes
    ----------
    step : int
        Optimiser step, epoch or place: see `Listing.unit`.
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
    """The checkpoints of a run, in order, and what was passed over.

    Attributes
    ----------
    checkpoints : tuple of Checkpoint
    contents : tuple of Content
        What each holds (headers only).
    left_out : tuple of (str, str)
        Files and folders that are not checkpoints of the run, each with the reason.
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
        """The same without the checkpoints at `steps`.

        Raises
        ------
        ValueError
            If fewer than three remain.
        """
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
        else the one weights file there is. Optimisers, schedulers and random states are passed over.
    steps : str, callable or (n,) int, optional
        The step of each: a regular expression whose group is the step (several groups are an order), a function
        of its path, or the steps in order of name. Default: the number after ``step``, ``iter``, ``checkpoint`` and
        the like in the name; else the step that is written inside; else the epoch; else the one number that
        varies. Nothing above the folder that is named counts.
    skip_damaged : bool
        Leave damaged files out instead of refusing the run.

    Returns
    -------
    Listing

    Raises
    ------
    ValueError
        If there are fewer than three, the names do not say their order, two have the same step, or one is
        damaged.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for step in (0, 100, 200, 300):
    ...         np.save(pathlib.Path(folder) / f"step_{step}.npy", np.full(10, step**0.5))
    ...     found = find_checkpoints(folder)
    >>> [checkpoint.step for checkpoint in found.checkpoints], found.unit
    ([0, 100, 200, 300], 'step')
    """
    root, entries = entries_of(path)
    found = candidates(root, entries, named=not Path(path).is_dir())
    if skip_damaged:
        found = found.sound()
    if len(found.names) < 3:
        raise ValueError(_too_few(path, root, [entry.name for entry in found.paths], found.left_out))
    chosen, notes = _steps(found, steps)
    left = [(found.paths[i].name, reason) for i, reason in chosen.left_out.items()] + found.left_out
    order = sorted(chosen.steps, key=lambda i: (chosen.steps[i], found.names[i]))
    if len(order) < 3:
        raise ValueError(_too_few(path, root, [found.paths[i].name for i in order], left))
    for i in order:
        if found.content(i) is None:
            raise ValueError(f"{found.damaged[i]} (leave such files out with --skip-damaged)")
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


def _steps(found: Candidates, wanted: Wanted) -> tuple[Steps, list[str]]:
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
        there = [names[i] for i in range(len(names)) if i not in chosen.left_out]
        shown = ", ".join(there)
        shown = shown if len(shown) < 160 else f"{shown[:150]} …"
        if not any(character.isdigit() for name in there for character in name):
            raise ValueError(
                f"steps must be readable from the names, got no number in {shown}: give each its step in its name "
                "(step100, step200 …), or name the folder of the numbered checkpoints"
            )
        raise ValueError(
            f"steps must be readable from the names, got {chosen.problem} in {shown}: say which number is the step "
            "with --steps REGEX (its group is the step; several groups are an order)"
        )
    return chosen, [f"steps are those after {chosen.unit!r}: the names hold no optimiser step"] * (
        chosen.unit != "step"
    )


def _contradicted(found: Candidates, chosen: Steps, order: Sequence[int]) -> list[str]:
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


def _too_few(
    path: str | PathLike[str], root: Path, names: Sequence[str], left: Sequence[tuple[str, str]]
) -> str:
    """What there is instead of three checkpoints, and where some might be."""
    said = f"path must name at least 3 checkpoints, got {len(names)} in {path}"
    said += f" ({shortened(names)})" * bool(names)
    said += "".join(f"; {some}: {reason}" for some, reason in gathered(left)[:3])
    if not root.is_dir():
        return said
    deeper = [folder for folder in _deeper(root) if folder.name not in names]
    return said + (f"; checkpoints may be in {deeper[0]}" if deeper else "")


def _deeper(root: Path) -> list[Path]:
    """Folders below `root` that look as if they held three checkpoints or more."""
    whole = (*WEIGHTS, DISTRIBUTED)  # their folder is the checkpoint
    count = Counter(
        entry.parent.parent if entry.name in whole else entry.parent
        for pattern in ("*/*", "*/*/*")
        for entry in root.glob(pattern)
        if entry.name in whole or (entry.is_file() and is_weights(entry))
    )
    return sorted(folder for folder, n in count.items() if n >= 3 and folder != root)


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
