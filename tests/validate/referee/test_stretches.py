"""Runs that rest, or hardly move, are judged by what there is of them."""

import numpy as np
import pytest

from spectral_edge import theory, validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.predictions import p01_bbp_vacuous as vacuous
from spectral_edge.validate.referee.published import spectra
from spectral_edge.validate.referee.stretches import usable

T, P = 80, 500
X = np.random.default_rng(0).normal(size=(T, P))
CARD = {
    "run": "one", "optimizer": "AdamW", "learning_rate": 1e-3, "weight_decay": 1.0, "seed": 0, "task": "x",
    "batch_size": 32,
}  # fmt: skip


def run_of(moves: np.ndarray, **card) -> GramSequence:
    updates = X * moves[:, None]
    metrics = {"test_accuracy": np.linspace(0, 1, T), "test_loss": np.linspace(2, 0.1, T)}
    return GramSequence.from_inner_products(
        updates @ updates.T, steps=10 * np.arange(1, T + 1), P=P, metrics=metrics, config=CARD | card
    )


def where(*rests: slice) -> np.ndarray:
    moves = np.ones(T)
    for rest in rests:
        moves[rest] = 0
    return moves


NEVER = where(slice(None))
PATTERNS = {
    "over": (where(slice(50, None)), (0, 50)),
    "not begun": (where(slice(30)), (30, 80)),
    "long rest": (where(slice(30, 40)), (40, 80)),
    "the longest of three": (where(slice(1), slice(20, 26), slice(55, 61), slice(79, None)), (26, 55)),
    "short rest": (where(slice(30, 34)), (0, 80)),
    "every other": (where(slice(1, None, 2)), (0, 79)),
    "first step of a warm-up, last of a decay": (where(slice(1), slice(79, None)), (1, 79)),
    "never": (np.ones(T), (0, 80)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("banded", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_run_is_judged_by_the_longest_stretch_in_which_it_moves(pattern, banded):
    moves, (first, last) = PATTERNS[pattern]
    run = run_of(moves)
    if banded:
        run = GramSequence.from_inner_products(
            run.band(20), steps=run.steps, P=P, metrics=run.metrics, config=run.config
        )
    board = validate.check(run)
    (judged,) = board.runs
    np.testing.assert_array_equal(judged.steps, run.steps[first:last])
    np.testing.assert_array_equal(judged.metrics["test_loss"], run.metrics["test_loss"][first:last])
    np.testing.assert_array_equal(judged.window(10).sigma, run.window(10).sigma[first : last - 9])
    told = [note for note in board.notes if "rest" in note]
    if last - first > T - 5:
        assert not told
    else:
        assert told == [
            "one rests: it is judged by the longest stretch in which its parameters move, steps "
            f"{run.steps[first]} to {run.steps[last - 1]} of 10 to 800"
        ]


def test_what_never_moves_is_left_out_and_alone_is_refused():
    found, notes = usable([run_of(NEVER, run="still"), run_of(np.ones(T))])
    assert [run.config["run"] for run in found] == ["one"]
    assert notes == ["still is left out: its parameters do not move"]
    with pytest.raises(
        ValueError, match="runs must hold at least one whose parameters move, got 2 that rest"
    ):
        validate.check([run_of(NEVER), run_of(where(slice(1, None)))])


@pytest.mark.filterwarnings("error")
def test_updates_of_fewer_directions_than_a_window_lie_above_no_threshold():
    thin = X[:, :3]
    run = GramSequence.from_inner_products(thin @ thin.T, P=P, config=CARD)
    assert spectra.weakest(run) == vacuous.READINGS["ν̂ from the lower half"](run) == 0
    verdict = validate.check(run)["bbp-vacuous"]
    assert verdict.statistic == 0
    assert verdict.published.statistic == 0
    assert verdict.published.verdict == "not confirmed"


def test_the_threshold_a_priori_has_the_rate_of_its_window():
    rates = np.where(np.arange(T) < 40, 1e-3, 1e-2)
    updates = X * rates[:, None]
    run = GramSequence.from_inner_products(
        updates @ updates.T, P=P, metrics={"learning_rate": rates}, config=CARD | {"learning_rate": 1e-2}
    )
    a_priori = vacuous.READINGS["ν = η/√(BP), a priori"]
    alone = [
        a_priori(GramSequence.from_inner_products(part @ part.T, P=P, config=CARD | {"learning_rate": eta}))
        for part, eta in ((updates[:40], 1e-3), (updates[40:], 1e-2))
    ]
    # windows across the change end at the higher rate with the weaker updates of the lower one
    crossing = run.window(10).sigma[31:40, -1] / theory.bbp_threshold(theory.a_priori_nu(1e-2, 32, P), P, 10)
    assert a_priori(run) == pytest.approx(min(*alone, crossing.min()), rel=1e-12)
    assert a_priori(run) < min(alone)
