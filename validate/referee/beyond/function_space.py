"""Statements on function space (abstract of the first version), capability and decay, judged on runs that were seen.

Constants and rules were set before a run was looked at; the lengths and record intervals of the runs were chosen from
the test accuracies of other seeds.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.spectrum import gap_position
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.beyond.finding import Finding, judged, paired
from spectral_edge.validate.referee.beyond.recorded import agreement
from spectral_edge.validate.referee.beyond.seen import Floats, Seen, W
from spectral_edge.validate.referee.statistics import Comparison, against, area_under_curve, mean

#: Share of λ_1 from which a window counts as rank one.
RANK_ONE = 0.9
#: Participation from which a direction counts as dense; a normal vector has a third.
DENSE = 0.1
#: Agreement of two gap positions from which they count as the same.
AGREE = 0.5
#: Smallest excess that would matter: of an AUC, of a fall of accuracy, of log R, of a share of energy.
LEAST_AUC, LEAST_FALL, LEAST_OPENING, LEAST_SHARE = 0.05, 0.02, 0.05, 0.02
#: Copies of noise beside each run.
COPIES = 20

Runs = Sequence[Seen]
Series = Callable[[Seen], Floats]


def _elsewhere(run: Seen, event: int, last: int) -> NDArray[np.int64]:
    """Ends of windows that share no record with those around the event, up to `last`."""
    ends = np.arange(W - 1, last)
    return np.asarray(ends[np.abs(ends - (event + W // 2)) >= 2 * W], dtype=np.int64)


def _at_event(runs: Runs, series: Callable[[Seen], Floats]) -> tuple[Comparison, int]:
    """A series (T,) at the window in the middle of which the event lies, against its values elsewhere in the run."""
    observed, draws = [], []
    for run in runs:
        values = series(run)
        if run.event is not None and np.isfinite(values[run.event + W // 2]):
            observed.append(float(values[run.event + W // 2]))
            draws.append(values[_elsewhere(run, run.event, run.T)])
    return against(observed, draws), len(observed)


def first_share(run: Seen, of: str = "outputs") -> Floats:
    """λ_1/Σλ of the window that ends at each record, (T,), of the outputs or the weights."""
    lam = getattr(run, of).window(W).lam
    return np.concatenate([np.full(W - 1, np.nan), lam[:, 0] / lam.sum(axis=1)])


def rank_one(runs: Runs) -> Finding:
    """The event is rank one in function space, more so than the run elsewhere, and than noise of its colour."""
    elsewhere, n = _at_event(runs, first_share)
    observed, noise = [], []
    for number, run in enumerate(runs):
        if run.event is not None:
            end = run.event + W // 2
            observed.append(float(first_share(run)[end]))
            copies = worlds.matched_noise(run.outputs, number, COPIES)
            lam = np.array([copy.window(W).lam[end - W + 1] for copy in copies])
            noise.append(lam[:, 0] / lam.sum(axis=1))
    own = against(observed, noise)
    weights, _ = _at_event(runs, lambda run: first_share(run, "weights"))
    return Finding.of(
        elsewhere, n, id="rank-one", claim="Each event is rank one in function space.",
        statistic="share of λ_1 in the window of output updates around the transition",
        against="the same share elsewhere in the run",
        verdict=judged((elsewhere, own), above=RANK_ONE),
        rule=f"share above {RANK_ONE:g}, above that elsewhere, and above that of noise with the run's norms and colour",
        readings={"noise of its norms and colour": own.control, "excess over that noise": own.excess,
                  "weights, at the transition": weights.treated, "weights, elsewhere": weights.control},
    )  # fmt: skip


def _gap_of_kernel(run: Seen) -> Floats:
    return gap_position(np.sqrt(np.maximum(run.kernel[:, :W], 0)))


def _plain(run: Seen) -> Floats:
    return run.weights.window(W).k_star


def _outliers(run: Seen) -> Floats:
    return run.outliers


def _agreement(runs: Runs, kernel: Series, k_star: Series) -> tuple[Comparison, int]:
    """Share of the windows with k* where the kernel has its own, against the kernel at other times of the run."""
    pairs = []
    for run in runs:
        whole = np.concatenate([np.full(W - 1, np.nan), k_star(run)])
        pairs.append((whole[run.looked], kernel(run)))
    return agreement(pairs)


def kernel_outliers(runs: Runs) -> Finding:
    """The gap position follows the outliers of the tangent kernel."""
    found, n = _agreement(runs, _gap_of_kernel, _plain)
    others = {
        "k* of the outputs": _agreement(runs, _gap_of_kernel, lambda run: run.outputs.window(W).k_star)[0],
        "weighted k*": _agreement(runs, _gap_of_kernel, lambda run: run.weights.window(W).k_star_weighted)[0],
        "outliers above the bulk's edge": _agreement(runs, _outliers, _plain)[0],
    }  # fmt: skip
    return Finding.of(
        found, n, id="kernel-outliers", claim="The gap position is that of the outliers of the tangent kernel.",
        statistic="share of the windows in which k* is the position of the kernel's largest ratio",
        against="the kernel of other times of the run", verdict=judged((found,), above=AGREE),
        rule=f"agreement above {AGREE:g}, and above that with the kernel of other times",
        readings={name: one.treated for name, one in others.items()}
        | {f"{name}, excess over other times": one.excess for name, one in others.items()},
    )  # fmt: skip


def _near(run: Seen, event: int) -> np.ndarray:
    return np.abs(run.looked - event) <= W


def _separates(runs: Runs, score: Callable[[Seen], Floats]) -> tuple[Comparison, int]:
    """AUC of a score for the records within W of the transition, against transitions put elsewhere in the run."""
    observed, draws = [], []
    for run in runs:
        values = score(run)
        if run.event is None or not np.isfinite(values).any():
            continue
        places = [at for at in range(2 * W, run.T - W) if abs(at - run.event) > 2 * W]
        if places:
            observed.append(area_under_curve(values, _near(run, run.event)))
            draws.append(np.array([area_under_curve(values, _near(run, at)) for at in places]))
    return against(observed, draws), len(observed)


def _amplitude_gap(run: Seen) -> Floats:
    return np.concatenate([np.full(W - 1, np.nan), run.weights.window(W).gap])[run.looked]


def adiabatic(run: Seen) -> Floats:
    """𝒜 = ‖K̇‖/(ηg²) at every record looked at, g the amplitude gap of the window of weights (5.6)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(run.kernel_rate / (run.eta * _amplitude_gap(run) ** 2))


def adiabatic_kernel(runs: Runs) -> Finding:
    """𝒜 of the tangent kernel tells the transition from the plateaus."""
    found, n = _separates(runs, adiabatic)
    with np.errstate(divide="ignore"):
        placebos = {
            "‖K̇‖ alone": _separates(runs, lambda run: run.kernel_rate)[0].excess,
            "1/g² alone": _separates(runs, lambda run: _amplitude_gap(run) ** -2.0)[0].excess,
        }
    sides: dict[str, list[float]] = {"near": [], "away": []}
    for run in runs:
        if run.event is not None:
            near = _near(run, run.event)
            for name, kept in (("near", near), ("away", ~near)):
                sides[name].append(float(np.log10(np.nanmedian(adiabatic(run)[kept]))))
    return Finding.of(
        found, n, id="adiabatic-kernel", claim="𝒜 = ‖K̇‖/(ηg²) tells transitions from plateaus.",
        statistic="AUC of 𝒜 for the records within W of the transition",
        against="transitions put elsewhere in the run", verdict=judged((found,), smallest=LEAST_AUC),
        rule="AUC above that of transitions put elsewhere",
        readings={f"excess of {name}": one for name, one in placebos.items()}
        | {f"log10 of the median 𝒜 {name}": mean(values) for name, values in sides.items()},
    )  # fmt: skip


def dense_in_parameters(runs: Runs) -> Finding:
    """v_1 is spread over the parameters at the event, and more than elsewhere."""
    found, n = _at_event(runs, lambda run: run.participation)
    return Finding.of(
        found, n, id="dense", claim="Each event is dense in parameters.",
        statistic="participation of v_1 around the transition (1/3 for a normal vector)",
        against="the same elsewhere in the run", verdict=judged((found,), above=DENSE),
        rule=f"participation above {DENSE:g}, and above that elsewhere in the run",
    )  # fmt: skip


def capability(runs: Runs) -> Finding:
    """What was gained at the transition is lost where the window's step along v_1 and v_2 is undone (10.7)."""
    lead: list[float] = []
    bulk: list[float] = []
    random: list[float] = []
    away: list[float] = []
    for run in runs:
        if run.event is not None:
            inside = (run.looked >= run.event) & (run.looked < run.event + W)
            outside = np.abs(run.looked - run.event) > 2 * W
            one, two, three = run.ablation[inside].mean(axis=0)
            lead, bulk, random = [*lead, one], [*bulk, two], [*random, three]
            away.append(run.ablation[outside, 0].mean() if outside.any() else np.nan)
    nulls = {
        name: paired(lead, rest) for name, rest in (("bulk", bulk), ("random", random), ("elsewhere", away))
    }
    found = nulls["bulk"]
    return Finding.of(
        found, len(lead), id="capability", claim="What a transition gains is carried by v_1 and v_2 of its window.",
        statistic="fall of the test accuracy when the window's step along v_1 and v_2 is undone, at the transition",
        against="as long a step undone along its part in v_3 … v_W",
        verdict=judged(tuple(nulls.values()), smallest=LEAST_FALL),
        rule="the fall exceeds those of as long a step in the bulk and in a random direction, and that at other times",
        readings={"random direction": nulls["random"].control, "excess over random": nulls["random"].excess,
                  "v_1 and v_2 elsewhere in the run": nulls["elsewhere"].control,
                  "excess over elsewhere": nulls["elsewhere"].excess},
    )  # fmt: skip


def opening(runs: Runs) -> Finding:
    """The gap opens where a capability is gained: log R is higher after the transition than before (10.7)."""
    observed, draws = [], []
    for run in runs:
        if run.event is None:
            continue
        log_r = np.concatenate([np.full(W - 1, np.nan), np.log(run.weights.window(W).ratio)])

        def rise(at: int, log_r: Floats = log_r) -> float:
            return float(np.nanmedian(log_r[at + W : at + 2 * W]) - np.nanmedian(log_r[at - W : at]))

        observed.append(rise(run.event))
        draws.append(
            np.array([rise(at) for at in range(2 * W, run.T - 2 * W) if abs(at - run.event) >= 2 * W])
        )
    found = against(observed, draws)
    return Finding.of(
        found, len(observed), id="opening", claim="The gap opens where a capability is gained.",
        statistic="median of log R in the window after the transition, less that in the window before it",
        against="other times of the run", verdict=judged((found,), smallest=LEAST_OPENING),
        rule="the rise exceeds those at other times of the run",
    )  # fmt: skip


def decay_split(runs: Runs) -> Finding:
    """The share of decay in the energy of v_1 changes at the transition, more than that of v_5, and than elsewhere."""
    own, other, draws = [], [], []
    for run in runs:
        if run.event is None or not np.nanmax(run.decay_share) > 0:
            continue

        def change(at: int, column: int, share: Floats = run.decay_share) -> float:
            after, before = share[at + W : at + 2 * W, column], share[at - W : at, column]
            known = np.isfinite(after).any() and np.isfinite(before).any()
            return abs(float(np.nanmean(after) - np.nanmean(before))) if known else float("nan")

        own.append(change(run.event, 0))
        other.append(change(run.event, 1))
        draws.append(
            np.array([change(at, 0) for at in range(2 * W, run.T - 2 * W) if abs(at - run.event) >= 2 * W])
        )
    about = {
        "id": "decay-split", "claim": "The share that decay has of v_1's energy changes at grokking.",
        "rule": "the change exceeds that of v_5 of the same windows, and that at other times of the run",
    }  # fmt: skip
    if not own:
        return Finding.missing(**about, why="no run with weight decay and a transition")
    mode, time = paired(own, other), against(own, draws)
    return Finding.of(
        mode, len(own), **about,
        statistic="change of that share from the window before the transition to the one after",
        against="v_5 of the same windows", verdict=judged((mode, time), smallest=LEAST_SHARE),
        readings={"other times of the run": time.control, "excess over other times": time.excess},
    )  # fmt: skip


STATEMENTS = (
    rank_one, kernel_outliers, adiabatic_kernel, dense_in_parameters, capability, opening, decay_split,
)  # fmt: skip
