"""What a random projection of the updates to few dimensions leaves of a run's spectra."""

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds


def projected(run: GramSequence, W: int, d: int, seed: int) -> FloatArray:
    """Singular values of every window after one Gaussian projection of the updates to `d` dimensions, (n, W).

    The columns of the projected updates are N(0, K/d) in time, so K is all that is needed. They are drawn one update
    after the other, each given the 2W before it: exact within a window.
    """
    rng = np.random.default_rng([*worlds.key(run, seed), d])
    lags = min(2 * W, run.W_max, run.T) if run.banded else min(2 * W, run.T)
    blocks = run.blocks(lags)
    out = np.empty((run.T, d))
    lam, u = np.linalg.eigh(blocks[0])
    out[:lags] = (u * np.sqrt(np.maximum(lam, 0))) @ rng.standard_normal((lags, d))
    for t in range(lags, run.T):
        G = blocks[t - lags + 1]
        weights = np.linalg.lstsq(G[:-1, :-1], G[:-1, -1], rcond=1e-12)[0]
        rest = max(G[-1, -1] - weights @ G[:-1, -1], 0.0)
        out[t] = weights @ out[t - lags + 1 : t] + np.sqrt(rest) * rng.standard_normal(d)
    views = np.lib.stride_tricks.sliding_window_view(out, W, axis=0)
    return np.asarray(np.linalg.svd(views, compute_uv=False), dtype=np.float64)
