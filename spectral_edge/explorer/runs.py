"""A run as curves over its steps, and the file it grows in."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge import validate
from spectral_edge.validate import GramSequence, WindowSpectra
from spectral_edge.validate.gram.live.journal import journal_path
from spectral_edge.validate.referee import cards
from spectral_edge.validate.referee.analysis import above_noise
from spectral_edge.validate.referee.reading import read_runs
from spectral_edge.validate.runs.bundle import bundled_folder

Floats = NDArray[np.float64]

#: Noise runs behind the level of R: fewer the longer a run is, so that a page answers within a second or two.
NOISE_DRAWS, FEWEST_DRAWS, DRAWN_WINDOWS = 100, 40, 40_000
#: What a list calls all parameters of a run together.
WHOLE = "all parameters"
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
        self.notes: list[str] = []
        self._sequence: GramSequence | None = None
        self._views: dict[tuple[int, str], RunView] = {}

    @property
    def name(self) -> str:
        """What a list shows: the file's name, and which parameters it is of where its folder says that."""
        stem = self.path.name.removesuffix(".npz")
        return f"{stem} ({WHOLE})" if self.path.parent.name == "all" else stem

    def changed(self) -> bool:
        """Whether the file is another than when it was last read."""
        return self._state() != self._seen

    def _state(self) -> tuple[Any, ...]:
        state: list[tuple[int, int] | None] = []
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

    @property
    def idle(self) -> float:
        """Seconds since the recording was last written to; infinite where there is none."""
        times = [one[0] for one in self._state() if one is not None]
        return time.time() - max(times) / 1e9 if times else float("inf")

    def read(self) -> GramSequence:
        """The run as far as it is there; read again only where the file has changed.

        Raises
        ------
        ValueError
            If the file is none of what `referee.reading.read_runs` reads, or damaged.
        """
        state = self._state()
        if self._sequence is None or state != self._seen:
            (self._sequence,), self.notes = read_runs([self.path])
            self._seen = state
            self._views = {}
        return self._sequence

    def parts(self) -> list[str]:
        """What can be looked at: all parameters, and each group that was recorded apart (``by="layer"``)."""
        return [WHOLE, *self.read().parts()]

    def view(self, W: int, part: str = WHOLE) -> "RunView":
        """Curves of the run, or of one group of its parameters, for windows of W; made once for each state of the file.

        Raises
        ------
        ValueError
            As `read`; or if the run is shorter than a window.
        """
        sequence = self.read()
        if (W, part) not in self._views:
            self._views[W, part] = view(sequence if part == WHOLE else sequence.parts()[part], W)
        return self._views[W, part]


def sources(paths: Iterable[Path]) -> list[Source]:
    """Every run under `paths`: files as they are, folders of recordings one by one; without any, the bundled ones.

    Raises
    ------
    ValueError
        If a path does not exist.
    """
    found = []
    for path in paths or (bundled_folder(), bundled_folder() / "all", bundled_folder() / "dense"):
        path = Path(path)
        if not path.exists() and not journal_path(path).exists():
            raise ValueError(f"PATH must exist, got {path}")
        recordings = sorted(path.glob("*.npz")) if path.is_dir() else []
        found += [Source(one) for one in recordings] or [Source(path)]
    return found


class Curve(NamedTuple):
    """A recorded metric, one value for each step of the run."""

    name: str
    values: Floats


@dataclass(frozen=True)
class RunView:
    """Everything that is drawn of a run at one window width.

    Attributes
    ----------
    sequence : GramSequence
        The run, or one group of its parameters.
    windows : WindowSpectra
        Its spectra.
    level : (n,) float64
        The 99 % level of R for noise as large and as correlated in time as the run's updates, window by window; NaN
        where it cannot be said.
    alpha : (n − 1, W) float64
        Stability coefficients, the guaranteed form.
    adiabatic : (n − 1,) float64
        𝒜; NaN where the learning rate is not known.
    losses, accuracies : tuple of Curve
        What was recorded beside the updates.
    """

    sequence: GramSequence
    windows: WindowSpectra
    level: Floats
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
    adiabatic = windows.adiabatic(cards.learning_rate(sequence)[W:])
    curves = [Curve(name, values) for name, values in sorted(sequence.metrics.items())]
    return RunView(
        sequence, windows, noise_level(sequence, W), windows.alpha(), adiabatic,
        tuple(curve for curve in curves if "loss" in curve.name),
        tuple(curve for curve in curves if "acc" in curve.name),
    )  # fmt: skip


def noise_level(sequence: GramSequence, W: int) -> Floats:
    """The 99 % level of R under noise like the run's updates, window by window."""
    draws = int(np.clip(DRAWN_WINDOWS // sequence.T, FEWEST_DRAWS, NOISE_DRAWS))
    try:
        return above_noise(sequence, W, draws).level
    except (ValueError, np.linalg.LinAlgError):  # too short a run to say how its noise is correlated
        return np.full(len(sequence.window(W).steps), np.nan)


class Foreseen(NamedTuple):
    """A forecast: in a sentence, and the singular values (n, W) expected at `steps`; none where nothing can be said."""

    told: str
    steps: NDArray[np.int64]
    sigma: Floats


def foreseen(sequence: GramSequence, W: int, step: int) -> Foreseen:
    """When the modes at the gap are expected to exchange ranks, and the spectrum that is expected until then."""
    try:
        found = validate.forecast(sequence, W=W, step=step)
    except ValueError as error:
        return Foreseen(f"No forecast: {error}.", np.zeros(0, dtype=np.int64), np.zeros((0, W)))
    seen = np.isfinite(found.ahead).any(axis=1) & found.followed.any()
    steps = found.step + found.spacing * np.arange(len(found.ahead), dtype=np.int64)
    return Foreseen(str(found), steps[seen], found.ahead[seen])
