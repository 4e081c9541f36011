"""K from raw vectors: inner products of a run's updates, formed in one pass over column blocks."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Columns read at a time: small enough that a block of ~100 rows stays in the processor's cache.
BLOCK = 1 << 15


def _require_finite(block: NDArray[Any], what: str, first: int) -> None:
    good = np.isfinite(block).all(axis=1)
    if not good.all():
        raise ValueError(
            f"{what} must be finite, got NaN or infinity in {what}[{first + int(np.argmin(good))}]"
        )


def gram_of_array(vectors: NDArray[Any], *, differences: bool) -> NDArray[np.float64]:
    """All inner products of the rows of `vectors`, or of their consecutive differences.

    Parameters
    ----------
    vectors : (n, P) array or memmap
        Parameter snapshots (``differences=True``) or updates.
    differences : bool
        Form δ_t = θ_t − θ_{t−1} inside each block; no second copy of the data is made.

    Returns
    -------
    K : (T, T) float64, in the square of the unit of `vectors`.

    Raises
    ------
    ValueError
        If a vector holds NaN or infinity.
    """
    name = "thetas" if differences else "updates"
    n, P = vectors.shape
    T = n - 1 if differences else n
    K = np.zeros((T, T))
    for start in range(0, P, BLOCK):
        block = np.asarray(vectors[:, start : start + BLOCK], dtype=np.float64)
        _require_finite(block, name, 0)
        rows = np.diff(block, axis=0) if differences else block
        K += rows @ rows.T
    return (K + K.T) / 2


def band_of_stream(
    vectors: Iterable[Any], W_max: int, *, differences: bool
) -> tuple[NDArray[np.float64], int, int]:
    """The band |s − t| ≤ `W_max` of K from vectors that come one by one, each read once.

    Returns
    -------
    band : (T, W_max + 1) float64
        ``band[t, l]`` = ⟨δ_t, δ_{t−l}⟩, NaN where l > t.
    P : int
        Length of the vectors.
    read : int
        How many vectors came.
    """
    ring: list[NDArray[np.float64]] = []  # the last W_max + 1 updates, newest first
    rows: list[NDArray[np.float64]] = []
    previous: NDArray[np.float64] | None = None
    P = read = 0
    for vector in updates_of(vectors, "thetas" if differences else "updates"):
        P, read = vector.size, read + 1
        if differences:
            update, previous = (None if previous is None else vector - previous), vector
        else:
            update = vector
        if update is None:
            continue
        ring.insert(0, update)
        del ring[W_max + 1 :]
        row = np.full(W_max + 1, np.nan)
        row[: len(ring)] = [update @ other for other in ring]
        rows.append(row)
    return np.array(rows).reshape(len(rows), W_max + 1), P, read


def updates_of(vectors: Iterable[Any], name: str) -> Iterator[NDArray[np.float64]]:
    """Checked float64 vectors from a stream of snapshots or of updates."""
    length: int | None = None
    for index, vector in enumerate(vectors):
        current = np.asarray(vector, dtype=np.float64)
        if current.ndim != 1:
            raise ValueError(f"{name}[{index}] must be one vector, got shape {current.shape}")
        if length is not None and current.size != length:
            raise ValueError(
                f"{name} must all have one length, got {length} and then {current.size} at {index}"
            )
        _require_finite(current[None], name, index)
        length = current.size
        yield current
