"""Placebos and controls: what measures nothing of a claim does not get its verdict, by the same rule."""

from dataclasses import replace

import numpy as np
import pytest

from spectral_edge import simulate
from spectral_edge.theory.gram import norms_squared
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import placebos, stress, worlds
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.predictions import p01_bbp_vacuous as p01
from spectral_edge.validate.referee.predictions import p06_stability_hierarchy as p06
from spectral_edge.validate.referee.predictions import p07_gap_flow as p07
from spectral_edge.validate.referee.predictions import p09_loss_decomposition as p09
from spectral_edge.validate.referee.predictions import p13_optimiser_dependence as p13
from spectral_edge.validate.referee.predictions import p15_gap_tracks_loss as p15
from spectral_edge.validate.referee.predictions import p17_projection_keeps_gap as p17
from spectral_edge.validate.referee.predictions import p18_lag_flip as p18
from spectral_edge.validate.referee.statistics import Comparison, Estimate
from spectral_edge.validate.referee.verdict import NOT_RUN, SUPPORTED, beyond

#: Those that are judged quickly; every kind of placebo is among them.
QUICK = (3, 9, 10, 11, 12, 14, 16)


def noise_of(runs: list[GramSequence], copies: int = 20) -> list[worlds.Noise]:
    return [worlds.matched_noise(run, 0, copies) for run in runs]


def test_noise_makes_its_probes_when_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    run = worlds.planted("collapse-time", 1)(0)[0]
    made: list[object] = []
    vectors, multiples = worlds._random_vectors, worlds._multiples
    monkeypatch.setattr(worlds, "_random_vectors", lambda *given: made.append("vectors") or vectors(*given))
    monkeypatch.setattr(worlds, "_multiples", lambda *given: made.append(given[2:]) or multiples(*given))
    copy = worlds.matched_noise(run, 3)[2]
    assert copy.probes.keys() == run.probes.keys()
    assert "gradient" in copy.probes
    assert len(copy.window(10).ratio)
    assert not made
    for _ in range(2):
        assert copy.probes["response"].shape == run.probes["response"].shape
        assert made == [(("response",),)]  # no vector was drawn, nor another matrix made
    gradient = copy.probes["gradient"]
    np.testing.assert_array_equal(gradient, worlds.matched_noise(run, 3)[2].probes["gradient"])
    assert made.count("vectors") == 2  # once for each of the two
    again = GramSequence.from_inner_products(copy.K, copy.steps, copy.P, probes=copy.probes)
    np.testing.assert_array_equal(again.K, copy.K)  # as checked


def test_probes_of_noise_are_the_same_made_one_by_one_or_all_at_once() -> None:
    run = worlds.planted("collapse-time", 1)(0)[0]
    run = replace(run, probes={**run.probes, "hessian": 2 * run.probes["response"], "other": np.ones(run.T)})
    copy = worlds.matched_noise(run, 3)[0]
    rng = np.random.default_rng([*worlds.key(run, 3), 0])
    K = worlds._drawing(worlds.noise_model(run), None)(rng)
    np.testing.assert_array_equal(copy.K, K)
    for name in ("response", "gradient", "other", "hessian"):
        kept = dict(copy.probes)[name]
        np.testing.assert_array_equal(kept, worlds.isotropic(run, K, _again(rng))[name])
    assert {"hessian", "response", "gradient", "other"} <= copy.probes.keys()


def test_vectors_of_noise_are_the_same_where_no_others_are_drawn() -> None:
    run = worlds.planted("collapse-time", 1)(0)[0]
    seldom = np.arange(run.T)[:, None, None] % 5 == 4
    thinned = {name: np.where(seldom, run.probes[name], np.nan) for name in ("hessian", "response")}
    run = replace(run, probes={**run.probes, **thinned})
    copy = worlds.matched_noise(run, 3)[1]
    some, every = worlds.where_curved(copy).probes["gradient"], copy.probes["gradient"]
    known = np.isfinite(some).all(axis=1)
    expected = np.isfinite(run.probes["response"][:, 0, 0]) & np.isfinite(every).all(axis=1)
    assert 10 < expected.sum() < run.T / 4
    np.testing.assert_array_equal(known, expected)
    np.testing.assert_array_equal(some[known], every[known])
    np.testing.assert_array_equal(worlds.where_curved(copy).probes["response"], copy.probes["response"])
    assert p07._reverts(copy) == p07.agreement(p07.measure(copy), p07._fitted)


def test_a_run_no_longer_than_a_window_has_probes_of_noise_without_a_value() -> None:
    X = np.random.default_rng(2).normal(size=(10, 40))
    probes = {"gradient": np.ones((10, 11)), "hessian": np.ones((10, 10, 10))}
    run = GramSequence.from_inner_products(X @ X.T, probes=probes)
    copy = worlds.matched_noise(run, 1)[0]
    for one in (copy, worlds.where_curved(copy)):
        assert np.isnan(one.probes["gradient"]).all()
        assert np.isnan(one.probes["hessian"]).all()


def _again(rng: np.random.Generator) -> np.random.Generator:
    """Another generator in the same state."""
    state = np.random.default_rng()
    state.bit_generator.state = rng.bit_generator.state
    return state


#: Supported in the first set (the first of them with p = 0.013, and in none of the five sets after it), as a test of
#: 5 % may be; whether it is more than that, counts must say. Asked of two other sets.
BY_CHANCE = {(14, "time alone"), (14, "weight decay alone")}


@pytest.mark.parametrize("number", QUICK)
def test_no_placebo_of_a_planted_world_is_supported(number: int) -> None:
    prediction = next(p for p in PREDICTIONS if p.number == number)
    runs = prediction.planted(0)
    assert prediction.judge(runs, noise_of(runs)).verdict == SUPPORTED
    for name, placebo in prediction.placebos.items():
        given = placebo(runs, 0)
        assert len(given) == len(runs)
        if (number, name) not in BY_CHANCE:
            assert prediction.judge(given, noise_of(given)).verdict != SUPPORTED, name
            continue
        for seed in (1, 2):
            again = placebo(prediction.planted(seed), seed)
            assert prediction.judge(again, noise_of(again)).verdict != SUPPORTED, name


def test_placebos_of_updates_keep_the_card_and_hold_nothing_but_what_they_say(
    additions: list[GramSequence],
) -> None:
    runs = additions[::3]  # without weight decay and with
    for name, placebo in placebos.OF_UPDATES.items():
        for run, given in zip(runs, placebo(runs, 0), strict=True):
            assert given.config == run.config
            assert given.metrics.keys() == run.metrics.keys()
            norms = np.sqrt(norms_squared(given.K))
            if name.startswith("the norms"):
                assert norms == pytest.approx(np.sqrt(norms_squared(run.K)))
            elif name == "weight decay alone" and run.config["weight_decay"] == 0:
                assert norms == pytest.approx(np.ones(run.T))
            else:
                assert norms == pytest.approx(np.exp(-np.arange(run.T) / placebos.SHRINKING))
            unit = given.K[1:, 1] / (norms[1:] * norms[:-1]) if given.banded else None
            if unit is not None:  # white in time: 1/√P_eff apart from zero, four standard errors
                assert abs(unit.mean()) < 4 / np.sqrt(worlds.noise_model(run).P_eff * len(unit))


# -- 9: what ranks by itself -----------------------------------------------------------------------------------


def ablations(rng: np.random.Generator, kind: str, n: int = 8) -> list[GramSequence]:
    """Runs in which removing a mode costs by its part of the parameters, which falls with rank; or by its gradients.

    Two strong modes stand still, so that α ranks them above the others.
    """
    runs = []
    for i in range(n):
        world = simulate.planted("stability-hierarchy", int(rng.integers(1e6)))
        table = np.full((len(world.K), 10, 5), np.nan)
        for t in range(9, len(world.K) - 1, 5):
            along = 0.7 ** np.arange(10) * rng.standard_normal(10)
            G, other = rng.standard_normal((2, 10))
            G_val = 0.7 * G + 0.7 * other  # aligned: products are mostly positive
            cost = along**2 + 0.1 * rng.standard_normal(10) if kind == "parameters" else G * G_val
            table[t] = np.stack([cost, cost, G, G_val, along], axis=1)
        config = {**world.config, "seed": i}
        runs.append(
            GramSequence.from_inner_products(world.K, world.steps, probes={"ablation": table}, config=config)
        )
    return runs


def test_what_ranks_by_the_strength_of_a_mode_is_not_supported_though_alpha_alone_would_be() -> None:
    runs = ablations(np.random.default_rng(1), "parameters")
    verdict = p09.PREDICTION.judge(runs, [])
    raw = {r.name: r for r in verdict.readings if r.name.startswith("nothing taken out")}
    # by the rule as it was, α alone and the rank alone are supported: both rank the cost
    assert raw["nothing taken out, against α_j alone"].control.low > 0
    assert raw["nothing taken out, against rank alone, −j"].control.low > 0
    assert raw["nothing taken out, against ⟨θ, v_j⟩² alone"].control.low > 0.5
    assert verdict.verdict != SUPPORTED
    assert abs(verdict.statistic) < 0.25


def test_gradients_without_stability_are_not_better_with_it() -> None:
    runs = ablations(np.random.default_rng(2), "gradients")
    verdict = p09.PREDICTION.judge(runs, [])
    assert verdict.control > 0.8  # α = 1 ranks by itself
    assert verdict.verdict in ("not specific", "undecided")


def test_ranks_lose_what_is_known() -> None:
    order = np.arange(10.0)
    known = np.column_stack([np.ones(10), order])
    kept = np.eye(10) - known @ np.linalg.pinv(known)
    mixed = np.array([3.0, 1, 2, 5, 4, 6, 9, 7, 8, 10])
    left, some = p09.ranks(np.array([order**3, mixed]), kept)
    assert some.tolist() == [False, True]
    assert not left[0].any()
    assert left[1] @ order == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(left[1]) == pytest.approx(1)
    assert not p09.ranks(np.zeros((1, 10)), np.eye(10) - 0.1)[1].any()


def test_a_run_in_which_no_window_is_ablated_is_not_judged() -> None:
    X = np.random.default_rng(0).normal(size=(40, 60))
    nothing = {"ablation": np.full((40, 10, 5), np.nan)}
    run = GramSequence.from_inner_products(X @ X.T, np.arange(1, 41), probes=nothing)
    assert p09.PREDICTION.judge([run], [[]]).verdict == NOT_RUN


# -- 1: trainings that are over ----------------------------------------------------------------------------------


def test_windows_of_a_training_that_is_over_do_not_count() -> None:
    norms = np.r_[np.ones(30), np.full(10, 1e-6)]
    K = simulate.noise(40, P=1e4, norms=norms, fix_norms=True, seed=1).K
    config = {"learning_rate": 1e-3, "batch_size": 512}
    loss = np.r_[np.full(30, 1e-2), np.full(10, 1e-7)]
    trained = GramSequence.from_inner_products(K, P=10_000, metrics={"train_loss": loss}, config=config)
    unknown = replace(trained, metrics={})
    assert p01.training(trained).sum() == 21  # those that end before the 31st record
    assert p01.training(unknown).all()
    verdicts = [p01.PREDICTION.judge([run], noise_of([run], 5)).verdict for run in (trained, unknown)]
    assert verdicts == ["not specific", "refuted"]


# -- 6: where there is nothing above -----------------------------------------------------------------------------


def test_a_run_whose_gap_is_below_its_first_mode_says_nothing_of_modes_above() -> None:
    alpha = np.tile([0.9, 0.5, 0.2, 0.1], (5, 1))
    assert np.isnan(p06.hierarchy(np.ones(6), alpha))
    assert p06.hierarchy(np.full(6, 2.0), alpha) == 1
    assert p06.hierarchy(np.array([1, 1, 2, 2, 1, 1.0]), alpha) == 1
    assert p06.hierarchy(np.full(6, 2.0), alpha[:, ::-1]) == -1
    assert p06.hierarchy(np.full(6, np.nan), alpha) != p06.hierarchy(np.full(6, 2.0), alpha)


# -- 13: no gap, no position -------------------------------------------------------------------------------------


def optimisers(correlations: dict[str, float], n: int = 6) -> list[GramSequence]:
    runs = []
    for name, rho in correlations.items():
        for i in range(n):
            K = simulate.noise(60, P=3000, autocorrelation=rho, seed=[i, len(name)]).K
            config = {"experiment": "optimizer", "optimizer": name, "seed": i, "record_every": 50}
            runs.append(GramSequence.from_inner_products(K, 50 * np.arange(1, 61), config=config))
    return runs


def test_optimisers_that_differ_by_the_colour_of_their_noise_have_no_gap_position() -> None:
    runs = optimisers({"Muon": 0.9, "AdamW": -0.3})
    verdict = p13.PREDICTION.judge(runs, noise_of(runs))
    published = verdict.readings[2]
    assert published.name.startswith("k* of every window")
    assert published.treated.value > 0.5  # by the plain k* they differ as much as can be
    assert verdict.verdict == "undecided"
    assert verdict.statistic < 0.15
    assert "50 steps apart" in verdict.meaning
    assert "is none and none" in verdict.meaning


# -- 15: what runs have in common over time ----------------------------------------------------------------------


def tracked(own: bool, n: int = 10) -> list[GramSequence]:
    """R and the loss change at one time in all runs; with `own`, at a time that differs from run to run."""
    runs = []
    for i in range(n):
        rng = np.random.default_rng(i)
        at = int(rng.integers(25, 75)) if own else 50
        after = np.arange(100) >= at
        time = rng.choice([-1.0, 1.0], 100) / np.sqrt(10)
        signal = np.where(after, 20.0, 2.0) * time
        white = rng.standard_normal((100, 2000)) / np.sqrt(2000)
        white[:, 0] += signal
        loss = np.where(after, 1.0, 3.0) * np.exp(0.05 * rng.standard_normal(100))
        runs.append(
            GramSequence.from_updates(white, metrics={"test_loss": loss}, config={"weight_decay": 1.0})
        )
    return runs


@pytest.mark.parametrize("own", [False, True])
def test_a_loss_that_any_other_run_has_is_no_link(own: bool) -> None:
    runs = tracked(own)
    verdict = p15.PREDICTION.judge(runs, noise_of(runs))
    assert verdict.statistic > 0.6
    against_others = verdict.readings[2]
    assert against_others.passes is own
    assert (verdict.verdict == SUPPORTED) is own


# -- 17, 18 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"), [(0.05, "supported"), (0.065, "refuted"), (0.057, "undecided")]
)
def test_the_mean_error_is_what_the_bound_is_said_of(
    monkeypatch: pytest.MonkeyPatch, error: float, expected: str
) -> None:
    def of(run: GramSequence, d: int) -> np.ndarray:
        spread = run.K[0, 0] * np.array([0.9, 1.1, 0.2, 1.8])  # single windows are off by twice the mean
        return (error if d == 100 else 0.02 if d == 1000 else 0.9) * spread

    monkeypatch.setattr(p17, "errors", of)
    runs = [
        GramSequence.from_inner_products(np.eye(12) * x, config={"seed": i})
        for i, x in enumerate([0.98, 1.02, 0.97, 1.03])
    ]
    verdict = p17.PREDICTION.judge(runs, [])
    assert verdict.verdict == expected
    largest = next(r for r in verdict.readings if r.name.startswith("largest"))
    assert largest.passes is False


def test_a_lag_at_the_edge_of_the_scan_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    lags = 2 * p18.LONGEST + 1

    def peak(at: int):
        return lambda ratio, loss: np.tile(np.where(np.arange(lags) == at, 1.0, 0.1), (len(ratio), 1))

    series = np.arange(80.0)
    for at, expected in ((0, np.nan), (lags - 1, np.nan), (1, 1.0 - p18.LONGEST), (p18.LONGEST, 0.0)):
        monkeypatch.setattr(p18, "cross_correlation", peak(at))
        np.testing.assert_equal(p18._best(series, series)[0], expected)


# -- verdicts against nulls ----------------------------------------------------------------------------------------


def compared(low: float, high: float, p: float) -> Comparison:
    middle = Estimate((low + high) / 2, low, high)
    return Comparison(middle, middle, middle, p)


@pytest.mark.parametrize(
    ("nulls", "expected"),
    [
        ([compared(0.1, 0.3, 0.01), compared(0.1, 0.3, 0.04)], "supported"),
        ([compared(0.1, 0.3, 0.01), compared(0.1, 0.3, 0.06)], "undecided"),
        ([compared(0.1, 0.3, 0.01), compared(-0.1, 0.3, 0.01)], "undecided"),
        ([compared(-0.3, -0.1, 1.0), compared(-0.2, -0.1, 1.0)], "refuted"),
        ([compared(-0.3, -0.1, 1.0), compared(0.1, 0.3, 0.01)], "not specific"),
        ([compared(-0.04, 0.04, 0.5), compared(0.1, 0.3, 0.01)], "not specific"),
        ([compared(-0.04, 0.06, 0.5), compared(0.1, 0.3, 0.01)], "undecided"),
        ([compared(0.1, 0.3, float("nan"))], "undecided"),
    ],
)
def test_beyond(nulls: list[Comparison], expected: str) -> None:
    assert beyond(nulls, 0.05) == expected


def test_rank_and_parameters_alone_cost_in_the_stress_worlds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress, "P", 300)
    tables = [run.probes["ablation"] for run in stress.runs_of("correlation 0.5", 0)]
    known = np.concatenate([table[np.isfinite(table).all(axis=(1, 2))] for table in tables])
    ranks = known[:, :, 1].argsort(axis=1).argsort(axis=1)
    assert np.mean([np.corrcoef(row, np.arange(10))[0, 1] for row in ranks]) < -0.1
