"""Modular arithmetic: the task on which grokking was first seen, and the run whose operation changes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from spectral_edge.theory.checks import choice
from spectral_edge.validate.runs.config import Data, Examples, RunConfig

if TYPE_CHECKING:
    import torch

#: The six operations of the experiment, all modulo p.
OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "a+b": lambda a, b: a + b,
    "a-b": lambda a, b: a - b,
    "a*b": lambda a, b: a * b,
    "a2+b2": lambda a, b: a * a + b * b,
    "a2+ab+b2": lambda a, b: a * a + a * b + b * b,
    "a3+ab": lambda a, b: a * a * a + a * b,
}


@dataclass(frozen=True, kw_only=True)
class ModularConfig(RunConfig):
    """Everything that decides a modular-arithmetic run; the defaults are those of the thesis's experiment.

    Attributes
    ----------
    operation : str
        One of `OPERATIONS`, taken modulo `p`.
    p : int
        The modulus; all p² pairs are the data.
    train_share : float
        Share of the pairs used for training, the rest is the test set. The seed decides the split.
    """

    operation: str = "a+b"
    p: int = 97
    train_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("operation", self.operation, tuple(OPERATIONS))
        if not 0 < self.train_share < 1:
            raise ValueError(f"train_share must lie between 0 and 1, got {self.train_share}")

    @property
    def name(self) -> str:
        """Operation, weight decay and seed; no asterisk, because it is a file's name."""
        return f"modular-{self.operation.replace('*', '')}-wd{self.weight_decay:g}-seed{self.seed}"

    @property
    def task(self) -> str:
        """Addition has a name of its own."""
        return "modular-addition" if self.operation == "a+b" else "modular"

    def phases(self) -> list[tuple[int, Data]]:
        """All pairs, from the first step on."""
        return [(1, split(self))]

    def model(self) -> "torch.nn.Module":
        """Two tokens in, the answer read at the second; no token for the operation or the equals sign."""
        from spectral_edge.validate.runs.models import Transformer, seeded

        sizes = (self.p, 2, self.p)
        return seeded(self.seed, lambda: Transformer(self, *sizes, causal=False, last=True, plain=True))


@dataclass(frozen=True, kw_only=True)
class ShiftConfig(ModularConfig):
    """A modular run of fixed length in which the operation changes at a known step.

    Attributes
    ----------
    shift_step : int
        Last step of the first operation; 0 where it never changes (the control).
    shift_to : str
        The operation after that, on the same split of the pairs.
    """

    max_steps: int = 4_000
    target_accuracy: float | None = None
    shift_step: int = 2_000
    shift_to: str = "a-b"

    experiment: ClassVar[str] = "shift"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("shift_to", self.shift_to, tuple(OPERATIONS))

    def _may_be_zero(self) -> tuple[str, ...]:
        return (*super()._may_be_zero(), "shift_step")

    @property
    def name(self) -> str:
        """What changes into what, and the seed."""
        change = f"{self.operation}-to-{self.shift_to}" if self.shift_step else f"{self.operation}-stays"
        return f"shift-{change}-seed{self.seed}"

    @property
    def task(self) -> str:
        """A task of its own: its labels are not those of the run it begins as."""
        return "modular-shift"

    def phases(self) -> list[tuple[int, Data]]:
        """The pairs with the first operation, and after `shift_step` with the second."""
        first = [(1, split(self))]
        if not self.shift_step:
            return first
        return [*first, (self.shift_step + 1, split(replace(self, operation=self.shift_to)))]


def pairs(config: ModularConfig) -> tuple["torch.Tensor", "torch.Tensor"]:
    """All p² inputs and their labels.

    Returns
    -------
    inputs : (p², 2) int64
        The tokens a and b.
    labels : (p²,) int64
    """
    import torch

    operation = OPERATIONS[config.operation]
    rows = [(a, b) for a in range(config.p) for b in range(config.p)]
    labels = torch.tensor([operation(a, b) % config.p for a, b in rows])
    return torch.tensor(rows), labels


def split(config: ModularConfig) -> Data:
    """The pairs, split by the seed; a run is measured on all of them."""
    import torch

    inputs, labels = pairs(config)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(config.seed))
    train, test = order.split([cut := round(config.train_share * len(labels)), len(labels) - cut])
    seen, unseen = (Examples((inputs[rows],), labels[rows]) for rows in (train, test))
    return Data(seen, seen, unseen)
