"""The tensors that all checkpoints of a run hold, named alike and of one shape; what is not counted, and why."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spectral_edge.validate.gram.files.content import Content
from spectral_edge.validate.gram.files.discovery import Checkpoint, shortened
from spectral_edge.validate.gram.files.tensors import Leaf, Source, Spilled, Unread, stored_dtype
from spectral_edge.validate.gram.files.trees import rivals, weights
from spectral_edge.validate.gram.parameters import by_normalised_name, is_parameter


@dataclass
class Layout:
    """The tensors of a run.

    Attributes
    ----------
    tensors : dict of str to list of tensors
        Every tensor that is read, in all checkpoints.
    left_out : dict of str to str
        Tensors of the first checkpoint that are not, with the reason.
    sizes : dict of str to int
        Entries of those that are left out.
    """

    tensors: dict[str, list[Source]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def leave(self, name: str, leaf: Leaf, reason: str) -> None:
        """Do not count a tensor."""
        self.left_out.setdefault(name, reason)
        self.sizes.setdefault(name, leaf.size)

    def dtypes_of(self, names: Iterable[str]) -> dict[str, int]:
        """Number of entries of those tensors, by stored type."""
        found: dict[str, int] = {}
        for name in names:
            source = self.tensors[name][0]
            found[stored_dtype(source)] = found.get(stored_dtype(source), 0) + source.size
        return found

    def notes(self, names: Sequence[str]) -> list[str]:
        """What is surprising about reading just those tensors."""
        told = []
        read = sum(self.tensors[name][0].size for name in names)
        lost = [name for name, reason in self.left_out.items() if reason.endswith("not floating-point")]
        entries = sum(self.sizes[name] for name in lost)
        if entries > read:
            told.append(
                f"only {read:,} of {read + entries:,} entries are floating-point: {shortened(lost)} are not read"
            )
        narrow = [name for name in names if stored_dtype(self.tensors[name][0]).startswith("float8")]
        scales = [name for name in (*names, *self.left_out) if "scale" in name.rpartition(".")[2]]
        if narrow and scales:
            told.append(
                f"8-bit tensors are read as they are stored: {shortened(scales)} are not multiplied in"
            )
        return told


def layout(
    checkpoints: Sequence[Checkpoint], contents: Sequence[Content], wanted: Callable[[str], bool]
) -> Layout:
    """The selected tensors of every checkpoint by normalised name; tied ones once.

    Raises
    ------
    ValueError
        If a tensor is missing, extra or of another shape in one checkpoint, nothing is selected, or the checkpoint
        holds several models.
    """
    found = Layout()
    first = checkpoints[0]
    for checkpoint, content in zip(checkpoints, contents, strict=True):
        here = _chosen(checkpoint, content, wanted, found if checkpoint is first else Layout())
        if checkpoint is first:
            found.tensors = {name: [] for name in here}
        for name in sorted(set(here) ^ set(found.tensors)):
            lacking, having = (checkpoint, first) if name in found.tensors else (first, checkpoint)
            raise ValueError(
                f"checkpoints must hold the same tensors, got no {name!r} in {lacking} but in {having}: "
                f"leave it out with --exclude '{name}'"
            )
        for name, source in here.items():
            before = found.tensors[name]
            if before and source.shape != before[0].shape:
                raise ValueError(
                    f"checkpoints must keep shapes, got {source.shape} of {name!r} in {checkpoint}, "
                    f"{before[0].shape} in {first}: leave it out with --exclude '{name}'"
                )
            before.append(source)
    found.tensors = {name: sources for name, sources in found.tensors.items() if sources[0].size}
    if not found.tensors:
        why = "; ".join(sorted({f"{name}: {reason}" for name, reason in found.left_out.items()})[:3])
        raise ValueError(f"select must match a floating tensor, got none in {first}{f' ({why})' * bool(why)}")
    return found


def _chosen(
    checkpoint: Checkpoint, content: Content, wanted: Callable[[str], bool], found: Layout
) -> dict[str, Source]:
    """The tensors of one checkpoint that count; the others go to `found`, with reasons."""
    leaves, beside = weights(content.leaves)
    for name, reason in beside.items():
        inside = [
            leaf for place, leaf in content.leaves.items() if f"{'.'.join(place)}.".startswith(f"{name}.")
        ]
        found.left_out.setdefault(name, reason)
        found.sizes.setdefault(name, sum(leaf.size for leaf in inside))
    here: dict[str, Source] = {}
    seen: dict[Any, str] = {}
    for name, leaf in by_normalised_name(leaves.items(), str(checkpoint)).items():
        if not wanted(name):
            found.leave(name, leaf, "not selected")
        elif not is_parameter(name, leaf.shape):
            found.leave(name, leaf, "a buffer, not a parameter")
        elif isinstance(leaf, Unread):
            found.leave(name, leaf, f"{leaf.dtype}: {leaf.reason}")
        else:
            place = name if isinstance(leaf, Spilled) else leaf
            if place in seen and leaf.size:
                found.leave(name, leaf, f"tied to {seen[place]!r}")
                continue
            seen.setdefault(place, name)
            here[name] = leaf
    several = rivals(here.keys(), content.leaves)
    if several:
        raise ValueError(
            f"path must hold one model, got {shortened(several)} with the same tensors in {checkpoint}: choose with "
            f"--select '{several[0]}.*'"
        )
    return here
