"""The scenarios of `planted`, each named after the prediction whose claim it plants."""

from collections.abc import Callable

import numpy as np

from spectral_edge.simulate._worlds import FLOOR, RECORD, P, W, curves, run, sigmoid, updates
from spectral_edge.simulate.planted import Builder, PlantedRun

REGISTRY: dict[str, Builder] = {}


def scenario(name: str) -> Callable[[Builder], Builder]:
    """Enter a builder in the registry."""

    def enter(build: Builder) -> Builder:
        REGISTRY[name] = build
        return build

    return enter


@scenario("bbp-vacuous")
def bbp_vacuous(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Noise of the a-priori size with two signals above it: every window passes 2.1. Control: the noise alone."""
    strengths = np.zeros((60, 2)) if control else np.tile([40 * FLOOR, 20 * FLOOR], (60, 1))
    return run(name, seed, control, updates(strengths, rng), {"noise_ratio": (P / (W - 1)) ** 0.25})


@scenario("gap-above-noise")
def gap_above_noise(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Three signals of random sign, 12 times the noise: k* = 3. Control: noise with momentum 0.9 alone.

    Random signs leave no autocorrelation behind which a coloured null could hide the gap.
    """
    time = rng.choice([-1.0, 1.0], (60, 3)) / np.sqrt(W)
    strengths = np.full((60, 3), 0.0 if control else 12 * FLOOR)
    X = updates(strengths, rng, time=time, tau=0.9 if control else None)
    return run(name, seed, control, X, {"k_star": None if control else 3})


@scenario("gap-precedes-grokking")
def gap_precedes_grokking(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """The second signal falls to the third 8 to 14 records before the grok step. Control: it stays, no grokking."""
    grok = int(rng.integers(36, 50))
    collapse = grok - int(rng.integers(8, 15))
    T = 100 if control else grok + 8
    t = np.arange(float(T))
    rise = 6 + 12 * sigmoid(t, 8, 2)
    second = rise if control else np.where(t < collapse, rise, 3.0)
    strengths = FLOOR * np.stack([np.full(T, 30.0), second, np.full(T, 2.0)], axis=1)
    metrics = curves(T, None if control else grok, rng)
    truth = {} if control else {"collapse_step": RECORD * (collapse + 1), "grok_step": _grok_step(metrics)}
    return run(name, seed, control, updates(strengths, rng), truth, metrics=metrics)


@scenario("weight-decay-needed")
def weight_decay_needed(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Test accuracy steps to one with weight decay; control (no decay): it stays at chance."""
    grok = int(rng.integers(25, 50))
    T = 100 if control else grok + 8
    metrics = curves(T, None if control else grok, rng)
    X = updates(np.tile([20 * FLOOR, 8 * FLOOR], (T, 1)), rng)
    return run(name, seed, control, X, {} if control else {"grok_step": _grok_step(metrics)}, metrics=metrics)


def _grok_step(metrics: dict[str, np.ndarray]) -> int:
    return int(RECORD * (1 + np.argmax(metrics["test_accuracy"] >= 0.95)))
