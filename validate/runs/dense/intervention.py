"""Learning without some directions of the window: what its leading modes are worth to the training (torch extra).

From a state of a run the training goes on for as many steps as a window holds, once as it is and once for each set of
directions that is taken out of every update: v_1 … v_k*, as many of the weakest modes of the same window (its bulk),
and as many random directions within its span. The run itself does not notice.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from spectral_edge.theory.spectrum import gap_position, gram_rtol, gram_spectrum

#: What is taken out, by the names of the metrics that say what came of it.
ARMS = ("nothing", "leading", "bulk", "random")

#: Losses of training and test set.
Losses = Callable[[Tensor], dict[str, float]]


def subspaces(X: Tensor, generator: torch.Generator) -> dict[str, Tensor | None] | None:
    """Orthonormal directions to take out, (k*, P) by the name of their arm.

    None where the window, (W, P), has no gap, or no k* further directions beside the leading ones.
    """
    K = (X @ X.T).numpy()
    lam, u = gram_spectrum(K)
    sigma = np.sqrt(np.maximum(lam, 0))
    held = int(np.sum(sigma > gram_rtol(len(K)) * sigma[0])) if sigma[0] > 0 else 0
    position = gap_position(np.where(np.arange(len(sigma)) < held, sigma, 0.0))
    if not np.isfinite(position) or 2 * int(position) > held:
        return None
    k = int(position)
    modes = torch.linalg.qr(X.T @ torch.from_numpy(np.ascontiguousarray(u[:, :held] / sigma[:held])))[0]
    turned = torch.linalg.qr(torch.randn(held, k, generator=generator, dtype=X.dtype))[0]
    return {
        "nothing": None,
        "leading": modes[:, :k].T,
        "bulk": modes[:, held - k :].T,
        "random": (modes @ turned).T,
    }


def continued(
    theta: Tensor, optimizer: Callable[[Tensor], torch.optim.Optimizer], state: dict[str, object], steps: int,
    gradient: Callable[[Tensor, int], Tensor], without: Tensor | None,
) -> Tensor:  # fmt: skip
    """Parameters after `steps` more steps, each without its part along the rows of `without`."""
    own = theta.detach().clone().requires_grad_()
    going_on = optimizer(own)
    going_on.load_state_dict(copy.deepcopy(state))
    for step in range(steps):
        before = own.detach().clone()
        own.grad = gradient(own, step)
        going_on.step()
        if without is not None:
            with torch.no_grad():
                update = own - before
                own -= (update @ without.T) @ without
    return own.detach()


def intervene(
    theta: Tensor, X: Tensor, optimizer: Callable[[Tensor], torch.optim.Optimizer], state: dict[str, object],
    gradient: Callable[[Tensor, int], Tensor], losses: Losses, generator: torch.Generator,
) -> dict[str, float]:  # fmt: skip
    """The losses after each arm, as metrics: ``test_loss_without_leading`` and so on; none where there is no gap.

    Parameters
    ----------
    theta : Tensor, (P,)
        Where the run is.
    X : Tensor, (W, P)
        Its last updates, in any order.
    optimizer : callable
        Makes the run's optimiser for other parameters; `state` is what it remembers.
    gradient : callable
        Gradient of the loss that the run would look at in its next steps, ``gradient(theta, step)``.
    losses : callable
    generator : torch.Generator
        For the random directions.
    """
    spaces = subspaces(X, generator)
    if spaces is None:
        return {}
    return {
        f"{name}_without_{arm}": value
        for arm, space in spaces.items()
        for name, value in losses(continued(theta, optimizer, state, len(X), gradient, space)).items()
    }
