"""The runs the twenty predictions ask for, and which of them are there."""

from functools import cache
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.runs.bundle import Files, bundled_folder
from spectral_edge.validate.runs.config import OPTIMIZERS, RunConfig
from spectral_edge.validate.runs.dense.config import DenseConfig, dense_runs
from spectral_edge.validate.runs.tasks.dyck import DyckConfig
from spectral_edge.validate.runs.tasks.language import LanguageConfig
from spectral_edge.validate.runs.tasks.modular import OPERATIONS, ModularConfig, ShiftConfig
from spectral_edge.validate.runs.tasks.scan import ScanConfig

SEEDS = (42, 137, 2024)
DECAYS = (1.0, 0.0)


@cache
def planned() -> dict[str, RunConfig]:
    """Every planned run by its name, in the order in which they are made.

    Forty-eight with and without weight decay (modular arithmetic, Dyck-1, SCAN), six whose data change or, as
    their control, do not, and six language models, by AdamW and by Muon.

    Examples
    --------
    >>> len(planned())
    60
    >>> list(planned())[0]
    'modular-a+b-wd1-seed42'
    """
    # family by family, the short ones first, then seed by seed: whoever stops early has some of everything
    twice = [(decay, seed) for decay in DECAYS for seed in SEEDS]
    runs: list[RunConfig] = [ModularConfig(weight_decay=decay, seed=seed) for decay, seed in twice]
    runs += [DyckConfig(weight_decay=decay, seed=seed) for decay, seed in twice]
    runs += [
        ShiftConfig(shift_step=step, seed=seed) for step in (ShiftConfig.shift_step, 0) for seed in SEEDS
    ]
    runs += [LanguageConfig(optimizer=name, seed=seed) for name in OPTIMIZERS for seed in SEEDS]
    for seed in SEEDS:
        runs += [
            ModularConfig(operation=operation, weight_decay=decay, seed=seed)
            for operation in list(OPERATIONS)[1:]
            for decay in DECAYS
        ]
        runs += [ScanConfig(weight_decay=decay, seed=seed) for decay in DECAYS]
    return {run.name: run for run in runs}


class Found(NamedTuple):
    """Where a planned run stands.

    Attributes
    ----------
    config : RunConfig or DenseConfig
        The run.
    status : str
        "recorded" (in the folder asked about), "bundled" (with the package), "unfinished" or "missing".
    sequence : GramSequence or None
        What there is of it.
    """

    config: RunConfig | DenseConfig
    status: str
    sequence: GramSequence | None


def survey(out: str | PathLike[str]) -> list[Found]:
    """Look for every planned run, and every dense one, in the folder `out`, then among the bundled ones.

    Examples
    --------
    >>> survey("no/such/folder")[0].status
    'bundled'
    """
    return [_look(config, Path(out)) for config in (*planned().values(), *dense_runs())]


def _look(config: RunConfig | DenseConfig, out: Path) -> Found:
    files, group = Files(out, config.name, config.groups), config.groups[0]
    if files.done:
        return Found(config, "recorded", GramSequence.load(files.recordings[group]))
    if files.checkpoint.exists() or files.unfinished.exists():
        return Found(config, "unfinished", _load(files.unfinished))
    bundled = _load(Files(bundled_folder(), config.name, config.groups).recordings[group])
    return Found(config, "missing" if bundled is None else "bundled", bundled)


def _load(path: Path) -> GramSequence | None:
    """The sequence at `path`; None where there is none yet, or none long enough."""
    try:
        return GramSequence.load(path)
    except FileNotFoundError:
        return None
