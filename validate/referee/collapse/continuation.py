"""Windows carried on: the spectrum of the next records, and when two of its modes exchange ranks in it."""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spectral_edge import theory
from spectral_edge.simulate._modes import follow_each
from spectral_edge.validate.referee.collapse.states import HORIZON
from spectral_edge.validate.referee.collapse.tracks import MEMORY

Floats = NDArray[np.float64]

#: Records for which an order must last to count, as `simulate.mode_exchanges` has it.
HOLD = 5
#: Rows a forecast needs: those of the horizon, and those that show whether an order lasts.
AHEAD = HORIZON + HOLD
#: Windows whose products are made together.
TOGETHER = 256
#: A row this many times as long as the longest of its window is not a forecast any more, nor are those after it.
LONGEST = 1e6


class Continuation(NamedTuple):
    """The windows of m forecasts.

    Attributes
    ----------
    sigma : (m, AHEAD + 1, W), parameter units
        Singular values, descending, of the window itself and of those 1 … `AHEAD` records later; NaN where none is
        forecast.
    time : (m, W - 1), records
        Until the modes of ranks j and j + 1 exchange; infinite where they do not within `HORIZON`, NaN where nothing
        could be forecast.
    """

    sigma: Floats
    time: Floats


def continued(blocks: Floats, future: Floats) -> Continuation:
    """Follow the modes of windows through the rows that are forecast of them.

    Parameters
    ----------
    blocks : (m, W, W)
        Gram matrices, parameter units squared.
    future : (m, AHEAD, W)
        Rows in the basis of each window (`theory.propagate_window`, `theory.fit_window`).

    Returns
    -------
    Continuation
    """
    m, W = len(blocks), blocks.shape[-1]
    sigma, time = np.full((m, AHEAD + 1, W), np.nan), np.full((m, W - 1), np.nan)
    longest = np.sqrt(np.diagonal(blocks, axis1=1, axis2=2).max(axis=1))
    with np.errstate(invalid="ignore", over="ignore"):
        usable = (np.abs(future) <= LONGEST * longest[:, None, None]).all(axis=2)  # NaN compares false
    lengths = np.where(usable.all(axis=1), future.shape[1], np.argmin(usable, axis=1))
    chosen = np.flatnonzero(lengths > 0)
    for rows in np.split(chosen, range(TOGETHER, len(chosen), TOGETHER)):
        K = theory.continued_products(blocks[rows], future[rows])
        for length in np.unique(lengths[rows]):
            alike = lengths[rows] == length
            known, at = W + length, rows[alike]
            rank, strength = follow_each(K[alike, :known, :known], W, MEMORY)
            sigma[at, : length + 1] = np.take_along_axis(strength, np.argsort(rank, axis=2), axis=2)
            time[at] = exchange_times(rank, strength)
    return Continuation(sigma, time)


def exchange_times(rank: NDArray[np.int64], sigma: Floats) -> Floats:
    """Windows until each pair of modes that are neighbours in the first window change their order for `HOLD` windows.

    Parameters
    ----------
    rank, sigma : (m, n, W)
        Of the modes of m forecasts.

    Returns
    -------
    (m, W - 1) array
        Infinite where they do not within `HORIZON`. As observed exchanges are dated: where a straight line of ln σ
        crosses, if it does between the first window of the new order and the one before.
    """
    below = rank[:, :, :-1] > rank[:, :, 1:]
    # an order that holds to the end of what is forecast lasts
    held = np.concatenate([below, np.repeat(below[:, -1:], HOLD - 1, axis=1)], axis=1)
    lasting = np.asarray(sliding_window_view(held, HOLD, axis=1).all(axis=-1))
    first = np.argmax(lasting, axis=1)
    forecast, pair = np.indices(first.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.log(sigma[:, :, :-1] / sigma[:, :, 1:])
        before, after = x[forecast, np.maximum(first - 1, 0), pair], x[forecast, first, pair]
        share = np.where((before > 0) & (after < 0), before / (before - after), 1.0)
    time = np.where(lasting.any(axis=1), first - 1 + share, np.inf)
    return np.where(time <= HORIZON, time, np.inf)
