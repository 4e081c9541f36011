"""K from vectors of any kind: arrays and lists in memory, memory maps, dask arrays, streams that are read once."""

from collections.abc import Callable
from typing import Any

import numpy as np

from spectral_edge.theory.checks import choice, whole
from spectral_edge.validate.gram.arrays.dask_arrays import gram_of_dask
from spectral_edge.validate.gram.arrays.inner_products import (
    EPS,
    Products,
    band_of_rows,
    band_of_stream,
    checked,
    padded_band,
    product_dtype,
    rounding_level,
    unfold,
)
from spectral_edge.validate.gram.arrays.rows import ArrayRows, ListRows, Rows, require_stack


def gram(
    vectors: Any,
    W_max: int | None,
    *,
    differences: bool,
    precision: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Products:
    """K, or its band of lags up to `W_max`, of snapshots (``differences=True``) or updates of any kind.

    Returns
    -------
    Products
        K in the convention of `theory.gram`, P, the number of vectors read (K is empty where they make
        fewer than two updates), and the rounding of K.
    """
    name = "thetas" if differences else "updates"
    W_max = None if W_max is None else whole("W_max", W_max, 2)
    choice("precision", precision, ("auto", "float32", "float64"))
    if hasattr(vectors, "__dask_graph__"):
        require_stack(vectors, name)
        return gram_of_dask(vectors, W_max, name, differences=differences, precision=precision)
    if isinstance(vectors, np.ndarray):
        require_stack(vectors, name)
        rows: Rows = ArrayRows(vectors, name)
    elif W_max is not None and not isinstance(vectors, list | tuple):
        band, P, read = band_of_stream(vectors, W_max, name, differences=differences)
        T = len(band)
        return Products(unfold(band[:, :T]) if W_max + 1 >= T else band, P, read, EPS)
    else:
        held = list(checked(vectors, name))
        if not held:
            return Products(np.empty((0, 0)), 0, 0, EPS)
        rows = ListRows(held, name)
    T = rows.n - differences
    if T < 2:
        return Products(np.empty((0, 0)), rows.P, rows.n, EPS)
    lags = T - 1 if W_max is None else min(W_max, T - 1)
    band = band_of_rows(rows, lags, differences=differences, precision=precision, progress=progress)
    K = unfold(band) if lags == T - 1 else padded_band(band)
    return Products(K, rows.P, rows.n, rounding_level(rows.P, product_dtype(rows.P, rows.dtype, precision)))
