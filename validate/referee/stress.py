"""Worlds in which nothing that the predictions claim happens, by generators that share nothing with `simulate.noise`.

Every update is drawn in full, in R^5000, and only then is K taken. What the runs of a world have in common is a habit
of optimisers that is not signal: heavy tails, a colour that changes, norms that fall or burst, a direction that drifts.
Their cards, losses, gradients and Hessians are those of training runs, and have nothing to do with the updates.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence

Floats = NDArray[np.float64]
#: The updates of a run, (T, P), of norms near 1: ``world(rng, T, decays)``, `decays` where it has weight decay.
World = Callable[[np.random.Generator, int, bool], Floats]

P = 5_000
PAIRS = 6  # runs with weight decay, and as many without
LONGEST = 64  # records of a run that does not grok
W = 10
RECORD = 100  # steps from a record to the next
LAGS = 32  # of the probes, as in recordings
SCALE = 0.05  # norm of an update, parameter units


def _autoregressive(
    rng: np.random.Generator, T: int, rho: float | Floats, fresh: Callable[[], Floats] | None = None
) -> Floats:
    """x_t = ρ_t x_{t−1} + √(1 − ρ_t²) e_t, with e_t normal unless `fresh` draws it; (T, P)."""
    draw = fresh or (lambda: rng.standard_normal(P))
    rhos = np.broadcast_to(rho, (T,))
    x, out = draw(), np.empty((T, P))
    for _ in range(40):  # what the first one was is forgotten
        x = rhos[0] * x + np.sqrt(1 - rhos[0] ** 2) * draw()
    for t, r in enumerate(rhos):
        x = r * x + np.sqrt(1 - r**2) * draw()
        out[t] = x
    return out / np.sqrt(P)


def _direction(rng: np.random.Generator) -> Floats:
    v = rng.standard_normal(P)
    return np.asarray(v / np.linalg.norm(v))


def _of_correlation(rho: float) -> World:
    return lambda rng, T, decays: _autoregressive(rng, T, rho)


def _heavy_tails(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    return np.asarray(rng.standard_t(3, (T, P)) / np.sqrt(3 * P))


def _changing_colour(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    return _autoregressive(rng, T, 0.6 - 0.8 * np.arange(T) / LONGEST)


def _decaying(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    return _autoregressive(rng, T, 0.5) / np.sqrt(1 + np.arange(T))[:, None]


def _wandering(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    return _autoregressive(rng, T, 0.5) * np.exp(np.cumsum(0.12 * rng.standard_normal(T)))[:, None]


def _bursts(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    norms = np.ones(T)
    for start in rng.choice(T - 4, max(2, T // 25), replace=False):
        norms[start : start + 3] = rng.uniform(3, 8)
    return _autoregressive(rng, T, 0.3) * norms[:, None]


def _anisotropic(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    scales = np.arange(1, P + 1) ** -0.5
    return np.asarray(_autoregressive(rng, T, 0.5) * scales * np.sqrt(P / np.sum(scales**2)))


def _drift(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    return _autoregressive(rng, T, 0.2) + 0.5 * _direction(rng)


def _rotating(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    X, t = _autoregressive(rng, T, 0.2), np.arange(T)[:, None]
    for _ in range(3):
        turn = rng.uniform(0.02, 0.06) * t
        X += 0.4 * (np.cos(turn) * _direction(rng) + np.sin(turn) * _direction(rng))
    return X


def _come_and_go(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    """Four directions, each there for 12 to 24 records and away for as long: gaps open and close at every position."""
    X = _autoregressive(rng, T, 0.2)
    for _ in range(4):
        strength, there, t = np.zeros(T), rng.random() < 0.5, -int(rng.integers(0, 12))
        while t < T:
            length = int(rng.integers(12, 25))
            strength[max(t, 0) : t + length] = rng.uniform(1, 3) * there
            there, t = not there, t + length
        X += strength[:, None] * _direction(rng)
    return X


def _switch(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    """Correlation and size change at a random time, together; a run that groks early may end before."""
    before = np.arange(T) < rng.integers(12, LONGEST - 12)
    return _autoregressive(rng, T, np.where(before, 0.8, 0.1)) * np.where(before, 1.0, 0.4)[:, None]


def _by_decay(rng: np.random.Generator, T: int, decays: bool) -> Floats:
    """Runs with weight decay are redder, and their updates shrink."""
    if not decays:
        return _autoregressive(rng, T, 0.1)
    return _autoregressive(rng, T, 0.7) * np.exp(-np.arange(T) / 40)[:, None]


WORLDS: Mapping[str, World] = MappingProxyType({
    "Student t, 3 degrees of freedom": _heavy_tails,
    "correlation 0.5": _of_correlation(0.5),
    "correlation 0.8": _of_correlation(0.8),
    "correlation 0.9": _of_correlation(0.9),
    "correlation 0.95": _of_correlation(0.95),
    "colour changes": _changing_colour,
    "norms decay": _decaying,
    "norms wander": _wandering,
    "norms burst": _bursts,
    "anisotropic": _anisotropic,
    "one direction drifts": _drift,
    "three directions rotate": _rotating,
    "directions come and go": _come_and_go,
    "correlation and size change": _switch,
    "weight decay reddens and shrinks": _by_decay,
})  # fmt: skip

#: Claims that a world makes true, in which *supported* is not an error.
TRUE: Mapping[str, frozenset[str]] = MappingProxyType({
    "one direction drifts": frozenset({"gap-above-noise"}),
    "three directions rotate": frozenset({"gap-above-noise"}),
    "directions come and go": frozenset({"gap-above-noise", "stability-hierarchy"}),
})  # fmt: skip

#: Claims that a world makes false, in which *refuted* is no error: directions that stand out do so under any optimiser.
FALSE: Mapping[str, frozenset[str]] = MappingProxyType({
    "one direction drifts": frozenset({"optimiser-dependence"}),
    "three directions rotate": frozenset({"optimiser-dependence"}),
    "directions come and go": frozenset({"optimiser-dependence"}),
})  # fmt: skip


def runs_of(world: str, seed: int) -> list[GramSequence]:
    """A set of runs of one world: `PAIRS` with weight decay, which grok at a random time, and as many without.

    Parameters
    ----------
    world : str
        One of `WORLDS`.
    seed : int
        Same seed, same runs.

    Returns
    -------
    list of GramSequence
        With metrics, probes and cards.

    Examples
    --------
    >>> runs = runs_of("correlation 0.5", 1)
    >>> len(runs), runs[0].K.shape[0] < runs[-1].K.shape[0]
    (12, True)
    """
    number = list(WORLDS).index(world)
    return [
        _run(world, decays, i, np.random.default_rng([seed, number, i, decays]))
        for decays in (True, False)
        for i in range(PAIRS)
    ]


def _run(world: str, decays: bool, number: int, rng: np.random.Generator) -> GramSequence:
    grok = int(rng.integers(26, 48)) if decays else None
    T = LONGEST if grok is None else grok + 10
    X = SCALE * WORLDS[world](rng, T, decays)
    K = X @ X.T
    config = {
        "run": f"{world}, {number}", "task": "stress", "operation": world, "seed": number,
        "weight_decay": float(decays), "learning_rate": 1e-3, "batch_size": 512, "record_every": RECORD,
        "optimizer": "AdamW", "experiment": "grokking",
    }  # fmt: skip
    return GramSequence.from_inner_products(
        K, RECORD * np.arange(1, T + 1), P, metrics=_metrics(T, grok, decays, rng), probes=_probes(K, rng),
        config=config,
    )  # fmt: skip


def viewed(runs: list[GramSequence], id: str) -> list[GramSequence | None]:
    """The same runs with the cards that the prediction called `id` asks for, which say nothing of the updates.

    None in the place of a run that it can do without.
    """
    rng = np.random.default_rng([len(id), *(run.T for run in runs)])
    found: list[GramSequence | None] = []
    for i, run in enumerate(runs):
        if id == "gap-above-noise" and i % 3:  # by far the dearest: every third run
            found.append(None)
            continue
        decays = run.config["weight_decay"] > 0
        config, metrics, probes = dict(run.config), dict(run.metrics), run.probes
        if id == "collapse-time":  # curvature as gradient descent sees it
            config["optimizer"] = "SGD"
            probes = {**probes, "response": probes["hessian"]}
        elif id == "shift-detection":
            shift = RECORD * int(rng.integers(21, run.T - 4)) if decays else 0
            config |= {"experiment": "shift", "shift_step": shift}
        elif id == "optimiser-dependence":
            config |= {"experiment": "optimizer", "optimizer": "Muon" if decays else "AdamW"}
        elif id == "weight-decay-needed":  # a coin says what groks
            metrics["test_accuracy"] = np.full(run.T, 0.04 if rng.random() < 0.5 else 1.0)
        found.append(replace(run, config=config, metrics=metrics, probes=probes))
    return found


def _metrics(T: int, grok: int | None, decays: bool, rng: np.random.Generator) -> dict[str, Floats]:
    """Losses, accuracies and query matrices as a run has them, with slow fluctuations of their own."""
    t = np.arange(T, dtype=float)
    learnt = np.zeros(T) if grok is None else 1 / (1 + np.exp(-(t - grok) / 1.5))
    slow = [_wander(rng, T) for _ in range(4)]
    loss = np.log(4.5) + 0.8 * (1 - np.exp(-t / 8)) * (1 - learnt) - 3.5 * learnt + 0.1 * slow[0]
    found = {
        "train_loss": 4.5 * np.exp(-t / 5) + 1e-3 * np.exp(0.2 * slow[1]),
        "test_loss": np.exp(loss),
        "train_accuracy": np.minimum(1.0, 0.05 + t / 6),
        "test_accuracy": np.clip(0.03 + 0.96 * learnt + 0.004 * rng.standard_normal(T), 0, 1),
    }
    for block in (0, 1):
        ratio = np.log(1.5) + 0.05 * slow[2 + block] + (0.005 * t if decays else 0)  # rises, whatever groks
        found[f"encoder.{block}.Q.sigma_1"] = 3 * np.exp(ratio)
        found[f"encoder.{block}.Q.sigma_2"] = np.full(T, 3.0)
        found[f"encoder.{block}.Q.norm"] = 8 * np.exp(-0.004 * t * decays)
    return found


def _wander(rng: np.random.Generator, T: int) -> Floats:
    """A slow fluctuation of variance near 1."""
    x = np.empty(T)
    x[0] = rng.standard_normal()
    for s in range(1, T):
        x[s] = 0.95 * x[s - 1] + np.sqrt(1 - 0.95**2) * rng.standard_normal()
    return x


def _probes(K: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    """Gradients, Hessians and ablations that prefer no mode, but for what their order by strength does of itself."""
    T = len(K)
    found: dict[str, Any] = {
        name: np.full((T, LAGS + 1), np.nan) for name in ("gradient", "validation_gradient")
    }
    found["parameters"] = np.full((T, LAGS + 1), np.nan)
    found["hessian"] = np.full((T, W, W), np.nan)
    found["ablation"], found["ablation_random"] = np.full((T, W, 5), np.nan), np.full((T, W, 5), np.nan)
    for t in range(T):
        lags = np.arange(min(LAGS, t) + 1)
        newest_first = K[np.ix_(t - lags, t - lags)]
        lam, u = np.linalg.eigh(newest_first)
        root = u * np.sqrt(np.maximum(lam, 0))
        gradient, own = rng.standard_normal((2, len(lags)))
        found["gradient"][t, lags] = 0.1 * root @ gradient
        found["validation_gradient"][t, lags] = 0.1 * root @ (0.7 * gradient + 0.7 * own)
        found["parameters"][t, lags] = root @ rng.standard_normal(len(lags)) - 0.3 * newest_first.sum(axis=1)
        if t >= W - 1 and t % 5 == 4:
            G, A = root[:W], rng.standard_normal((len(lags), len(lags)))
            found["hessian"][t] = 2 * (G @ G.T + 0.1 * G @ (A + A.T) @ G.T / np.sqrt(len(lags)))
            for name in ("ablation", "ablation_random"):
                found[name][t] = _ablation(rng, name == "ablation")
    return found


def _ablation(rng: np.random.Generator, by_rank: bool) -> Floats:
    """What removing each of W modes does, (W, 5): stronger ones hold more of the parameters, and cost by that alone."""
    along = rng.standard_normal(W) * (0.8 ** np.arange(W) if by_rank else 0.1)
    gradient = 1e-3 * rng.standard_normal(W)
    other = 0.7 * gradient + 7e-4 * rng.standard_normal(W)
    cost = [0.01 * along**2 - along * g + 1e-4 * rng.standard_normal(W) for g in (gradient, other)]
    return np.stack([*cost, gradient, other, along], axis=1)
