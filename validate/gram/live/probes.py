"""Probes of a loss along the window: gradients, curvature, the optimiser's response, ablations (torch extra).

`from_loss` needs the model and a function that returns its loss. What a `GramTracker` records with it, by name:

=====================  ====================================================================  ==================
probe                  what it is                                                            shape per record
=====================  ====================================================================  ==================
"gradient"             ⟨∇L, δ_{t−l}⟩                                                         (W_max + 1,)
"validation_gradient"  the same of the validation loss                                       (W_max + 1,)
"hessian"              δ_sᵀHδ_r by lag, symmetrised                                          (window, window)
"response"             δ_sᵀD⁻¹Hδ_r by lag [s, r], D the optimiser's metric; not symmetric    (window, window)
"metric"               δ_sᵀDδ_r by lag; none of Muon, whose D⁻¹ has no inverse                (window, window)
"ablation"             of every v_j: loss and validation loss change when it is projected    (window, 5)
                       out of θ, ⟨∇L, v_j⟩, ⟨∇L_val, v_j⟩, ⟨θ, v_j⟩
"ablation_random"      the same of random directions                                         (window, 5)
=====================  ====================================================================  ==================

and the metric "response_norm", ‖D⁻¹Hδ_t‖ (section 10.3 of docs/theory.md). `query_spectra` makes metrics of the query
matrices.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import whole
from spectral_edge.theory.spectrum import gram_rtol, gram_spectrum
from spectral_edge.validate.gram.live.queries import query_spectra
from spectral_edge.validate.gram.live.view import View
from spectral_edge.validate.gram.parameters import by_normalised_name

if TYPE_CHECKING:
    import torch

__all__ = ["LossProbes", "from_loss", "hessian_product", "query_spectra"]

Arrays = dict[str, Any]
Floats = NDArray[np.float64]


def hessian_product(loss: Callable[[Arrays], Any], params: Mapping[str, Any]) -> Callable[[Arrays], Arrays]:
    """The map from a direction to H times it, H the Hessian of `loss` at `params` (section 0), by torch.func.

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
        call costs about two gradients. What has no forward derivative is differentiated backward twice.

    Examples
    --------
    >>> import torch
    >>> from spectral_edge import validate
    >>> w = torch.ones(3, dtype=torch.float64)
    >>> tracker = validate.GramTracker(W_max=2, say=None)
    >>> for step in range(5):
    ...     product = hessian_product(lambda p: (p["w"] ** 2).sum(), {"w": w})  # H = 2
    ...     tracker.update({"w": w}, step=step, hessian=product)
    ...     w = w + torch.eye(3, dtype=torch.float64)[step % 3]
    >>> tracker.sequence().window(2).curvature()[0].tolist()  # h_j = v_jᵀHv_j
    [2.0, 2.0]
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
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # torch.func.jvp scripts its own decompositions
            try:
                found: Any = torch.func.jvp(gradient, (point,), (tangent,))[1]
            except (NotImplementedError, RuntimeError):
                pull: Any = torch.func.vjp(gradient, point)[1]
                (found,) = pull(tangent)  # H is symmetric, so H·v is the derivative of ⟨∇L, v⟩ too
        return {name: tensor.detach() for name, tensor in found.items()}

    return product


def from_loss(
    model: "torch.nn.Module",
    loss: Callable[[Any], Any],
    *,
    validation: Callable[[Any], Any] | None = None,
    optimizer: "torch.optim.Optimizer | Iterable[torch.optim.Optimizer] | None" = None,
    window: int = 10,
    hessian_every: int = 1,
    ablation_every: int | Collection[int] | None = None,
    seed: int = 0,
) -> "LossProbes":
    """Measure gradient, curvature and ablations of a loss at every record of a tracker (6.1, 6.3, 10.3, 10.7).

    The model is not changed: its loss is taken in evaluation mode (no dropout, running statistics), with copies of
    its buffers, and its random numbers are left alone.

    Parameters
    ----------
    model : torch.nn.Module
        The model that the tracker records.
    loss : callable
        Takes the model, returns its mean loss, a scalar tensor: ``lambda model: cross_entropy(model(x), y)``. Always of
        the same examples, a few hundred of the training set: a loss that is drawn anew measures its own noise.
    validation : callable, optional
        The same of examples that are not trained on.
    optimizer : torch.optim.Optimizer, or several, optional
        Whose state gives D: then "response", "metric" and "response_norm" are recorded too. For every optimiser
        that `metric.Metric` knows; of Muon, which has a D⁻¹ (the derivative of its step) and no D, no "metric".
    window : int
        How many updates curvature and ablations reach back; no more than the tracker's W_max + 1.
    hessian_every : int
        Curvature is taken at every so many records: `window` products with H, each about two gradients.
    ablation_every : int or collection of int, optional
        Directions are ablated at every so many records (2·`window` losses of each kind, twice), or at these records,
        counted from 1; never by default.
    seed : int
        Decides the random directions.

    Returns
    -------
    LossProbes
        For ``tracker.attach(optimizer, model, probes=…)`` or ``tracker.update(model, probes=…)``.

    Raises
    ------
    ValueError
        If ablations are asked for without a validation loss, a number is out of its range, or `optimizer` is not an
        optimiser.

    Examples
    --------
    >>> import torch
    >>> from spectral_edge import validate
    >>> _ = torch.manual_seed(0)
    >>> model, x = torch.nn.Linear(3, 1), torch.randn(32, 3)
    >>> adam = torch.optim.AdamW(model.parameters(), lr=0.1)
    >>> def loss(model):
    ...     return (model(x) - x.sum(1, keepdim=True)).square().mean()
    >>> probes = validate.probes.from_loss(model, loss, optimizer=adam, window=3)
    >>> tracker = validate.GramTracker(4, say=None)
    >>> attached = tracker.attach(adam, model, probes=probes)
    >>> for _ in range(8):
    ...     adam.zero_grad()
    ...     loss(model).backward()
    ...     adam.step()
    >>> tracker.sequence().window(3).curvature("response").shape
    (6, 3)
    """
    return LossProbes(model, loss, validation, optimizer, window, hessian_every, ablation_every, seed)


class LossProbes:
    """Probes of a loss (6.1, 6.3, 10.3, 10.7), made by `from_loss`; a tracker calls `along` at each of its records.

    Parameters
    ----------
    model, loss, validation, optimizer, window, hessian_every, ablation_every, seed
        As in `from_loss`.

    Examples
    --------
    >>> import torch
    >>> from spectral_edge import validate
    >>> probes = validate.probes.from_loss(torch.nn.Linear(3, 1), lambda model: model(torch.ones(1, 3)).sum(), window=4)
    >>> probes.window
    4
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any], Any],
        validation: Callable[[Any], Any] | None,
        optimizer: Any,
        window: int,
        hessian_every: int,
        ablation_every: int | Collection[int] | None,
        seed: int,
    ) -> None:
        from spectral_edge.validate.gram.integrations.pytorch import unwrapped

        self.model = model
        self.losses = {"gradient": loss} | ({} if validation is None else {"validation_gradient": validation})
        self.optimizers = None if optimizer is None else unwrapped(optimizer, model)
        self.window, self.seed = whole("window", window, 2), whole("seed", seed, 0)
        self.hessian_every = whole("hessian_every", hessian_every, 1)
        if ablation_every is None or isinstance(ablation_every, Collection):
            self.ablation_every: int | Collection[int] | None = ablation_every
        else:
            self.ablation_every = whole("ablation_every", ablation_every, 1)
        if ablation_every is not None and validation is None:
            raise ValueError("ablation_every needs a validation loss: the change of both losses is recorded")

    def along(self, view: View) -> tuple[dict[str, Any], dict[str, float]]:
        """Measure at the parameters as they are now (6.1, 6.3, 10.3, 10.7).

        Parameters
        ----------
        view : View
            The updates that the tracker keeps.

        Returns
        -------
        probes : dict of str to array
            By name, with the shapes per record in the table of this module.
        metrics : dict of str to float
            "response_norm", where there is a response.

        Raises
        ------
        ValueError
            If `window` reaches further back than the tracker keeps updates, a recorded parameter is not one of the
            model, or the loss is not a scalar tensor.

        Examples
        --------
        >>> import torch
        >>> from spectral_edge import validate
        >>> model = torch.nn.Linear(3, 1, dtype=torch.float64)
        >>> probes = validate.probes.from_loss(model, lambda model: model(torch.ones(1, 3).double()).sum(), window=2)
        >>> tracker = validate.GramTracker(2, say=None)
        >>> for step in range(4):
        ...     tracker.update(model, step=step, probes=probes)  # calls `along`
        ...     model.weight.data += 1
        >>> tracker.sequence().probes["gradient"].shape
        (3, 3)
        """
        if view.length < self.window:
            raise ValueError(f"window must be at most W_max + 1 = {view.length}, got {self.window}")
        with _undisturbed(self.model) as (inner, buffers):
            at = _Point(inner, buffers, list(view.parameters))
            gradients = {name: at.gradient(loss) for name, loss in self.losses.items()}
            probes: dict[str, Any] = {name: view.inner(vector) for name, vector in gradients.items()}
            metrics: dict[str, float] = {}
            if view.kept % self.hessian_every == 0:
                self._curvature(view, at, probes, metrics)
            if self._ablated(view.kept) and view.known >= self.window:
                self._ablations(view, at, gradients, probes)
        return probes, metrics

    def _ablated(self, record: int) -> bool:
        when = self.ablation_every
        return when is not None and (record in when if isinstance(when, Collection) else record % when == 0)

    def _curvature(self, view: View, at: "_Point", probes: dict[str, Any], metrics: dict[str, float]) -> None:
        W = self.window
        found = {name: np.full((W, W), np.nan) for name in ("hessian", "response", "metric")}
        product = hessian_product(at.of(self.losses["gradient"]), at.point)
        D = None
        if self.optimizers is not None:
            from spectral_edge.validate.gram.live.metric import Metric

            D = Metric(self.optimizers, at.parameters)
        for lag in range(min(W, view.known)):
            update = view.update(lag)
            curved = product(update)
            found["hessian"][lag] = view.inner(curved)[:W]
            if D is not None:
                response = D.inverse(curved)
                found["response"][:, lag] = view.inner(response)[:W]
                if D.diagonal:  # Muon has none
                    found["metric"][lag] = view.inner(D.times(update))[:W]
                if lag == 0:
                    square = sum(float(tensor.double().square().sum()) for tensor in response.values())
                    metrics["response_norm"] = float(np.sqrt(square))
        if D is None:
            del found["response"]
        if D is None or not D.diagonal:
            del found["metric"]
        for name in {"hessian", "metric"} & found.keys():
            found[name] = (found[name] + found[name].T) / 2
        probes |= found

    def _ablations(
        self, view: View, at: "_Point", gradients: Mapping[str, Arrays], probes: dict[str, Any]
    ) -> None:
        import torch

        updates = [view.update(lag) for lag in reversed(range(self.window))]  # oldest first
        G = np.stack([view.inner(update)[self.window - 1 :: -1] for update in updates])
        spectrum = gram_spectrum((G + G.T) / 2)
        generator = torch.Generator().manual_seed(self.seed + view.kept)
        losses = list(self.losses.values())
        before = [at.value(loss, {}) for loss in losses]
        own, random = [], []
        for j, sigma in enumerate(spectrum.sigma):
            if sigma <= gram_rtol(self.window) * spectrum.sigma[0]:
                own.append([np.nan] * 5)
            else:
                weights = spectrum.u[:, j] / sigma
                v = {
                    name: sum(w * update[name].double() for w, update in zip(weights, updates, strict=True))
                    for name in at.point
                }
                own.append(at.ablate(v, losses, before, gradients))
            v = {
                name: torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor.device)
                for name, tensor in at.point.items()
            }
            norm = sum(float(tensor.square().sum()) for tensor in v.values()) ** 0.5
            random.append(
                at.ablate({name: tensor / norm for name, tensor in v.items()}, losses, before, gradients)
            )
        probes |= {"ablation": np.array(own), "ablation_random": np.array(random)}


class _Point:
    """The losses of a model as functions of the parameters that are recorded."""

    def __init__(self, model: Any, buffers: Mapping[str, Any], names: list[str]) -> None:
        by_name = by_normalised_name(model.named_parameters())
        origin = {id(parameter): name for name, parameter in model.named_parameters()}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise ValueError(f"probes must be of the model that is recorded, got one without {missing[0]!r}")
        self.parameters = {name: by_name[name] for name in names}
        self.point = {name: parameter.detach() for name, parameter in self.parameters.items()}
        self._origin = {name: origin[id(parameter)] for name, parameter in self.parameters.items()}
        self._model, self._buffers = model, buffers

    def of(self, loss: Callable[[Any], Any]) -> Callable[[Arrays], Any]:
        """The loss as a function of the parameters by name."""
        import torch

        whole_model = _applied(self._model, loss)

        def value(params: Arrays) -> Any:
            given = {f"model.{self._origin[name]}": tensor for name, tensor in params.items()}
            copies = {f"model.{name}": tensor.clone() for name, tensor in self._buffers.items()}
            found = torch.func.functional_call(whole_model, given | copies, ())
            if getattr(found, "ndim", None) != 0:
                raise ValueError(
                    f"loss must return a scalar tensor, got {type(found).__name__} {getattr(found, 'shape', '')}"
                )
            return found

        return value

    def gradient(self, loss: Callable[[Any], Any]) -> Arrays:
        """∇ of the loss, by name."""
        import torch

        found: Arrays = torch.func.grad(self.of(loss))(self.point)
        return {name: tensor.detach() for name, tensor in found.items()}

    def value(self, loss: Callable[[Any], Any], moved: Arrays) -> float:
        """The loss with some parameters replaced."""
        import torch

        with torch.no_grad():
            return float(self.of(loss)(self.point | moved))

    def ablate(
        self, v: Arrays, losses: list[Any], before: list[float], gradients: Mapping[str, Arrays]
    ) -> list[float]:
        """What projecting the unit vector `v` out of θ does."""

        def along(vector: Mapping[str, Any]) -> float:
            return sum(float((vector[name].double() * v[name]).sum()) for name in v)

        theta = along(self.point)
        moved = {
            name: (tensor.double() - theta * v[name]).to(tensor.dtype) for name, tensor in self.point.items()
        }
        changes = [self.value(loss, moved) - was for loss, was in zip(losses, before, strict=True)]
        return [*changes, *(along(vector) for vector in gradients.values()), theta]


def _applied(model: Any, loss: Callable[[Any], Any]) -> Any:
    """A module whose only parameters are the model's, and whose value is its loss."""
    import torch

    class Applied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Any:
            return loss(self.model)

    return Applied()


@contextmanager
def _undisturbed(model: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The model without its wrappers, in evaluation mode, and its buffers; afterwards it is as it was."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    while hasattr(model, "_orig_mod") or type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module
    modes = [(module, module.training) for module in model.modules()]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        for module, _ in modes:
            module.training = False
        with (
            torch.random.fork_rng(devices=devices),
            torch.inference_mode(False),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),  # the fused attention has no second derivative
        ):
            yield model, dict(model.named_buffers())
    finally:
        for module, training in modes:
            module.training = training
