"""Curvature as a preconditioned optimiser sees it: the plain window Hessian says something else (10.7)."""

from typing import Any

import numpy as np

from spectral_edge.simulate._planted.parts import hessian_probe
from spectral_edge.theory.checks import FloatArray

#: D along a signal direction lies between 1/SPREAD and SPREAD.
SPREAD = 10.0
#: What says on a card that the optimiser has a metric.
CARD: dict[str, Any] = {"optimizer": "AdamW"}


def preconditioned(
    X: FloatArray, curvature: FloatArray, seed: int, rng: np.random.Generator, rest: float = 0.0
) -> dict[str, FloatArray]:
    """Probes of D⁻¹H with `curvature` (T, k) along the signal directions, else `rest`: H has D_j times as much.

    D is drawn, one number per direction, and 1 elsewhere. Runs of even seed hold the response, the others the metric.
    """
    D = SPREAD ** rng.uniform(-1, 1, curvature.shape[1])
    probes = {"hessian": hessian_probe(X, D * curvature, rest)}
    if seed % 2:
        return {**probes, "metric": hessian_probe(X, np.tile(D, (len(X), 1)), rest=1.0)}
    return {**probes, "response": hessian_probe(X, curvature, rest)}
