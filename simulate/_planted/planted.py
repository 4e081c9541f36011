"""Planted worlds: synthetic runs in which one claim holds by construction, with the truth that was planted.

A scenario is named after the prediction whose claim it plants. Each has a control in which the claim's condition
is absent (`control=True`, weight decay 0); a claim that noise shares has none that fails.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np

from spectral_edge.simulate._planted.registry import REGISTRY, Builder, PlantedRun
from spectral_edge.theory.checks import choice, whole


def scenarios() -> tuple[str, ...]:
    """Names of all planted worlds.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> "gap-precedes-grokking" in scenarios()
    True
    """
    return tuple(_registry())


def planted(scenario: str, seed: int, *, control: bool = False) -> PlantedRun:
    """[F] A synthetic run in which the claim of a prediction holds by construction.

    =========================  ===================================================  ===============================
    scenario                   planted                                              control
    =========================  ===================================================  ===============================
    bbp-vacuous                noise of the a-priori size, two signals above it     the noise alone (passes too)
    gap-above-noise            three signals of random sign, k* = 3                 noise with momentum 0.9
    small-gap-position         two signals, k* = 2                                  six equal signals, k* = 6
    krylov-bound               k* and the number of sharp directions move together  no sharp direction
    three-phases               R rises, stays, falls                                R stays
    stability-hierarchy        alpha falls from mode to mode around k* = 2          noise
    rotating-hierarchy         the third direction turns                            it stands still
    gap-flow                   two modes that follow 3.1 with h(t), p(t) in probes  probes of other times
    inverted-hierarchy         d_j = |G_j| sqrt(W/(h_j + omega)) for nine modes     gradients of other modes
    loss-decomposition         ablating v_j costs alpha_j G_train G_val             it costs anything
    gap-precedes-grokking      g_23 falls 8 to 14 records before the grok step      it stays, nothing groks
    weight-decay-needed        test accuracy reaches 1                              it stays at chance
    gap-opens-at-grokking      sigma_1/sigma_2 of W_Q rises at the grok step        flat, nothing groks
    optimiser-dependence       Muon, k* = 1                                         AdamW, k* = 2
    adiabatic-regimes          the gap nearly closes while the run groks            it does not close
    gap-tracks-loss            validation loss is a line minus log R                minus another curve
    gap-maximality             only collapses at k* stop learning                   any may
    collapse-elsewhere         the gap at j = 1 closes, k* = 2                      nothing closes
    bistable-loop              a perturbation beyond eps_c closes a gap for good    it stays below
    lag-flip                   the loss follows the signal after 7 records          the loss is another curve
    shift-detection            a new direction takes over at the shift              no shift
    collapse-time              two modes with constant h, p meet at a known step    probes that say nothing
    window-exchange            gradient descent on a quadratic loss                 curvatures of other directions
    =========================  ===================================================  ===============================

    There is none for "projection-keeps-gap": a bound of 5.7 % for d = 10W cannot be made to hold (8.6).

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

    Notes
    -----
    Probe names, rows by record: "gradient" and "validation_gradient" (T, W + 1), <q_t, δ_{t-l}>; "hessian"
    (T, W, W), δ_{t-s}ᵀHδ_{t-r}; "ablation" and "ablation_random" (T, W, 5), see the scenario. Strengths are planted
    for windows of W = 10; signals are orthogonal in every such window, noise is exact in law at P = 100,000.

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


def _registry() -> Mapping[str, Builder]:
    """Every builder, once the modules of this room are loaded: a new world is found by being there."""
    for module in iter_modules([str(Path(__file__).parent)]):
        import_module(f"{__package__}.{module.name}")
    return REGISTRY
