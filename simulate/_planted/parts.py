"""Parts of which planted worlds are built: orthogonal time patterns, exact noise, curves of a training run."""

from typing import Any

import numpy as np

from spectral_edge.simulate._autocorrelation import checked, factor
from spectral_edge.simulate._null import bartlett
from spectral_edge.simulate._planted.registry import PlantedRun
from spectral_edge.theory.checks import FloatArray

W = 10  # the window for which strengths are planted
RECORD = 100  # optimiser steps between two records
P = 100_000
ETA, BATCH = 1e-3, 512
#: Noise of the a-priori size, nu = eta/sqrt(B·P) an entry: the norm of an update of noise alone.
FLOOR = ETA / np.sqrt(BATCH)


def patterns(T: int, k: int, W: int = W) -> FloatArray:
    """Time patterns, shape (T, k), orthonormal over every window of W consecutive records (k < W)."""
    t = np.arange(T)
    columns = [np.full(T, 1 / np.sqrt(W))]
    for j in range(1, k):
        angle = 2 * np.pi * ((j + 1) // 2) * t / W
        columns.append(np.sqrt(2 / W) * (np.cos(angle) if j % 2 else np.sin(angle)))
    return np.stack(columns[:k], axis=1)


def random_signs(T: int, k: int, rng: np.random.Generator, W: int = W) -> FloatArray:
    """Time patterns, shape (T, k), of unit length over a window, without autocorrelation: no noise looks like them."""
    return rng.choice([-1.0, 1.0], (T, k)) / np.sqrt(W)


def updates(
    strengths: FloatArray,
    rng: np.random.Generator,
    *,
    time: FloatArray | None = None,
    floor: float | FloatArray = FLOOR,
    tau: Any = None,
) -> FloatArray:
    """Coordinates, shape (T, k + T), of updates with signal strengths d_j(t) in a window and noise of norm `floor`.

    The first k columns are the signal directions; the others an orthonormal frame of what the noise spans
    orthogonal to them. Inner products have exactly the law of P = 100,000 dimensions. `time` (T, k) takes the
    place of `patterns`; `tau` is the autocorrelation of the noise.
    """
    T, k = strengths.shape
    L = factor(checked(tau), T)
    time = patterns(T, k) if time is None else time
    size = np.broadcast_to(floor, (T,))[:, None] / np.sqrt(P)
    signal = strengths * time + size * (L @ rng.standard_normal((T, k)))
    rest = size * (L @ bartlett(rng, 1, T, P - k)[0])
    return np.concatenate([signal, rest], axis=1)


def gradient_probe(X: FloatArray, gradients: FloatArray, lags: int = W) -> FloatArray:
    """<q_t, δ_{t-l}>, shape (T, lags + 1), of the vectors `gradients` (T, k) along the signal directions."""
    T, k = gradients.shape
    inner = gradients @ X[:, :k].T
    out = np.full((T, lags + 1), np.nan)
    for lag in range(lags + 1):
        out[lag:, lag] = inner[np.arange(lag, T), np.arange(T - lag)]
    return out


def hessian_probe(X: FloatArray, curvature: FloatArray, rest: float = 0.0) -> FloatArray:
    """δ_{t-s}ᵀ H_t δ_{t-r}, shape (T, W, W): H_t has `curvature` (T, k) along the signal directions, else `rest`."""
    T, k = curvature.shape
    out = np.full((T, W, W), np.nan)
    for t in range(W - 1, T):
        newest_first = X[t - W + 1 : t + 1][::-1]
        signal, other = newest_first[:, :k], newest_first[:, k:]
        out[t] = (signal * curvature[t]) @ signal.T + rest * other @ other.T
    return out


def smooth(T: int, period: float, rng: np.random.Generator) -> FloatArray:
    """A random curve, shape (T,), of mean 0 and variance 1, without periods below `period` records."""
    t = np.arange(T)
    waves = np.arange(1, max(2, int(T / period)) + 1)
    angles = 2 * np.pi * np.outer(waves, t) / T + 2 * np.pi * rng.random((waves.size, 1))
    curve = rng.standard_normal(waves.size) @ np.cos(angles)
    return np.asarray((curve - curve.mean()) / curve.std())


def sigmoid(t: FloatArray, centre: float, width: float) -> FloatArray:
    """A step from 0 to 1."""
    return 1 / (1 + np.exp(-(t - centre) / width))


def curves(T: int, grok: float | None, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Losses and accuracies of a run that memorises, and generalises at record `grok` unless that is None."""
    t = np.arange(T, dtype=np.float64)
    learnt = sigmoid(t, grok, 0.7) if grok is not None else np.zeros(T)
    accuracy = 0.03 + 0.96 * learnt + 0.005 * rng.standard_normal(T)
    train_loss = 4.5 * np.exp(-t / 2) + 1e-3
    test_loss = 4.5 + (6.0 * sigmoid(t, 8, 3) + 0.05 * rng.standard_normal(T)) * (1 - learnt) - 4.4 * learnt
    return {
        "train_loss": train_loss * np.exp(0.1 * rng.standard_normal(T)),
        "test_loss": np.maximum(test_loss, 1e-3),
        "train_accuracy": np.minimum(1.0, 0.01 + 1.2 * sigmoid(t, 4, 1)),
        "test_accuracy": np.clip(accuracy, 0.0, 1.0),
    }


def run(
    scenario: str, seed: int, control: bool, X: FloatArray, truth: dict[str, Any], *,
    config: dict[str, Any] | None = None, **extra: Any,
) -> PlantedRun:  # fmt: skip
    """Put the parts together; `X` are the coordinates of the updates."""
    card = {
        "task": "planted", "operation": scenario, "seed": seed, "weight_decay": 0.0 if control else 1.0,
        "learning_rate": ETA, "batch_size": BATCH, "record_every": RECORD, "optimizer": "planted",
        "experiment": "grokking",
    }  # fmt: skip
    steps = RECORD * np.arange(1, len(X) + 1)
    return PlantedRun(scenario, X @ X.T, steps, P, config=card | (config or {}), truth=truth, **extra)
