"""Collapse times: events found by following modes, the state before them, and what the gap flow predicts from it.

A collapse is where the two modes that bound the gap exchange ranks (docs/theory.md, 3.6: the first t with
u_k(t) = u_{k+1}(t), labels kept). Levels repel (4.1), so the ordered gap has a minimum there and no zero; the modes are
told apart by their directions (`simulate.follow_modes`).

A state is taken at every `EVERY`-th record, wherever an event may lie, and never closer to it than `LEAD` records. At
one fixed distance from the events all observed times would be the same: no slope, and the mean would predict them all.

A second reading names modes by rank and waits until σ_k/σ_{k+1} falls to `CLOSED`, by the same flow: 1.1·σ_{k+1}
obeys 3.1 with 1.21·p. It was added after the first four recordings had shown that their modes are lost within a few
records, before any of its own times was looked at: it explores and decides nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectral_edge import simulate
from spectral_edge.theory.gram import as_band, window_blocks
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import card, knows, number

Floats = NDArray[np.float64]

W = 10
#: Records from a state to its collapse, at least: the windows of both then share no update.
LEAD = W
#: States are taken at every so many records: a multiple of those at which recordings hold a Hessian.
EVERY = W
#: Records before a state that its source strength is fitted on.
PAST = W
#: Squared overlap with its remembered direction above which a mode is itself: no other mode can have as much.
FOLLOWED = 0.5
#: Windows over which a mode is remembered.
MEMORY = 5
#: Where modes go by rank, which never meet (4.1), a gap has collapsed when σ_k/σ_{k+1} is down to this.
CLOSED = 1.1
#: Updates over which modes are remembered: what recordings hold.
REACH = 32


@dataclass(frozen=True)
class Tracks:
    """The modes of a run with their identity, one row per window: column i is the mode that had rank i at the start.

    Attributes
    ----------
    steps : (n,) int64
        Step at which each window ends.
    k_star : (n,)
        Gap position, NaN where there is none.
    rank : (n, W) int64
        Rank of mode i, from 0.
    sigma : (n, W), parameter units
        Strength d of mode i.
    followed : (n, W) bool
        Whether mode i was still itself (`FOLLOWED`).
    p : (n, W)
        Gradient power ⟨∇L, v_i⟩², of the training loss. Its scale is not derived (3.1).
    h : (n, W)
        Curvature v_iᵀHv_i, of the loss itself and not of the preconditioned one; the last known at that time, NaN
        before the first.
    closed : float
        Ratio of the two strengths at which their gap has collapsed: 1, or `CLOSED` by rank.
    """

    steps: NDArray[np.int64]
    k_star: Floats
    rank: NDArray[np.int64]
    sigma: Floats
    followed: NDArray[np.bool_]
    p: Floats
    h: Floats
    closed: float = 1.0

    @classmethod
    def of(cls, run: GramSequence, by_rank: bool = False) -> "Tracks":
        """Follow the modes of `run`, or name them by rank, with what the probes say of them."""
        windows = run.window(W)
        if by_rank:
            rank, sigma = np.tile(np.arange(W), (len(windows.steps), 1)), windows.sigma
            followed, closed = np.ones(rank.shape, dtype=bool), CLOSED
        else:
            modes = simulate.follow_modes(as_band(run.K, min(REACH, run.T - 2, run.W_max)), W, MEMORY)
            rank, sigma, followed, closed = modes.rank, modes.sigma, modes.overlap > FOLLOWED, 1.0

        def named(values: Floats) -> Floats:
            return np.take_along_axis(values, rank, axis=1)

        p, h = named(windows.project("gradient") ** 2), named(windows.curvature("hessian"))
        known = np.maximum.accumulate(np.where(np.isfinite(h), np.arange(len(h))[:, None], -1), axis=0)
        h = np.where(known >= 0, np.take_along_axis(h, np.maximum(known, 0), axis=0), np.nan)
        return cls(windows.steps, windows.k_star, rank, sigma, followed, p, h, closed)


def persistence(run: GramSequence) -> Floats:
    """Squared overlap of the two modes around k* with whatever mode is most like them `LEAD` records later.

    Exact, from K (5.5); the two windows share no update. 1 where a mode stays the direction it is; above `FOLLOWED` it
    can be recognised without having been watched in between, below it has turned into something else.

    Parameters
    ----------
    run : GramSequence
        Of W + `LEAD` records at least, in a band as wide.

    Returns
    -------
    (m, 2) array
        One row per window that has a gap: the upper mode and the lower one.

    Examples
    --------
    >>> from spectral_edge.validate.referee import worlds
    >>> planted = worlds.planted("collapse-time", 1)(0)[0]
    >>> bool(persistence(planted)[:50].min() > FOLLOWED)  # long before their collapse
    True
    """
    windows, blocks = run.window(W), window_blocks(run.K, W + LEAD)
    scaled = windows.u / np.where(windows.sigma > 0, windows.sigma, np.inf)[:, None, :]
    inner = np.einsum("nsj,nst,ntl->nlj", scaled[LEAD:], blocks[:, LEAD:, :W], scaled[:-LEAD])
    most = np.max(inner**2, axis=2)
    k = windows.k_star[:-LEAD]
    pair = np.where(np.isfinite(k), k, 1).astype(int)[:, None] + np.array([-1, 0])
    return np.take_along_axis(most, pair, axis=1)[np.isfinite(k)]


@dataclass(frozen=True)
class Collapse:
    """An exchange of ranks.

    Attributes
    ----------
    upper, lower : int
        The two modes, by their names in `Tracks`; `upper` is the stronger one before.
    window : int
        First window in which it is the weaker one (by rank: in which the gap is closed).
    step : float
        Where that happens, by a straight line between that window and the one before.
    """

    upper: int
    lower: int
    window: int
    step: float


def next_collapse(tracks: Tracks, window: int) -> Collapse | None:
    """First collapse, after `window`, of the two modes that bound the gap there.

    None where there is no gap, where either mode is lost before they meet, or where they never do.
    """
    if not np.isfinite(tracks.k_star[window]):
        return None
    k = int(tracks.k_star[window])
    order = np.argsort(tracks.rank[window])
    pair = order[k - 1 : k + 1]
    gap = tracks.sigma[window:, pair[0]] - tracks.closed * tracks.sigma[window:, pair[1]]
    met = np.flatnonzero(gap <= 0)
    if not len(met) or met[0] == 0 or not tracks.followed[window : window + met[0] + 1, pair].all():
        return None
    after = int(met[0])
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    start, end = tracks.steps[window + after - 1 : window + after + 1]
    return Collapse(int(pair[0]), int(pair[1]), window + after, float(start + share * (end - start)))


@dataclass(frozen=True)
class State:
    """Two modes at one record, what is known of them by then, and when they were seen to meet.

    Pairs are of the upper mode and the lower one; by rank d and p of the lower one are those of `CLOSED` times it.

    Attributes
    ----------
    run : str
        Name of the run.
    step : int
        Step of the record.
    collapse : Collapse
        The event to come.
    d : (2,) array, parameter units
        Strengths.
    h, p : (2,) arrays
        Curvature, the last known; gradient power, the mean over the `PAST` records before.
    level : (2,) array, parameter units²
        Mean of u = d² over those records.
    growth : (2,) array, parameter units² per step
        Change of u over them.
    eta, omega : float
        Learning rate and weight decay.
    spacing : float
        Steps from one record to the next.
    end : int
        Last step of the run.
    later : Floats, shape (m, 5)
        What a forecast may not use: steps from the state to each record until the end of the run, and h and p there.
    """

    run: str
    step: int
    collapse: Collapse
    d: Floats
    h: Floats
    p: Floats
    level: Floats
    growth: Floats
    eta: float
    omega: float
    spacing: float
    end: int
    later: Floats

    @property
    def observed(self) -> float:
        """Steps from the state to its collapse."""
        return self.collapse.step - self.step


def missing(run: GramSequence) -> str | None:
    """Say what `run` lacks for its collapses to be predicted; None where it lacks nothing."""
    if run.T < W + PAST + LEAD or run.W_max < W + LEAD:
        return f"{W + PAST + LEAD} records in a band of {W + LEAD} updates"
    for name, ndim in (("gradient", 2), ("hessian", 3)):
        probe = run.probes.get(name)
        if probe is None or probe.ndim != ndim or probe.shape[1] < W:
            return f"the probe {name!r}"
    wanted = {"learning_rate": "a positive learning rate", "weight_decay": "weight decay"}
    return " and ".join(words for name, words in wanted.items() if not knows(run, name)) or None


def states(run: GramSequence, by_rank: bool = False) -> list[State]:
    """All states of `run` from which a collapse was seen `LEAD` records later or more, in time order.

    Parameters
    ----------
    run : GramSequence
        With the probes "gradient" and "hessian", its learning rate and its weight decay.
    by_rank : bool
        Name modes by rank, the second reading.

    Returns
    -------
    list of State

    Raises
    ------
    ValueError
        If something is `missing`.

    Examples
    --------
    >>> from spectral_edge.validate.referee import worlds
    >>> run = worlds.planted("collapse-time", 1)(0)[0]
    >>> first = states(run)[0]
    >>> first.step, first.observed > 100 * LEAD
    (2000, True)
    """
    lacking = missing(run)
    if lacking:
        raise ValueError(f"run must have {lacking} for its collapses to be predicted")
    tracks = Tracks.of(run, by_rank)
    found = []
    # records count from 1, and the first window ends at record W
    for window in range(PAST, len(tracks.steps)):
        if (window + W) % EVERY:
            continue
        event = next_collapse(tracks, window)
        if event is None or event.window < window + LEAD:
            continue
        state = _state(run, tracks, window, event)
        if state is not None:
            found.append(state)
    return found


def _state(run: GramSequence, tracks: Tracks, window: int, event: Collapse) -> State | None:
    """The state at `window`; None where a mode was not itself before it or something was not measured."""
    pair, past = [event.upper, event.lower], slice(window - PAST, window + 1)
    # σ_k = closed·σ_{k+1} is where the upper mode meets the lower one so scaled, which obeys 3.1 too
    scale = np.array([1.0, tracks.closed])
    u, steps = (scale * tracks.sigma[past][:, pair]) ** 2, tracks.steps[past]
    h, p = tracks.h[window, pair], scale**2 * tracks.p[past][:, pair].mean(axis=0)
    if not (tracks.followed[past][:, pair].all() and np.isfinite([h, p]).all()):
        return None
    ahead = (tracks.steps[window:] - tracks.steps[window])[:, None]
    coefficients = [tracks.h[window:][:, pair], scale**2 * tracks.p[window:][:, pair]]
    return State(
        run=card(run).run or card(run).family,
        step=int(tracks.steps[window]),
        collapse=event,
        d=scale * tracks.sigma[window, pair],
        h=h,
        p=p,
        level=np.trapezoid(u, steps, axis=0) / (steps[-1] - steps[0]),
        growth=(u[-1] - u[0]) / (steps[-1] - steps[0]),
        eta=number(run, "learning_rate"),
        omega=number(run, "weight_decay"),
        spacing=float(np.median(np.diff(run.steps))),
        end=int(run.steps[-1]),
        later=np.concatenate([ahead, *coefficients], axis=1),
    )
