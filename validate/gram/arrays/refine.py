"""The second pass: small singular values that a Gram matrix has lost, from the vectors themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.arrays.rows import native
from spectral_edge.validate.gram.windows import WindowSpectra

#: Bytes of float64 columns held at a time.
BUDGET = 1 << 25


def refined(spectra: WindowSpectra, vectors: Any, T: int) -> WindowSpectra:
    """`spectra` with the windows that have unreliable singular values done again by QR of X_tᵀ.

    Blocks of columns are reduced one after the other to the W × W triangle R of X_tᵀ = QR (a sequential
    tall-skinny QR), whose singular values are those of X_t to within W·eps·σ_1.

    Parameters
    ----------
    spectra : WindowSpectra
    vectors : (T+1, P) or (T, P) array or memmap
        Snapshots or updates.
    T : int
        Number of updates of the sequence.

    Raises
    ------
    ValueError
        If `vectors` are missing or are not those of the sequence.
    """
    if vectors is None or not hasattr(vectors, "shape"):
        raise ValueError("refine needs the vectors that the sequence was made from: pass vectors=")
    if (
        len(vectors.shape) != 2
        or vectors.shape[0] not in (T, T + 1)
        or spectra.P not in (None, vectors.shape[1])
    ):
        raise ValueError(
            f"vectors must be the snapshots (T+1, P) or updates (T, P) with T = {T} and P = {spectra.P}, "
            f"got shape {vectors.shape}"
        )
    lost = np.flatnonzero(~spectra.sigma_reliable.all(axis=1))
    if not lost.size:
        return spectra
    triangles = _triangles(vectors, lost, spectra.W, vectors.shape[0] == T + 1)
    u, sigma, _ = np.linalg.svd(triangles.transpose(0, 2, 1))
    lam, modes = spectra.lam.copy(), spectra.u.copy()
    expected = np.sqrt(np.trace(spectra.blocks[lost], axis1=1, axis2=2))
    found = np.linalg.norm(sigma, axis=1)
    if not np.allclose(found, expected, rtol=1e-3):
        raise ValueError("vectors must be those of the sequence, got windows of another norm")
    lam[lost], modes[lost] = sigma**2, u
    refined_windows = spectra.refined.copy()
    refined_windows[lost] = True
    return replace(spectra, lam=lam, u=modes, refined=refined_windows)


def _triangles(vectors: Any, windows: NDArray[Any], W: int, differences: bool) -> NDArray[np.float64]:
    """R of each window, (len(windows), W, W): X_tᵀ = QR with rows oldest first."""
    P = vectors.shape[1]
    columns = max(W, BUDGET // (8 * W * len(windows)))
    rows = windows[:, None] + np.arange(W)
    R = np.zeros((len(windows), W, W))
    for start in range(0, P, columns):
        block = native(np.asarray(vectors[:, start : start + columns])).astype(np.float64)
        updates = np.diff(block, axis=0) if differences else block
        tall = np.concatenate([R, updates[rows].transpose(0, 2, 1)], axis=1)
        R = np.asarray(np.linalg.qr(tall, mode="r"))
    return R
