"""Networks and data of the dense runs, in float64 throughout (torch extra)."""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, layer_norm, one_hot

from spectral_edge.validate.runs.dense.config import DenseConfig

#: Inputs of the regression, training and test examples of it, width of its hidden layers.
INPUTS, EXAMPLES, WIDTH = 10, 256, 40
#: The modulus, and the share of all pairs used for training.
MODULUS, SHARE = 23, {"quadratic": 0.75, "transformer": 0.8}
#: Hidden units of the quadratic network; the scale of its initial weights and of the linear one's.
HIDDEN, START = 64, 0.5
#: Width, heads and hidden units of the transformer.
D_MODEL, HEADS, FEEDFORWARD = 32, 2, 64

Parameters = Mapping[str, Tensor]


class Examples(NamedTuple):
    """Inputs and what is to be learned of them."""

    inputs: Tensor
    labels: Tensor

    def take(self, rows: Tensor) -> "Examples":
        """The examples in `rows`."""
        return Examples(self.inputs[rows], self.labels[rows])


class Problem(NamedTuple):
    """A network with its data.

    Attributes
    ----------
    start : dict of str to Tensor
        Initial weights.
    output : callable
        Of parameters and inputs.
    loss : callable
        Of outputs and labels.
    train, test : Examples
        The test set is the validation set: nothing is chosen by it.
    classes : bool
        Whether there is an accuracy.
    """

    start: dict[str, Tensor]
    output: Callable[[Parameters, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    train: Examples
    test: Examples
    classes: bool


def problem(config: DenseConfig) -> Problem:
    """The network of a run with its initial weights and its data, all decided by its seed."""
    generator = torch.Generator().manual_seed(config.seed)
    if config.network in ("mlp", "linear"):
        train, test = _regression(generator, smooth=config.network == "mlp")
        loss: Callable[[Tensor, Tensor], Tensor] = _square
    else:
        train, test = _addition(generator, SHARE[config.network])
        loss = cross_entropy if config.network == "transformer" else _one_hot_square
    drawing = torch.Generator().manual_seed(config.seed + 1_000_000)
    start, output = _NETWORKS[config.network](drawing)
    return Problem(start, output, loss, train, test, config.task == "modular-addition")


def _square(output: Tensor, labels: Tensor) -> Tensor:
    return (output - labels).square().sum(-1).mean() / 2


def _one_hot_square(output: Tensor, labels: Tensor) -> Tensor:
    return _square(output, one_hot(labels, MODULUS).to(output))


def _normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def _regression(generator: torch.Generator, smooth: bool) -> tuple[Examples, Examples]:
    """A smooth function of three projections of normal inputs, or five linear ones with noise; standardised.

    The inputs of the linear ones have unequal variances, so that they are learned one after another.
    """
    along = _normal(generator, INPUTS, 3 if smooth else 5, scale=2 / INPUTS**0.5)
    spread = torch.ones(INPUTS) if smooth else torch.linspace(1.5, 0.3, INPUTS, dtype=torch.float64)

    def draw() -> tuple[Tensor, Tensor]:
        x = spread * _normal(generator, EXAMPLES, INPUTS)
        z = x @ along
        if not smooth:
            return x, z + _normal(generator, *z.shape, scale=0.3)
        return x, (torch.sin(z[:, 0]) + z[:, 1] * torch.tanh(z[:, 2]))[:, None]

    (x, y), (x_test, y_test) = draw(), draw()
    mean, scale = y.mean(0), y.std(0)
    return Examples(x, (y - mean) / scale), Examples(x_test, (y_test - mean) / scale)


def _addition(generator: torch.Generator, share: float) -> tuple[Examples, Examples]:
    a, b = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS)).T
    order = torch.randperm(len(a), generator=generator)
    cut = round(share * len(a))
    pairs = Examples(torch.stack([a, b], dim=1), (a + b) % MODULUS)
    return pairs.take(order[:cut]), pairs.take(order[cut:])


_Network = tuple[dict[str, Tensor], Callable[[Parameters, Tensor], Tensor]]


def _mlp(generator: torch.Generator) -> _Network:
    sizes = (INPUTS, WIDTH, WIDTH, 1)
    start = {}
    for i, (before, after) in enumerate(itertools.pairwise(sizes)):
        start[f"weight{i}"] = _normal(generator, after, before, scale=before**-0.5)
        start[f"bias{i}"] = torch.zeros(after, dtype=torch.float64)

    def output(p: Parameters, x: Tensor) -> Tensor:
        for i in (0, 1):
            x = torch.tanh(x @ p[f"weight{i}"].T + p[f"bias{i}"])
        return x @ p["weight2"].T + p["bias2"]

    return start, output


def _linear(generator: torch.Generator) -> _Network:
    sizes = (INPUTS, WIDTH, WIDTH, 5)
    start = {
        f"weight{i}": _normal(generator, after, before, scale=START * before**-0.5)
        for i, (before, after) in enumerate(itertools.pairwise(sizes))
    }
    return start, lambda p, x: x @ p["weight0"].T @ p["weight1"].T @ p["weight2"].T


def _quadratic(generator: torch.Generator) -> _Network:
    start = {
        "read": _normal(generator, HIDDEN, 2 * MODULUS, scale=START / (2 * MODULUS) ** 0.5),
        "write": _normal(generator, MODULUS, HIDDEN, scale=START / HIDDEN**0.5),
    }

    def output(p: Parameters, pairs: Tensor) -> Tensor:
        first, second = p["read"].T.split(MODULUS)
        return (first[pairs[:, 0]] + second[pairs[:, 1]]).square() @ p["write"].T

    return start, output


def _transformer(generator: torch.Generator) -> _Network:
    """One pre-norm layer without biases, read at the second position."""
    d, head = D_MODEL, D_MODEL // HEADS
    shapes = {"token": (MODULUS, d), "position": (2, d), "query": (d, d), "key": (d, d), "value": (d, d),
              "out": (d, d), "up": (FEEDFORWARD, d), "down": (d, FEEDFORWARD), "head": (MODULUS, d)}  # fmt: skip
    start = {
        name: _normal(generator, *shape, scale=1.0 if name == "token" else shape[1] ** -0.5)
        for name, shape in shapes.items()
    }

    def output(p: Parameters, pairs: Tensor) -> Tensor:
        x = p["token"][pairs] + p["position"]
        read = layer_norm(x, (d,))
        query = (read[:, -1] @ p["query"].T).unflatten(-1, (HEADS, head))
        key, value = ((read @ p[name].T).unflatten(-1, (HEADS, head)) for name in ("key", "value"))
        weight = torch.softmax(torch.einsum("nhd,nthd->nht", query, key) / head**0.5, dim=-1)
        x = x[:, -1] + torch.einsum("nht,nthd->nhd", weight, value).flatten(-2) @ p["out"].T
        x = x + gelu(layer_norm(x, (d,)) @ p["up"].T) @ p["down"].T
        return layer_norm(x, (d,)) @ p["head"].T

    return start, output


_NETWORKS: dict[str, Callable[[torch.Generator], _Network]] = {
    "mlp": _mlp,
    "linear": _linear,
    "quadratic": _quadratic,
    "transformer": _transformer,
}
