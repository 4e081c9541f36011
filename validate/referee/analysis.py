"""One run, whoever made it: what was read of it, its windows, and whether their gap is more than noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import whole
from spectral_edge.theory.gram import norms_squared
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.gram.copies import copies
from spectral_edge.validate.gram.files.checkpoints import By, CheckpointSequences
from spectral_edge.validate.gram.files.discovery import Wanted, shortened
from spectral_edge.validate.gram.files.metrics import find_metrics, read_metrics
from spectral_edge.validate.gram.files.reading import read_run
from spectral_edge.validate.gram.parameters import Select
from spectral_edge.validate.referee import worlds

Floats = NDArray[np.float64]

#: A gap above this quantile of noise is more than noise, in one window.
QUANTILE = 0.99
#: A run has more of them than noise does below this chance.
ALPHA = 0.05
#: Noise runs behind each window's quantile, and as many again that the run is compared with: those behind the quantile
#: lie below it more often than others do.
DRAWS = 200
SEED = 2
#: Lags of K that are kept, in windows: pairs beyond the window say how many dimensions the noise has.
KEPT = 4
#: A window is remarked on where one of its updates is over more than this many times as many steps as another.
UNEVEN = 2.0


@dataclass(frozen=True)
class AboveNoise:
    """How the gap ratio compares with that of noise as large, and as correlated in time, as the run's updates.

    Attributes
    ----------
    level : (n,) float64
        The 99 % quantile of R under noise, window by window; NaN where there is none.
    share : float
        Share of the windows with a gap whose R is above it.
    p_value : float
        Chance that noise of this kind has as many.
    draws : int
        Noise runs that were made.
    """

    level: Floats
    share: float
    p_value: float
    draws: int

    @property
    def is_noise(self) -> bool:
        """Whether noise of this kind does as well."""
        return not self.p_value <= ALPHA

    def __str__(self) -> str:
        if np.isnan(self.share):
            return "no window has a gap to compare with noise"
        count = round(self.p_value * (1 + self.draws)) - 1
        seen = (
            f"R is above the {QUANTILE:.0%} level of noise as large and as correlated in time as these updates in "
            f"{self.share:.0%} of the windows; {count} of {self.draws} such noise runs have as many"
        )
        return (
            f"{seen}: {'a random walk gives this too' if self.is_noise else 'more than a random walk gives'}"
        )


@dataclass(frozen=True)
class Part:
    """A run, or a group of its tensors, in windows of one width.

    Attributes
    ----------
    windows : WindowSpectra
    noise : AboveNoise
    """

    windows: WindowSpectra
    noise: AboveNoise

    @property
    def positions(self) -> dict[int, float]:
        """Share of the windows in which k* is at each position that occurs."""
        k_star = self.windows.k_star
        found, counts = np.unique(k_star[np.isfinite(k_star)], return_counts=True)
        return {int(k): float(n / len(k_star)) for k, n in zip(found, counts, strict=True)}

    def summary(self) -> dict[str, Any]:
        """P, k* and R in short, as JSON values."""
        ratio = self.windows.ratio[np.isfinite(self.windows.ratio)]
        return {
            "P": self.windows.P,
            "k_star_share": self.positions,
            "ratio_median": float(np.median(ratio)) if len(ratio) else None,
            "ratio_max": float(ratio.max()) if len(ratio) else None,
            "above_noise": {
                "quantile": QUANTILE,
                "share": self.noise.share,
                "p_value": self.noise.p_value,
                "draws": self.noise.draws,
                "sentence": str(self.noise),
            },
        }

    def table(self) -> dict[str, NDArray[Any]]:
        """The numbers of every window, by column."""
        floor = {"stored_floor": self.windows.stored_floor} if self.windows.stored_floor.any() else {}
        return {**self.windows.to_dict(), "noise_level": self.noise.level, **floor}


@dataclass(frozen=True)
class Analysis(Part):
    """What is to be said of one run.

    Attributes
    ----------
    windows, noise : WindowSpectra, AboveNoise
        As `Part`.
    sequence : GramSequence
        The run, with its metrics.
    reading : CheckpointSequences
        What was read, and what was left out.
    groups : mapping of str to Part
        The same of each layer or kind of tensor, if asked for.
    copies : mapping of int to int
        Step of each checkpoint that equals an earlier one, and the step of that.
    notes : tuple of str
        What a user should know.
    """

    sequence: GramSequence
    reading: CheckpointSequences
    groups: Mapping[str, Part] = field(default_factory=dict)
    copies: Mapping[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def above_noise(run: GramSequence, W: int, draws: int = DRAWS, seed: int = SEED) -> AboveNoise:
    """Compare R in every window of `run` with noise like it (sections 2.6 and 2.7 of docs/theory.md).

    Parameters
    ----------
    run : GramSequence
        With lags beyond `W`, if its noise is not to be taken for isotropic.
    W : int
        Window.
    draws : int
        Noise runs behind the level, and as many that the run is compared with.
    seed : int
        The same seed draws the same noise.

    Returns
    -------
    AboveNoise

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(40, 300)), axis=0)
    >>> found = above_noise(validate.GramSequence.from_parameters(walk), W=5)
    >>> found.is_noise, found.level.shape
    (True, (35,))
    """
    windows = run.window(W)
    ratios, first = np.full((2 * draws, len(windows.steps)), np.nan), 0
    for piece in run.pieces():  # no window reaches over a gap
        if piece.T >= W:
            ratios[:, first : first + piece.T - W + 1] = worlds.noise_ratios(piece, 2 * draws, seed, W)
        first += piece.T
    known = np.isfinite(ratios).any(axis=0)
    level = np.full(len(windows.steps), np.nan)
    level[known] = np.nanquantile(ratios[:draws, known], QUANTILE, axis=0)
    counted = np.isfinite(windows.ratio) & known
    if not counted.any():
        return AboveNoise(level, float("nan"), float("nan"), draws)
    share = float(np.mean(windows.ratio[counted] > level[counted]))
    others = np.mean(ratios[draws:, counted] > level[counted], axis=1)
    p_value = (1 + int(np.sum(others >= share))) / (1 + draws)
    return AboveNoise(level, share, p_value, draws)


def analyse(
    path: str | PathLike[str],
    W: int = 10,
    *,
    select: Select = None,
    exclude: Select = None,
    steps: Wanted = None,
    by: By = None,
    skip_damaged: bool = False,
    drop_copies: bool = False,
    metrics: str | PathLike[str] | None = None,
    progress: bool = False,
) -> Analysis:
    """Read a run, look at its windows and compare their gap with noise.

    Parameters
    ----------
    path, select, exclude, steps, by, skip_damaged, progress
        As `read_run`.
    W : int
        Window.
    drop_copies : bool
        Leave out checkpoints that equal an earlier one; they are looked for after a first reading.
    metrics : path, optional
        What the training logged (`files.metrics.read_metrics`); by default what lies beside the checkpoints.

    Returns
    -------
    Analysis

    Raises
    ------
    ValueError
        As `read_run`; or if there are fewer than W updates.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     walk = np.cumsum(np.random.default_rng(0).normal(size=(40, 300)), axis=0)
    ...     np.save(pathlib.Path(folder) / "walk.npy", walk)
    ...     found = analyse(pathlib.Path(folder) / "walk.npy", W=5)
    >>> found.noise.is_noise, found.summary()["P"]
    (True, 300)
    """
    W = whole("W", W, 2)
    options: dict[str, Any] = {"select": select, "exclude": exclude, "steps": steps, "by": by}
    options |= {"W_max": KEPT * W, "at_least": W, "skip_damaged": skip_damaged, "progress": progress}
    reading = read_run(path, **options)
    if not np.nan_to_num(norms_squared(reading.whole.K)).any():
        raise ValueError(
            f"path must hold snapshots that differ, got {reading.whole.T + 1} equal ones in {path}"
        )
    same = _copies(reading)
    if drop_copies and same:
        reading = read_run(path, drop=tuple(same), **options)
        same = {}
    sequence, about_metrics = with_metrics(reading, Path(path), metrics)
    windows = sequence.window(W)
    notes = [*reading.notes, *about_metrics, *_copy_notes(same), *_step_notes(sequence, reading, W)]
    notes += _rounding_notes(windows, reading)
    return Analysis(
        windows=windows,
        noise=above_noise(sequence, W),
        sequence=sequence,
        reading=reading,
        groups={name: Part(run.window(W), above_noise(run, W)) for name, run in reading.groups.items()},
        copies=same,
        notes=tuple(notes),
    )


def _copies(reading: CheckpointSequences) -> dict[int, int]:
    """Checkpoints that equal an earlier one, by their steps."""
    steps = [step for step, _ in reading.files] or [-1, *reading.whole.steps.tolist()]
    return {steps[later]: steps[first] for later, first in copies(reading.whole).items()}


def _copy_notes(same: Mapping[int, int]) -> list[str]:
    if not same:
        return []
    told = shortened(
        [f"{later:,} of {'the start' if first < 0 else f'{first:,}'}" for later, first in same.items()]
    )
    return [f"copies of earlier checkpoints: step {told}; --drop-copies leaves them out"]


def _step_notes(sequence: GramSequence, reading: CheckpointSequences, W: int) -> list[str]:
    """Windows of updates over very different numbers of steps."""
    taken = np.diff([step for step, _ in reading.files] or sequence.steps)
    if len(taken) < W:
        return []
    spans = np.lib.stride_tricks.sliding_window_view(taken, W)
    low, high = spans.min(axis=1), spans.max(axis=1)
    mixed = high > UNEVEN * low
    if not mixed.any():
        return []
    worst = int(np.argmax(high / low))
    return [
        f"steps are uneven: {mixed.sum()} of {len(mixed)} windows mix updates over fewer and more "
        f"steps, at worst over {low[worst]:,} and over {high[worst]:,}, whose sizes differ for that reason alone"
    ]


def _rounding_notes(windows: WindowSpectra, reading: CheckpointSequences) -> list[str]:
    """Gaps that end at the rounding of the stored numbers."""
    counted = np.isfinite(windows.k_star) & (windows.stored_floor > 0)
    lost = counted & ~windows.gap_is_stored
    if not lost.any():
        return []
    kinds = f"stored as {', '.join(reading.dtypes)}" if reading.dtypes else "of their precision"
    floor = float(np.median(windows.stored_floor[lost]))
    if (windows.sigma[counted, 0] <= windows.stored_floor[counted]).all():
        return [f"every singular value is rounding: numbers {kinds} give up to {floor:.2g} by themselves"]
    return [
        f"in {lost.sum()} of {len(lost)} windows the gap ends at rounding: σ below {floor:.2g} is what numbers "
        f"{kinds} give by themselves"
    ]


def with_metrics(
    reading: CheckpointSequences, path: Path, metrics: str | PathLike[str] | None
) -> tuple[GramSequence, list[str]]:
    """The run with what the training logged, and what is to be said of that."""
    sequence = reading.whole
    steps = [step for step, _ in reading.files]
    file = Path(metrics) if metrics else find_metrics(path, [Path(name) for _, name in reading.files])
    if file is None:
        return sequence, []
    if not steps:
        raise ValueError(f"metrics need the steps of checkpoints, got a saved sequence: {path}")
    try:
        found = read_metrics(file, steps, reading.unit)
    except ValueError as error:
        if metrics:
            raise
        return sequence, [f"{file} beside the checkpoints is not used: {error}"]
    config = {**sequence.config, "metrics": str(file)}
    return replace(sequence, metrics={**sequence.metrics, **found}, config=config), []


def elided(files: Sequence[tuple[int, str]], ends: int = 3) -> list[tuple[int, str] | None]:
    """The first and last of `files`, None between them where some are not shown."""
    if len(files) <= 2 * ends + 1:
        return list(files)
    return [*files[:ends], None, *files[-ends:]]
