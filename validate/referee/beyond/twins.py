"""A run beside its twin, trained in lockstep from the same start on other batches: noise without signal.

What twins share is signal. (δ_A − δ_B)/√2 has the noise of one run and nothing that they share, as long as the two
have not grown apart: so the twin is put where the run is every ten records, and only windows within such a stretch
count. Rules and constants were set before a result was seen.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import choice
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.gram.storage import read_arrays, write_arrays

#: Records from one start of the twin to the next: as many as a window of the referee has, so that one lies within.
#: Longer ones would hold more windows, and more of what the two grow into.
STRETCH = 10
#: The sequences that inner products of a run and its twin hold.
KINDS = ("run", "sum", "difference")
#: What files of `Twins.save` say they are.
FORMAT, VERSION = "spectral-edge/twins", 1


@dataclass(frozen=True, eq=False)
class Twins:
    """A run of T records and its twin.

    Attributes
    ----------
    name, family : str
        Of the run.
    P : int
        Parameters.
    steps : (T,) int array
        Step of every record.
    products : (2T, 2T) array
        Inner products of all updates, parameter units²: of the run, then of the twin.
    stretch : int
        The twin is put where the run is every so many records.
    """

    name: str
    family: str
    P: int
    steps: NDArray[np.int64]
    products: NDArray[np.float64]
    stretch: int = STRETCH

    @property
    def T(self) -> int:
        """Records in whole stretches; what comes after is left out."""
        return len(self.steps) // self.stretch * self.stretch

    def sequence(self, kind: str) -> GramSequence:
        """K of the run, of the sum (δ_A + δ_B)/√2, or of the difference (δ_A − δ_B)/√2.

        Parameters
        ----------
        kind : {"run", "sum", "difference"}

        Returns
        -------
        GramSequence

        Raises
        ------
        ValueError
            If there is no such sequence.
        """
        a, across, b = (self._block(*of) for of in ((0, 0), (0, 1), (1, 1)))
        sign = {"run": 0, "sum": 1, "difference": -1}[choice("kind", kind, KINDS)]
        K = (a + b + sign * (across + across.T)) / 2 if sign else a
        return GramSequence.from_inner_products(K, self.steps[: self.T], self.P)

    @property
    def shared(self) -> NDArray[np.float64]:
        """What updates of the run and the twin have in common, (T,): 2⟨δ_A, δ_B⟩/(‖δ_A‖² + ‖δ_B‖²)."""
        both, a, b = (np.diag(self._block(*of)) for of in ((0, 1), (0, 0), (1, 1)))
        return 2 * both / (a + b)

    def _block(self, one: int, other: int) -> NDArray[np.float64]:
        at, beside = (slice(i * len(self.steps), i * len(self.steps) + self.T) for i in (one, other))
        return self.products[at, beside]

    def save(self, path: Path) -> Path:
        """Write a ``.npz`` without pickle."""
        arrays = {"steps": self.steps, "products": self.products}
        header: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        header |= {one.name: getattr(self, one.name) for one in fields(self) if one.name not in arrays}
        return write_arrays(path, header, arrays)

    @classmethod
    def load(cls, path: Path) -> "Twins":
        """What `save` wrote."""
        header, arrays = read_arrays(path, FORMAT, VERSION)
        return cls(**{name: header[name] for name in ("name", "family", "P", "stretch")}, **arrays)
