"""What a random projection of the updates to few dimensions leaves of a run's spectra."""

import numpy as np

from spectral_edge import simulate
from spectral_edge.theory.checks import FloatArray
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee import worlds


def projected(run: GramSequence, W: int, d: int, seed: int) -> FloatArray:
    """Singular values of every window after one Gaussian projection of the updates to `d` dimensions, (n, W).

    The columns of the projected updates are N(0, K/d) in time, so K is all that is needed. They are drawn one update
    after the other, each given the 2W before it: exact within a window.
    """
    rng = np.random.default_rng([*worlds.key(run, seed), d])
    first, following = run.once(("in turn", W), lambda: _in_turn(run, W))
    lags = len(first)
    out = np.empty((run.T, d))
    out[:lags] = first @ rng.standard_normal((lags, d))
    for t, (weights, rest) in enumerate(following, start=lags):
        out[t] = weights @ out[t - lags + 1 : t] + rest * rng.standard_normal(d)
    if run.T == W:
        return simulate.window_sigma(out @ out.T, W)
    band = np.full((run.T, W), np.nan)
    for lag in range(W):
        band[lag:, lag] = np.einsum("td,td->t", out[lag:], out[: run.T - lag])
    return simulate.window_sigma(band, W)


def _in_turn(run: GramSequence, W: int) -> tuple[FloatArray, list[tuple[FloatArray, float]]]:
    """What makes the first 2W updates of white ones; of each later one its weights on those before, and what is new."""
    blocks = run.blocks(min(2 * W, run.W_max, run.T) if run.banded else min(2 * W, run.T))
    lam, u = np.linalg.eigh(blocks[0])
    following = []
    for G in blocks[1:]:
        weights = np.linalg.lstsq(G[:-1, :-1], G[:-1, -1], rcond=1e-12)[0]
        following.append((weights, np.sqrt(max(G[-1, -1] - weights @ G[:-1, -1], 0.0))))
    return u * np.sqrt(np.maximum(lam, 0)), following
