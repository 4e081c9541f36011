"""What a training logged, at the steps of its checkpoints: ``metrics.csv``, ``trainer_state.json``, JSON lines."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Columns that say the step, best first.
STEP = (
    "step",
    "global_step",
    "_step",
    "iteration",
    "iter",
    "iter_num",
    "num_updates",
    "trainer/global_step",
    "epoch",
)


def find_metrics(path: Path, checkpoints: Iterable[Path]) -> Path | None:
    """The log beside a run's checkpoints, where a framework puts it; None if there is none.

    In the folder itself, in the last checkpoint (the Hugging Face Trainer keeps the whole history there), or, where the
    folder is called ``checkpoints``, beside it (Lightning's CSV logger).
    """
    if not path.is_dir():
        return None
    found = [path / "trainer_state.json", path / "metrics.csv", path / "metrics.jsonl"]
    found += [checkpoint / "trainer_state.json" for checkpoint in list(checkpoints)[-1:]]
    if path.resolve().name == "checkpoints":
        found += [path.resolve().parent / "metrics.csv"]
    return next((file for file in found if file.is_file()), None)


def read_metrics(path: Path, steps: ArrayLike, unit: str = "step") -> dict[str, NDArray[np.float64]]:
    r"""What was logged, at each update of a run.

    Parameters
    ----------
    path : path
        A ``.csv`` with a column ``step`` (or ``global_step``, ``iter``, …), a ``trainer_state.json`` of the Hugging
        Face Trainer, or a ``.jsonl`` with one mapping per line.
    steps : (T + 1,) int
        Step of every checkpoint.
    unit : str
        What the steps are; if they are not optimiser steps, the column of that name (``epoch``) tells.

    Returns
    -------
    dict of str to (T,) float64
        The last value logged after the checkpoint before and up to the one that ends the update; NaN where there is
        none. Columns without any number at those steps are not there.

    Raises
    ------
    ValueError
        If the file is damaged, has no step, or nothing in it is at those steps.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = pathlib.Path(folder) / "metrics.csv"
    ...     _ = log.write_text("step,loss\n50,2.0\n100,1.5\n200,1.0\n")
    ...     read_metrics(log, [0, 100, 200])
    {'loss': array([1.5, 1. ])}
    """
    try:
        rows = _rows(path)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
        raise ValueError(
            f"metrics must be a .csv, .jsonl or trainer_state.json, got a damaged file: {path}"
        ) from None
    names = list(dict.fromkeys(name for row in rows for name in row))
    key = next((name for name in (STEP if unit == "step" else (unit,)) if name in names), None)
    if key is None:
        raise ValueError(f"metrics must have a column {unit}, got {', '.join(names[:6]) or 'none'} in {path}")
    ends = np.asarray(steps, dtype=np.int64)
    found: dict[str, NDArray[np.float64]] = {}
    for row in rows:
        step = _number(row.get(key))
        at = int(np.searchsorted(ends, step)) - 1  # the update that ends at or after it
        if not np.isfinite(step) or not 0 <= at < len(ends) - 1:
            continue
        for name, value in row.items():
            number = _number(value)
            if name != key and np.isfinite(number):
                found.setdefault(name, np.full(len(ends) - 1, np.nan))[at] = number
    if not found:
        raise ValueError(
            f"metrics must hold values for the steps {ends[0]:,} … {ends[-1]:,}, got none in {path}"
        )
    return found


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [dict(json.loads(line)) for line in text.splitlines() if line.strip()]
    history = json.loads(text)["log_history"]
    return [dict(row) for row in history]


def _number(value: Any) -> float:
    try:
        return float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return float("nan")
