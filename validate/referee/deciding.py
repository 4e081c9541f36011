"""How many runs would decide what is undecided, judged by the spread of those that were seen."""

from collections.abc import Sequence
from math import ceil, isfinite

from scipy.stats import norm

from spectral_edge.validate.referee.statistics import TAIL, Estimate

#: How often so many runs decide, if the effect is what was seen.
POWER = 0.8


def runs_to_decide(effect: Estimate, n: int, boundaries: Sequence[float]) -> int | None:
    """Runs whose interval would exclude one of the values at which a rule turns, four times in five.

    An interval narrows as one over the root of the number of runs. The effect is taken to be the one that was seen, and
    each side of its interval by itself.

    Parameters
    ----------
    effect : Estimate
        With the 95 % interval of `n` runs.
    n : int
        How many runs it comes from.
    boundaries : sequence of float
        The values, in the unit of the effect; the one that takes the fewest runs counts.

    Returns
    -------
    int or None
        None where the interval excludes one of them already, so that it is not the number of runs that is missing, or
        says nothing.

    Examples
    --------
    >>> runs_to_decide(Estimate(0.4, 0.18, 0.63), 10, [0.5])
    109
    >>> runs_to_decide(Estimate(0.4, 0.38, 0.43), 10, [0.5]) is None
    True
    """
    quantile = float(norm.isf(TAIL))
    wanted = (quantile + float(norm.ppf(POWER))) / quantile
    found = []
    for boundary in boundaries:
        half = effect.high - effect.value if boundary > effect.value else effect.value - effect.low
        away = abs(boundary - effect.value)
        if not isfinite(half) or not away or n < 2:
            continue
        if half < away:
            return None
        found.append(ceil(n * (wanted * half / away) ** 2))
    return min(found, default=None)
