"""The recordings that come with the package, and recordings of one's own."""

from importlib.resources import files
from os import PathLike
from pathlib import Path

from spectral_edge.validate.gram import GramSequence


def bundled() -> list[GramSequence]:
    """Return the recorded runs that come with the package, in the order of their names.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> sorted({run.config["weight_decay"] for run in validate.bundled()})
    [0.0, 1.0]
    """
    return recorded(str(files(__name__.rpartition(".")[0]) / "data"))


def recorded(folder: str | PathLike[str]) -> list[GramSequence]:
    """Return every sequence saved in `folder`, in the order of their file names.

    Raises
    ------
    ValueError
        If the folder does not exist or holds no sequence.
    """
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise ValueError(f"runs must be a folder of recorded sequences (.npz), got {folder}")
    return [GramSequence.load(path) for path in paths]
