"""K from raw vectors: one pass over the data, in blocks of columns, on all cores.

Vectors come as anything that can hand out a block of columns (`rows`). Differences of consecutive
snapshots are formed inside the block, so there is never a second copy. Beside the data and the result,
each thread needs about `BUDGET` bytes.

Sums are formed chunk by chunk and added in the order of the columns: the same bits come out whatever the
number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spectral_edge.theory.checks import choice
from spectral_edge.validate.gram.arrays.rows import (
    Rows,
    native,
    require_finite,
    require_floating,
)

Floats = NDArray[np.float64]

#: Bytes of the vectors that one thread holds at a time.
BUDGET = 1 << 25
#: Columns in a chunk, the unit of work of a thread, are at most this many.
CHUNK = 1 << 17
#: Columns summed in the dtype of the products before the sum goes to float64.
RUN = 1024
#: From this many parameters on, products of float32 vectors are float32: rounding averages out.
LARGE = 1 << 20
#: A chunk whose smallest squared norm is below this is done in float64: float32 squares might vanish.
TINY = 1e-24
EPS = float(np.finfo(np.float64).eps)


class Products(NamedTuple):
    """K of some vectors, how many were read and how long they are, and the rounding of K."""

    K: Floats
    P: int
    read: int
    rounding: float


def product_dtype(P: int, dtype: np.dtype[Any], precision: str) -> np.dtype[Any]:
    """The dtype in which products are formed: float64 unless `precision` or size and input allow float32."""
    choice("precision", precision, ("auto", "float32", "float64"))
    small_input = dtype.itemsize <= 4
    single = precision == "float32" or (precision == "auto" and P >= LARGE)
    return np.dtype(np.float32 if single and small_input else np.float64)


def rounding_level(P: int, dtype: np.dtype[Any]) -> float:
    """Typical error of ⟨x, y⟩ relative to |x||y|.

    In float32 a run of `RUN` products is summed in that dtype, 64 to a lane, and the P/RUN rounding errors
    add up at random.
    """
    return EPS if dtype == np.float64 else float(2.0**-22 / np.sqrt(max(P / RUN, 1.0)))


def band_of_rows(
    rows: Rows,
    lags: int,
    *,
    differences: bool,
    precision: str = "auto",
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """Inner products ⟨δ_t, δ_{t−l}⟩, l = 0 … `lags`, in one pass over the columns.

    Parameters
    ----------
    rows : Rows
        Parameter snapshots (``differences=True``) or updates.
    lags : int
        At most T − 1.
    differences : bool
        Form δ_t = θ_t − θ_{t−1} inside each block.
    precision : {"auto", "float32", "float64"}
        Of the products; they are added up in float64 across runs of `RUN` columns in any case.
    threads : int, optional
        Default: all cores.
    progress : callable, optional
        Called with the number of columns just done.

    Returns
    -------
    band : (T, lags + 1) float64, 0 where l > t; in the square of the unit of the vectors.

    Raises
    ------
    ValueError
        If a vector holds NaN or infinity, or numbers whose squares float64 cannot hold.
    """
    T = rows.n - differences
    dtype = product_dtype(rows.P, rows.dtype, precision)
    share = BUDGET // (rows.n * max(rows.dtype.itemsize, 4))
    chunk = min(CHUNK, max(RUN, 1 << max(share, 1).bit_length() - 1))

    def work(start: int) -> tuple[int, int, Floats]:
        stop = min(start + chunk, rows.P)
        return start, stop, _chunk_band(rows, start, stop, T, lags, differences, dtype)

    band = np.zeros((T, lags + 1))

    for start, stop, part in in_order(work, range(0, rows.P, chunk), threads or _threads(rows.waits)):
        band += part
        if progress is not None:
            progress(stop - start)
    return band


def _threads(waits: bool) -> int:
    return (os.cpu_count() or 1) * (2 if waits else 1)


def in_order(work: Callable[[int], Any], items: Iterable[int], threads: int | None = None) -> Iterator[Any]:
    """Results of `work` on threads, in the order of `items`, a few at a time."""
    threads = threads or _threads(False)
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _chunk_band(
    rows: Rows, start: int, stop: int, T: int, lags: int, differences: bool, dtype: np.dtype[Any]
) -> Floats:
    from spectral_edge.validate.gram.arrays.kernels import add_band, add_band_in_place

    array, first, last = rows.block(start, stop)
    band = np.zeros((T, lags + 1))
    if array.dtype == dtype and not differences:
        add_band_in_place(array, first, last, RUN, band)
    else:
        # narrow enough for the second-level cache, wide enough for long reads from memory
        fitting = 1 << (600_000 // (T * dtype.itemsize)).bit_length()
        width = max(256, min(fitting, 4096 if dtype == np.float32 else 1024))
        add_band(array, first, last, differences, RUN, np.empty((T, width), dtype), band)
    norms = band[:, 0]
    if np.isfinite(norms).all() and (dtype == np.float64 or norms.min() >= TINY):
        return band
    if dtype == np.float32:
        return _chunk_band(rows, start, stop, T, lags, differences, np.dtype(np.float64))
    require_finite(array[:, first:last], rows.name, rows.label)
    raise ValueError(f"{rows.name} must be small enough to be squared, got entries beyond 1e154")


def unfold(band: Floats) -> Floats:
    """The full symmetric K from its band of all lags, (T, T) as (t, l)."""
    T = len(band)
    s, t = np.indices((T, T))
    return np.asarray(band[np.maximum(s, t), np.abs(s - t)])


def padded_band(band: Floats) -> Floats:
    """The band with NaN where l > t, as the convention of `theory.gram` has it."""
    T, width = band.shape
    return np.where(np.arange(width) <= np.arange(T)[:, None], band, np.nan)


def band_of_stream(
    vectors: Iterable[Any], lags: int, name: str, *, differences: bool
) -> tuple[Floats, int, int]:
    """The band of K from vectors that come one by one, each read once; products in float64.

    The last `lags` + 1 updates are held, in the dtype of the vectors (half precision as float32).

    Returns
    -------
    band : (T, lags + 1) float64, NaN where l > t.
    P : int
        Length of the vectors.
    read : int
        How many vectors came.
    """
    ring: NDArray[Any] = np.empty((0, 0))
    previous: NDArray[Any] = np.empty(0)
    found: list[Floats] = []
    P = read = 0
    for vector in checked(vectors, name):
        P, read = vector.size, read + 1
        if read == 1:
            ring, previous = np.zeros((lags + 1, P), vector.dtype), np.zeros(P, vector.dtype)
            if differences:
                previous[:] = vector
                continue
        if vector.dtype != ring.dtype:
            raise ValueError(
                f"{name} must all have one dtype, got {ring.dtype} and then {vector.dtype} at {read - 1}"
            )
        t = len(found)
        if not differences:
            previous[:] = 0
        products = advance_ring(vector, previous, ring, t % (lags + 1))
        row = np.full(lags + 1, np.nan)
        for lag in range(min(t, lags) + 1):
            row[lag] = products[(t - lag) % (lags + 1)]
        found.append(row)
    return np.array(found).reshape(len(found), lags + 1), P, read


def advance_ring(
    theta: NDArray[Any], previous: NDArray[Any], ring: NDArray[Any], slot: int, threads: int | None = None
) -> Floats:
    """Put the update θ − previous into ring[slot] and θ into `previous`; products of the update with every row."""
    from spectral_edge.validate.gram.arrays import kernels as _kernels

    advance = _kernels.advance_half if ring.dtype == np.uint16 else _kernels.advance

    def work(start: int) -> Floats:
        products = np.zeros(len(ring))
        advance(theta, previous, ring, slot, start, min(start + step, theta.size), width, products)
        return products

    step, width = 1 << 19, min(1 << 15, max(theta.size, 1))
    if theta.size <= step:
        return work(0)
    return np.asarray(sum(in_order(work, range(0, theta.size, step), threads)))


def checked(vectors: Iterable[Any], name: str) -> Iterator[NDArray[Any]]:
    """Vectors of one length, float32 or float64 and finite, from a stream of whatever makes arrays."""
    length: int | None = None
    for index, vector in enumerate(vectors):
        current = np.asarray(vector)
        if current.ndim != 1:
            raise ValueError(f"{name}[{index}] must be one vector, got shape {current.shape}")
        if length is not None and current.size != length:
            raise ValueError(
                f"{name} must all have one length, got {length} and then {current.size} at {index}"
            )
        require_floating(current, name)
        length = current.size
        current = np.ascontiguousarray(native(current))
        require_finite(current[None], name, index)
        yield current
