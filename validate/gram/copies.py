"""Records that are copies of earlier ones: updates of zero, and updates that later ones undo."""

import numpy as np

from spectral_edge.theory.gram import lagged, max_lag, norms_squared
from spectral_edge.validate.gram.sequence import GramSequence

#: A way back to where it began counts as such below this many times the rounding of K.
TOLERANCE = 64.0


def copies(sequence: GramSequence) -> dict[int, int]:
    """Snapshots that equal an earlier one to within the rounding of K: its number, and that of the earliest it equals.

    θ_b = θ_a where ‖δ_{a+1} + … + δ_b‖² is negligible beside the inner products that it is the sum of. They are
    looked for as far apart as K reaches.

    Parameters
    ----------
    sequence : GramSequence

    Returns
    -------
    dict of int to int
        Numbers of snapshots, 0 … T (0 is the starting point, t is where update t ends).

    Examples
    --------
    >>> import numpy as np
    >>> from spectral_edge import validate
    >>> thetas = np.random.default_rng(0).normal(size=(6, 100))
    >>> thetas[3], thetas[5] = thetas[2], thetas[1]
    >>> copies(validate.GramSequence.from_parameters(thetas))
    {3: 2, 5: 1}
    """
    K, T = sequence.K, sequence.T
    found: dict[int, int] = {}
    norms = norms_squared(K)
    distance, scale = np.zeros(T + 1), np.zeros(T + 1)  # of the snapshot `length` before, at each snapshot
    for length in range(1, min(max_lag(K) + 1, T) + 1):
        # one more update at the end of the way, and its products with those before
        distance, scale = distance[:-1] + norms[length - 1 :], scale[:-1] + norms[length - 1 :]
        for lag in range(1, length):
            products = lagged(K, lag)[length - 1 - lag :]
            distance, scale = distance + 2 * products, scale + 2 * np.abs(products)
        with np.errstate(invalid="ignore"):  # NaN across a gap
            same = distance <= TOLERANCE * sequence.rounding * scale
        for start in np.flatnonzero(same):
            found[int(start) + length] = int(start)
    return {later: found[later] for later in sorted(found)}
