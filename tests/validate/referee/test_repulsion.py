"""Repulsion of levels from one window to the next, against the perturbation done by hand."""

import numpy as np

from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.collapse.repulsion import agreement, repulsion


def by_hand(X: np.ndarray, t: int, W: int, k: int) -> tuple[float, float, float]:
    """Neighbour, all levels and measured, shares of the gap, in all directions of the space."""
    before, after = X[t : t + W], X[t + 1 : t + W + 1]
    lam, v = np.linalg.eigh(before.T @ before)
    lam, v = lam[::-1], v[:, ::-1]
    M = v.T @ (after.T @ after - before.T @ before) @ v
    gap = lam[k] - lam[k + 1]
    pushed = [sum(M[j, m] ** 2 / (lam[j] - lam[m]) for m in range(len(lam)) if m != j) for j in (k, k + 1)]
    levels = np.linalg.eigvalsh(after.T @ after)[::-1]
    first = gap + M[k, k] - M[k + 1, k + 1]
    measured = (levels[k] - levels[k + 1] - first) / gap
    return 2 * M[k, k + 1] ** 2 / gap**2, (pushed[0] - pushed[1]) / gap, measured


def smooth(seed: int) -> np.ndarray:
    """Updates whose first two directions are far apart and change little from one window to the next."""
    rng, s = np.random.default_rng(seed), np.arange(200.0)
    signal = np.stack([10 * np.ones(200), 3 * np.cos(np.pi * s)], axis=1)
    return np.concatenate([signal, np.zeros((200, 10))], axis=1) + 0.3 * rng.normal(size=(200, 12))


def test_against_all_directions_of_the_space() -> None:
    X = smooth(0)[:7]
    found = repulsion(GramSequence.from_updates(X), W=4)
    wanted = [by_hand(X, t, 4, k) for t in range(3) for k in range(3)]
    assert len(found.measured) > 2
    for row in np.column_stack(found):
        assert min(np.abs(np.subtract(row, one)).max() for one in wanted) < 1e-9


def test_second_order_is_what_is_seen_where_the_perturbation_is_small() -> None:
    neighbour, all_levels = agreement([GramSequence.from_updates(smooth(seed)) for seed in range(4)])
    assert all_levels.low > 0.5
    assert neighbour.high < all_levels.low


def test_it_is_drawn_beside_noise_and_where_there_is_none_it_says_so() -> None:
    from matplotlib.figure import Figure

    from spectral_edge.validate.referee.figures.collapse import BINS, repelling

    worlds = {name: [GramSequence.from_updates(smooth(seed))] for name, seed in (("runs", 0), ("noise", 1))}
    for all_levels in (False, True):
        ax = repelling(worlds, Figure().add_subplot(), all_levels)
        drawn = [one for one in ax.containers if len(one[0].get_xdata()) == BINS]
        assert len(drawn) == 2
        assert [text.get_text().split(",")[0] for text in ax.get_legend().get_texts()] == [
            "equal",
            "runs",
            "noise",
        ]
    x, y = drawn[0][0].get_data()  # all levels: on the line
    assert np.median(np.abs(y - x) / np.abs(x)) < 0.15
    empty = repelling({"runs": []}, Figure().add_subplot())
    assert empty.texts[0].get_text() == "no small perturbation"
