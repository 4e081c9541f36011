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
#: What a run of so many operations is called.
FAMILIES = {1: "single", 2: "dual", 3: "tri"}


@dataclass(frozen=True, kw_only=True)
class ModularConfig(RunConfig):
    """Everything that decides a modular-arithmetic run; the defaults are those of the thesis's experiment.

    Attributes
    ----------
    operation : str
        One of `OPERATIONS`, taken modulo `p`; or up to three of them, separated by commas, that one model learns
        at once, with a head for each.
    p : int
        The modulus. All pairs 0 … p − 1 are the data, or, where a·b is among the operations, all pairs
        1 … p − 1.
    train_share : float
        Share of the pairs used for training; the rest is the test set. The seed decides the split.
    """

    operation: str = "a+b"
    p: int = 97
    train_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for operation in self.operations:
            choice("operation", operation, tuple(OPERATIONS))
        if len(self.operations) not in FAMILIES:
            raise ValueError(f"operation must name at most {max(FAMILIES)}, got {self.operation!r}")
        if not 0 < self.train_share < 1:
            raise ValueError(f"train_share must lie between 0 and 1, got {self.train_share}")

    @property
    def operations(self) -> list[str]:
        """What is learned at once."""
        return self.operation.split(",")

    @property
    def family(self) -> str:
        """By the number of operations."""
        return FAMILIES[len(self.operations)]

    @property
    def subject(self) -> str:
        """The family, and the operation where it is one; no asterisk, because it is a file's name."""
        alone = len(self.operations) == 1
        return f"{self.family}-{self.operation.replace('*', '')}" if alone else self.family

    @property
    def task(self) -> str:
        """Addition has a name of its own."""
        alone = "modular-addition" if self.operation == "a+b" else "modular"
        return alone if len(self.operations) == 1 else f"modular-{self.family}"

    def phases(self) -> list[tuple[int, Data]]:
        """All pairs, from the first step on."""
        return [(1, split(self))]

    def model(self) -> "torch.nn.Module":
        """Two tokens in, the answer read at the first; no token for the operation or the equals sign."""
        from spectral_edge.validate.runs.models import Transformer, seeded

        sizes = (self.p, 2, self.p)
        tasks, scale = len(self.operations), self.d_model**-0.5
        return seeded(
            self.seed,
            lambda: Transformer(self, *sizes, tasks=tasks, first=True, position_scale=scale, copies=True),
        )


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

    question: ClassVar[str] = "shift"
    recipe: ClassVar[str] = "own"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("shift_to", self.shift_to, tuple(OPERATIONS))

    def _may_be_zero(self) -> tuple[str, ...]:
        return (*super()._may_be_zero(), "shift_step")

    @property
    def family(self) -> str:
        """One of its own."""
        return "shift"

    @property
    def subject(self) -> str:
        """What changes into what."""
        return f"shift-{self.operation}"

    @property
    def _treatment(self) -> str:
        return f"to-{self.shift_to}" if self.shift_step else "stays"

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
    """All inputs and their labels.

    Returns
    -------
    inputs : (n, 2) int64
        The tokens a and b.
    labels : (n,) or, for several operations, (n, tasks) int64
    """
    import torch

    numbers = range(1 if "a*b" in config.operations else 0, config.p)
    rows = [(a, b) for a in numbers for b in numbers]
    labels = torch.tensor(
        [[OPERATIONS[operation](a, b) % config.p for operation in config.operations] for a, b in rows]
    )
    return torch.tensor(rows), labels if len(config.operations) > 1 else labels[:, 0]


def split(config: ModularConfig) -> Data:
    """The pairs, split by the seed; a run is measured on all of them."""
    import torch

    inputs, labels = pairs(config)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(config.seed))
    train, test = order.split([cut := round(config.train_share * len(labels)), len(labels) - cut])
    tasks = len(config.operations)
    seen, unseen = (Examples((inputs[rows],), labels[rows], tasks=tasks) for rows in (train, test))
    return Data(seen, seen, unseen)
