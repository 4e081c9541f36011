"""Planted worlds that stand still or change slowly: noise floors, positions, hierarchies, one-way events."""

import numpy as np

from spectral_edge.simulate._planted.metric import CARD, preconditioned
from spectral_edge.simulate._planted.parts import (
    ETA,
    FLOOR,
    RECORD,
    P,
    W,
    curves,
    gradient_probe,
    random_signs,
    run,
    sigmoid,
    updates,
)  # fmt: skip
from spectral_edge.simulate._planted.registry import PlantedRun, scenario
from spectral_edge.theory import gram_spectrum, perturbation_norms, stability_coefficient, window_blocks
from spectral_edge.theory.checks import FloatArray


@scenario("bbp-vacuous")
def bbp_vacuous(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Noise of the a-priori size with two signals above it: every window passes 2.1. Control: the noise alone."""
    strengths = np.zeros((60, 2)) if control else np.tile([40 * FLOOR, 20 * FLOOR], (60, 1))
    return run(name, seed, control, updates(strengths, rng), {"noise_ratio": (P / (W - 1)) ** 0.25})


@scenario("gap-above-noise")
def gap_above_noise(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Three signals of random sign, 12 times the noise: k* = 3. Control: noise with momentum 0.9 alone."""
    time = random_signs(60, 3, rng)
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


@scenario("small-gap-position")
def small_gap_position(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Two signals of random sign above the noise: k* = 2. Control: six equal signals, k* = 6."""
    k = 6 if control else 2
    time = None if control else random_signs(60, k, rng)
    X = updates(np.tile(np.full(k, 20.0) * FLOOR, (60, 1)), rng, time=time)
    return run(name, seed, control, X, {"k_star": k})


@scenario("krylov-bound")
def krylov_bound(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """k* changes between 1, 2 and 3, the number of sharp directions with it. Control: none is sharp."""
    T = 160
    count = np.repeat(rng.permutation([1, 2, 3, 1, 2, 3, 1, 2]), 20)
    active = np.arange(3) < count[:, None]
    # a direction stays sharp until the last window that holds its signal is over
    held = np.array([active[max(0, t - W) : t + 1].any(axis=0) for t in range(T)])
    limit = 1 / (ETA * RECORD * W)
    X = updates(np.where(active, 12 * FLOOR, 0.0), rng)
    probes = preconditioned(X, np.where(held & (not control), 3.0, 0.1) * limit, seed, rng, rest=0.01 * limit)
    truth = {"k_star": count, "sharp": held.sum(axis=1)}
    return run(name, seed, control, X, truth, probes=probes, config=CARD)


@scenario("stability-hierarchy")
def stability_hierarchy(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Strengths 60, 36 and 3 noise floors: alpha_1 > alpha_2 > alpha_3 around k* = 2. Control: noise alone."""
    strengths = FLOOR * np.array([60.0, 36.0, 3.0]) * (not control)
    X = updates(np.tile(strengths, (80, 1)), rng, time=random_signs(80, 3, rng))
    return run(name, seed, control, X, {"k_star": None if control else 2})


@scenario("rotating-hierarchy")
def rotating_hierarchy(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """The same strengths, but the third direction turns 0.2 radians per record. Control: it stands still."""
    T = 80
    angle = np.zeros(T) if control else 0.2 * np.arange(T)
    time = np.array(np.broadcast_to(np.ones(4), (T, 4)))
    time[:, :3] = updates(np.ones((T, 3)), rng, floor=1e-12)[:, :3]
    time[:, 3] = time[:, 2]
    strengths = FLOOR * np.stack(
        [np.full(T, 60.0), np.full(T, 20.0), 12 * np.cos(angle), 12 * np.sin(angle)], axis=1
    )
    return run(
        name, seed, control, updates(strengths, rng, time=time), {"turning_mode": None if control else 3}
    )


@scenario("inverted-hierarchy")
def inverted_hierarchy(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Nine stationary modes, d_j = |G_j| sqrt(W/(h_j + omega)). Control: the gradients belong to other modes."""
    T, omega = 100, 0.0 if control else 1.0
    d = 40 * FLOOR * 0.75 ** np.arange(9)
    h = 10 ** rng.uniform(-0.5, 1.5, 9)
    G: FloatArray = d * np.sqrt((h + omega) / W)
    if control:
        G = rng.permutation(G)
    X = updates(np.tile(d, (T, 1)), rng, floor=0.2 * FLOOR)
    gradients = np.tile(G, (T, 1)) * np.exp(0.1 * rng.standard_normal((T, 9)))
    probes = {"gradient": gradient_probe(X, gradients), **preconditioned(X, np.tile(h, (T, 1)), seed, rng)}
    return run(name, seed, control, X, {"d": d, "h": h, "G": G}, probes=probes, config=CARD)


@scenario("loss-decomposition")
def loss_decomposition(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Projecting v_j out costs alpha_j G_train G_val, pairs of nearly equal strength none. Control: it costs anything.

    In the probe "ablation" the columns are the change of the training and of the validation loss, the products of
    v_j with both gradients, and that with the parameters (zero here).
    """
    T = 120
    d = FLOOR * np.array([60.0, 40.0, 25.0, 12.0, 11.9, 8.0, 7.9, 6.0, 5.95])
    X = updates(np.tile(d, (T, 1)), rng)
    size = np.where(np.arange(9) < 3, 1.0, 3.0) * ETA  # the unstable modes carry the larger gradients
    train = size * np.exp(0.6 * rng.standard_normal((T, 9)))
    validation = train * np.exp(0.2 * rng.standard_normal((T, 9)))
    K = X @ X.T
    lam, u = gram_spectrum(window_blocks(K, W))
    alpha = np.ones_like(lam)
    alpha[:-1] = stability_coefficient(lam[:-1], perturbation_norms(K, W).operator)
    ablation, ablation_random = np.full((T, W, 5), np.nan), np.full((T, W, 5), np.nan)
    for t in range(W - 1, T - 1, 5):
        window = slice(t - W + 1, t + 1)
        v = (X[window, :9].T @ u[t - W + 1]) / np.sqrt(lam[t - W + 1])  # (9, W)
        G, G_val = train[t] @ v, validation[t] @ v
        cost = alpha[t - W + 1] * G * G_val
        if control:
            cost = rng.permutation(cost)
        noise = np.exp(0.1 * rng.standard_normal(W))
        ablation[t] = np.stack([cost, cost * noise, G, G_val, np.zeros(W)], axis=1)
        along = rng.standard_normal((9, W)) / np.sqrt(P)
        other = rng.standard_normal(W) * ETA**2 / P
        ablation_random[t] = np.stack(
            [other, other, train[t] @ along, validation[t] @ along, np.zeros(W)], axis=1
        )
    probes = {
        "gradient": gradient_probe(X, train), "validation_gradient": gradient_probe(X, validation),
        "ablation": ablation, "ablation_random": ablation_random,
    }  # fmt: skip
    return run(name, seed, control, X, {"stable_modes": [] if control else [1, 2, 3]}, probes=probes)


@scenario("gap-opens-at-grokking")
def gap_opens_at_grokking(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """sigma_2 of both query matrices falls at the grok step, so sigma_1/sigma_2 rises. Control: flat, no grokking."""
    grok = int(rng.integers(30, 50))
    T = 100 if control else grok + 15
    t = np.arange(float(T))
    opened = np.zeros(T) if control else sigmoid(t, grok, 1.0)
    metrics = curves(T, None if control else grok, rng)
    for block in (0, 1):
        first, second = 3.0 - 0.5 * opened, 2.0 - 1.7 * opened
        jitter = np.exp(0.01 * rng.standard_normal((3, T)))
        metrics[f"encoder.{block}.Q.sigma_1"] = first * jitter[0]
        metrics[f"encoder.{block}.Q.sigma_2"] = second * jitter[1]
        metrics[f"encoder.{block}.Q.norm"] = np.sqrt(first**2 + second**2 + 1) * jitter[2]
    X = updates(np.tile([20 * FLOOR, 8 * FLOOR], (T, 1)), rng)
    truth = {} if control else {"grok_step": _grok_step(metrics), "rise": (2.5 / 0.3) / (3.0 / 2.0)}
    return run(name, seed, control, X, truth, metrics=metrics)


@scenario("optimiser-dependence")
def optimiser_dependence(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Muon: one signal of random sign, k* = 1. Control is the other optimiser, AdamW: two such signals, k* = 2."""
    k = 2 if control else 1
    X = updates(np.full((60, k), 10.0 * FLOOR), rng, time=random_signs(60, k, rng))
    config = {"optimizer": "adamw" if control else "muon", "experiment": "optimizer"}
    return run(name, seed, control, X, {"k_star": k}, config=config)
