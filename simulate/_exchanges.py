"""Exchanges of followed modes, told from avoided crossings and from loss of identity (4.1, 10.5)."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spectral_edge.simulate._modes import FOLLOWED, FollowedModes
from spectral_edge.theory.checks import FloatArray, positive, whole
from spectral_edge.theory.spectrum import gap_position, gram_rtol

EXCHANGE, AVOIDED, LOST = "exchange", "avoided", "lost"


@dataclass(frozen=True)
class ModeExchanges:
    """What became of pairs of modes that came together (section 4.1), m events in time order.

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
        """Only the events of one kind.

        Parameters
        ----------
        kind : {"exchange", "avoided", "lost"}

        Returns
        -------
        ModeExchanges

        Examples
        --------
        >>> import numpy as np
        >>> from spectral_edge import simulate
        >>> updates = np.random.default_rng(0).normal(size=(12, 50))
        >>> found = simulate.mode_exchanges(simulate.follow_modes(updates @ updates.T, 5))
        >>> set(found.of_kind("exchange").kind.tolist()) <= {"exchange"}
        True
        """
        chosen = self.kind == kind
        arrays = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "hold"}
        return replace(self, **arrays)


@dataclass(frozen=True)
class TimeToExchange:
    """For every window and every pair of neighbouring ranks, how long until its two modes exchange (section 4.1).

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
    """[F] Find where two modes exchange order, come close and part again, or are lost (section 4.1).

    Parameters
    ----------
    modes : FollowedModes
        Of `follow_modes`.
    hold : int
        Windows for which an order must last to count, before an event and after it: flicker is not an exchange.
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
    found = sorted(e for a, b in _pairs(modes) for e in _events(modes, a, b, gaps, hold, closed))

    def column(name: str) -> NDArray[np.int64]:
        return np.array([getattr(event, name) for event in found], dtype=np.int64)

    return ModeExchanges(
        kind=np.array([event.kind for event in found], dtype="<U8"),
        window=column("window"),
        time=np.array([event.time for event in found], dtype=np.float64),
        mode=column("mode").reshape(-1, 2),
        rank=column("rank").reshape(-1, 2),
        since=column("since"),
        lead=column("lead"),
        lead_weighted=column("lead_weighted"),
        hold=hold,
    )


class _Event(NamedTuple):
    """One row of `ModeExchanges`."""

    window: int
    mode: tuple[int, int]
    kind: str
    time: float
    rank: tuple[int, int]
    since: int
    lead: int
    lead_weighted: int


def _pairs(modes: FollowedModes) -> Iterator[tuple[int, int]]:
    """Pairs of modes that were neighbours in some window, both followed, or that changed order."""
    alive = np.flatnonzero(modes.followed.any(axis=0))
    a, b = (alive[index] for index in np.triu_indices(len(alive), 1))
    apart = modes.rank[:, a] - modes.rank[:, b]
    met = (np.abs(apart) == 1) & modes.followed[:, a] & modes.followed[:, b]
    chosen = met.any(axis=0) | ((apart > 0).any(axis=0) & (apart < 0).any(axis=0))
    return zip(a[chosen].tolist(), b[chosen].tolist(), strict=True)


def _themselves(modes: FollowedModes, a: int, b: int) -> NDArray[np.bool_]:
    """Whether both modes are what they were, or a mixture of what the two were, (n,)."""
    kept = np.ones(len(modes.rank), dtype=bool)
    for one, other in ((a, b), (b, a)):
        mixed = (modes.partner[:, one] == modes.rank[:, other]) & (modes.pair_overlap[:, one] > FOLLOWED)
        kept &= modes.followed[:, one] | mixed
    return kept


def _bound(modes: FollowedModes, upper: int, lower: int, k_star: FloatArray) -> NDArray[np.bool_]:
    """Whether the two modes stand on either side of the gap at k*, (n,)."""
    return (modes.rank[:, upper] + 1 == k_star) & (modes.rank[:, lower] == k_star)


def _events(
    modes: FollowedModes, a: int, b: int, gaps: list[FloatArray], hold: int, closed: float
) -> Iterator[_Event]:
    """All events of one pair, with where it stood before."""
    kept = _themselves(modes, a, b)
    tiny = np.finfo(np.float64).tiny
    x = np.log(np.maximum(modes.sigma[:, a], tiny)) - np.log(np.maximum(modes.sigma[:, b], tiny))
    course = _Course.of(modes, a, b, kept, hold)
    found = [*_swaps(course, hold), *_approaches(course, x, hold, closed)]
    for kind, end, window in found:
        upper, lower = (a, b) if modes.rank[end, a] < modes.rank[end, b] else (b, a)
        broken = np.flatnonzero(~kept[: (end if kind == LOST else window) + 1])
        since = int(broken[-1]) if len(broken) else 0
        span = slice(since, end + 1)
        bounds = [_bound(modes, upper, lower, k)[span] for k in gaps]
        leads = [window - since - int(np.argmax(at)) if at.any() else 0 for at in bounds]
        time = _closest(x, window, modes.memory) if kind == EXCHANGE else float(window)
        rank = int(modes.rank[end, upper]) + 1, int(modes.rank[end, lower]) + 1
        yield _Event(window, (upper, lower), kind, time, rank, since, leads[0], leads[1])


class _Course(NamedTuple):
    """Of one pair, window by window (n,): is a above b, are both or their mixtures there, both followed, neighbours.

    `edges` are where the order changes; `settled` the runs between them, by number, that last.
    """

    above: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    both: NDArray[np.bool_]
    neighbours: NDArray[np.bool_]
    edges: NDArray[np.int64]
    settled: NDArray[np.int64]

    @classmethod
    def of(cls, modes: FollowedModes, a: int, b: int, kept: NDArray[np.bool_], hold: int) -> "_Course":
        above = modes.rank[:, a] < modes.rank[:, b]
        edges = np.concatenate([[0], np.flatnonzero(np.diff(above)) + 1, [len(above)]])
        both = modes.followed[:, a] & modes.followed[:, b]
        neighbours = np.abs(modes.rank[:, a] - modes.rank[:, b]) == 1
        return cls(above, kept, both, neighbours, edges, np.flatnonzero(np.diff(edges) >= hold))

    def whole(self, first: int, last: int) -> bool:
        """Whether both are followed in windows `first` and `last`, and stay themselves from the one to the other."""
        return bool(self.kept[first + 1 : last + 1].all() and self.both[first] and self.both[last])


def _swaps(course: _Course, hold: int) -> Iterator[tuple[str, int, int]]:
    """Where an order that lasted gives way to the other: kind, its last window and the first of the new order."""
    for before, after in pairwise(course.settled):
        end, window = int(course.edges[before + 1]) - 1, int(course.edges[after])
        if course.above[end] == course.above[window]:
            continue
        if course.whole(end - hold + 1, window + hold - 1):
            yield EXCHANGE, end, window
        elif course.whole(end - hold + 1, end) and course.neighbours[end]:
            yield LOST, end, window


def _approaches(course: _Course, x: FloatArray, hold: int, closed: float) -> Iterator[tuple[str, int, int]]:
    """Closest approaches, |x| the log of the ratio of the two, after which the order is what it was."""
    n, near = len(x), np.abs(x)
    if n <= 2 * hold or not near[hold : n - hold].min() < np.log(closed):
        return
    order = np.zeros(n, dtype=np.int8)  # 0 where it does not last
    for i in course.settled:
        order[course.edges[i] : course.edges[i + 1]] = 1 if course.above[course.edges[i]] else -1
    was, will = _last(order), _last(order[::-1])[::-1]
    least = near[hold : n - hold] == sliding_window_view(near, 2 * hold + 1).min(axis=1)
    for window in (hold + np.flatnonzero(least & (near[hold : n - hold] < np.log(closed)))).tolist():
        first, last = window - hold, window + hold
        stays = was[first] == will[last] != 0 and course.neighbours[window]
        if stays and course.whole(first, last):
            yield AVOIDED, window, window


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
    """[F] Windows from each window until its neighbouring modes exchange (section 4.1), censored where not known.

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
