"""States: pairs of neighbouring modes at some records, and when they were seen to exchange ranks.

A collapse is where two modes exchange ranks (docs/theory.md, 3.6: the first t with u_k(t) = u_{k+1}(t), labels kept).
Levels repel (4.1), so the ordered gap has a minimum there and no zero; modes are told apart by their directions
(`simulate.follow_modes`, `simulate.mode_exchanges`).

A state is taken at every `EVERY`-th record, wherever an exchange may lie, and none nearer to it than `LEAD` records. A
pair that is not seen to exchange within `HORIZON` records, or that is lost before, is censored and not dropped: what
is known of it is that it did not exchange until then.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse.tracks import MEMORY, PAST, Tracks, W

Floats = NDArray[np.float64]

#: Records from a state to its exchange, at least, and at most: what lies further off is censored there.
LEAD, HORIZON = 3, 60
#: Pairs of neighbours are taken among this many leading modes and the one below.
LEADING = 6


@dataclass(frozen=True, eq=False)
class States:
    """Pairs of neighbouring modes, n states of one run.

    Attributes
    ----------
    row : (n,) int64
        Which of the windows in `Tracks.looked`.
    pair : (n,) int64
        Rank, from 0, of the stronger mode.
    time : (n,) float64, records
        Until the two exchange; until when it is known that they do not, where they are censored. At most `HORIZON`.
    exchanged : (n,) bool
        False: censored.
    event : (n,) int64
        A number that states share which lead to the same exchange; -1 where censored.
    at_gap, at_weighted : (n,) bool
        Whether the two bound the gap at k*, at the weighted k*.
    """

    row: NDArray[np.int64]
    pair: NDArray[np.int64]
    time: Floats
    exchanged: NDArray[np.bool_]
    event: NDArray[np.int64]
    at_gap: NDArray[np.bool_]
    at_weighted: NDArray[np.bool_]


def missing(run: GramSequence, window: int = W) -> str | None:
    """Say what `run` lacks for its modes to be followed; None where it lacks nothing."""
    if window + PAST + LEAD > run.T or min(run.W_max, run.T - 1) < window + MEMORY - 1:
        return f"{window + PAST + LEAD} records, in a band of {window + MEMORY - 1} lags at least"
    return None


def states(tracks: Tracks) -> States:
    """All states of a run, window after window.

    Parameters
    ----------
    tracks : Tracks

    Returns
    -------
    States

    Examples
    --------
    >>> from spectral_edge.validate.referee import worlds
    >>> run = worlds.planted("window-exchange", 1)(0)[0]
    >>> found = states(Tracks.of(run))
    >>> bool(found.exchanged.any()), bool(found.time.min() >= LEAD), float(found.time.max())
    (True, True, 60.0)
    """
    looked, leading = tracks.looked, min(LEADING, tracks.W - 1)
    ahead = tracks.ahead
    time, exchanged = ahead.time[looked, :leading], ahead.exchanged[looked, :leading]
    order = tracks.order[looked]
    followed = tracks.modes.followed
    # a mode new to its column in window t cannot have been itself before it
    known = np.ones(time.shape, dtype=bool)
    for back in range(PAST - 1):
        own = followed[looked[:, None] - back, order]
        known &= own[:, :leading] & own[:, 1 : leading + 1]
    row, pair = np.nonzero(known & (time >= LEAD))
    t, sure = time[row, pair], exchanged[row, pair] & (time[row, pair] <= HORIZON)
    modes = np.sort(order[row[:, None], pair[:, None] + [0, 1]], axis=1)
    # the same two modes at the same moment: rounded, for it is told from each window anew
    keys = np.column_stack([modes, np.round(looked[row] + t, 3)])[sure]
    event = np.full(len(row), -1)
    if len(keys):
        event[sure] = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    gaps = (x[looked[row]] == pair + 1 for x in (tracks.windows.k_star, tracks.windows.k_star_weighted))
    return States(row, pair, np.minimum(t, HORIZON), sure, event, *gaps)
