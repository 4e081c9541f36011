"""Singular values of the query matrices in checkpoints, which `validate.probes.query_spectra` has of a live model."""

from collections.abc import Collection
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.files.bands import flat, listed
from spectral_edge.validate.gram.files.layout import layout
from spectral_edge.validate.gram.parameters import selector
from spectral_edge.validate.gram.queries import located, taken_out

#: Matrices of which all singular values are taken; of larger ones the two largest are found by iteration.
SMALL = 256


def query_spectra(
    path: str | PathLike[str], steps: Collection[int] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The two largest singular values of every W_Q of self-attention, after each update (8.4).

    Parameters
    ----------
    path : path or glob pattern
        Checkpoints; see `find_checkpoints`.
    steps : collection of int, optional
        Those that were read before: what a training has written since does not count. By default all.

    Returns
    -------
    dict of str to (T,) float64
        "LAYER.Q.sigma_1" and "LAYER.Q.sigma_2", in parameter units, NaN where a matrix is not finite; empty where no
        name says which matrix is W_Q, as where one holds the heads one after the other.

    Raises
    ------
    ValueError
        As `read_checkpoints`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for step in (0, 100, 200):
    ...         np.savez(pathlib.Path(folder) / f"step_{step}.npz", **{"layer.q_proj.weight": np.diag([3.0, 1 + step])})
    ...     found = query_spectra(folder)
    >>> {name: values.round(9).tolist() for name, values in found.items()}
    {'layer.Q.sigma_1': [101.0, 201.0], 'layer.Q.sigma_2': [3.0, 3.0]}
    """
    listing = listed(path, None)
    if steps is not None:
        listing = listing.without([one.step for one in listing.checkpoints if one.step not in steps])
    tensors = layout(listing.checkpoints, listing.contents, selector(None)).tensors
    found: dict[str, NDArray[np.float64]] = {}
    for name, sources in tensors.items():
        where, shape = located(name, tensors), sources[0].shape
        if where is None or len(shape) != 2 or min(shape) < 2:
            continue
        layer, kind = where
        if taken_out(np.broadcast_to(0.0, shape), kind) is None:
            continue
        with flat(sources) as lying:
            matrices = (taken_out(one.read(0, one.size).reshape(shape), kind) for one in lying[1:])
            sigma = np.array([_two_largest(matrix.astype(np.float64)) for matrix in matrices])
        for j in range(2):
            found[f"{layer or 'model'}.Q.sigma_{j + 1}"] = sigma[:, j]
    return found


def _two_largest(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.sparse.linalg import ArpackError, svds

    if not np.isfinite(matrix).all():
        return np.full(2, np.nan)
    if min(matrix.shape) > SMALL and matrix.any():
        start = np.random.default_rng(0).standard_normal(min(matrix.shape))
        try:
            return np.sort(svds(matrix, k=2, v0=start, return_singular_vectors=False))[::-1]
        except ArpackError:  # values too close to each other for it
            pass
    return np.asarray(np.linalg.svd(matrix, compute_uv=False)[:2], dtype=np.float64)
