"""What the bundled dense recordings say of curvature, the edge of stability and power laws; nothing is trained."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectral_edge import simulate
from spectral_edge.theory.checks import whole
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond.finding import Finding, judged, paired
from spectral_edge.validate.referee.cards import card, learning_rate
from spectral_edge.validate.referee.collapse.tracks import MEMORY
from spectral_edge.validate.referee.statistics import Comparison, Estimate, against, mean

Floats = NDArray[np.float64]

W = 10
#: Agreement from which two positions count as the same, and windows a run needs.
AGREE, FEWEST = 0.5, 10
#: Learning rate times sharpness from which a record counts as at the edge, and the range that "near 2" allows.
EDGE, NEAR = 1.9, (1.8, 2.2)
#: Exchanges among this many leading modes count.
LEADING = 6
#: First step of a power law.
FROM = 50


def agreement(positions: Sequence[tuple[ArrayLike, ArrayLike]]) -> tuple[Comparison, int]:
    """Share of the windows in which two positions agree, against one of them shifted in time; by run.

    Parameters
    ----------
    positions : sequence of pairs of (n,) arrays
        Of each run; NaN where there is none.
    """
    observed, draws = [], []
    for one, other in positions:
        k, own = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
        known = np.isfinite(k) & np.isfinite(own)
        k, own = k[known], own[known]
        if len(k) >= FEWEST:
            observed.append(float(np.mean(k == own)))
            draws.append(np.array([np.mean(k == np.roll(own, shift)) for shift in range(3, len(k) - 2)]))
    return against(observed, draws), len(observed)


def curvature_position(run: GramSequence, W: int = W) -> tuple[Floats, Floats, Floats]:
    """Where neighbouring curvatures differ most, argmax (h_{j+1}+ω)/(h_j+ω), and k*, plain and weighted, by window.

    Curvature is the optimiser's, v_jᵀD⁻¹Hv_j, where the response was recorded. NaN where fewer than two modes have a
    known, positive one.
    """
    windows = run.window(W)
    h = windows.curvature("response" if "response" in run.probes else "hessian") + (
        card(run).weight_decay or 0.0
    )
    h = np.where(windows.sigma_reliable, h, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((h[:, 1:] > 0) & (h[:, :-1] > 0), h[:, 1:] / h[:, :-1], np.nan)
    found = np.full(len(ratio), np.nan)
    known = np.isfinite(ratio).any(axis=1)
    found[known] = 1 + np.nanargmax(ratio[known], axis=1)
    return found, windows.k_star, windows.k_star_weighted


def curvature_order(runs: Sequence[GramSequence]) -> Finding:
    """The gap stands where the ratio of neighbouring curvatures is largest (5.1 of the thesis)."""
    positions = [curvature_position(run) for run in runs if {"response", "hessian"} & set(run.probes)]
    plain, n = agreement([(k, own) for own, k, _ in positions])
    weighted, _ = agreement([(k, own) for own, _, k in positions])
    return Finding.of(
        plain, n, id="curvature-order", claim="The gap stands where the ratio of neighbouring curvatures is largest.",
        statistic="share of the windows in which k* is the position of the largest (h_{j+1} + ω)/(h_j + ω)",
        against="the curvatures of other times of the run", verdict=judged((plain,), above=AGREE),
        rule=f"agreement above {AGREE:g}, and above that with the curvatures of other times",
        readings={"weighted k*": weighted.treated, "weighted k*, excess over other times": weighted.excess},
    )  # fmt: skip


def curvature_world(seed: int, planted: bool = True, T: int = 200) -> GramSequence:
    """Ten modes of strengths h_j^{-1/2} in window after window, or curvatures that have nothing to do with them.

    Where the largest ratio of neighbouring curvatures stands changes every 2W records.
    """
    rng = np.random.default_rng([whole("seed", seed, 0), int(planted)])
    t = np.arange(T)
    waves = [np.ones(T), np.cos(np.pi * t)]
    waves += [np.sqrt(2) * f(2 * np.pi * k * t / W) for k in range(1, W // 2) for f in (np.cos, np.sin)]
    place = rng.integers(1, W, size=T // (2 * W) + 1).repeat(2 * W)[:T]
    order = np.arange(W)
    d = 1.2 ** -(order + 4.0 * (order >= place[:, None]))
    X = d * np.array(waves).T
    other = place if planted else rng.integers(1, W, size=T // (2 * W) + 1).repeat(2 * W)[:T]
    h = 1.2 ** (2 * (order + 4.0 * (order >= other[:, None])))
    probe = np.full((T, W, W), np.nan)
    for end in range(W - 1, T):
        rows = X[end - np.arange(W)]
        probe[end] = (rows * h[end]) @ rows.T
    return GramSequence.from_inner_products(X @ X.T, probes={"hessian": probe})


def clustered(events: Sequence[ArrayLike], at_edge: Sequence[NDArray[np.bool_]]) -> tuple[Comparison, int]:
    """Share of the events of a run that lie at its edge, against the same with the edge shifted in time; by run.

    Runs without events, and runs that are always or never there, say nothing.
    """
    observed, draws = [], []
    for times, label in zip(events, at_edge, strict=True):
        rows = np.asarray(times, dtype=int)
        if len(rows) and label.any() and not label.all():
            observed.append(float(label[rows].mean()))
            draws.append(np.array([np.roll(label, s)[rows].mean() for s in range(W, len(label) - W, 3)]))
    return against(observed, draws), len(observed)


def exchanges(run: GramSequence) -> NDArray[np.int64]:
    """Records at which two of the leading modes exchange ranks."""
    found = simulate.mode_exchanges(simulate.follow_modes(run.K, W, MEMORY))
    kept = (np.array(found.kind) == "exchange") & (np.max(found.rank, axis=1, initial=0) <= LEADING)
    return np.asarray(np.clip(np.rint(np.asarray(found.time)[kept]).astype(int) + W - 1, 0, run.T - 1))


def sharpness(run: GramSequence) -> Floats:
    """Learning rate times sharpness at every record, (T,): between measurements a line."""
    values = np.asarray(run.metrics["sharpness"], dtype=float) * learning_rate(run)
    known = np.flatnonzero(np.isfinite(values))
    return np.asarray(np.interp(np.arange(run.T), known, values[known]))


def edge_of_stability(runs: Sequence[GramSequence]) -> Finding:
    """Under gradient descent that settles at the edge of stability, exchanges lie where it is reached."""
    descents = [run for run in runs if (card(run).optimizer or "").upper() == "SGD" and not card(run).momentum
                and run.config.get("batch_size") is None]  # fmt: skip
    levels = [sharpness(run) for run in descents]
    times = [exchanges(run) for run in descents]
    names = np.array(["edge" in str(run.config.get("regime", "")) for run in descents])
    found, n = clustered(times, [level >= EDGE for level in levels])
    settled = [float(np.median(level[len(level) // 2 :])) for level in levels]
    rate = [1e3 * len(rows) / run.T for rows, run in zip(times, descents, strict=True)]
    at, below = (
        [x for x, edge in zip(settled, names, strict=True) if edge == wanted] for wanted in (True, False)
    )
    often, seldom = (
        [x for x, edge in zip(rate, names, strict=True) if edge == wanted] for wanted in (True, False)
    )
    inside = [float(NEAR[0] <= x <= NEAR[1]) for x in at]
    return Finding.of(
        found, n, id="edge-of-stability", claim="Exchanges of modes cluster at the edge of stability.",
        statistic=f"share of the exchanges at records with learning rate times sharpness ≥ {EDGE:g}",
        against="that stretch shifted in time", verdict=judged((found,), smallest=0.05),
        rule="the share exceeds that of the stretch shifted in time",
        readings={
            "learning rate × sharpness, second half, edge regimes": mean(at),
            f"share of those runs within {NEAR[0]:g} to {NEAR[1]:g}": mean(inside),
            "learning rate × sharpness, second half, other regimes": mean(below),
            "exchanges in 1,000 records, edge regimes": mean(often),
            "exchanges in 1,000 records, other regimes": mean(seldom),
        },
    )  # fmt: skip


def power_law(steps: ArrayLike, values: ArrayLike) -> tuple[float, float, float]:
    """Exponent of a power law, and the mean squared error of ln on the later half, of it and of an exponential.

    Both are fitted to the first half of the records, in the logarithm.
    """
    t, y = np.asarray(steps, dtype=float), np.log(np.asarray(values, dtype=float))
    early, late = slice(0, len(t) // 2), slice(len(t) // 2, None)
    errors = []
    for x in (np.log(t), t):
        line = np.polyfit(x[early], y[early], 1)
        errors.append(float(np.mean((np.polyval(line, x[late]) - y[late]) ** 2)))
    return float(np.polyfit(np.log(t), y, 1)[0]), errors[0], errors[1]


def scaling(series: Sequence[tuple[Floats, Floats, Floats]]) -> tuple[Finding, Finding]:
    """Loss, and σ_1, fall as powers of the step, better foretold so than by exponentials.

    Parameters
    ----------
    series : sequence of (steps, loss, sigma_1), (n,) arrays each
    """
    fits = {
        "loss": [power_law(t, loss) for t, loss, _ in series],
        "σ_1": [power_law(t, s) for t, _, s in series],
    }
    found = []
    a, b = (np.array([fit[0] for fit in fits[name]]) for name in ("loss", "σ_1"))
    for name, exponents in (("loss", a), ("σ_1", b)):
        power, exponential = (np.sqrt([fit[i] for fit in fits[name]]) for i in (1, 2))
        one = paired(exponential, power)
        readings: dict[str, Estimate] = {"exponent over steps": mean(exponents)}
        if name == "σ_1":  # ‖δ‖² = −η dL/dt makes it (a − 1)/2 for gradient descent, whatever the law
            readings["exponent less (that of the loss − 1)/2"] = mean(b - (a - 1) / 2)
        found.append(Finding.of(
            one, len(series), id=f"scaling, {name}",
            claim=f"A power law of the step foretells {name} better than an exponential.",
            statistic="error of ln foretold for the later half by an exponential", against="by a power law",
            verdict=judged((one,)), rule="the exponential errs more", readings=readings,
        ))  # fmt: skip
    return found[0], found[1]


def of_recordings(runs: Sequence[GramSequence]) -> list[tuple[Floats, Floats, Floats]]:
    """Steps, training loss and σ_1 of the runs under full-batch gradient descent below the edge."""
    found = []
    for run in runs:
        if str(run.config.get("regime")) in ("mlp-gd", "linear-gd", "quadratic-gd"):
            windows = run.window(W)
            kept = windows.steps >= FROM
            loss = np.asarray(run.metrics["train_loss"], dtype=float)[W - 1 :]
            found.append((windows.steps[kept].astype(float), loss[kept], windows.sigma[kept, 0]))
    return found
