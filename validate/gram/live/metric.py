"""The metric of an optimiser's own state: D in θ′ = θ − η D⁻¹∇L (section 10.3 of docs/theory.md; torch extra)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Tensors = dict[str, Any]

#: The optimisers whose D is known.
KNOWN = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Muon")


class Scaling(ABC):
    """D of one tensor."""

    @abstractmethod
    def times(self, vector: Any) -> Any:
        """D times `vector`."""

    @abstractmethod
    def inverse(self, vector: Any) -> Any:
        """D⁻¹ times `vector`."""


class Diagonal(Scaling):
    """A positive number for every entry, or one for all."""

    def __init__(self, D: Any) -> None:
        self._D = D

    def times(self, vector: Any) -> Any:
        """D times `vector`."""
        return vector * self._D

    def inverse(self, vector: Any) -> Any:
        """D⁻¹ times `vector`."""
        return vector / self._D


class Orthogonalised(Scaling):
    """Muon's: the Newton–Schulz polynomial p of its momentum B, which replaces B by p(BBᵀ)B, held fixed.

    D⁻¹ = p(BBᵀ) acts from the left (from the right where B is taller than wide). It is positive definite, also where
    BBᵀ is singular: p(0) is finite. That p changes with B is left out, as it is of Adam's D.
    """

    def __init__(self, momentum: "torch.Tensor", group: Mapping[str, Any], scale: float) -> None:
        import torch

        B = momentum.detach().double()
        self._tall = B.shape[0] > B.shape[1]
        B = B.T if self._tall else B
        norm = B.norm().clamp(min=group["eps"])
        u, s, _ = torch.linalg.svd(B / norm, full_matrices=False)
        a, b, c = group["ns_coefficients"]
        gain = torch.ones_like(s)
        for _ in range(group["ns_steps"]):
            square = (s * gain) ** 2
            gain = gain * (a + b * square + c * square**2)
        self._u, self._gain = u, scale * gain / norm

    def times(self, vector: Any) -> Any:
        """D times `vector`."""
        return self._act(vector, 1 / self._gain)

    def inverse(self, vector: Any) -> Any:
        """D⁻¹ times `vector`."""
        return self._act(vector, self._gain)

    def _act(self, vector: Any, factors: Any) -> Any:
        x = vector.T.double() if self._tall else vector.double()
        found = self._u @ (factors[:, None] * (self._u.T @ x))
        return (found.T if self._tall else found).to(vector.dtype)


class Metric:
    """D of all tensors, as the optimisers have it now.

    Parameters
    ----------
    optimizers : iterable of torch.optim.Optimizer
        SGD (D = 1, with momentum too), Adam and AdamW (√v̂ + ε), RMSprop, Adagrad, Muon (`Orthogonalised`). Where groups
        have other learning rates than the first, D is divided by that ratio.
    named : mapping of str to torch.nn.Parameter

    Raises
    ------
    ValueError
        If a parameter is in none of them, or in one whose D is not known.

    Examples
    --------
    >>> import torch
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    >>> adam = torch.optim.Adam([w], lr=0.1, eps=0.0)
    >>> w.grad = torch.tensor([3.0, 0.5])
    >>> adam.step()
    >>> Metric([adam], {"w": w}).inverse({"w": torch.ones(2)})["w"]  # v̂ = g²
    tensor([0.3333, 2.0000])
    """

    def __init__(self, optimizers: "Iterable[torch.optim.Optimizer]", named: Mapping[str, Any]) -> None:
        optimizers = list(optimizers)
        rate = float(optimizers[0].param_groups[0]["lr"])
        names = {id(parameter): name for name, parameter in named.items()}
        self._scalings: dict[str, Scaling] = {}
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                ratio = float(group["lr"]) / rate if rate > 0 and float(group["lr"]) > 0 else 1.0
                for parameter in group["params"]:
                    name = names.get(id(parameter))
                    if name is not None:
                        self._scalings[name] = _scaling(optimizer, group, parameter, ratio)
        missing = [name for name in named if name not in self._scalings]
        if missing:
            raise ValueError(
                f"optimizer must have every parameter that is recorded, got none with {missing[0]!r}"
            )

    @property
    def diagonal(self) -> bool:
        """Whether D is a number for every entry."""
        return all(isinstance(scaling, Diagonal) for scaling in self._scalings.values())

    def times(self, vector: Mapping[str, Any]) -> Tensors:
        """D times `vector`."""
        return {name: self._scalings[name].times(tensor) for name, tensor in vector.items()}

    def inverse(self, vector: Mapping[str, Any]) -> Tensors:
        """D⁻¹ times `vector`."""
        return {name: self._scalings[name].inverse(tensor) for name, tensor in vector.items()}


def _scaling(optimizer: Any, group: Mapping[str, Any], parameter: Any, ratio: float) -> Scaling:
    """D of one parameter; 1 where the optimiser has not moved it yet."""
    kind, state = type(optimizer).__name__, optimizer.state.get(parameter, {})
    if kind not in KNOWN:
        raise ValueError(f"optimizer must be one of {', '.join(KNOWN)} for a response, got {kind}")
    if kind == "SGD" or not state:
        return Diagonal(1 / ratio)
    if kind == "Muon":
        return Orthogonalised(state["momentum_buffer"], group, ratio * _adjusted(group, parameter.shape))
    if kind == "RMSprop":
        mean = state["square_avg"]
        if group["centered"]:
            mean = mean - state["grad_avg"] ** 2
        return Diagonal((mean.sqrt() + group["eps"]) / ratio)
    if kind == "Adagrad":
        return Diagonal((state["sum"].sqrt() + group["eps"]) / ratio)
    square = state["max_exp_avg_sq"] if group["amsgrad"] else state["exp_avg_sq"]
    unbiased = square / (1 - group["betas"][1] ** float(state["step"]))
    return Diagonal((unbiased.sqrt() + group["eps"]) / ratio)


def _adjusted(group: Mapping[str, Any], shape: Any) -> float:
    """By what Muon multiplies its learning rate for a matrix of this shape."""
    rows, columns = shape
    if group["adjust_lr_fn"] == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
