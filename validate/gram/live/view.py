"""The last updates of a run as a probe sees them: by lag, the newest first."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.live.stores import Parts

Floats = NDArray[np.float64]


class View:
    """The updates that a tracker keeps, just after one was added.

    Parameters
    ----------
    store : Parts
        Where they are, in slots that are used in turn.
    parameters : mapping of str to array
        θ after the newest update.
    kept : int
        Updates since the start of the recording, or since it was resumed; at least 1.
    length : int
        Slots there are: W_max + 1.
    """

    def __init__(self, store: Parts, parameters: Mapping[str, Any], kept: int, length: int) -> None:
        self._store, self.parameters = store, parameters
        self.kept, self.length = kept, length
        self._slots = (kept - 1 - np.arange(length)) % length

    @property
    def known(self) -> int:
        """How many updates there are."""
        return min(self.kept, self.length)

    def update(self, lag: int) -> dict[str, Any]:
        """δ_{t−lag} by name, shaped and typed like the parameters."""
        return self._store.direction(int(self._slots[lag]))

    def inner(self, vector: Mapping[str, Any]) -> Floats:
        """⟨vector, δ_{t−l}⟩, (length,), NaN where there is no such update."""
        return self.by_lag(self._store.inner({name: vector[name] for name in self.parameters}))

    def by_lag(self, by_slot: Floats) -> Floats:
        """Values by slot as values by lag, NaN where there is no such update."""
        found = by_slot[self._slots].copy()
        found[self.known :] = np.nan
        return found

    def window_hessian(self, hessian: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Floats:
        """δ_sᵀHδ_r by lag, symmetrised, (length, length), NaN where there is no such update."""
        found = np.full((self.length, self.length), np.nan)
        for lag in range(self.known):
            found[lag] = self.inner(hessian(self.update(lag)))
        return np.asarray((found + found.T) / 2)


@runtime_checkable
class Measure(Protocol):
    """What is measured along the window at a record."""

    def along(self, view: View) -> tuple[Mapping[str, Any], dict[str, float]]:
        """Probes (arrays by lag) and metrics."""
        ...
