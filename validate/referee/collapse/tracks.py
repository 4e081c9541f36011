"""A run as forecasts see it: its windows, its modes with their identity, and how its optimiser steps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge import simulate, theory
from spectral_edge.theory.checks import whole
from spectral_edge.theory.gram import window_blocks
from spectral_edge.theory.propagation import OPTIMIZERS
from spectral_edge.validate.gram import GramSequence, WindowSpectra
from spectral_edge.validate.referee.cards import card, learning_rate

Floats = NDArray[np.float64]

W = 10
#: Windows a straight line is laid through, and over which the source of the flow is fitted.
PAST = 3
#: Windows over which the direction of a mode is remembered.
MEMORY = 6
#: Records from one window that is looked at to the next.
EVERY = 5


class Optimizer(NamedTuple):
    """How a run steps, as far as its card says.

    Attributes
    ----------
    name : str or None
        "sgd", "adam" or "adamw"; None for others, of which no recurrence is known.
    eta : (n,) float64
        Learning rate, of every record or of those that are looked at; NaN where unknown.
    omega : float
        Weight decay; NaN where unknown.
    momentum : float
        Of SGD, or beta_1.
    spacing : int
        Optimiser steps from one record to the next.
    """

    name: str | None
    eta: Floats
    omega: float
    momentum: float
    spacing: int

    @classmethod
    def of(cls, run: GramSequence) -> "Optimizer":
        """Read the card of `run`; steps between records are those of the sequence itself."""
        own = card(run)
        name = (own.optimizer or "").lower()
        momentum = own.momentum or 0.0
        if name in ("adam", "adamw"):
            momentum = own.betas[0] if own.betas else 0.9
        return cls(
            name if name in OPTIMIZERS else None,
            learning_rate(run),
            float("nan") if own.weight_decay is None else own.weight_decay,
            momentum,
            max(1, round(float(np.median(np.diff(run.steps))))),
        )

    @property
    def decay(self) -> str:
        """How weight decay enters: in SGD as PyTorch has it, with the gradient."""
        return "coupled" if self.name == "sgd" else "decoupled"

    @property
    def pace(self) -> Floats:
        """Learning rate, (n,), of the gradient flow that it follows where steps are small: momentum adds up."""
        return self.eta / (1 - self.momentum) if self.name == "sgd" else self.eta


def responses(run: GramSequence) -> tuple[str, Floats] | None:
    """What a run holds of δ_sᵀD⁻¹Hδ_r, (T, lags, lags), newest first, and the name of that probe.

    Where D = I it is the window Hessian. Where D is not and the response was not recorded, the plain Hessian has to
    stand in for it in what is said of curvature, and nothing can be propagated: see `Tracks.exact`.
    """
    for name in ("response", "hessian"):
        probe = run.probes.get(name)
        if probe is not None and probe.ndim == 3:
            return name, np.asarray(probe, dtype=np.float64)
    return None


@dataclass(frozen=True, eq=False)
class Tracks:
    """The windows of a run and its modes, followed; m of the n windows are looked at.

    Attributes
    ----------
    run : GramSequence
    windows : WindowSpectra
    modes : simulate.FollowedModes
        Column i is the mode that had rank i at the start.
    optimizer : Optimizer
    looked : (m,) int64
        Windows from which is forecast.
    """

    run: GramSequence
    windows: WindowSpectra
    modes: simulate.FollowedModes
    optimizer: Optimizer
    looked: NDArray[np.int64]
    _known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, run: GramSequence, W: int = W, every: int = EVERY) -> "Tracks":
        """Follow the modes of `run` and look at every `every`-th window of those whose curvature is known."""
        windows = run.window(whole("W", W, 2))
        # of all records one in `every`, counted from the first; of those with a curvature too, where some have one
        looked = np.flatnonzero((np.arange(len(windows.steps)) + W) % every == 0)
        looked = looked[looked >= PAST - 1]
        found = responses(run)
        if found is not None and found[1].shape[1] >= W:
            known = np.asarray(np.isfinite(found[1][W - 1 :, :W, :W]).all(axis=(1, 2)))
            looked = looked[known[looked]] if known.any() else looked
        return cls(run, windows, simulate.follow_modes(run.K, W, MEMORY), Optimizer.of(run), looked)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, made when it is first asked for."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    @property
    def W(self) -> int:
        """Window."""
        return self.windows.W

    @cached_property
    def exchanges(self) -> simulate.ModeExchanges:
        """Where modes exchange, come close or are lost."""
        return simulate.mode_exchanges(self.modes)

    @cached_property
    def ahead(self) -> simulate.TimeToExchange:
        """How long until neighbours exchange, of every window."""
        return simulate.time_to_exchange(self.modes, self.exchanges)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Which mode has rank j in window t, (n, W)."""
        return np.argsort(self.modes.rank, axis=1)

    @cached_property
    def blocks(self) -> Floats:
        """Gram matrices of the windows that are looked at, (m, W, W)."""
        return window_blocks(self.run.K, self.W)[self.looked]

    @cached_property
    def past(self) -> Floats:
        """Strengths of the modes by their rank now, over the last `PAST` windows, oldest first, (m, PAST, W)."""
        return self.modes.sigma[self._back[..., None], self.order[self.looked][:, None, :]]

    @property
    def _back(self) -> NDArray[np.int64]:
        """The last `PAST` windows, (m, PAST)."""
        return self.looked[:, None] + np.arange(1 - PAST, 1)

    @cached_property
    def response(self) -> Floats | None:
        """δ_sᵀD⁻¹Hδ_r of the windows that are looked at, oldest first, (m, W, W); None where it is not known."""
        found = responses(self.run)
        if found is None or found[1].shape[1] < self.W:
            return None
        return found[1][self.looked + self.W - 1, self.W - 1 :: -1, self.W - 1 :: -1]

    @cached_property
    def stepping(self) -> Optimizer:
        """How the optimiser steps at the end of the windows that are looked at: `eta` is (m,)."""
        return self.optimizer._replace(eta=self.optimizer.eta[self.looked + self.W - 1])

    @property
    def steps_known(self) -> bool:
        """Whether its weight decay is known, and its learning rate at any of those windows."""
        return bool(np.isfinite(self.optimizer.omega) and np.isfinite(self.stepping.eta).any())

    @property
    def exact(self) -> bool:
        """Whether `response` is the optimiser's own, and the optimiser one whose recurrence is known."""
        found = responses(self.run)
        own = found is not None and (found[0] == "response" or self.optimizer.name == "sgd")
        return own and self.optimizer.name is not None and self.steps_known

    @cached_property
    def curvature(self) -> Floats | None:
        """Curvature h_j as the optimiser sees it, of the windows that are looked at, (m, W) by rank."""
        return None if self.response is None else theory.optimizer_curvature(self.blocks, self.response)

    @cached_property
    def power(self) -> Floats | None:
        """Gradient power p_j, the mean over the last `PAST` windows, (m, W) by rank."""
        probe = self.run.probes.get("gradient")
        if probe is None or probe.ndim != 2 or probe.shape[1] < self.W:
            return None
        rank = self.modes.rank[self._back[..., None], self.order[self.looked][:, None, :]]
        power = self.windows.project("gradient")[self._back[..., None], rank] ** 2
        return np.asarray(power.mean(axis=1))
