"""Planted worlds: synthetic runs in which one claim holds by construction, with the truth that was planted.

A scenario is named after the prediction whose claim it plants. Each has a control in which the claim's condition
is absent (`control=True`, weight decay 0); a claim that noise shares has none that fails.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spectral_edge.theory._arguments import FloatArray, choice, whole


@dataclass(frozen=True)
class PlantedRun:
    """A synthetic run and what was planted in it.

    Attributes
    ----------
    scenario : str
        Its name.
    K : numpy.ndarray, shape (T, T), float64
        Inner products of the updates, parameter units squared.
    steps : numpy.ndarray, shape (T,), int64
        Optimiser step of each record.
    P : int
        Number of parameters.
    metrics : mapping of str to numpy.ndarray, shape (T,)
        Losses and accuracies, dimensionless.
    probes : mapping of str to numpy.ndarray, first axis T
        Inner products of other vectors with the updates; see `probe names` in the notes of `planted`.
    config : mapping
        The card of the run, JSON values: task, seed, weight_decay, learning_rate, batch_size, optimizer.
    truth : mapping
        What was planted: strengths, events, the regime; see `planted`.
    """

    scenario: str
    K: FloatArray
    steps: np.ndarray
    P: int
    metrics: Mapping[str, FloatArray] = field(default_factory=dict)
    probes: Mapping[str, FloatArray] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    truth: Mapping[str, Any] = field(default_factory=dict)


def scenarios() -> tuple[str, ...]:
    """Names of all planted worlds.

    Examples
    --------
    >>> "gap-precedes-grokking" in scenarios()
    True
    """
    return tuple(_registry())


def planted(scenario: str, seed: int, *, control: bool = False) -> PlantedRun:
    """[F] A synthetic run in which the claim of a prediction holds by construction.

    Parameters
    ----------
    scenario : str
        One of `scenarios()`.
    seed : int
        Same seed, same run. A run and its control of the same seed carry the same ``config["seed"]``.
    control : bool
        The run in which what was planted is left out (``config["weight_decay"]`` is 0 there, 1 otherwise).

    Returns
    -------
    PlantedRun

    Raises
    ------
    ValueError
        If there is no such scenario, or the seed is not a whole number.

    Examples
    --------
    >>> world = planted("gap-precedes-grokking", seed=1)
    >>> world.truth["collapse_step"] < world.truth["grok_step"]
    True
    """
    registry = _registry()
    build = registry[choice("scenario", scenario, tuple(registry))]
    seed = whole("seed", seed, 0)
    rng = np.random.default_rng([seed, int(control), *scenario.encode()])
    return build(scenario, seed, control, rng)


Builder = Callable[[str, int, bool, np.random.Generator], PlantedRun]


def _registry() -> dict[str, Builder]:
    from spectral_edge.simulate import _scenarios, _scenarios_events  # noqa: F401  they enter their builders
    from spectral_edge.simulate._worlds import REGISTRY

    return REGISTRY
