"""The window that has just become full: what is logged of it, and whether its small singular values mean anything."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.files.rounding import STORAGE, rounding_variance
from spectral_edge.validate.gram.live.journal import Record
from spectral_edge.validate.gram.live.recording import sequence_of
from spectral_edge.validate.gram.parameters import dtype_name, size
from spectral_edge.validate.gram.windows import WindowSpectra

#: A singular value that is no more than this many times the rounding of the parameters is warned of.
TOLD = 2.0
#: How many entries of a tensor are looked at for its rounding.
SAMPLE = 1 << 20


class Latest:
    """The last windows of `W` updates.

    Parameters
    ----------
    W : int
        Window.
    eta : float or None
        Learning rate, where no metric says it.
    """

    def __init__(self, W: int, eta: float | None) -> None:
        self.W, self.eta = W, eta
        self._told, self._look_at = False, W

    def _windows(self, records: list[Record], rounding: float) -> WindowSpectra:
        first = max(0, len(records) - self.W - 1)
        tail = []
        for t, record in enumerate(records[first:]):
            row = [value if lag <= t else float("nan") for lag, value in enumerate(record.row)]
            tail.append(Record(t, record.step, row))
        return sequence_of(tail, None, {}, rounding).window(self.W)

    def values(self, records: list[Record], rounding: float) -> dict[str, float]:
        """k*, R, gap and 𝒜 of the last window, NaN where undefined."""
        spectra = self._windows(records, rounding)
        eta, adiabatic = records[-1].metrics.get("learning_rate", self.eta), float("nan")
        if eta is not None and eta > 0 and len(spectra.steps) > 1:
            adiabatic = float(spectra.adiabatic(eta)[-1])
        found = {name: float(getattr(spectra, name)[-1]) for name in ("k_star", "ratio", "gap")}
        return found | {"adiabatic": adiabatic}

    def trouble(self, records: list[Record], own: Mapping[str, Any], rounding: float, stored: float) -> str:
        """What to warn of, once: singular values that are the rounding of the parameters; looked for now and then."""
        if self._told or len(records) < self._look_at or len(records) < self.W:
            return ""
        self._look_at = 2 * len(records)
        floor = float(np.sqrt(stored / 2))
        windows = self._windows(records, rounding)
        # those that count for the gap: others are known to be rounding
        small = int((np.isfinite(windows.ratios[-1]) & (windows.sigma[-1, 1:] <= TOLD * floor)).sum())
        if not small:
            return ""
        self._told = True
        kinds = ", ".join(sorted({dtype_name(array) for array in own.values()}))
        return (
            f"{small} of the {self.W} singular values of the window at step {records[-1].step} are no larger than the "
            f"rounding of {kinds} parameters makes them ({floor:.2g}): differences of neighbouring steps make small "
            "singular values too large; record more rarely (every=), or train in float64"
        )


def stored_rounding(
    records: list[Record],
    own: Mapping[str, Any],
    moved: Callable[[str, int], NDArray[np.bool_] | None],
    total: Callable[[float], float],
) -> float:
    """What ⟨δ, δ⟩ of the next record holds of the rounding of the parameters at both ends, parameter units².

    It changes slowly, and is counted whenever the number of records has doubled. Entries that no update in the ring has
    changed are the same at both ends and have none, as in `files.rounding.Rounding`, which looks at the whole run; a
    sketch does not know them, and counts all.

    Parameters
    ----------
    records : list of Record
        Those before.
    own : mapping of str to array
        The parameters.
    moved : callable
        Takes a name and a stride: which of these entries have changed, None if that is not known.
    total : callable
        Adds up over the processes.
    """
    n = len(records)
    known = records[-1].probes.get(STORAGE) if n else None
    if known is not None and n & (n - 1):
        return float(known)
    floors = (rounding_floor(array, moved(name, stride_of(array))) for name, array in own.items())
    return 2 * total(sum(floors))


def stride_of(array: Any) -> int:
    """Of how many entries one is looked at."""
    return max(1, -(-size(array) // SAMPLE))


def rounding_floor(array: Any, moved: NDArray[np.bool_] | None = None) -> float:
    """Σ ulp²/12 over the entries of `array`: the mean squared error of rounding them once, parameter units².

    Updates that are differences of rounded parameters hold an error of this squared length each, in no direction: no
    singular value of a window is seen below its root. Of a large tensor evenly spaced entries are looked at, and of
    those only the ones that have `moved`.

    Examples
    --------
    >>> rounding_floor(np.full(12, 1.5, dtype=np.float32)) == 2.0**-46
    True
    """
    n = size(array)
    if not n:
        return 0.0
    step = stride_of(array)
    if hasattr(array, "detach"):
        values = array.detach().reshape(-1)[::step].double().cpu().numpy()
    else:
        values = np.asarray(array).reshape(-1)[::step].astype(np.float64)
    _, above = np.frexp(values)  # |x| = f·2^above, f in [1/2, 1)
    variance = np.where(values == 0, 0.0, rounding_variance(above - 1, dtype_name(array)))  # zeros are exact
    if moved is not None:
        variance = np.where(moved, variance, 0.0)
    return float(variance.mean() * n)
