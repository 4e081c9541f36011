"""The runs the twenty predictions ask for, and which of them are there."""

from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

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


#: Steps of modular runs without decay, and of the two operations with it that do not grok for the author either
#: (his go on to 200,000).
LONG = 50_000
#: The operations that the author reports; the other two are his controls.
REPORTED = tuple(OPERATIONS)[:4]
DUAL, TRI = "a+b,a*b", "a+b,a*b,a2+b2"
#: Twelve of either kind, and six of each optimiser: fewer cannot decide a claim at 5 %.
SHIFT_SEEDS = tuple(range(1, 13))
OPTIMIZER_SEEDS = (*SEEDS, 1, 2, 3)


@cache
def planned() -> dict[str, RunConfig]:
    """Every planned run by its name, in the order in which they are made.

    First those of the author's recipe that grok for him, single tasks before two and three at once and Dyck-1
    among them, then their partners without decay and his two operations that do not grok; the shifts and the
    optimisers; SCAN, which takes longest; last, what is made twice: with other batches, or at another interval.

    Examples
    --------
    >>> list(planned())[0]
    'single-a+b-wd1-seed42'
    """
    runs: list[RunConfig] = [_modular(operation, 1.0, seed) for seed in SEEDS for operation in REPORTED]
    runs += [_dyck(decay, seed) for seed in SEEDS for decay in DECAYS]
    runs += [_modular(operation, 1.0, seed) for seed in SEEDS for operation in (DUAL, TRI)]
    runs += [_modular(operation, 0.0, seed) for seed in SEEDS for operation in (*REPORTED, DUAL, TRI)]
    unreported = tuple(OPERATIONS)[len(REPORTED) :]
    runs += [
        _modular(operation, decay, seed, max_steps=LONG)
        for decay in DECAYS
        for seed in SEEDS
        for operation in unreported
    ]
    runs += [
        ShiftConfig(shift_step=step, seed=seed)
        for seed in SHIFT_SEEDS
        for step in (ShiftConfig.shift_step, 0)
    ]
    runs += [LanguageConfig(optimizer=name, seed=seed) for seed in OPTIMIZER_SEEDS for name in OPTIMIZERS]
    runs += [_scan(decay, seed) for seed in SEEDS for decay in DECAYS]
    runs += _again()
    return {run.name: run for run in runs}


def _again() -> list[RunConfig]:
    """Three grokking runs and their partners with other batches; one of them recorded closer.

    Recorded wider none needs to be: `GramSequence.every` has that from what is there.
    """
    made: list[RunConfig] = [_modular("a+b", 1.0, SEEDS[0], record_every=25, variant="interval")]
    for decay in DECAYS:
        made += [_modular(operation, decay, SEEDS[0], variant="twin") for operation in ("a+b", "a*b")]
        made.append(_dyck(decay, SEEDS[0], variant="twin"))
    return made


def _modular(operation: str, decay: float, seed: int, **changed: Any) -> ModularConfig:
    if not decay:
        changed = {"max_steps": LONG, "steps_after_target": None, **changed}
    elif "," in operation:
        changed = {"max_steps": 300_000, **changed}
    return ModularConfig(operation=operation, weight_decay=decay, seed=seed, **changed)


def _dyck(decay: float, seed: int, variant: str = "") -> DyckConfig:
    after = DyckConfig.steps_after_target if decay else None
    return DyckConfig(weight_decay=decay, seed=seed, variant=variant, steps_after_target=after)


def _scan(decay: float, seed: int) -> ScanConfig:
    longest = ScanConfig.max_steps if decay else 20_000
    return ScanConfig(weight_decay=decay, seed=seed, max_steps=longest)


class Standing(NamedTuple):
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


def survey(out: str | PathLike[str]) -> list[Standing]:
    """Look for every planned run, and every dense one, in the folder `out`, then among the bundled ones.

    Examples
    --------
    >>> {found.status for found in survey("no/such/folder")} <= {"bundled", "missing"}
    True
    """
    configs: list[RunConfig | DenseConfig] = [*planned().values(), *dense_runs()]
    return [_look(config, Path(out)) for config in configs]


def _look(config: RunConfig | DenseConfig, out: Path) -> Standing:
    files, group = Files(out, config.name, config.groups), config.groups[0]
    if files.done:
        return Standing(config, "recorded", GramSequence.load(files.recordings[group]))
    if files.checkpoint.exists() or files.unfinished.exists():
        return Standing(config, "unfinished", _load(files.unfinished))
    bundled = _load(Files(bundled_folder() / config.place, config.name, config.groups).recordings[group])
    return Standing(config, "missing" if bundled is None else "bundled", bundled)


def _load(path: Path) -> GramSequence | None:
    """The sequence at `path`; None where there is none yet, or none long enough."""
    try:
        return GramSequence.load(path)
    except FileNotFoundError:
        return None
