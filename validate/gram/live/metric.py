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
    """D of one tensor, by what is known of it: what its inverse does."""

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
    """Muon's: how its step changes with what it orthogonalises, to first order.

    Muon steps by −η·ns(B), ns the Newton–Schulz iteration of its momentum B. That is not −ηD⁻¹B with a D that changes
    slowly, as Adam's does: ns(B) follows the direction of B at once and its length not at all. What the recurrence of
    10.3 needs of D⁻¹ is the change of the step with that of the momentum, and this is the derivative J of ns at B: a
    linear map, exact to first order. It has no inverse (J B = 0: a longer momentum makes the same step), so there is no
    D and no "metric". With Nesterov's momentum B is what is orthogonalised, as long as the gradient is there; without
    it, the momentum alone.
    """

    def __init__(
        self, parameter: Any, momentum: "torch.Tensor", group: Mapping[str, Any], scale: float
    ) -> None:
        B = momentum.detach()
        if group["nesterov"] and parameter.grad is not None:
            B = parameter.grad.detach().lerp(B, group["momentum"])
        self._tall = B.shape[0] > B.shape[1]
        B = (B.T if self._tall else B).double()
        self._short = bool(B.norm() < group["eps"])
        self._norm = B.norm().clamp(min=group["eps"])
        self._X, self._scale, self._group = B / self._norm, scale, group

    def inverse(self, vector: Any) -> Any:
        """J times `vector`."""
        a, b, c = self._group["ns_coefficients"]
        X, change = self._X, (vector.T if self._tall else vector).double()
        if not self._short:
            change = change - X * (X * change).sum()
        dX = change / self._norm
        for _ in range(self._group["ns_steps"]):
            A, dA = X @ X.T, dX @ X.T + X @ dX.T
            M, dM = b * A + c * A @ A, b * dA + c * (dA @ A + A @ dA)
            X, dX = a * X + M @ X, a * dX + dM @ X + M @ dX
        found = self._scale * dX
        return (found.T if self._tall else found).to(vector.dtype)


class Metric:
    """D of all tensors, as the optimisers have it now.

    Parameters
    ----------
    optimizers : iterable of torch.optim.Optimizer
        SGD (D = 1, with momentum too), Adam and AdamW (√v̂ + ε), RMSprop, Adagrad; Muon, of which D⁻¹ alone is known
        (`Orthogonalised`). Where groups have other learning rates than the first, D is divided by that ratio.
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
        """D times `vector`.

        Raises
        ------
        ValueError
            If an optimiser has no D: it is not `diagonal`.
        """
        found = {}
        for name, tensor in vector.items():
            scaling = self._scalings[name]
            if not isinstance(scaling, Diagonal):
                raise ValueError(
                    f"optimizer must have a number for every entry for a metric, got Muon's {name!r}: a longer "
                    "momentum makes the same step, so that its D⁻¹ has no inverse"
                )
            found[name] = scaling.times(tensor)
        return found

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
        scale = ratio * _adjusted(group, parameter.shape)
        return Orthogonalised(parameter, state["momentum_buffer"], group, scale)
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
