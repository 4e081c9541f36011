"""Curvature along the window: Hessian-vector products for `GramTracker.update` (torch extra)."""

from collections.abc import Callable, Mapping
from typing import Any

Arrays = dict[str, Any]


def hessian_product(loss: Callable[[Arrays], Any], params: Mapping[str, Any]) -> Callable[[Arrays], Arrays]:
    """The map from a direction to H times it, H the Hessian of `loss` at `params`, by torch.func.

    Parameters
    ----------
    loss : callable
        Scalar loss of {name: tensor}, for instance
        ``lambda p: cross_entropy(torch.func.functional_call(model, p, x), y)``.
    params : mapping of str to tensor
        Where the Hessian is taken: ``dict(model.named_parameters())``.

    Returns
    -------
    callable
        Takes {name: tensor}; names left out mean 0. Returns {name: tensor} for all names of `params`. One
        call costs about two gradients.

    Examples
    --------
    With a tracker of `W_max` = 10 that records a window Hessian at every record::

        product = hessian_product(loss, dict(model.named_parameters()))
        tracker.update(model, step=step, hessian=product)
        tracker.sequence().window(10).curvature()  # h_j = v_jᵀHv_j
    """
    import torch

    point = {name: tensor.detach() for name, tensor in params.items()}
    gradient = torch.func.grad(loss)

    def product(direction: Arrays) -> Arrays:
        tangent = {
            name: direction[name].reshape(tensor.shape).to(tensor)
            if name in direction
            else torch.zeros_like(tensor)
            for name, tensor in point.items()
        }
        _, found = torch.func.jvp(gradient, (point,), (tangent,))
        return {name: tensor.detach() for name, tensor in found.items()}

    return product
