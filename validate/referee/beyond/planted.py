"""Runs in which every statement of `function_space` holds by construction, and runs in which none does."""

import numpy as np

from spectral_edge.theory.checks import whole
from spectral_edge.validate.referee.beyond import function_space
from spectral_edge.validate.referee.beyond.seen import Seen, W
from spectral_edge.validate.referee.verdict import SUPPORTED

#: Records, parameters, outputs, records between two kernels; the transition.
T, P, OUTPUTS, EVERY, EVENT = 160, 400, 60, 2, 80
#: Signals of the parameters: their strength in units of the noise of a whole update, and how many there may be.
STRENGTH, MOST = 4.0, 4
#: Records for which there are as many.
HELD = 25
#: Runs in a set of which it is counted how often a statement is supported.
RUNS = 8


def world(seed: int, planted: bool = True) -> Seen:
    """A run without a network: its transition at record 80 of 160.

    Parameters
    ----------
    seed : int
        Decides everything.
    planted : bool
        Whether anything happens: at the transition one direction carries the outputs, the first mode of the
        parameters is spread over all of them (elsewhere it is not), it carries the accuracy, more of its energy is
        decay and the gap opens; the kernel changes then, and has as many outliers as the parameters have signals.

    Returns
    -------
    Seen

    Examples
    --------
    >>> run = world(0)
    >>> run.T, run.event
    (160, 80)
    """
    rng = np.random.default_rng([whole("seed", seed, 0), int(planted)])
    records = np.arange(T)
    bump = np.exp(-(((records - EVENT) / 5) ** 2)) if planted else np.zeros(T)
    outputs = rng.normal(size=(T, OUTPUTS)) + 40 * bump[:, None] * _unit(rng, OUTPUTS)
    signals = 1 + rng.integers(0, MOST, size=T // HELD + 1).repeat(HELD)[:T]
    updates, decays = _parameters(rng, signals, planted, bump)
    looked = np.arange(W - 1, T, EVERY)
    counted = signals if planted else 1 + rng.integers(0, MOST, size=T // HELD + 1).repeat(HELD)[:T]
    kernel, outliers = _kernel(rng, counted, looked)
    rate = np.exp(rng.normal(scale=0.3, size=len(looked))) * (1 + 2_000 * bump[looked])
    ablation = rng.normal(scale=0.02, size=(len(looked), 3))
    ablation[:, 0] += 0.2 * (planted & (looked >= EVENT) & (looked < EVENT + W))
    return Seen.of(
        f"{'planted' if planted else 'noise'}-{seed}",
        np.concatenate([np.zeros((1, P)), updates.cumsum(axis=0)]),
        decays,
        np.concatenate([np.zeros((1, OUTPUTS)), outputs.cumsum(axis=0)]),
        np.arange(T + 1),
        accuracy=0.5 + 0.5 * np.tanh((records - EVENT) / 5),
        looked=looked,
        kernel=kernel,
        outliers=outliers,
        kernel_rate=rate,
        ablation=ablation,
        eta=0.01,
    )


def supported(number: int, kind: str) -> list[str]:
    """Statements on function space that are supported in a set of planted runs, or of noise."""
    runs = [world(RUNS * number + i, kind == "planted") for i in range(RUNS)]
    return [one.id for one in (f(runs) for f in function_space.STATEMENTS) if one.verdict == SUPPORTED]


def _unit(rng: np.random.Generator, size: int, filled: int | None = None) -> np.ndarray:
    v = rng.normal(size=size)
    if filled is not None:
        v[rng.choice(size, size - filled, replace=False)] = 0
    return v / np.linalg.norm(v)


def _parameters(
    rng: np.random.Generator, signals: np.ndarray, planted: bool, bump: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Updates with so many equally strong signals at each record, and what part of them is decay."""
    size = STRENGTH * np.sqrt(P)
    few = P // 50
    directions = np.array([_unit(rng, P, few) for _ in range(MOST)])
    held = np.arange(MOST) < signals[:, None]
    along = size * rng.choice([-1.0, 1.0], size=(T, MOST)) * held * rng.uniform(0.9, 1.1, size=(T, MOST))
    after = planted & (np.arange(T) >= EVENT)
    carried = (along * (1 + 4 * after)[:, None]) @ directions  # later they stand further out of the noise
    carried += 12 * size * bump[:, None] * _unit(rng, P)
    return carried + rng.normal(size=(T, P)), (0.2 + 0.6 * after)[:, None] * carried


def _kernel(
    rng: np.random.Generator, counted: np.ndarray, looked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    bulk = np.sort(rng.uniform(0.9, 1.1, size=(len(looked), 2 * W)), axis=1)[:, ::-1].copy()
    for row, k in zip(bulk, counted[looked], strict=True):
        row[:k] = np.sort(rng.uniform(80, 100, size=k))[::-1]
    return bulk, counted[looked].astype(float)
