"""The author's own tests: met in worlds made for it, not in others, and no longer where their statistic is turned."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spectral_edge.simulate._planted.parts import FLOOR, curves, random_signs, run, smooth, updates
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.published import grokking, spectra, stability
from spectral_edge.validate.referee.published.record import (
    CONFIRMED,
    MISSING,
    NO_TEST,
    NOT_CONFIRMED,
    Published,
    by_the_author,
    until_stop,
)

pytestmark = pytest.mark.slow

Runs = list[GramSequence]
TESTS = {p.number: p.published for p in PREDICTIONS}
WITHOUT_TEST = {8, 16, 20}


def made(strengths: Any, n: int = 5, loss: Any = None, time: bool = False, **config: Any) -> Runs:
    """Runs with the given strengths of their signals in noise floors, (T, k), one seed each."""
    found = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        d = FLOOR * np.asarray(strengths(rng) if callable(strengths) else strengths, dtype=float)
        X = updates(d, rng, time=random_signs(*d.shape, rng) if time else None)
        one = run("made", seed, False, X, {}, metrics=curves(len(d), None, rng))
        metrics = {**one.metrics, **({} if loss is None else {"test_loss": loss(rng)})}
        config = {**one.config, **config}
        found.append(
            GramSequence.from_inner_products(one.K, one.steps, one.P, metrics=metrics, config=config)
        )
    return found


def planted(scenario: str, n: int = 6, controls: bool = True, only: str = "") -> Runs:
    runs = worlds.planted(scenario, n, with_controls=controls)(0)
    return {"": runs, "treated": runs[:n], "controls": runs[n:]}[only]


def with_config(runs: Runs, **config: Any) -> Runs:
    return [replace(one, config={**one.config, **config}) for one in runs]


def phases(T: int = 130) -> Any:
    shape = np.interp(np.arange(T), [0, 40, 80, 120, 130], [0.1, 1.0, 1.0, 0.0, 0.0])
    return np.stack([np.full(T, 60.0), 2.05 * 10**shape, np.full(T, 2.0)], axis=1)


def tail(T: int = 60, *leading: float) -> Any:
    return np.tile([*leading, *np.linspace(1.8, 1.1, 7)], (T, 1))


def following(sign: float, lag: int, T: int = 240) -> Runs:
    """The second ratio follows a curve, the loss the same (or its reverse) `lag` records later."""
    runs = []
    for seed in range(5):
        curve = smooth(T + lag, 30, np.random.default_rng(seed))

        def strengths(rng: np.random.Generator, curve: Any = curve) -> Any:
            return np.stack([np.full(T, 200.0), 15 * np.exp(0.35 * curve[lag:]), np.full(T, 2.0)], axis=1)

        def loss(rng: np.random.Generator, curve: Any = curve) -> Any:
            return 3 + sign * 0.2 * curve[:T] + 0.02 * rng.standard_normal(T)

        runs += made(strengths, 1, loss, time=True)
    return runs


def growing(up: bool, T: int = 80) -> Runs:
    t = np.arange(T)
    first = 20 * np.exp(t / 20) if up else 60 + 20 * np.sin(t / 4)
    return made(np.stack([first, np.full(T, 3.0)], axis=1))


def adiabatic(right: bool, T: int = 120, grok: int = 60) -> Runs:
    """The gap is all but closed around the grok step; 𝒜 is 1 there where `right`, by the learning rate."""
    closed = np.abs(np.arange(T) - grok) < 16
    runs = made(np.stack([np.where(closed, 2.6, 60.0), np.full(T, 2.0)], axis=1))
    accuracy = np.where(np.arange(T) < grok, 0.1, 1.0)
    found = []
    for one in runs:
        near, _ = stability.adiabatic(one, int(one.steps[grok]))
        eta = one.config["learning_rate"] * (near if right else 1)
        about = {
            "metrics": {**one.metrics, "test_accuracy": accuracy},
            "config": {**one.config, "learning_rate": eta},
        }
        found.append(replace(one, **about))
    return found


def ablated(costly: bool) -> Runs:
    runs = planted("loss-decomposition", controls=False)
    if costly:
        return runs
    names = ("ablation", "ablation_random")
    return [replace(one, probes={**one.probes, **dict(zip(names, map(one.probes.get, names[::-1]), strict=True))})
            for one in runs]  # fmt: skip


def falling() -> Runs:
    """Updates each a third as large as the last: the weakest of a window is far below its weak half."""
    norms = 3.0 ** -np.arange(14.0)
    return [GramSequence.from_inner_products(np.diag(norms**2), P=100_000)]


def one_direction() -> Runs:
    return [GramSequence.from_inner_products(np.ones((20, 20)), P=1000)]


def flat_queries() -> Runs:
    runs = planted("gap-opens-at-grokking")
    return [
        replace(
            one,
            metrics={**one.metrics, **{name: np.full(one.T, 2.0) for name in one.metrics if ".Q.s" in name}},
        )
        for one in runs
    ]


def swapped_optimisers() -> Runs:
    names = {"muon": "adamw", "adamw": "muon"}
    return [
        with_config([one], optimizer=names[one.config["optimizer"]])[0]
        for one in planted("optimiser-dependence")
    ]


def late_shift() -> Runs:
    return [
        with_config([one], shift_step=one.config["shift_step"] and 1500)[0]
        for one in planted("shift-detection")
    ]


#: Number: a world in which the criterion is met, one in which it is not, what is turned, and how.
WORLDS: dict[int, tuple[Callable[[], Runs], Callable[[], Runs], str, Callable[[Any], Any]]] = {
    1: (lambda: planted("bbp-vacuous", controls=False), falling, "weakest", lambda x: 1 / x),
    2: (lambda: made(tail(60, 20.0, 8.0)), one_direction, "largest_ratio", lambda x: 1 - x),
    3: (lambda: planted("small-gap-position", only="treated"), lambda: planted("small-gap-position", only="controls"),
        "usual_position", lambda k: 10 - k),
    4: (lambda: planted("small-gap-position", only="treated"), lambda: planted("small-gap-position", only="controls"),
        "usual_position", lambda k: 10 - k),
    5: (lambda: made(phases()), lambda: made(tail(60, 20.0, 8.0)), "second_ratio", lambda x: x.max() + 2 - x),
    6: (lambda: planted("stability-hierarchy", controls=False), lambda: made(np.tile([60.0, 59.9, 20.0], (80, 1))),
        "stabilities", np.negative),
    7: (lambda: growing(True), lambda: growing(False), "correlation", lambda r: 1 - abs(r)),
    9: (lambda: ablated(True), lambda: ablated(False), "costs", np.negative),
    10: (lambda: planted("gap-precedes-grokking"), lambda: planted("weight-decay-needed"), "decline", lambda x: 1 / x),
    11: (lambda: planted("weight-decay-needed"), lambda: [
        *planted("weight-decay-needed"), *with_config(planted("weight-decay-needed", only="controls"), weight_decay=1.0)
    ], "grok_step", lambda step: 100 if step is None else None),
    12: (lambda: planted("gap-opens-at-grokking"), flat_queries, "rise", lambda x: 1 / x),
    13: (lambda: planted("optimiser-dependence"), swapped_optimisers, "most_frequent", lambda k: 10 - k),
    14: (lambda: adiabatic(True), lambda: adiabatic(False), "adiabatic", lambda pair: pair[::-1]),
    15: (lambda: with_config(following(-1, 1), task="dyck-depth"),
         lambda: with_config(following(1, 1), task="dyck-depth"), "series",
         lambda pairs: {j: (ratio, -loss) for j, (ratio, loss) in pairs.items()}),
    17: (lambda: made(np.full((40, 1), 1e-6), 3), lambda: made(tail(60, 200.0, 60.0, 10.0), 3), "projection_errors",
         lambda x: 1 / x),
    18: (lambda: following(-1, 7), lambda: following(-1, 2), "flips", lambda x: not x),
    19: (lambda: planted("shift-detection"), late_shift, "largest_change", lambda step: 9000 - step),
}  # fmt: skip


def test_every_prediction_has_its_worlds_or_says_why_the_author_makes_no_test() -> None:
    assert {p.number for p in PREDICTIONS} == set(WORLDS) | WITHOUT_TEST
    for number in WITHOUT_TEST:
        found = TESTS[number].judge(made(tail(30, 20.0), 1))
        assert (found.verdict, found.rule) == (NO_TEST, TESTS[number].rule)
        assert "makes no test" in found.rule


@pytest.mark.parametrize("number", WORLDS)
def test_met_where_it_is_made_to_be_and_not_elsewhere(number: int) -> None:
    met, other, *_ = WORLDS[number]
    found = TESTS[number].judge(met())
    assert found.verdict == CONFIRMED, found
    assert np.isfinite(found.statistic)
    assert len(found.difference) > 30
    assert TESTS[number].judge(other()).verdict == NOT_CONFIRMED


@pytest.mark.parametrize("number", WORLDS)
def test_a_turned_statistic_is_not_confirmed(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    met, _, name, change = WORLDS[number]
    runs = met()
    find = TESTS[number].find
    assert find is not None
    module = sys.modules[find.__module__]
    original = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **kwargs: change(original(*args, **kwargs)))
    assert TESTS[number].judge(runs).verdict == NOT_CONFIRMED


@pytest.mark.parametrize("number", sorted(set(WORLDS) - {2, 3, 4, 5, 7, 17, 6}))
def test_what_is_missing_is_named(number: int) -> None:
    bare = [GramSequence.from_updates(np.random.default_rng(0).normal(size=(30, 50)))]
    bare = [replace(one, P=None) for one in bare]
    found = TESTS[number].judge(bare)
    assert found.verdict == MISSING
    assert str(found).startswith("As published: cannot be computed: ")
    assert len(found.found) > 10


def test_where_both_columns_agree_nothing_makes_a_difference() -> None:
    yes, no = Published(CONFIRMED, difference="A choice."), Published(NOT_CONFIRMED, difference="A choice.")
    assert yes.beside(True).difference == no.beside(False).difference == ""
    assert yes.beside(False).difference == no.beside(True).difference == "A choice."
    assert Published(MISSING, difference="A choice.").beside(True).difference == ""


def test_the_runs_of_an_experiment_stand_by_themselves() -> None:
    one, two = made(tail(30, 20.0), 2)
    his, shift = with_config([one], recipe="author"), with_config([two], experiment="shift")
    assert by_the_author([*his, *shift]) == his
    assert by_the_author([*his, *shift], "shift") == shift


def test_a_run_ends_where_the_recipe_stops_it() -> None:
    (one,) = made(tail(30, 20.0), 1)
    (cut,) = [until_stop(run) for run in with_config([one], stop_step=1700)]
    assert cut.steps[-1] == 1700
    assert len(cut.metrics["test_loss"]) == cut.T == 17
    assert np.array_equal(cut.window(10).sigma, one.window(10).sigma[:8])
    assert until_stop(one) is one


def test_no_grok_step_counts_as_no_decline_but_for_dyck_and_scan() -> None:
    runs = planted("gap-precedes-grokking")
    declines = [
        replace(runs[0], config={**runs[0].config, "weight_decay": 0.0, "seed": 99},
                metrics={**runs[0].metrics, "test_accuracy": np.zeros(runs[0].T)})
    ]  # fmt: skip
    both = [*runs, *declines]
    assert grokking.decline(declines[0]) > grokking.FALL
    assert TESTS[10].judge(both).verdict == CONFIRMED
    assert TESTS[10].judge(with_config(both, task="scan")).verdict == NOT_CONFIRMED
    steps, g = grokking.subleading(with_config(runs, task="dyck-depth")[0])
    assert steps[0] == runs[0].steps[1]  # from two rows on
    lam = np.linalg.eigvalsh(runs[0].blocks(2)[0])
    assert g[0] == pytest.approx(lam[0])


def test_operations_that_are_controls_of_the_authors_do_not_count() -> None:
    runs = planted("weight-decay-needed")
    more = with_config(planted("weight-decay-needed", only="controls"), weight_decay=1.0, operation="a3+ab")
    found = TESTS[11].judge([*runs, *more])
    assert found.verdict == CONFIRMED
    assert "6 of 12" in found.difference


def test_runs_that_grok_without_weight_decay_are_named() -> None:
    runs = planted("weight-decay-needed")
    treated = [run for run in runs if run.config["weight_decay"]]
    for many, wanted in ((1, CONFIRMED), (2, NOT_CONFIRMED)):
        late = with_config(treated[:many], weight_decay=0.0, run="late")
        found = TESTS[11].judge([*runs, *late])
        assert found.verdict == wanted
        named = "late at step" in found.difference
        assert named == (wanted == NOT_CONFIRMED)


def test_alpha_above_a_first_gap_counts_as_one() -> None:
    (run,) = made(np.tile([60.0], (40, 1)), 1)
    above, at, below, there = stability.stabilities(run)
    assert above == 1
    assert np.isnan(there)
    assert 0 <= below <= at <= 1


def test_dyck_has_windows_of_three() -> None:
    runs = with_config(planted("small-gap-position", only="controls"), task="dyck-depth")
    assert spectra.usual_position(runs[0]) <= 2
