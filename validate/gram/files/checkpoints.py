"""From checkpoints to K: the whole model, and groups of its tensors, in one pass; and what was read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from os import PathLike
from pathlib import Path
from typing import Any

from spectral_edge.validate.gram import storage
from spectral_edge.validate.gram.files.bands import listed, read_bands
from spectral_edge.validate.gram.files.discovery import Wanted
from spectral_edge.validate.gram.files.layout import layout
from spectral_edge.validate.gram.files.tensors import stored_dtype
from spectral_edge.validate.gram.groups import grouping, kind_of, layer_of
from spectral_edge.validate.gram.parameters import Select, selector
from spectral_edge.validate.gram.sequence import GramSequence

By = str | Callable[[str], str] | None


@dataclass(frozen=True)
class CheckpointSequences:
    """What one pass over checkpoints gives.

    Attributes
    ----------
    whole : GramSequence
        Of all selected tensors.
    groups : mapping of str to GramSequence
        Of each group; they add up to `whole`. Empty unless groups were asked for.
    files : tuple of (int, str)
        Step and path of every checkpoint, in the order read.
    dtypes : mapping of str to int
        Number of entries that were read, by the type they are stored in.
    left_out : tuple of (str, str)
        Files that were passed over and tensors that are not counted, each with the reason.
    sizes : mapping of str to int
        Entries of the tensors that are not counted.
    notes : tuple of str
        What a user should know.
    unit : str
        What the steps are: "step", "epoch", or "order" where they only number the checkpoints.
    """

    whole: GramSequence
    groups: Mapping[str, GramSequence]
    files: tuple[tuple[int, str], ...] = ()
    dtypes: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unit: str = "step"


def read_checkpoints(path: str | PathLike[str], *, by: By = None, **options: Any) -> CheckpointSequences:
    """K of a run from its checkpoints, and of groups of its tensors, in one pass.

    Parameters
    ----------
    path : path or glob pattern
        See `find_checkpoints`.
    by : {"layer", "kind"} or callable, optional
        Also give the sequence of each group of tensors: by layer, by what they are, or by a function of
        their name.
    **options
        Those of `bands.read_bands`: W_max, select, exclude, steps, skip_damaged, drop, at_least, precision, progress,
        resume, client, config.

    Returns
    -------
    CheckpointSequences

    Raises
    ------
    ValueError
        As `bands.read_bands`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for step in (0, 100, 200, 300):
    ...         np.save(pathlib.Path(folder) / f"step_{step}.npy", np.full(10, step**0.5))
    ...     found = read_checkpoints(folder)
    >>> found.whole.T, found.unit, found.dtypes
    (3, 'step', {'float64': 10})
    """
    group = grouping(by)
    bands = read_bands(path, **options)
    members: dict[str, list[str]] = {}
    for name in bands.moving:
        members.setdefault(group(name), []).append(name)
    groups = {name: GramSequence(**bands.fields_of(tensors)) for name, tensors in members.items()}
    listing, found = bands.listing, bands.found
    return CheckpointSequences(
        whole=reduce(add, groups.values()),
        groups={} if by is None else groups,
        files=tuple((checkpoint.step, str(checkpoint)) for checkpoint in listing.checkpoints),
        dtypes=found.dtypes_of(list(bands.moving)),
        left_out=(*listing.left_out, *found.left_out.items()),
        sizes=found.sizes,
        notes=listing.notes + tuple(found.notes(list(bands.moving))),
        unit=listing.unit,
    )


def inventory(
    path: str | PathLike[str],
    *,
    select: Select = None,
    exclude: Select = None,
    steps: Wanted = None,
    skip_damaged: bool = False,
) -> dict[str, Any]:
    """What would be read of the checkpoints at `path`, and what left out: only headers are looked at.

    Parameters
    ----------
    path, select, exclude, steps, skip_damaged
        As `read_checkpoints`.

    Returns
    -------
    dict
        "files" (step, path), "tensors" (name, dtype, shape, entries, layer, kind) and "left_out" (name, reason).

    Raises
    ------
    ValueError
        As `read_checkpoints`; or if `path` is a recording, which has none.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for step in (0, 100, 200, 300):
    ...         np.save(pathlib.Path(folder) / f"step_{step}.npy", np.full(10, step**0.5))
    ...     found = inventory(folder)
    >>> found["tensors"][0]["entries"], [file["step"] for file in found["files"]]
    (10, [0, 100, 200, 300])
    """
    if storage.is_written(Path(path)):
        raise ValueError(f"path must be checkpoints to be listed, got a recording: {path}")
    listing = listed(path, steps, skip_damaged=skip_damaged)
    found = layout(listing.checkpoints, listing.contents, selector(select, exclude))
    tensors = []
    for name, (first, *_) in found.tensors.items():
        about = {"name": name, "dtype": stored_dtype(first), "shape": first.shape, "entries": first.size}
        tensors.append({**about, "layer": layer_of(name), "kind": kind_of(name)})
    return {
        "files": [{"step": checkpoint.step, "path": str(checkpoint)} for checkpoint in listing.checkpoints],
        "tensors": tensors,
        "left_out": [
            {"name": name, "reason": reason} for name, reason in (*listing.left_out, *found.left_out.items())
        ],
    }
