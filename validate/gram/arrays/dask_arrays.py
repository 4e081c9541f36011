"""Vectors larger than a machine: dask arrays, each block of columns multiplied in the worker that holds it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.arrays.inner_products import (
    EPS,
    Products,
    band_of_rows,
    padded_band,
    product_dtype,
    rounding_level,
    unfold,
)
from spectral_edge.validate.gram.arrays.rows import ArrayRows


def gram_of_dask(
    vectors: Any, W_max: int | None, name: str, *, differences: bool, precision: str
) -> Products:
    """K of a dask array (n, P) in any chunks; for arrays in memory it is `from_vectors.gram`.

    Runs on whatever scheduler dask uses, a distributed one included. Rows are brought together, columns keep
    their chunks: a worker holds one block of columns of all rows, and only bands come back.
    """
    from dask.base import compute
    from dask.delayed import delayed

    T = vectors.shape[0] - differences
    if T < 2:
        return Products(np.empty((0, 0)), vectors.shape[1], vectors.shape[0], EPS)
    lags = T - 1 if W_max is None else min(W_max, T - 1)
    columns = vectors.rechunk({0: -1})
    level = product_dtype(vectors.shape[1], vectors.dtype, precision)
    parts = [
        delayed(block_band)(block, lags, name, differences, str(level))
        for block in columns.to_delayed().ravel()
    ]
    band = np.zeros((T, lags + 1))
    for part in compute(*parts):  # in the order of the columns, whatever the workers did
        band += part
    K = unfold(band) if lags == T - 1 else padded_band(band)
    return Products(K, vectors.shape[1], vectors.shape[0], rounding_level(vectors.shape[1], level))


def block_band(
    block: NDArray[Any], lags: int, name: str, differences: bool, precision: str
) -> NDArray[np.float64]:
    """Band of one block of columns, in a worker."""
    rows = ArrayRows(np.asarray(block), name)
    return band_of_rows(rows, lags, differences=differences, precision=precision, threads=1)
