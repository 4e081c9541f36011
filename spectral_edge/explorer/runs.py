"""A run as curves over its steps, and the file it grows in."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge import simulate, validate
from spectral_edge.validate import GramSequence, WindowSpectra
from spectral_edge.validate.gram.files.reading import read_sequence
from spectral_edge.validate.gram.live.journal import journal_path
from spectral_edge.validate.runs.bundle import bundled_folder

Floats = NDArray[np.float64]

#: Draws behind the noise level of R.
NULL_DRAWS = 2000
#: Windows wider than this are not offered: a slider of more positions says nothing more.
WIDEST = 32


class Source:
    """A file or folder that a run is read from, now and again while it grows.

    Parameters
    ----------
    path : path
        A recording (.npz, or only its journal yet), a stack of parameters, or a folder of checkpoints.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Any = None
        self._sequence: GramSequence | None = None

    @property
    def name(self) -> str:
        """What a list shows: the file's name, and its folder's where that says which parameters it is of."""
        stem = self.path.name.removesuffix(".npz")
        return f"{stem} ({self.path.parent.name})" if self.path.parent.name == "all" else stem

    def changed(self) -> bool:
        """Whether the file is another than when it was last read."""
        return self._state() != self._seen

    def _state(self) -> tuple[Any, ...]:
        state = []
        for path in (self.path, journal_path(self.path)):
            try:
                found = path.stat()
                state.append((found.st_mtime_ns, found.st_size))
            except OSError:
                state.append(None)
        return tuple(state)

    @property
    def growing(self) -> bool:
        """Whether a recording is under way: its journal is there."""
        return journal_path(self.path).exists()

    def read(self) -> GramSequence:
        """The run as far as it is there; read again only where the file has changed.

        Raises
        ------
        ValueError
            If the file is none of what `read_sequence` reads, or damaged.
        """
        state = self._state()
        if self._sequence is None or state != self._seen:
            # a recording that is killed or young may have a journal only, which `load` reads by itself
            self._sequence = read_sequence(self.path) if self.path.exists() else GramSequence.load(self.path)
            self._seen = state
        return self._sequence


def sources(paths: Iterable[Path]) -> list[Source]:
    """Every run under `paths`: files as they are, folders of recordings one by one; without any, the bundled ones.

    Raises
    ------
    ValueError
        If a path does not exist.
    """
    found = []
    for path in paths or (bundled_folder(), bundled_folder() / "all"):
        path = Path(path)
        if not path.exists() and not journal_path(path).exists():
            raise ValueError(f"PATH must exist, got {path}")
        recordings = sorted(path.glob("*.npz")) if path.is_dir() else []
        found += [Source(one) for one in recordings] or [Source(path)]
    return found


class Curve(NamedTuple):
    """A recorded metric over its own steps."""

    name: str
    steps: NDArray[np.int64]
    values: Floats


@dataclass(frozen=True)
class RunView:
    """Everything that is drawn of a run at one window width.

    Attributes
    ----------
    windows : WindowSpectra
        Its spectra.
    level : float
        The 99 % level of R for noise as correlated in time as the run's updates; NaN where it cannot be said.
    alpha : (n − 1, W) float64
        Stability coefficients, the guaranteed form.
    adiabatic : (n − 1,) float64
        𝒜; NaN where the learning rate is not known.
    losses, accuracies : tuple of Curve
        What was recorded beside the updates.
    """

    windows: WindowSpectra
    level: float
    alpha: Floats
    adiabatic: Floats
    losses: tuple[Curve, ...]
    accuracies: tuple[Curve, ...]

    def at(self, step: float) -> int:
        """Index of the window that ends nearest to `step`."""
        return int(np.abs(self.windows.steps - step).argmin())


def widths(sequence: GramSequence) -> tuple[int, int]:
    """Narrowest and widest window that this run has."""
    return 3, max(3, min(WIDEST, sequence.W_max, sequence.T - 1))


def view(sequence: GramSequence, W: int) -> RunView:
    """Curves of `sequence` for windows of W.

    Raises
    ------
    ValueError
        If the run is shorter than a window.
    """
    if sequence.T <= W:
        raise ValueError(f"W must be below the {sequence.T} updates recorded so far, got {W}")
    windows = sequence.window(W)
    eta = sequence.config.get("learning_rate")
    adiabatic = np.full(len(windows.steps) - 1, np.nan)
    if isinstance(eta, (int, float)) and eta > 0:
        adiabatic = windows.adiabatic(float(eta))
    curves = [Curve(name, sequence.steps, values) for name, values in sequence.metrics.items()]
    return RunView(
        windows, noise_level(sequence, W), windows.alpha(), adiabatic,
        tuple(curve for curve in curves if "loss" in curve.name),
        tuple(curve for curve in curves if "acc" in curve.name),
    )  # fmt: skip


def noise_level(sequence: GramSequence, W: int) -> float:
    """The 99 % quantile of R for noise with the run's autocorrelation and effective dimension."""
    try:
        P = sequence.effective_dimension(W)
        tau = sequence.autocorrelation(W - 1)
        null = simulate.null_ratio(max(P, W + 1), W, NULL_DRAWS, seed=0, autocorrelation=tau)
    except (ValueError, np.linalg.LinAlgError):
        return float("nan")
    return float(null.quantile(0.99))


def told_forecast(sequence: GramSequence, W: int, step: int) -> str:
    """When the modes at the gap are expected to exchange order, in a sentence."""
    try:
        return str(validate.forecast(sequence, W=W, step=step))
    except ValueError as error:
        return f"No forecast: {error}."
