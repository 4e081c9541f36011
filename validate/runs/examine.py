"""What is measured on a model while it trains; nothing here changes it or draws from its random numbers."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from spectral_edge.validate.gram.live.probes import hessian_product
from spectral_edge.validate.runs.config import IGNORED, Examples
from spectral_edge.validate.runs.models import attention_matrices

Floats = NDArray[np.float64]
Tensors = dict[str, torch.Tensor]

#: Singular values kept of every attention matrix.
TOP = 3


def loss_of(model: nn.Module, batch: Examples) -> torch.Tensor:
    """Mean cross-entropy over the answers that count."""
    return cross_entropy(model(*batch.inputs).flatten(0, -2), batch.labels.flatten(), ignore_index=IGNORED)


def chunks(examples: Examples, size: int) -> Iterator[tuple[Examples, float]]:
    """Parts of `size` examples, each with its share of the answers that count."""
    answers = int(examples.answers.sum())
    for start in range(0, examples.size, size):
        part = examples.take(slice(start, start + size))
        yield part, int(part.answers.sum()) / answers


@torch.no_grad()
def mean_loss(model: nn.Module, examples: Examples, chunk: int) -> float:
    """Mean loss over `examples`."""
    return sum(share * float(loss_of(model, part)) for part, share in chunks(examples, chunk))


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples, chunk: int, whole_sequence: bool) -> tuple[float, float]:
    """Mean loss, and the share of answers (or of whole sequences of answers) that are right."""
    loss, right, asked = 0.0, 0, 0
    for part, share in chunks(examples, chunk):
        logits = model(*part.inputs)
        loss += share * float(
            cross_entropy(logits.flatten(0, -2), part.labels.flatten(), ignore_index=IGNORED)
        )
        counts = part.labels != IGNORED
        correct = (logits.argmax(-1) == part.labels) | ~counts
        right += int(correct.all(-1).sum() if whole_sequence else correct[counts].sum())
        asked += part.size if whole_sequence else int(counts.sum())
    return loss, right / asked


def gradient(model: nn.Module, examples: Examples, chunk: int) -> Tensors:
    """Gradient of the mean loss over `examples`, by parameter."""
    named = dict(model.named_parameters())
    total = {name: torch.zeros_like(tensor) for name, tensor in named.items()}
    for part, share in chunks(examples, chunk):
        found = torch.autograd.grad(share * loss_of(model, part), list(named.values()))
        for into, piece in zip(total.values(), found, strict=True):
            into += piece
    return total


def matrix_metrics(model: nn.Module) -> dict[str, float]:
    """Frobenius norm and top singular values of every attention matrix, as "encoder.0.Q.sigma_1"."""
    found: dict[str, float] = {}
    for name, matrix in attention_matrices(model).items():
        sigma = torch.linalg.svdvals(matrix.double())
        found[f"{name}.norm"] = float(sigma.square().sum().sqrt())
        found |= {f"{name}.sigma_{j + 1}": float(sigma[j]) for j in range(TOP)}
    return found


class Window(NamedTuple):
    """The last updates of the parameters called `names`.

    The tracker keeps them too, but lends no directions in parameter space; ablation and the window Hessian need
    those.
    """

    names: list[str]
    thetas: torch.Tensor  #: (W + 1, P), oldest first

    @property
    def updates(self) -> torch.Tensor:
        """The last W updates, oldest first, (W, P)."""
        return self.thetas.diff(dim=0)

    def directions(self) -> torch.Tensor:
        """v_1 … v_W, the right singular vectors of the trajectory matrix, (W, P) float32."""
        X = self.updates.double()
        lam, u = torch.linalg.eigh(X @ X.T)
        return ((u / lam.clamp(min=0).sqrt()).flip(1).T @ X).float()

    def random_directions(self, seed: int) -> torch.Tensor:
        """W isotropic unit vectors, (W, P) float32."""
        drawn = torch.randn(self.updates.shape, generator=torch.Generator().manual_seed(seed))
        return drawn / drawn.norm(dim=1, keepdim=True)


def flat(tensors: Mapping[str, torch.Tensor], names: list[str]) -> torch.Tensor:
    """The tensors called `names` as one vector (a copy)."""
    return torch.cat([tensors[name].detach().flatten() for name in names])


def unflat(vector: torch.Tensor, like: Mapping[str, torch.Tensor], names: list[str]) -> Tensors:
    """The opposite of `flat`."""
    parts = vector.split([like[name].numel() for name in names])
    return {name: part.view_as(like[name]) for name, part in zip(names, parts, strict=True)}


def window_hessian(model: nn.Module, window: Window, examples: Examples) -> Floats:
    """δ_sᵀHδ_r by lag (the newest update first), (W, W): H of the mean loss over `examples`, symmetrised."""
    named = {name: tensor.detach() for name, tensor in model.named_parameters()}

    def loss(parameters: Any) -> torch.Tensor:
        logits = torch.func.functional_call(model, parameters, examples.inputs)
        return cross_entropy(logits.flatten(0, -2), examples.labels.flatten(), ignore_index=IGNORED)

    X = window.updates.flip(0)
    product = hessian_product(loss, named)
    with (
        sdpa_kernel(SDPBackend.MATH),
        warnings.catch_warnings(),
    ):  # the fused attention has no second derivative
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.func.jvp scripts its own decompositions
        rows = [flat(product(unflat(update, named, window.names)), window.names) for update in X]
    M = (torch.stack(rows).double() @ X.double().T).numpy()
    return np.asarray((M + M.T) / 2)


def ablation(
    model: nn.Module,
    window: Window,
    directions: torch.Tensor,
    probes: Mapping[str, Tensors],
    examples: tuple[Examples, Examples],
    chunk: int,
) -> Floats:
    """What projecting each direction v out of the parameters does, (n, 5).

    The columns are the change of the loss over each of `examples` when θ becomes θ − ⟨θ, v⟩v, the products of
    v with the probes "gradient" and "validation_gradient", and ⟨θ, v⟩.
    """
    named, theta = dict(model.named_parameters()), window.thetas[-1]
    before = [mean_loss(model, part, chunk) for part in examples]
    gradients = [flat(probes[name], window.names).double() for name in ("gradient", "validation_gradient")]
    rows = []
    for v in directions:
        along = float(theta.double() @ v.double())
        _put(named, unflat(theta - along * v, named, window.names))
        after = [mean_loss(model, part, chunk) for part in examples]
        changes = [now - then for now, then in zip(after, before, strict=True)]
        rows.append([*changes, *(float(g @ v.double()) for g in gradients), along])
    _put(named, unflat(theta, named, window.names))
    return np.array(rows)


@torch.no_grad()
def _put(named: Mapping[str, torch.Tensor], values: Tensors) -> None:
    for name, value in values.items():
        named[name].copy_(value)
