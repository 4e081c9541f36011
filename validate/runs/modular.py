"""Modular arithmetic: the task on which grokking was first seen. Its data and its model (torch extra)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectral_edge.theory._arguments import choice, nonnegative, positive, whole

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


@dataclass(frozen=True)
class ModularConfig:
    """Everything that decides a modular-arithmetic run; the defaults are those of the thesis's experiment.

    Attributes
    ----------
    operation : str
        One of `OPERATIONS`, taken modulo `p`.
    p : int
        The modulus; all p² pairs are the data.
    train_share : float
        Share of the pairs used for training, the rest is the test set.
    weight_decay : float
        Decoupled weight decay ω of AdamW (per unit of learning rate).
    seed : int
        Decides the split, the initial weights and the batches.
    learning_rate, beta1, beta2, batch_size, gradient_clip
        The optimiser (AdamW).
    d_model, heads, d_feedforward, layers
        The pre-norm transformer encoder.
    record_every : int
        Optimiser steps between two records.
    max_steps, target_accuracy, steps_after_target
        The run stops `steps_after_target` steps after the test accuracy first reaches `target_accuracy`,
        or at `max_steps`.
    """

    operation: str = "a+b"
    p: int = 97
    train_share: float = 0.5
    weight_decay: float = 1.0
    seed: int = 42
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.98
    batch_size: int = 512
    gradient_clip: float = 1.0
    d_model: int = 128
    heads: int = 4
    d_feedforward: int = 256
    layers: int = 2
    record_every: int = 100
    max_steps: int = 10_000
    target_accuracy: float = 0.98
    steps_after_target: int = 300

    def __post_init__(self) -> None:
        choice("operation", self.operation, tuple(OPERATIONS))
        for name in (
            "p",
            "batch_size",
            "d_model",
            "heads",
            "d_feedforward",
            "layers",
            "record_every",
            "max_steps",
        ):
            whole(name, getattr(self, name), 1)
        whole("seed", self.seed, 0)
        nonnegative("weight_decay", self.weight_decay)
        positive("learning_rate", self.learning_rate)
        positive("gradient_clip", self.gradient_clip)
        if not 0 < self.train_share < 1:
            raise ValueError(f"train_share must lie between 0 and 1, got {self.train_share}")

    @property
    def name(self) -> str:
        """The run's name: task, operation, weight decay and seed."""
        return f"modular-{self.operation}-wd{self.weight_decay:g}-seed{self.seed}"


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
    inputs = torch.tensor(rows)
    labels = torch.tensor([operation(a, b) % config.p for a, b in rows])
    return inputs, labels


def split(config: ModularConfig) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """Training inputs and labels, test inputs and labels; the split is decided by the seed."""
    import torch

    inputs, labels = pairs(config)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(config.seed))
    train, test = order.split([cut := round(config.train_share * len(labels)), len(labels) - cut])
    return inputs[train], labels[train], inputs[test], labels[test]


def build_model(config: ModularConfig) -> "torch.nn.Module":
    """Embed two tokens, encode them, read the answer at the last. The seed decides the weights.

    The plainest reading of the published description: no token for the operation or the equals sign, no
    normalisation after the last layer.
    """
    import torch
    from torch import nn

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(config.p, config.d_model)
            self.position = nn.Embedding(2, config.d_model)
            layer = nn.TransformerEncoderLayer(
                config.d_model,
                config.heads,
                config.d_feedforward,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
            self.head = nn.Linear(config.d_model, config.p)

        def forward(self, tokens: "torch.Tensor") -> "torch.Tensor":
            encoded: torch.Tensor = self.encoder(self.token(tokens) + self.position.weight)
            return self.head(encoded[:, -1])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Transformer()


def attention_weights(model: "torch.nn.Module") -> list["torch.Tensor"]:
    """The attention matrices (W_Q, W_K, W_V stacked, and W_O) of every layer, in model order."""
    return [
        parameter.detach()
        for name, parameter in model.named_parameters()
        if "self_attn" in name and name.endswith("weight")
    ]
