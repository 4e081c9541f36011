"""Planted worlds in which something happens in time: phases, collapses, shifts, curves that follow one another."""

import numpy as np

from spectral_edge.simulate._feedback import feedback_sweep
from spectral_edge.simulate._planted.metric import CARD, preconditioned
from spectral_edge.simulate._planted.parts import (
    ETA,
    FLOOR,
    RECORD,
    W,
    curves,
    gradient_probe,
    hessian_probe,
    random_signs,
    run,
    smooth,
    updates,
)  # fmt: skip
from spectral_edge.simulate._planted.registry import PlantedRun, scenario
from spectral_edge.theory import (
    collapse_time,
    feedback_threshold,
    gap_ratio,
    gram_spectrum,
    signal_flow,
    window_blocks,
)  # fmt: skip

#: Seven further modes, each little below the one before, so that the gap of the first two is the largest ratio.
TAIL = FLOOR * np.array([1.8, 1.65, 1.5, 1.4, 1.3, 1.2, 1.1])


@scenario("three-phases")
def three_phases(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """R rises over 40 records, stays for 40 and falls over 40. Control: it stays throughout."""
    T = 130
    shape = np.interp(np.arange(T), [0, 40, 80, 120, 130], [0.0, 1.0, 1.0, 0.1, 0.1])
    level = np.full(T, 0.6) if control else shape
    strengths = FLOOR * np.stack([2.2 * 10**level, np.full(T, 2.0)], axis=1)
    truth = {} if control else {"changes": [RECORD * 41, RECORD * 81]}
    return run(
        name, seed, control, updates(strengths, rng), truth, metrics=curves(T, None if control else 80, rng)
    )


@scenario("gap-flow")
def gap_flow(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Two modes that follow 3.1 with slowly varying h and p, both in the probes. Control: the probes of other times."""
    T, sub = 400, 20
    omega = 0.0 if control else 1.0
    scale = 1.0 / (ETA * RECORD)  # a rate of 1 per record is this curvature
    wave = np.stack([smooth(T, 130.0, rng) for _ in range(4)], axis=1)
    stiff = 0.01 * np.exp(0.3 * wave[:, :2]) * scale  # h + omega
    rest = FLOOR * np.array([10.0, 2.6])
    p = rest**2 / W * stiff * np.exp(0.9 * wave[:, 2:] * [1.0, 0.5])
    d = np.empty((T, 2))
    now = rest.copy()
    for t in range(T):
        d[t] = now
        for _ in range(sub):
            now = np.sqrt(now**2 + 2 * RECORD / sub * ETA * (W * p[t] - stiff[t] * now**2))
    X = updates(np.concatenate([d, np.tile(TAIL, (T, 1))], axis=1), rng, floor=0.6 * FLOOR)
    h, tail = stiff - omega, np.full((T, 7), 0.01 * scale)
    order = rng.permutation(T) if control else np.arange(T)
    gradients = np.concatenate([np.sqrt(p[order]), np.sqrt(TAIL**2 / W * tail)], axis=1)
    seen = np.concatenate([h[order], tail - omega], axis=1)
    probes = {"gradient": gradient_probe(X, gradients), **preconditioned(X, seen, seed, rng)}
    return run(name, seed, control, X, {"d": d, "h": h, "p": p}, probes=probes, config=CARD)


@scenario("collapse-time")
def planted_collapse_time(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """Two modes with constant h and p that meet at a known step. Control: the same, with probes that say nothing."""
    T, omega = 180, 0.0 if control else 1.0
    scale = 1.0 / (ETA * RECORD)
    while True:  # until the modes meet within the run
        stiff = scale * 10 ** rng.uniform(-2.4, -1.9, 2)
        d0, rest = FLOOR * np.array([12.0, 4.0]), FLOOR * np.array([rng.uniform(3, 5), rng.uniform(5, 8)])
        p = rest**2 * stiff / W
        own = {"h": stiff - omega, "p": p, "eta": ETA, "omega": omega, "W": W}
        step = float(collapse_time(d0, **own))
        if 40 * RECORD < step < 150 * RECORD:
            break
    time = RECORD * np.arange(float(T))[:, None]
    d = signal_flow(d0, time, **own)
    # the other modes and the noise follow the second closely, so that the gap stays the largest ratio until late
    share = 0.93 - 0.08 * np.arange(7)
    tail = np.minimum(d[:, :1], d[:, 1:]) * share
    X = updates(
        np.concatenate([d, tail], axis=1, dtype=np.float64), rng, floor=0.6 * np.minimum(d[:, 0], d[:, 1])
    )
    seen = (p, own["h"])
    if control:
        seen = (rng.permutation(p) * 10 ** rng.uniform(-1, 1, 2), own["h"] * 10 ** rng.uniform(-1, 1, 2))
    gradients = np.concatenate([np.sqrt(seen[0]), np.zeros(7)])
    curvature = np.concatenate([seen[1], np.full(7, seen[1][1])])
    products = hessian_probe(X, np.tile(curvature, (T, 1)), rest=seen[1][1])
    probes = {
        "gradient": gradient_probe(X, np.tile(gradients, (T, 1))),
        "hessian": products,
        "response": products,  # gradient descent sees the curvature as it is
    }
    return run(name, seed, control, X, own | {"d0": d0, "collapse_step": step + RECORD}, probes=probes)


@scenario("adiabatic-regimes")
def adiabatic_regimes(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """The gap nearly closes while the run groks, so the adiabatic parameter peaks there. Control: it does not close."""
    T, grok = 120, int(rng.integers(45, 80))
    t = np.arange(T)
    dip = np.zeros(T) if control else np.exp(-(((t - grok) / 4.0) ** 2))
    strengths = FLOOR * np.stack([20 - 17 * dip, np.full(T, 2.0)], axis=1)
    metrics = curves(T, None if control else grok, rng)
    truth = {} if control else {"transition_step": RECORD * (grok + 1)}
    return run(name, seed, control, updates(strengths, rng), truth, metrics=metrics)


@scenario("gap-tracks-loss")
def gap_tracks_loss(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """The validation loss is a falling line minus log R. Control: minus another curve of the same kind."""
    T = 240
    strengths = FLOOR * np.stack([12 * np.exp(0.35 * smooth(T, 30, rng)), np.full(T, 2.0)], axis=1)
    X = updates(strengths, rng)
    ratio = gap_ratio(gram_spectrum(window_blocks(X @ X.T, W)).sigma)
    followed = np.log(np.concatenate([np.full(W - 1, ratio[0]), ratio]))
    followed = (followed - followed.mean()) / followed.std()
    if control:
        followed = smooth(T, 30, rng)
    loss = 3 - 1.5 * np.arange(T) / T - 0.2 * followed + 0.03 * rng.standard_normal(T)
    return run(
        name,
        seed,
        control,
        X,
        {"correlation_sign": -1},
        metrics={"train_loss": loss + 0.1, "test_loss": loss},
    )


@scenario("gap-maximality")
def gap_maximality(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """A collapse at k* = 2 stops learning for as long as it lasts, one at j = 1 does not. Control: either may.

    ``truth["events"]`` holds the step of each collapse, its position, and whether learning stopped.
    """
    T, length = 480, 15
    strengths = FLOOR * np.tile([40.0, 20.0, 2.5], (T, 1))
    starts = np.arange(30, T - 30, 40)
    positions = rng.permutation(np.arange(starts.size) % 2 + 1)
    rate = np.full(T, 0.01)
    events = []
    for start, position in zip(starts, positions, strict=True):
        during = slice(start, start + length)
        strengths[during, position - 1] = FLOOR * (21.5 if position == 1 else 3.0)
        stops = bool(rng.random() < 0.5) if control else bool(position == 2)
        if stops:
            rate[during] = -0.002
        events.append({"step": int(RECORD * (start + 1)), "position": int(position), "disrupts": stops})
    loss = 6 - np.cumsum(rate) + 0.002 * rng.standard_normal(T)
    metrics = {"train_loss": loss - 0.1, "test_loss": loss}
    return run(name, seed, control, updates(strengths, rng), {"k_star": 2, "events": events}, metrics=metrics)


@scenario("collapse-elsewhere")
def collapse_elsewhere(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """The gap at j = 1 closes while that at k* = 2 stays. Control: nothing closes."""
    T, start = 120, int(rng.integers(40, 70))
    strengths = FLOOR * np.tile([40.0, 20.0, 2.5], (T, 1))
    if not control:
        strengths[start:, 0] = 21.0 * FLOOR
    truth = {"k_star": 2} if control else {"k_star": 2, "collapse_step": RECORD * (start + 1), "position": 1}
    return run(name, seed, control, updates(strengths, rng), truth)


@scenario("bistable-loop")
def bistable_loop(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """The gap is held open by feedback until the perturbation passes eps_c for a while, and does not come back.

    Control: the perturbation stays below.
    """
    T = 200
    loop = {"kappa": 0.1, "b": 0.4, "c": -0.1}  # in records and units of 10 noise floors
    eps_c = float(feedback_threshold(**loop).eps_c)
    eps = np.full(T, 0.6 * eps_c)
    if not control:
        eps[80:120] = 1.5 * eps_c
    gap, g = np.empty(T), 2.5
    for t in range(T):
        gap[t] = g
        g = float(feedback_sweep(g, **loop, eps=eps[t], t_max=1.0).gap)
    second = 2.0 * FLOOR
    strengths = np.stack([second + 10 * FLOOR * gap, np.full(T, second), *np.tile(TAIL, (T, 1)).T], axis=1)
    truth = loop | {"eps": eps, "eps_c": eps_c, "gap": 10 * FLOOR * gap}
    return run(name, seed, control, updates(strengths, rng, floor=0.6 * FLOOR), truth)


@scenario("lag-flip")
def lag_flip(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """The loss follows a signal of random sign 7 records later: after R at W = 10 shows it, before R at W = 20 does.

    Control: the loss is another curve.
    """
    T, lag = 240, 7
    curve = smooth(T + lag, 30, rng)
    strengths = FLOOR * (15 * np.exp(0.35 * curve[lag:]))[:, None]
    followed = smooth(T, 30, rng) if control else curve[:T]
    loss = 3 - 0.2 * followed + 0.02 * rng.standard_normal(T)
    truth = {} if control else {"loss_lag": RECORD * lag}
    X = updates(strengths, rng, time=random_signs(T, 1, rng))
    return run(name, seed, control, X, truth, metrics={"train_loss": loss, "test_loss": loss})


@scenario("shift-detection")
def shift_detection(name: str, seed: int, control: bool, rng: np.random.Generator) -> PlantedRun:
    """At the shift a new direction takes over, and R changes in the very record. Control: no shift."""
    T, shift = 80, int(rng.integers(30, 60))
    time = random_signs(T, 2, rng)
    strengths = FLOOR * np.tile([20.0, 0.0], (T, 1))
    if not control:
        strengths[shift:, 1] = 30.0 * FLOOR
    step = 0 if control else RECORD * shift  # the last step before the data change
    X = updates(strengths, rng, time=time)
    return run(
        name, seed, control, X, {"shift_step": step}, config={"shift_step": step, "experiment": "shift"}
    )
