"""A planted world that is exact: gradient descent on a quadratic loss, recorded at every step (10.2, 10.3)."""

from dataclasses import replace
from typing import Any

import numpy as np

from spectral_edge.simulate._planted.parts import ETA, gradient_probe, hessian_probe, run
from spectral_edge.simulate._planted.registry import PlantedRun, scenario

#: Records, directions that drift and directions that oscillate.
T, DRIFTS, SWINGS = 240, 3, 3


@scenario("window-exchange")
def window_exchange(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Drifts that fade are overtaken by oscillations that last, at times that follow from the curvatures.

    Six eigenvectors of the Hessian, fewer than a window: what the linearised optimiser makes of the window is exact,
    and so is damping alone where modes are far apart. 3.1 with the measured gradient is not (10.2). Control: every
    record has the curvatures of other directions.
    """
    omega = 0.0 if control else 1.0
    drift = 1 - 10 ** rng.uniform(-1.9, -1.2, DRIFTS)
    swing = -(1 - 10 ** rng.uniform(-3.5, -2.5, SWINGS))
    factor = np.concatenate([np.sort(drift), swing])
    size = np.concatenate([10 ** rng.uniform(-0.5, 1, DRIFTS), 10 ** rng.uniform(-3, -1, SWINGS)])
    X = size * factor ** np.arange(T + 1.0)[:, None]
    h = (1 - factor) / ETA - omega
    seen = np.array([rng.permutation(h) for _ in range(T)]) if control else np.tile(h, (T, 1))
    probes = {
        # the next update is -ETA·(gradient + omega·theta), theta what is left of the way to the minimum
        "gradient": gradient_probe(X[:T], -X[1:] / ETA / (1 + omega / h)),
        "hessian": hessian_probe(X[:T], seen),
    }
    config: dict[str, Any] = {"optimizer": "SGD", "momentum": 0.0, "record_every": 1}
    made = run(
        name, seed, control, X[:T], {"factor": factor, "size": size, "h": h}, config=config, probes=probes
    )
    return replace(made, steps=np.arange(1, T + 1))
