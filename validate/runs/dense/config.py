"""What decides a dense run, and the regimes there are.

Everything is trained in float64. Updates at neighbouring steps differ by little, and differences of float32
parameters make the weaker singular values of a window tens to thousands of times too large.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from spectral_edge.theory.checks import choice, nonnegative, positive, whole

NETWORKS = ("mlp", "linear", "quadratic", "transformer")
OPTIMIZERS = ("SGD", "Adam", "AdamW")

#: Seeds that were looked at while forecasters and rules were chosen.
EXPLORED = (0, 1, 2)
#: Seeds on which refinements of the propagated window were chosen.
REFINED = (200, 201, 202)
#: Seeds that were recorded and judged only after every choice was fixed; three of them are bundled.
FRESH = (100, 101, 102, 103, 104, 105)
BUNDLED = FRESH[:3]
#: Seeds of which nothing was looked at before every forecaster was fixed.
FURTHER = (110, 111, 112, 113, 114, 115)


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """Everything that decides a dense run and its recording.

    Attributes
    ----------
    regime : str
        What the run is named after; those of `REGIMES` are planned.
    seed : int
        Decides the data, the initial weights and the batches.
    network : str
        "mlp" (two tanh layers) and "linear" (three layers without bias) learn a function of ten inputs by mean square;
        "quadratic" (two layers, x² between them) and "transformer" (one layer) learn a + b mod 23.
    optimizer : str
        "SGD", with `momentum`; "Adam", "AdamW" with `beta1` and `beta2`.
    learning_rate, weight_decay : float
        Decay is decoupled. With momentum there is none.
    batch_size : int or None
        Examples drawn with replacement; None takes all at every step.
    max_steps : int
        Length of the run.
    record_every : int
        Optimiser steps between two records.
    W_max : int
        Lags of K: enough to follow the modes of a window as wide as `span`.
    span : int
        Updates of the window that curvature is measured on; gradients reach one lag further.
    curvature_every : int
        Records between two measurements of curvature.
    """

    regime: str
    seed: int
    network: str = "mlp"
    optimizer: str = "SGD"
    learning_rate: float = 0.05
    weight_decay: float = 0.0
    momentum: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    batch_size: int | None = None
    max_steps: int = 1_500
    record_every: int = 1
    W_max: int = 16
    span: int = 10
    curvature_every: int = 5

    place: ClassVar[str] = ""
    family: ClassVar[str] = "dense"
    recipe: ClassVar[str] = "own"

    def __post_init__(self) -> None:
        """Check every value.

        Raises
        ------
        ValueError
            That names the first that is out of range.
        """
        choice("network", self.network, NETWORKS)
        choice("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("max_steps", "record_every", "W_max", "span", "curvature_every"):
            whole(name, getattr(self, name), 1)
        whole("span", self.span, 2, self.W_max)
        whole("seed", self.seed, 0)
        positive("learning_rate", self.learning_rate)
        nonnegative("weight_decay", self.weight_decay)
        nonnegative("momentum", self.momentum)
        if self.batch_size is not None:
            whole("batch_size", self.batch_size, 1)
        if self.momentum and (self.weight_decay or self.optimizer != "SGD"):
            raise ValueError(f"momentum goes with SGD without weight decay, got {self.momentum}")

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of recordings a run has: at every step, or at intervals."""
        return ("dense",) if self.record_every == 1 else ("intervals",)

    @property
    def name(self) -> str:
        """The run's name: also that of its file."""
        thinned = f"-every{self.record_every}" if self.record_every > 1 else ""
        return f"dense-{self.regime}-seed{self.seed}{thinned}"

    @property
    def task(self) -> str:
        """What the network learns."""
        return "regression" if self.network in ("mlp", "linear") else "modular-addition"

    def card(self) -> dict[str, Any]:
        """What the recording says of the run."""
        adaptive = self.optimizer != "SGD"
        unused = {"momentum"} if adaptive else {"beta1", "beta2"}
        fields = {name: value for name, value in asdict(self).items() if name not in unused}
        return {"run": self.name, "task": self.task, "experiment": "dense", **fields}


#: Without exchanges in sight curvature is looked at half as often.
_QUIET: dict[str, Any] = {"max_steps": 800, "curvature_every": 10}
_ADAMW: dict[str, Any] = {"optimizer": "AdamW", "learning_rate": 3e-3, "weight_decay": 0.1}
#: Settings by name. Gradient descent is "at the edge" where learning rate times sharpness has settled near 2.
REGIMES: dict[str, dict[str, Any]] = {
    "mlp-gd": {"learning_rate": 0.05, **_QUIET},
    "mlp-gd-edge": {"learning_rate": 0.2},
    "mlp-momentum": {"learning_rate": 0.01, "momentum": 0.9, "max_steps": 1_000},
    "mlp-sgd": {"learning_rate": 0.05, "batch_size": 32, **_QUIET},
    "mlp-adam": {"optimizer": "Adam", "learning_rate": 1e-3, "max_steps": 800},
    "mlp-adamw": _ADAMW,
    "mlp-adamw-batch": {**_ADAMW, "learning_rate": 1e-3, "batch_size": 32, **_QUIET},
    "linear-gd": {"network": "linear", "learning_rate": 0.01, **_QUIET},
    "quadratic-gd": {"network": "quadratic", "learning_rate": 1.0, "curvature_every": 10},
    "quadratic-gd-edge": {"network": "quadratic", "learning_rate": 4.0},
    "quadratic-adamw": {"network": "quadratic", **_ADAMW, "max_steps": 1_000},
    "transformer-adamw": {
        "network": "transformer", **_ADAMW, "weight_decay": 1.0, "beta2": 0.98, "max_steps": 1_800,
    },
}  # fmt: skip


def dense_run(regime: str, seed: int, **changes: Any) -> DenseConfig:
    """The run of a regime with a seed.

    Raises
    ------
    ValueError
        If there is no such regime.

    Examples
    --------
    >>> dense_run("mlp-gd-edge", 100).name
    'dense-mlp-gd-edge-seed100'
    """
    settings = REGIMES[choice("regime", regime, tuple(REGIMES))]
    return replace(DenseConfig(regime=regime, seed=seed, **settings), **changes)


#: Intervals at which runs of some regimes are recorded again, with the length of those runs.
INTERVALS = {3: 1_500, 10: 3_000, 30: 6_000, 100: 15_000}
AT_INTERVALS = ("mlp-adamw", "mlp-gd-edge")


def dense_runs(seeds: tuple[int, ...] = BUNDLED) -> list[DenseConfig]:
    """The planned dense runs: every regime with each of `seeds`, then some of the first two at intervals."""
    every_step = [dense_run(regime, seed) for seed in seeds for regime in REGIMES]
    return every_step + [
        dense_run(regime, seed, record_every=interval, max_steps=steps)
        for seed in seeds[:2]
        for regime in AT_INTERVALS
        for interval, steps in INTERVALS.items()
    ]
