"""k*, R and exchanges over the width of a network, in standard and in maximal-update parametrisation (torch extra).

Tensor Programs say that training of ever wider networks tends to a limit in which features are learned if weights and
learning rates scale as in the second (Yang and Hu 2021), and to none in the first. So what a window shows should depend
less on the width there. The network is that of the dense runs, two tanh layers under Adam with all examples.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from spectral_edge.theory.checks import choice
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond.finding import Finding, judged, paired
from spectral_edge.validate.referee.beyond.recorded import exchanges
from spectral_edge.validate.referee.statistics import Estimate, mean
from spectral_edge.validate.runs.dense.config import DenseConfig
from spectral_edge.validate.runs.threads import one_thread

W, LAGS = 10, 16
WIDTHS = (64, 128, 256, 512, 1024)
SEEDS = (103, 104, 105, 106)
PARAMETRISATIONS = ("standard", "maximal update")
#: Both are the same at the first width.
BASE, RATE, STEPS = WIDTHS[0], 3e-3, 150


class Point(NamedTuple):
    """What one network showed.

    Attributes
    ----------
    parametrisation : str
    width, seed : int
    ln_ratio : float
        Mean of ln R over the windows.
    k_star : float
        Mean of the weighted k* over the windows.
    exchanges : float
        Exchanges among the leading modes in 1,000 records.
    first_exchange : float
        Record of the first; the length of the run where there is none.
    sigma : float
        σ_1 of the last window.
    loss : float
        Training loss in the end.
    """

    parametrisation: str
    width: int
    seed: int
    ln_ratio: float
    k_star: float
    exchanges: float
    first_exchange: float
    sigma: float
    loss: float


def train(width: int, seed: int, parametrisation: str, steps: int = STEPS) -> Point:
    """Train one network.

    Parameters
    ----------
    width : int
        Of both hidden layers.
    seed : int
    parametrisation : {"standard", "maximal update"}
        In the second the output weights start with standard deviation √64/n, and the learning rate of the matrices
        behind the first is 64/n of the others'.
    steps : int

    Raises
    ------
    ValueError
        If there is no such parametrisation.
    """
    wide = choice("parametrisation", parametrisation, PARAMETRISATIONS) == "maximal update"
    with one_thread():
        losses: list[float] = []
        thetas = _training(width, seed, wide, steps, losses)
        run = GramSequence.from_parameters(thetas, W_max=LAGS, precision="float64")
    windows, events = run.window(W), exchanges(run)
    return Point(
        parametrisation,
        width,
        seed,
        float(np.nanmean(np.log(windows.ratio))),
        float(np.nanmean(windows.k_star_weighted)),
        1e3 * len(events) / run.T,
        float(events.min()) if len(events) else float(run.T),
        float(windows.sigma[-1, 0]),
        losses[-1],
    )


def _training(width: int, seed: int, wide: bool, steps: int, losses: list[float]) -> Iterator[np.ndarray]:
    """Parameters after every step, the start included."""
    import torch

    from spectral_edge.validate.runs.dense import networks

    made = networks.problem(DenseConfig(regime="width", seed=seed, network="mlp"))
    generator = torch.Generator().manual_seed(seed + 7_000_000)
    sizes = (networks.INPUTS, width, width, 1)
    start, groups = {}, []
    for i in range(3):
        before, after = sizes[i], sizes[i + 1]
        scale = BASE**0.5 / width if wide and i == 2 else before**-0.5
        weight = scale * torch.randn(after, before, generator=generator, dtype=torch.float64)
        start[f"weight{i}"] = weight.requires_grad_()
        start[f"bias{i}"] = torch.zeros(after, dtype=torch.float64).requires_grad_()
        groups += [
            {"params": [start[f"weight{i}"]], "lr": RATE * BASE / width if wide and i else RATE},
            {"params": [start[f"bias{i}"]], "lr": RATE},
        ]
    optimizer = torch.optim.Adam(groups)

    def now() -> np.ndarray:
        return torch.cat([tensor.detach().flatten() for tensor in start.values()]).numpy().copy()

    yield now()
    for _ in range(steps):
        loss: Any = made.loss(made.output(start, made.train.inputs), made.train.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        yield now()


def slopes(points: Sequence[Point], of: str, parametrisation: str) -> list[float]:
    """Change of a figure with every doubling of the width, by seed; of σ_1 and loss, that of their logarithm."""
    found = []
    for seed in sorted({point.seed for point in points}):
        row = [p for p in points if p.seed == seed and p.parametrisation == parametrisation]
        y = np.array([getattr(point, of) for point in row])
        y = np.log(y) if of in ("sigma", "loss", "first_exchange") else y
        found.append(float(np.polyfit(np.log2([point.width for point in row]), y, 1)[0]))
    return found


def judge(points: Sequence[Point]) -> Finding:
    """Ln R changes less with the width in the maximal-update parametrisation."""
    size = {name: np.abs(slopes(points, "ln_ratio", name)) for name in PARAMETRISATIONS}
    found = paired(size["standard"], size["maximal update"])
    readings: dict[str, Estimate] = {}
    for name in PARAMETRISATIONS:
        for of, what in (("ln_ratio", "ln R"), ("k_star", "weighted k*"), ("exchanges", "exchanges in 1,000 records"),
                         ("first_exchange", "ln of the record of the first exchange"), ("sigma", "ln σ_1"),
                         ("loss", "ln loss")):  # fmt: skip
            readings[f"{what}, {name}"] = mean(slopes(points, of, name))
    return Finding.of(
        found, len(size["standard"]), id="tensor-programs",
        claim="What a window shows settles with the width where feature learning has a limit.",
        statistic="size of the change of mean ln R with every doubling of the width, standard parametrisation",
        against="maximal-update parametrisation", verdict=judged((found,)),
        rule="ln R changes more in the standard one", readings=readings,
    )  # fmt: skip


def world(seed: int, planted: bool = True) -> list[Point]:
    """Four seeds of a sweep in which ln R drifts with the width in the standard parametrisation, or in neither."""
    rng = np.random.default_rng([seed, int(planted)])
    points = []
    for name in PARAMETRISATIONS:
        drift = 0.3 if planted and name == "standard" else 0.0
        for number in range(4):
            for width in WIDTHS:
                ln_ratio = 1.0 + drift * np.log2(width) + 0.1 * rng.normal()
                points.append(Point(name, width, number, ln_ratio, 1.0, 0.0, float(STEPS), 1.0, 1.0))
    return points
