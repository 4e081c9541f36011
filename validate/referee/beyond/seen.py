"""A run as the statements on function space see it: outputs on a fixed batch beside the parameters that give them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.spectrum import gram_rtol
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.gram.storage import read_arrays, write_arrays

Floats = NDArray[np.float64]

W = 10
#: The transition is where the test accuracy first reaches this.
HALFWAY = 0.5
#: What files of `Seen.save` say they are.
FORMAT, VERSION = "spectral-edge/seen", 1
#: Which mode of the window is the control of v_1 where its energy is split, counted from 0.
OTHER = 4


@dataclass(frozen=True, eq=False)
class Seen:
    """One run, T records.

    Attributes
    ----------
    name : str
    outputs, weights : GramSequence
        Of the outputs on the fixed batch, and of all parameters; K of both in full.
    accuracy : (T,) array
        On the test set.
    participation : (T,) array
        (Σv²)²/(PΣv⁴) of v_1 of the window that ends at a record: 1 where all entries are equal, 1/3 for a normal
        vector, 1/P for a single entry. NaN before the first full window.
    decay_share : (T, 2) array
        Of the energy of v_1, and of v_5 for comparison, the share of the decay part −ηωθ of the updates:
        Σb²/(Σb² + Σa²) over the window, b the decay part along the mode and a the rest.
    looked : (m,) int array
        Records at which the kernel was taken and directions were ablated.
    kernel : (m, q) array
        Largest eigenvalues of the tangent kernel, outputs² per parameter², descending.
    outliers : (m,) array
        How many of its eigenvalues lie above the bulk's edge.
    kernel_rate : (m,) array
        ‖ΔΘ‖_F per optimiser step since the last time it was taken; NaN at the first.
    ablation : (m, 3) array
        Fall of the test accuracy when the part of the window's displacement along v_1 and v_2 is undone, and when as
        long a step is undone along its displacement in v_3 … v_W, and along a random direction.
    eta : float
        Learning rate.
    """

    name: str
    outputs: GramSequence
    weights: GramSequence
    accuracy: Floats
    participation: Floats
    decay_share: Floats
    looked: NDArray[np.int64]
    kernel: Floats
    outliers: Floats
    kernel_rate: Floats
    ablation: Floats
    eta: float

    @classmethod
    def of(
        cls, name: str, thetas: Floats, decays: Floats, outputs: Floats, steps: Any, **rest: Any
    ) -> "Seen":
        """From parameters (T + 1, P), the decay part of each update (T, P), and outputs (T + 1, d)."""
        weights = GramSequence.from_parameters(thetas, steps, precision="float64")
        seen = GramSequence.from_parameters(outputs, steps, precision="float64")
        participation, share = _modes(weights, np.diff(thetas, axis=0), decays)
        return cls(name, seen, weights, participation=participation, decay_share=share, **rest)

    def save(self, path: Path) -> Path:
        """Write a ``.npz`` without pickle."""
        header: dict[str, Any] = {"format": FORMAT, "version": VERSION, "name": self.name, "eta": self.eta}
        arrays: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, GramSequence):
                header[one.name] = {"P": value.P, "rounding": value.rounding}
                arrays |= {f"{one.name}/K": value.K, f"{one.name}/steps": value.steps}
            elif one.name not in header:
                arrays[one.name] = value
        return write_arrays(path, header, arrays)

    @classmethod
    def load(cls, path: Path) -> "Seen":
        """What `save` wrote."""
        header, arrays = read_arrays(path, FORMAT, VERSION)
        for name in ("outputs", "weights"):
            K, steps = (arrays.pop(f"{name}/{part}") for part in ("K", "steps"))
            arrays[name] = GramSequence.from_inner_products(K, steps, **header[name])
        return cls(name=header["name"], eta=header["eta"], **arrays)

    @property
    def T(self) -> int:
        """Number of records."""
        return len(self.accuracy)

    @property
    def event(self) -> int | None:
        """Record of the transition; None where there is none with two windows to either side."""
        above = np.flatnonzero(self.accuracy >= HALFWAY)
        if not len(above) or not 2 * W <= above[0] < self.T - 2 * W:
            return None
        return int(above[0])


def _modes(weights: GramSequence, updates: Floats, decays: Floats) -> tuple[Floats, Floats]:
    T, P = updates.shape
    participation, share = np.full(T, np.nan), np.full((T, 2), np.nan)
    windows = weights.window(W)
    for row, (sigma, u) in enumerate(zip(windows.sigma, windows.u, strict=True)):
        at = slice(row, row + W)
        v = u.T @ updates[at] / np.maximum(sigma, np.finfo(float).tiny)[:, None]
        end = row + W - 1
        participation[end] = (v[0] @ v[0]) ** 2 / (P * np.sum(v[0] ** 4))
        for column, mode in enumerate((0, OTHER)):
            if sigma[mode] > gram_rtol(W) * sigma[0]:
                decay = decays[at] @ v[mode]
                rest = updates[at] @ v[mode] - decay
                share[end, column] = decay @ decay / (decay @ decay + rest @ rest)
    return participation, share
