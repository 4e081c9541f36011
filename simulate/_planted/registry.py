"""What a planted world returns, and the register in which every builder enters itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spectral_edge.theory.checks import FloatArray


@dataclass(frozen=True)
class PlantedRun:
    """A synthetic run (section 9) and what was planted in it.

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


Builder = Callable[[str, int, bool, np.random.Generator], PlantedRun]

REGISTRY: dict[str, Builder] = {}


def scenario(name: str) -> Callable[[Builder], Builder]:
    """Enter a builder in the registry."""

    def enter(build: Builder) -> Builder:
        REGISTRY[name] = build
        return build

    return enter
