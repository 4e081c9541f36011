"""What of a network in training may warn, and K does not hold: commutators, the local learning coefficient, responses.

All are taken where the run stands and change nothing of it (torch extra).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

#: Step of the two mini-batches of a commutator, pairs whose median is taken, and examples of each.
STEP, PAIRS, BATCH = 1e-3, 3, 64
#: Langevin steps that are thrown away and kept, their size, and the strength that holds them near the weights.
BURN, DRAWS, PACE, HOLD = 40, 60, 1e-4, 1e3

#: The gradient at a vector of parameters, of all examples or of those in some rows.
Gradient = Callable[..., Any]


def commutator_defect(gradient: Gradient, theta: Any, draw: Callable[[], Any]) -> float:
    """By how much two steps of descent, each on a mini-batch of its own, depend on their order.

    Parameters
    ----------
    gradient : callable
        ``gradient(theta, rows)``, (P,), loss per parameter unit.
    theta : Tensor, (P,)
    draw : callable
        Rows of a mini-batch.

    Returns
    -------
    float
        Median over `PAIRS` of ‖θ_AB − θ_BA‖/(‖ηg_A‖‖ηg_B‖), η = `STEP`, g at θ: for small η
        ‖H_B g_A − H_A g_B‖/(‖g_A‖‖g_B‖). This is how the code of Xu, Early-warning signals of grokking
        via loss-landscape geometry (arXiv:2602.16967), normalises it.

    Examples
    --------
    >>> import torch
    >>> H = {"a": torch.diag(torch.tensor([2.0, 0.0])), "b": torch.ones(2, 2)}
    >>> names = iter("ab" * PAIRS)
    >>> theta = torch.tensor([1.0, 0.0], dtype=torch.float64)
    >>> found = commutator_defect(lambda at, name: H[name].double() @ at, theta, lambda: next(names))
    >>> round(found, 6)  # ‖H_b(2, 0) − H_a(1, 1)‖/(2√2), of (2, 2) − (2, 0)
    0.707107
    """
    found = []
    for _ in range(PAIRS):
        A, B = draw(), draw()
        a, b = gradient(theta, A), gradient(theta, B)
        after = gradient(theta - STEP * a, B) + a - b - gradient(theta - STEP * b, A)
        found.append(float(after.norm() / (STEP * a.norm() * b.norm())))
    return float(np.median(found))


def learning_coefficient(
    loss: Callable[[Any], Any], theta: Any, n: int, generator: Any, *, hold: float = HOLD, pace: float = PACE,
    burn: int = BURN, draws: int = DRAWS,
) -> float:  # fmt: skip
    """Local learning coefficient nβ(E[L(w)] − L(θ)), β = 1/ln n, by Langevin steps around θ.

    Parameters
    ----------
    loss : callable
        Mean loss over the n examples, of (P,) parameters.
    theta : Tensor, (P,)
    n : int
    generator : torch.Generator
    hold : float
        γ of the localising term γ‖w − θ‖²/2.
    pace : float
        Size ε of a step w ← w − ε(nβ∇L + γ(w − θ))/2 + √ε ξ.
    burn, draws : int
        Steps thrown away, and steps over which the loss is averaged.

    Returns
    -------
    float
        In a quadratic loss of curvatures h_j around θ it estimates Σ nβh_j/(nβh_j + γ)/2, which is P/2 where γ is
        small: the learning coefficient of a regular model (Lau et al. 2023, arXiv:2308.12108). Where γ is not,
        directions count whose curvature exceeds γ/(nβ). Below zero where θ is not a minimum. Steps of finite size make
        it larger, along a direction by 1/(1 − ε(nβh_j + γ)/4).

    Examples
    --------
    >>> import torch
    >>> found = learning_coefficient(
    ...     lambda w: w.square().sum() / 2, torch.zeros(6, dtype=torch.float64), 1000, torch.Generator().manual_seed(0),
    ...     hold=1e-6, pace=1e-3, burn=500, draws=5000,
    ... )
    >>> 2.7 < found < 3.3
    True
    """
    import torch

    beta = n / np.log(n)
    w = theta.detach().clone()
    total = 0.0
    for step in range(burn + draws):
        w.requires_grad_()
        value = loss(w)
        (slope,) = torch.autograd.grad(value, w)
        if step >= burn:
            total += float(value.detach())
        w = w.detach()
        kick = torch.randn(w.shape, generator=generator, dtype=w.dtype)
        w = w - pace / 2 * (beta * slope + hold * (w - theta)) + pace**0.5 * kick
    with torch.no_grad():
        return float(beta * (total / draws - float(loss(theta))))


def response(loss: Callable[[Any], Any], theta: Any, X: Any, D: Any) -> Any:
    """δ_sᵀD⁻¹Hδ_r, (W, W), of updates X (W, P) at θ, D a diagonal (P,)."""
    import torch

    at = theta.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(at), at, create_graph=True)
    (HX,) = torch.autograd.grad(slope, at, X, is_grads_batched=True)
    return X @ (HX / D).T
