"""The runs the twenty predictions ask for, and which of them are there."""

from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.runs.bundle import Files, bundled_folder
from spectral_edge.validate.runs.config import OPTIMIZERS, RunConfig
from spectral_edge.validate.runs.tasks.dyck import DyckConfig
from spectral_edge.validate.runs.tasks.language import LanguageConfig
from spectral_edge.validate.runs.tasks.modular import OPERATIONS, ModularConfig, ShiftConfig
from spectral_edge.validate.runs.tasks.scan import ScanConfig

SEEDS = (42, 137, 2024)
DECAYS = (1.0, 0.0)


#: Steps of the runs without decay of modular arithmetic, and of the two operations that are not expected to grok.
CONTROL_STEPS = 50_000
#: The operations that the author reports; the other two are his runs that do not grok.
REPORTED = tuple(OPERATIONS)[:4]
AT_ONCE = {"dual": "a+b,a*b", "tri": "a+b,a*b,a2+b2"}


@cache
def planned() -> dict[str, RunConfig]:
    """Every planned run by its name, in the order in which they are made.

    Examples
    --------
    >>> list(planned())[0]
    'single-a+b-wd1-seed42'
    """
    runs: list[RunConfig] = []
    runs += [_modular(operation, 1.0, seed) for seed in SEEDS for operation in REPORTED]
    return {run.name: run for run in runs}


def _modular(operation: str, decay: float, seed: int, **changed: Any) -> ModularConfig:
    if not decay:
        changed = {"max_steps": CONTROL_STEPS, "steps_after_target": None, **changed}
    return ModularConfig(operation=operation, weight_decay=decay, seed=seed, **changed)


class Found(NamedTuple):
    """Where a planned run stands.

    Attributes
    ----------
    config : RunConfig
        The run.
    status : str
        "recorded" (in the folder asked about), "bundled" (with the package), "unfinished" or "missing".
    sequence : GramSequence or None
        What there is of it.
    """

    config: RunConfig
    status: str
    sequence: GramSequence | None


def survey(out: str | PathLike[str]) -> list[Found]:
    """Look for every planned run in the folder `out`, then among the bundled ones.

    Examples
    --------
    >>> survey("no/such/folder")[0].status
    'bundled'
    """
    return [_look(config, Path(out)) for config in planned().values()]


def _look(config: RunConfig, out: Path) -> Found:
    files = Files(out, config.name)
    if files.done:
        return Found(config, "recorded", GramSequence.load(files.recordings["attention"]))
    if files.checkpoint.exists() or files.unfinished.exists():
        return Found(config, "unfinished", _load(files.unfinished))
    bundled = _load(bundled_folder() / f"{config.name}.npz")
    return Found(config, "missing" if bundled is None else "bundled", bundled)


def _load(path: Path) -> GramSequence | None:
    """The sequence at `path`; None where there is none yet, or none long enough."""
    try:
        return GramSequence.load(path)
    except FileNotFoundError:
        return None
