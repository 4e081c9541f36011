"""Runs to be judged, from whatever a user names: recordings, folders of them, stacks, folders of checkpoints."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.gram.files.query_spectra import query_spectra
from spectral_edge.validate.gram.files.reading import read_run
from spectral_edge.validate.gram.storage import is_written
from spectral_edge.validate.referee.analysis import KEPT, with_metrics
from spectral_edge.validate.referee.cards import card, metric

#: Lags that are kept of checkpoints and stacks.
LAGS = KEPT * 10
#: What a folder of checkpoints may hold beside them: how the run was made, a mapping of JSON values.
CARD = "card.json"


class Read(NamedTuple):
    """Runs, and what is to be said of how they were read.

    Attributes
    ----------
    runs : list of GramSequence
        Each with a name: that of its file or folder where its card has none.
    notes : list of str
    """

    runs: list[GramSequence]
    notes: list[str]


def read_runs(paths: Iterable[str | PathLike[str]], progress: Callable[[str], None] | None = None) -> Read:
    """Read the runs at `paths`.

    Parameters
    ----------
    paths : iterable of paths
        Each a recording (``.npz``), a folder of recordings, a stack of parameter vectors, or a folder or pattern of
        checkpoints (`read_run`), which may hold a ``card.json`` (learning_rate, weight_decay, seed, task, …) and what
        the training logged. What in a folder of recordings is not one is left out, and a note says so.
    progress : callable, optional
        Called with every file or folder before it is read.

    Returns
    -------
    Read

    Raises
    ------
    ValueError
        If nothing is named, or something that was named holds no run.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(pathlib.Path(folder) / "stack.npy", np.random.default_rng(0).normal(size=(9, 50)))
    ...     runs, notes = read_runs([pathlib.Path(folder) / "stack.npy"])
    >>> runs[0].T, runs[0].config["run"], notes
    (8, 'stack', [])
    """
    found, notes = Read([], []), []
    for path in map(Path, paths):
        for name, read in _below(path):
            if progress is not None:
                progress(str(name))
            try:
                runs, said = read()
            except ValueError as error:
                if name == path:
                    raise
                notes.append(f"{name} is left out: {' '.join(str(error).split())}")
                continue
            notes += [f"{name}: {line}" for line in said]
            found.runs.extend(_named(run, name) for run in runs)
    if not found.runs:
        raise ValueError("path must name at least one run, got none: " + ("; ".join(notes) or "no path"))
    kept, twice = _once(found.runs)
    return Read(kept, notes + twice)


_Reader = Callable[[], tuple[list[GramSequence], list[str]]]


def _below(path: Path) -> Iterator[tuple[Path, _Reader]]:
    """The runs at a path, each with what reads it."""
    recordings = sorted(path.glob("*.npz")) if path.is_dir() else []
    if any(map(_is_recording, recordings)):
        yield from ((file, _recording(file)) for file in recordings)
    elif path.suffix == ".npz" and _is_recording(path):
        yield path, _recording(path)
    else:
        yield path, lambda: _checkpoints(path)


def _is_recording(path: Path) -> bool:
    """Whether a file is a saved sequence, as far as the list of what is in it tells."""
    return not path.exists() or is_written(path)  # there may be a journal of what is not there


def _recording(path: Path) -> _Reader:
    return lambda: ([GramSequence.load(path)], [])


def _checkpoints(path: Path) -> tuple[list[GramSequence], list[str]]:
    try:
        reading = read_run(path, W_max=LAGS)
    except ValueError as error:
        if " --" not in str(error):
            raise
        # an option that only one command has
        raise ValueError(
            f"{error}: spectral-edge analyze has it, and its --save run.npz is read here"
        ) from None
    run, said = with_metrics(reading, path, None)
    beside = path / CARD
    if beside.is_file():
        run = replace(run, config={**run.config, **_card(beside)})
    if reading.files and metric(run, "test_accuracy") is not None:
        # at a transition prediction 12 asks for them
        run = replace(
            run, metrics={**query_spectra(path, [step for step, _ in reading.files]), **run.metrics}
        )
    return [run], [*reading.notes, *said]


def _card(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{CARD} must hold a mapping of JSON values, got something else in {path}")
    return found


def _named(run: GramSequence, path: Path) -> GramSequence:
    if card(run).run is not None:
        return run
    name = path.stem if path.suffix in (".npz", ".npy") else path.resolve().name
    return replace(run, config={**run.config, "run": name})


def _once(runs: list[GramSequence]) -> tuple[list[GramSequence], list[str]]:
    """The runs without those that are there twice: one run counts once."""
    kept: list[GramSequence] = []
    notes = []
    for run in runs:
        same = next((one for one in kept if np.array_equal(one.K, run.K, equal_nan=True)), None)
        if same is None:
            kept.append(run)
        else:
            notes.append(f"{card(run).run} is left out: the same run as {card(same).run}")
    return kept, notes
