"""What is measured on a model while it trains; nothing here changes it or draws from its random numbers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from spectral_edge.validate.gram.live.metric import Metric
from spectral_edge.validate.runs.config import IGNORED, Examples
from spectral_edge.validate.runs.models import attention_matrices

Floats = NDArray[np.float64]
Tensors = dict[str, torch.Tensor]

#: Singular values kept of every attention matrix.
TOP = 3


def loss_of(model: Callable[..., torch.Tensor], batch: Examples) -> torch.Tensor:
    """Mean cross-entropy over the answers that count; of several tasks, the sum of their means."""
    return _loss(model(*batch.inputs), batch)


def _loss(logits: torch.Tensor, batch: Examples) -> torch.Tensor:
    mean = cross_entropy(logits.flatten(0, -2), batch.labels.flatten(), ignore_index=IGNORED)
    return batch.tasks * mean if batch.tasks > 1 else mean


def chunks(examples: Examples, size: int) -> Iterator[tuple[Examples, float]]:
    """Parts of `size` examples, each with its share of the answers that count."""
    if (
        examples.size <= size and not examples.padded
    ):  # nothing to count, for which a GPU would have to be waited for
        yield examples, 1.0
        return
    answers = int(examples.answers.sum())
    for start in range(0, examples.size, size):
        part = examples.take(slice(start, start + size))
        yield part, int(part.answers.sum()) / answers


@torch.no_grad()
def mean_loss(model: nn.Module, examples: Examples, chunk: int) -> float:
    """Mean loss over `examples`."""
    return sum(share * float(loss_of(model, part)) for part, share in chunks(examples, chunk))


class Score:
    """Loss and accuracy over the answers counted so far.

    Attributes
    ----------
    whole_sequence : bool
        Whether a sequence of answers counts as one, right where all of it is.
    """

    def __init__(self, whole_sequence: bool) -> None:
        self.whole_sequence = whole_sequence
        self._loss, self._answers = 0.0, 0
        #: right and asked, by task: of answers and of sequences
        self._counts = {"answers": (torch.zeros(1), 0), "sequences": (torch.zeros(1), 0)}

    def count(self, logits: torch.Tensor, labels: torch.Tensor, tasks: int) -> None:
        """Count what `logits` got right, and their loss."""
        counts = labels != IGNORED
        right = (logits.argmax(-1) == labels) & counts
        if labels.ndim == 1 or tasks > 1:
            self._add("answers", right.sum(0, keepdim=labels.ndim == 1), len(labels))
        else:
            self._add("answers", right.sum(), int(counts.sum()))
            asked = counts.any(-1)
            self._add("sequences", ((right == counts).all(-1) & asked).sum(), int(asked.sum()))
        total = cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")
        self._loss, self._answers = self._loss + tasks * float(total), self._answers + int(counts.sum())

    def _add(self, what: str, right: torch.Tensor, asked: int) -> None:
        before, number = self._counts[what]
        self._counts[what] = before + right.cpu(), number + asked

    def said(self, name: str) -> dict[str, float]:
        """Loss and accuracy as metrics of `name`.

        Of several tasks the lowest accuracy, and each by itself; of sequences the accuracy by the other count too.
        """
        kinds = {
            what: [int(n) / asked for n in right] for what, (right, asked) in self._counts.items() if asked
        }
        kind = "sequences" if self.whole_sequence else "answers"
        found = {f"{name}_loss": self._loss / self._answers, f"{name}_accuracy": min(kinds[kind])}
        if len(kinds[kind]) > 1:
            found |= {f"{name}_accuracy_{task}": value for task, value in enumerate(kinds[kind], 1)}
        found |= {f"{name}_accuracy_{other}": kinds[other][0] for other in kinds if other != kind}
        return found


@torch.no_grad()
def evaluate(
    model: nn.Module,
    examples: Examples,
    chunk: int,
    whole_sequence: bool,
    others: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> dict[str, Score]:
    """The scores by the labels of `examples`, under "", and by each of `others`."""
    scores = {name: Score(whole_sequence) for name in ("", *others)}
    for start in range(0, examples.size, chunk):
        rows = slice(start, start + chunk)
        part = examples.take(rows)
        logits = model(*part.inputs)
        for name, score in scores.items():
            labels = others[name][rows, : part.labels.shape[1]] if name else part.labels
            score.count(logits, labels, examples.tasks)
    return scores


def measure(model: nn.Module, examples: Examples, chunk: int, whole_sequence: bool) -> tuple[Score, Tensors]:
    """The score by the labels of `examples`, and the gradient of the loss by parameter, in one pass."""
    named = dict(model.named_parameters())
    total = {name: torch.zeros_like(tensor) for name, tensor in named.items()}
    score = Score(whole_sequence)
    for part, share in chunks(examples, chunk):
        logits = model(*part.inputs)
        found = torch.autograd.grad(share * _loss(logits, part), list(named.values()))
        for into, piece in zip(total.values(), found, strict=True):
            into += piece
        score.count(logits.detach(), part.labels, part.tasks)
    return score, total


def matrix_metrics(model: nn.Module) -> dict[str, float]:
    """Frobenius norm and top singular values of every attention matrix, as "encoder.0.Q.sigma_1"."""
    found: dict[str, float] = {}
    for name, matrix in attention_matrices(model).items():
        sigma = torch.linalg.svdvals(matrix.cpu().double())  # small: a GPU would take longer
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
        return (drawn / drawn.norm(dim=1, keepdim=True)).to(self.thetas.device)


def flat(tensors: Mapping[str, torch.Tensor], names: list[str]) -> torch.Tensor:
    """The tensors called `names` as one vector (a copy)."""
    return torch.cat([tensors[name].detach().flatten() for name in names])


def unflat(vector: torch.Tensor, like: Mapping[str, torch.Tensor], names: list[str]) -> Tensors:
    """The opposite of `flat`."""
    parts = vector.split([like[name].numel() for name in names])
    return {name: part.view_as(like[name]) for name, part in zip(names, parts, strict=True)}


def window_hessian(model: nn.Module, window: Window, examples: Examples) -> Floats:
    """δ_sᵀHδ_r by lag (the newest update first), (W, W): H of the mean loss over `examples`, symmetrised.

    The gradient is taken once, as a function of the parameters; each product with H is one more pass back.
    """
    named = dict(model.named_parameters())
    point = [named[name] for name in window.names]
    X = window.updates.flip(0)
    with sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
        slope = torch.autograd.grad(loss_of(model, examples), point, create_graph=True)
        rows = []
        for update in X:
            tangent = list(unflat(update, named, window.names).values())
            found = torch.autograd.grad(slope, point, tangent, retain_graph=True)
            rows.append(torch.cat([piece.flatten() for piece in found]))
    M = (torch.stack(rows).double() @ X.double().T).numpy(force=True)
    return np.asarray((M + M.T) / 2)


def optimiser_metric(
    optimizers: Iterable[torch.optim.Optimizer], model: nn.Module, window: Window
) -> Floats | None:
    """δ_sᵀDδ_r by lag (the newest update first), (W, W), by the D of the optimiser; None where it is not diagonal.

    In the coordinates √D θ the optimiser steps along the gradient itself: there the Gram matrix of the updates is
    this one, and the window Hessian is the one it was. Muon's D changes with every step and is not recorded.
    """
    named = {name: model.get_parameter(name) for name in window.names}
    D = Metric(optimizers, named)
    if not D.diagonal:
        return None
    X = window.updates.flip(0).double()
    scaled = [flat(D.times(unflat(update, named, window.names)), window.names) for update in X]
    return np.asarray((torch.stack(scaled) @ X.T).numpy(force=True))


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
