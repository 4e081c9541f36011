"""`GramTracker`: K of a training run, recorded while it runs."""

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from spectral_edge.theory._arguments import whole
from spectral_edge.validate.gram.sequence import GramSequence
from spectral_edge.validate.gram.storage import writable


class GramTracker:
    """Keep the last `W_max` updates of a training run and write their inner products as it goes.

    Parameters
    ----------
    W_max : int
        Widest window that will be looked at, at least 2. Memory: W_max + 1 vectors of P numbers.
    path : path, optional
        Where to keep the sequence; the file is replaced after every record, so that it is whole and up to
        date whenever the training stops. Default: in memory only.
    config : mapping, optional
        How the run is made (JSON values); travels in the file.

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> tracker, rng = validate.GramTracker(W_max=4), np.random.default_rng(0)
    >>> theta = np.zeros(1000)
    >>> for step in range(0, 60, 10):
    ...     theta = theta + rng.normal(size=1000)
    ...     tracker.update(theta, step=step, train_loss=1.0 / (step + 1))
    >>> tracker.sequence().window(4).k_star.shape
    (2,)
    """

    def __init__(
        self, W_max: int, *, path: str | PathLike[str] | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        self.W_max = whole("W_max", W_max, 2)
        self.path = None if path is None else writable(path)
        self.config = dict(config or {})
        self._previous: Any = None
        self._ring: list[Any] = []  # the last W_max updates, newest first
        self._rows: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        self._steps: list[int] = []
        self._metrics: dict[str, list[float]] = {}

    def update(self, params: Any, *, step: int | None = None, **metrics: float) -> None:
        """Record the parameters as they are now.

        Parameters
        ----------
        params : array, tensor, or iterable of them
            The parameters θ, in the same order at every call: numpy arrays or torch tensors on any device.
            They are copied.
        step : int, optional
            The optimiser step; must increase. Default: one more than at the last record.
        **metrics : float
            What was measured at this step. The first record is the starting point θ_0: its metrics have no
            update to go with and are not kept.

        Raises
        ------
        ValueError
            If the parameters hold NaN or infinity or change their number, or `step` does not increase.
        """
        theta = _flatten(params)
        last = self._steps[-1] if self._steps else None
        step = (0 if last is None else last + 1) if step is None else whole("step", step, 0)
        if last is not None and step <= last:
            raise ValueError(f"step must increase, got {step} after {last}")
        if self._previous is None:
            _require_finite(float(theta @ theta), step)
            self._previous, self._steps = theta, [step]
            return
        if theta.shape != self._previous.shape:
            raise ValueError(
                f"params must keep their number, got {len(theta)} after {len(self._previous)} at step {step}"
            )
        update = theta - self._previous
        row = np.full(self.W_max + 1, np.nan)
        for lag, other in enumerate([update, *self._ring]):
            row[lag] = float(update @ other)
        _require_finite(row[0], step)
        self._previous = theta
        self._ring = [update, *self._ring][: self.W_max]
        self._rows.append(row)
        self._steps.append(step)
        for name in dict.fromkeys([*self._metrics, *metrics]):
            past = self._metrics.setdefault(name, [float("nan")] * (len(self._rows) - 1))
            past.append(float(metrics.get(name, float("nan"))))
        if self.path is not None and len(self._rows) >= 2:
            self.sequence().save(self.path)

    def sequence(self) -> GramSequence:
        """The run so far, as a banded `GramSequence` (full where the run is no longer than the band).

        Raises
        ------
        ValueError
            If fewer than three snapshots have been recorded.
        """
        T = len(self._rows)
        if T < 2:
            raise ValueError(f"a sequence needs at least 3 snapshots, got {T + 1 if self._steps else 0}")
        band = np.array(self._rows)
        if self.W_max + 1 >= T:  # a band as wide as the run is all of K
            lower = [[band[s, s - t] if s >= t else band[t, t - s] for t in range(T)] for s in range(T)]
            band = np.array(lower)
        return GramSequence.from_inner_products(
            band, self._steps[1:], P=len(self._previous), metrics=self._metrics, config=self.config
        )


def _flatten(params: Any) -> Any:
    """One float64 vector holding a copy of all parameters, where they live (numpy or torch)."""
    parts = [params] if hasattr(params, "shape") else list(_tensors(params))
    if not parts:
        raise ValueError("params must hold at least one array, got none")
    if isinstance(parts[0], np.ndarray):
        return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])
    import torch

    return torch.cat([part.detach().to(torch.float64).reshape(-1) for part in parts])


def _tensors(params: Iterable[Any] | Mapping[str, Any]) -> Iterable[Any]:
    return params.values() if isinstance(params, Mapping) else params


def _require_finite(square: float, step: int) -> None:
    if not np.isfinite(square):
        raise ValueError(f"params must be finite, got NaN or infinity at step {step}")
