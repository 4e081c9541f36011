"""Repulsion of levels from one window to the next, against the two-level formula done by hand."""

import numpy as np
import pytest

from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.collapse.repulsion import agreement, repulsion


def by_hand(X: np.ndarray, t: int, W: int, k: int) -> tuple[float, float]:
    """Expected and measured, shares of the gap, with the vectors themselves."""
    before, after = X[t : t + W], X[t + 1 : t + W + 1]
    _, s, v = np.linalg.svd(before, full_matrices=False)
    dC = after.T @ after - before.T @ before
    pair = v[k : k + 2]
    M = pair @ dC @ pair.T
    gap = s[k] ** 2 - s[k + 1] ** 2
    first = gap + M[0, 0] - M[1, 1]
    lam = np.linalg.svd(after, compute_uv=False) ** 2
    expected = (np.sqrt(first**2 + 4 * M[0, 1] ** 2) - abs(first)) / gap
    return expected, (lam[k] - lam[k + 1] - abs(first)) / gap


def test_against_the_vectors_themselves() -> None:
    X = np.random.default_rng(0).normal(size=(9, 40))
    found = repulsion(GramSequence.from_updates(X), W=4)
    wanted = [by_hand(X, t, 4, k) for t in range(5) for k in range(3)]
    np.testing.assert_allclose(
        np.column_stack([found.expected, found.measured]), wanted, rtol=1e-8, atol=1e-10
    )


def test_two_levels_are_exact() -> None:
    """In a plane there are no others: what is expected is what happens."""
    X = np.random.default_rng(1).normal(size=(60, 2))
    found = repulsion(GramSequence.from_updates(X), W=2)
    np.testing.assert_allclose(found.expected, found.measured, atol=1e-7)


def test_levels_that_others_push_agree_less() -> None:
    rng = np.random.default_rng(2)
    runs = [
        GramSequence.from_updates(rng.normal(size=(300, 200)) + 0.3 * rng.normal(size=200)) for _ in range(3)
    ]
    assert 0 < agreement(runs).low < agreement(runs).value < 1
    assert agreement(runs).value == pytest.approx(agreement(runs[::-1]).value)
