"""Exchanges of followed modes, told from avoided crossings and from loss of identity (4.1, 10.5)."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spectral_edge.simulate._modes import FOLLOWED, FollowedModes
from spectral_edge.theory.checks import FloatArray, positive, whole
from spectral_edge.theory.spectrum import gap_position, gram_rtol

EXCHANGE, AVOIDED, LOST = "exchange", "avoided", "lost"


@dataclass(frozen=True)
class ModeExchanges:
    """What became of pairs of modes that came together, m events in time order.

    Attributes
    ----------
    kind : numpy.ndarray, shape (m,), str
        "exchange": the two changed order, each still itself. "avoided": they came close and parted in the same order.
        "lost": their order changed while one of them ceased to be itself.
    window : numpy.ndarray, shape (m,), int64
        First window of the new order; of an avoided crossing the closest.
    time : numpy.ndarray, shape (m,), float64
        Where the two were closest, in windows: between two of them where a straight line of ln σ crosses there.
    mode : numpy.ndarray, shape (m, 2), int64
        The two modes, columns of `FollowedModes`, the stronger one before it first.
    rank : numpy.ndarray, shape (m, 2), int64
        Their ranks, from 1, in the last window of the old order.
    since : numpy.ndarray, shape (m,), int64
        First window from which both were themselves until then.
    lead, lead_weighted : numpy.ndarray, shape (m,), int64
        How many windows before `window` the two first bounded the gap at k*, or at the weighted k*, since then; 0 where
        they did not.
    hold : int
        Windows for which an order had to last.
    """

    kind: NDArray[np.str_]
    window: NDArray[np.int64]
    time: FloatArray
    mode: NDArray[np.int64]
    rank: NDArray[np.int64]
    since: NDArray[np.int64]
    lead: NDArray[np.int64]
    lead_weighted: NDArray[np.int64]
    hold: int

    def of_kind(self, kind: str = EXCHANGE) -> "ModeExchanges":
        """Only the events of one kind."""
        chosen = self.kind == kind
        arrays = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "hold"}
        return replace(self, **arrays)


@dataclass(frozen=True)
class TimeToExchange:
    """For every window and every pair of neighbouring ranks, how long until its two modes exchange.

    Attributes
    ----------
    time : numpy.ndarray, shape (n, W - 1), float64
        Windows from window t until the modes of ranks j and j + 1 (column j - 1) exchange, or for which it is known
        that they do not. NaN where one of them is not followed, or too close to the end to tell.
    exchanged : numpy.ndarray, shape (n, W - 1), bool
        Whether they exchange then; False where one was lost before, or the run ended (censored).
    """

    time: FloatArray
    exchanged: NDArray[np.bool_]


def mode_exchanges(modes: FollowedModes, hold: int = 5, closed: float = 1.1) -> ModeExchanges:
    """[F] Find where two modes exchange order, come close and part again, or are lost.

    Parameters
    ----------
    modes : FollowedModes
        Of `follow_modes`.
    hold : int
        Windows for which an order must last to count, before an event and after it: flicker is no exchange.
    closed : float
        Ratio of the two strengths below which a closest approach is called an avoided crossing, above 1.

    Returns
    -------
    ModeExchanges

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Notes
    -----
    Two modes exchange only if both are followed through `hold` windows of the old order, whatever lies between, and
    `hold` windows of the new one. While they cross each may be a mixture of the two, and of no third. A crossing that
    takes longer than the memory of `follow_modes` turns what is remembered with it, and is an avoided one.

    Examples
    --------
    >>> from spectral_edge.simulate import follow_modes
    >>> s = np.arange(80)
    >>> X = np.stack([0.9**s, 0.01 * (-0.98) ** s], axis=1)  # a drift that fades, an oscillation that lasts
    >>> found = mode_exchanges(follow_modes(X @ X.T, 10))
    >>> found.kind.tolist(), found.rank.tolist(), found.time.round(1).tolist()
    (['exchange'], [[1, 2]], [50.5])
    """
    hold = whole("hold", hold, 1)
    if not positive("closed", closed) > 1:
        raise ValueError(f"closed must be above 1, got {closed}")
    ordered = -np.sort(-modes.sigma, axis=1)
    rtol = gram_rtol(ordered.shape[1])
    gaps = [gap_position(ordered, weighted, rtol) for weighted in (False, True)]
    events = []
    for a, b in _pairs(modes):
        kept, x = _themselves(modes, a, b), _log_ratio(modes, a, b)
        for kind, end, window in _events(modes, (a, b), kept, x, hold, closed):
            upper, lower = (a, b) if modes.rank[end, a] < modes.rank[end, b] else (b, a)
            until = end if kind == LOST else window
            broken = np.flatnonzero(~kept[: until + 1])
            since = int(broken[-1]) if len(broken) else 0
            span = slice(since, end + 1)
            bounds = [_bound(modes, upper, lower, k)[span] for k in gaps]
            leads = [window - since - int(np.argmax(at)) if at.any() else 0 for at in bounds]
            time = _closest(x, window, modes.memory) if kind == EXCHANGE else float(window)
            ranks = modes.rank[end, [upper, lower]] + 1
            events.append((window, time, kind, (upper, lower), tuple(ranks), since, *leads))
    events.sort(key=lambda event: (event[0], event[3]))
    window, time, kind, mode, rank, since, lead, weighted = zip(*events, strict=True) if events else [()] * 8

    def whole_numbers(values: object, *shape: int) -> NDArray[np.int64]:
        return np.array(values, dtype=np.int64).reshape(-1, *shape)

    return ModeExchanges(
        np.array(kind, dtype="<U8"), whole_numbers(window), np.array(time, dtype=np.float64),
        whole_numbers(mode, 2), whole_numbers(rank, 2), *map(whole_numbers, (since, lead, weighted)), hold,
    )  # fmt: skip


def _pairs(modes: FollowedModes) -> Iterator[tuple[int, int]]:
    """Pairs of modes that were both followed in some window."""
    alive = np.flatnonzero(modes.followed.any(axis=0))
    return ((int(a), int(b)) for i, a in enumerate(alive) for b in alive[i + 1 :])


def _themselves(modes: FollowedModes, a: int, b: int) -> NDArray[np.bool_]:
    """Whether both modes are what they were, or a mixture of what the two were, (n,)."""
    kept = np.ones(len(modes.rank), dtype=bool)
    for one, other in ((a, b), (b, a)):
        mixed = (modes.partner[:, one] == modes.rank[:, other]) & (modes.pair_overlap[:, one] > FOLLOWED)
        kept &= modes.followed[:, one] | mixed
    return kept


def _log_ratio(modes: FollowedModes, a: int, b: int) -> FloatArray:
    """Log of σ_a/σ_b, (n,), with nothing below the smallest number."""
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.log(np.maximum(modes.sigma[:, a], tiny) / np.maximum(modes.sigma[:, b], tiny)))


def _bound(modes: FollowedModes, upper: int, lower: int, k_star: FloatArray) -> NDArray[np.bool_]:
    """Whether the two modes stand on either side of the gap at k*, (n,)."""
    return (modes.rank[:, upper] + 1 == k_star) & (modes.rank[:, lower] == k_star)


def _events(
    modes: FollowedModes,
    pair: tuple[int, int],
    kept: NDArray[np.bool_],
    x: FloatArray,
    hold: int,
    closed: float,
) -> Iterator[tuple[str, int, int]]:
    """Kind, last window of the old order and window of every event of one pair."""
    a, b = pair
    n = len(x)
    both = modes.followed[:, a] & modes.followed[:, b]
    neighbours = np.abs(modes.rank[:, a] - modes.rank[:, b]) == 1
    above = modes.rank[:, a] < modes.rank[:, b]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(above)) + 1, [n]])
    settled = np.flatnonzero(np.diff(edges) >= hold)
    for before, after in pairwise(settled):
        end, window = int(edges[before + 1]) - 1, int(edges[after])
        if above[end] == above[window]:
            continue
        first, last = end - hold + 1, window + hold - 1
        if kept[first + 1 : last + 1].all() and both[first] and both[last]:
            yield EXCHANGE, end, window
        elif kept[first + 1 : end + 1].all() and both[first] and neighbours[end]:
            yield LOST, end, window
    if n <= 2 * hold:
        return
    order = np.zeros(n, dtype=np.int8)  # 0 where it does not last
    for i in settled:
        order[edges[i] : edges[i + 1]] = 1 if above[edges[i]] else -1
    was, will = _last(order), _last(order[::-1])[::-1]
    near = np.abs(x)
    closest = near[hold : n - hold] == sliding_window_view(near, 2 * hold + 1).min(axis=1)
    for window in hold + np.flatnonzero(closest & (near[hold : n - hold] < np.log(closed))):
        first, last = window - hold, window + hold
        stays = was[first] == will[last] != 0 and neighbours[window]
        if stays and kept[first + 1 : last + 1].all() and both[first] and both[last]:
            yield AVOIDED, int(window), int(window)


def _last(order: NDArray[np.int8]) -> NDArray[np.int8]:
    """The last entry up to each place that is not 0, or 0."""
    at = np.maximum.accumulate(np.where(order != 0, np.arange(len(order)), 0))
    return order[at]


def _closest(x: FloatArray, window: int, memory: int) -> float:
    """Where the two modes are closest, at most `memory` windows from the first of the new order."""
    first = max(0, window - memory)
    at = first + int(np.argmin(np.abs(x[first : window + memory])))
    for start in (at - 1, at):
        if start >= 0 and start + 1 < len(x) and x[start] * x[start + 1] < 0:
            return float(start + x[start] / (x[start] - x[start + 1]))
    return float(at)


def time_to_exchange(modes: FollowedModes, found: ModeExchanges) -> TimeToExchange:
    """[F] Windows from each window until its neighbouring modes exchange, censored where that is not known.

    Parameters
    ----------
    modes : FollowedModes
    found : ModeExchanges
        Of the same modes.

    Returns
    -------
    TimeToExchange

    Examples
    --------
    >>> from spectral_edge.simulate import follow_modes
    >>> s = np.arange(80)
    >>> X = np.stack([0.9**s, 0.01 * (-0.98) ** s], axis=1)
    >>> modes = follow_modes(X @ X.T, 10)
    >>> ahead = time_to_exchange(modes, mode_exchanges(modes))
    >>> ahead.time[[20, 60], 0].round(1).tolist(), ahead.exchanged[[20, 60], 0].tolist()
    ([30.5, 6.0], [True, False])
    """
    n, W = modes.rank.shape
    time, exchanged = np.full((n, W - 1), np.nan), np.zeros((n, W - 1), dtype=bool)
    t, told = np.arange(n), n - found.hold  # the last windows cannot tell whether an order lasts
    for a, b in _pairs(modes):
        kept, rank = _themselves(modes, a, b), modes.rank[:, [a, b]]
        state = (np.abs(rank[:, 0] - rank[:, 1]) == 1) & modes.followed[:, a] & modes.followed[:, b]
        column = rank.min(axis=1)
        broken = np.minimum.accumulate(np.where(kept, n, t)[::-1])[::-1]
        ends = np.minimum(
            np.append(broken[1:] - 1, told), told
        )  # what breaks in a window was whole in the one before
        time[t[state], column[state]] = np.where(ends > t, ends - t, np.nan)[state]
        this = (found.kind == EXCHANGE) & (np.sort(found.mode, axis=1) == [a, b]).all(axis=1)
        for i in np.flatnonzero(this)[::-1]:
            before = state & (t >= found.since[i]) & (t < found.window[i])
            left = np.where(t < found.time[i], found.time[i] - t, np.nan)
            time[t[before], column[before]] = left[before]
            exchanged[t[before], column[before]] = np.isfinite(left[before])
    return TimeToExchange(time, exchanged)
