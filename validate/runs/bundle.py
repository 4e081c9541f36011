"""The recordings that come with the package, recordings of your own, and where a run keeps its files."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import IO

from spectral_edge.theory.checks import choice
from spectral_edge.theory.files import replace_atomically
from spectral_edge.validate.gram import GramSequence

#: Where the package keeps runs that were made again: with other batches, or recorded at another interval.
AGAIN = "again"
#: Where the recording of each group lies in a folder of runs.
_FOLDERS = {"attention": "", "all": "all", "dense": "dense", "intervals": "dense/intervals", "again": AGAIN}


def bundled(group: str = "attention") -> list[GramSequence]:
    """Return the recorded runs that come with the package, in the order of their names.

    Parameters
    ----------
    group : {"attention", "all", "dense", "intervals", "again"}
        The parameters whose updates were recorded: the attention weights, or all weights; or the dense runs, small
        networks all of whose weights were recorded at every step, and ("intervals") some of them recorded at other
        intervals; or the attention weights of runs of which there is a second recording, with other batches or at
        another interval.

    Returns
    -------
    list of GramSequence

    Raises
    ------
    ValueError
        If `group` is none of these.

    Notes
    -----
    How the runs were made is in validate/runs/data/README.md.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> sorted({run.config["experiment"] for run in validate.bundled()})
    ['grokking', 'optimizer', 'shift']
    """
    return recorded(bundled_folder(), group)


def judged() -> list[GramSequence]:
    """The bundled runs that the referee judges unless it is given others: attention weights, and the dense runs."""
    return [*bundled(), *bundled("dense")]


def made_again() -> list[GramSequence]:
    """The bundled runs that are second recordings; an empty list where there are none."""
    return bundled("again") if any((bundled_folder() / AGAIN).glob("*.npz")) else []


def bundled_folder() -> Path:
    """Where the recordings of the package are."""
    return Path(str(files(__name__.rpartition(".")[0]) / "data"))


def recorded(folder: str | PathLike[str], group: str = "attention") -> list[GramSequence]:
    """Return every sequence saved in `folder`, in the order of their file names; `group` as in `bundled`.

    Raises
    ------
    ValueError
        If the folder does not exist or holds no sequence.
    """
    place = Path(folder) / _FOLDERS[choice("group", group, tuple(_FOLDERS))]
    paths = sorted(place.glob("*.npz"))
    if not paths:
        raise ValueError(f"runs must be a folder of recorded sequences (.npz), got {place}")
    return [GramSequence.load(path) for path in paths]


@dataclass(frozen=True)
class Files:
    """The files of one run in the folder `out`.

    Attributes
    ----------
    out : Path
        A folder of runs.
    name : str
        The run's.
    groups : tuple of str
        What is recorded of it.
    """

    out: Path
    name: str
    groups: tuple[str, ...] = ("attention", "all")

    @property
    def recordings(self) -> dict[str, Path]:
        """The finished recording of each group."""
        return {group: self.out / _FOLDERS[group] / f"{self.name}.npz" for group in self.groups}

    @property
    def done(self) -> bool:
        """Whether the run is there."""
        return all(path.exists() for path in self.recordings.values())

    @property
    def unfinished(self) -> Path:
        """What was recorded so far: readable at every moment, without what only the end adds."""
        return self.out / "unfinished" / f"{self.name}.npz"

    @property
    def checkpoint(self) -> Path:
        """All that a training needs to go on."""
        return self.unfinished.with_suffix(".pt")

    def write_checkpoint(self, write: Callable[[IO[bytes]], object]) -> None:
        """Replace the checkpoint in one step."""
        replace_atomically(self.checkpoint, write)

    def put(self, sequences: Mapping[str, GramSequence]) -> None:
        """Put the recordings in their place, that of the attention weights last, and clear the rest away."""
        for group in reversed(list(self.recordings)):
            sequences[group].save(self.recordings[group])
        folder = self.unfinished.parent
        beside = folder.glob(
            f"{self.name}.npz.*"
        )  # journals, and what was set aside when the run was resumed
        killed = folder.glob(f".{self.name}.*.part")  # from processes that were
        for path in (self.checkpoint, self.unfinished, *beside, *killed):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # other runs are in it
            folder.rmdir()
