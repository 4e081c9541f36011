"""Exchanges found where they are, foreseen as the closed forms say, and scored as obvious counts do."""

from dataclasses import astuple, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from spectral_edge import simulate, theory
from spectral_edge.theory.gram import as_band
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.collapse import accuracy, continuation, forecasts, further
from spectral_edge.validate.referee.collapse.accuracy import (
    MEAN,
    SIZE,
    WHERE,
    Forecasts,
    Score,
    concordant,
    placebo_of,
)
from spectral_edge.validate.referee.collapse.states import HORIZON, LEAD, missing, states
from spectral_edge.validate.referee.collapse.tracks import EVERY, PAST, Optimizer, Tracks, responses
from spectral_edge.validate.referee.figures import collapse as figures
from spectral_edge.validate.referee.predictions import p20_collapse_time as p20
from spectral_edge.validate.referee.report import collapse_tables
from spectral_edge.validate.referee.scoreboard import check
from spectral_edge.validate.referee.verdict import Verdict, verdict_alone
from spectral_edge.validate.runs.dense import config

W = 10


def sequence(world: simulate.PlantedRun, **changed: Any) -> GramSequence:
    about = {"probes": world.probes, "config": world.config, **changed}
    return GramSequence.from_inner_products(world.K, world.steps, world.P, **about)


@pytest.fixture(scope="module")
def descents() -> list[GramSequence]:
    """Gradient descent on quadratic losses: everything about them is known."""
    return worlds.planted("window-exchange", 6)(0)


@pytest.fixture(scope="module")
def scored(descents: list[GramSequence]) -> Forecasts:
    return Forecasts.of(descents)


# -- states -----------------------------------------------------------------------------------------------------


def crossings_by_hand(X: np.ndarray) -> list[tuple[int, float]]:
    """Rank pair and time, in windows, of every exchange: right singular vectors matched from window to window."""
    n = len(X) - W + 1
    found, before = [], None
    name = np.arange(6)
    for t in range(n):
        _, sigma, v = np.linalg.svd(X[t : t + W], full_matrices=False)
        sigma, v = sigma[:6], v[:6]
        if before is not None:
            like = np.abs(before[1] @ v.T)
            order = like.argmax(axis=1)  # where the mode of rank i has gone
            for i in range(5):
                if order[i] == i + 1 and order[i + 1] == i and like[i, i + 1] ** 2 > 0.5:
                    x = np.log(before[0][i] / before[0][i + 1])
                    y = np.log(sigma[i + 1] / sigma[i])
                    found.append((i, t - 1 + x / (x - y)))
            name = name[order]
        before = sigma, v
    return found


def test_exchanges_are_dated_as_by_hand(descents: list[GramSequence]) -> None:
    dated = 0
    for seed, run in enumerate(descents):
        truth = simulate.planted("window-exchange", seed).truth
        X = truth["size"] * truth["factor"] ** np.arange(run.T)[:, None]
        by_hand = crossings_by_hand(X)
        tracks = Tracks.of(run)
        found = states(tracks)
        for i in np.flatnonzero(found.exchanged):
            at = tracks.looked[found.row[i]] + found.time[i]
            nearest = min((abs(time - at) for _, time in by_hand), default=np.inf)
            assert nearest < 0.5
            dated += 1
    assert dated > 20


def test_states_are_where_the_rule_wants_them(descents: list[GramSequence]) -> None:
    for run in descents:
        tracks = Tracks.of(run)
        found = states(tracks)
        assert found.time.min() >= LEAD
        assert found.time.max() <= HORIZON
        assert set((tracks.looked + W) % EVERY) == {0}
        assert (found.event[~found.exchanged] == -1).all()
        # one exchange, one moment: states that lead to it agree on when it is
        moment = tracks.looked[found.row] + found.time
        for event in np.unique(found.event[found.exchanged]):
            own = found.event == event
            assert np.ptp(moment[own]) < 1e-6
        at_gap = tracks.windows.k_star[tracks.looked[found.row]] == found.pair + 1
        np.testing.assert_array_equal(found.at_gap, at_gap)


def test_what_lies_beyond_the_horizon_is_censored_and_not_dropped() -> None:
    # two modes that meet after 100 records: from far away all that is known is that they did not meet yet
    s = np.arange(200)
    X = np.stack([0.97**s, 10 ** (-1.3) * (-1.0) ** s * 0.9999**s], axis=1)
    run = GramSequence.from_inner_products(X @ X.T + 1e-9 * np.eye(200))
    tracks = Tracks.of(run)
    found = states(tracks)
    meets = (
        np.log(10**1.3) / np.log(0.9999 / 0.97) - (W - 1) / 2
    )  # the window is centred on the rows that meet
    leading = found.pair == 0
    window = tracks.looked[found.row]
    far = leading & (window < meets - HORIZON - 8)
    near = leading & (window > meets - HORIZON + 8) & (window < meets - 12)
    assert far.sum() > 2
    assert near.sum() > 2
    assert not found.exchanged[far].any()
    assert (found.time[far] == HORIZON).all()
    assert found.exchanged[near].all()
    assert found.time[near] == pytest.approx(meets - window[near], abs=1)


def test_a_band_serves_as_well_as_all_of_K(descents: list[GramSequence]) -> None:
    run = descents[0]
    banded = GramSequence.from_inner_products(
        as_band(run.K, 16), run.steps, run.P, probes=run.probes, config=run.config
    )
    one, other = states(Tracks.of(run)), states(Tracks.of(banded))
    np.testing.assert_array_equal(one.time, other.time)
    np.testing.assert_array_equal(one.exchanged, other.exchanged)


def test_what_cannot_be_followed_says_so() -> None:
    short = GramSequence.from_updates(np.random.default_rng(0).normal(size=(12, 40)))
    assert "16 records" in str(missing(short))
    narrow = GramSequence.from_updates(np.random.default_rng(0).normal(size=(60, 40)), W_max=12)
    assert "15 lags" in str(missing(narrow))
    assert missing(GramSequence.from_updates(np.random.default_rng(0).normal(size=(60, 40)))) is None


def test_noise_has_no_states() -> None:
    run = GramSequence.from_updates(np.random.default_rng(3).normal(size=(300, 4000)))
    assert len(states(Tracks.of(run)).time) < 15  # of 58 windows with six pairs each


def test_windows_without_curvature_are_not_looked_at(descents: list[GramSequence]) -> None:
    run = descents[0]
    hessian = run.probes["hessian"].copy()
    hessian[np.arange(run.T) % 10 != 9] = np.nan  # at every tenth record
    sparse = Tracks.of(replace(run, probes={**run.probes, "hessian": hessian}))
    assert set((sparse.looked + W) % 10) == {0}
    without = Tracks.of(replace(run, probes={}))
    assert set((without.looked + W) % 10) == {0, 5}
    assert without.response is None
    assert responses(replace(run, probes={})) is None


# -- forecasts --------------------------------------------------------------------------------------------------


def test_the_propagated_window_is_exact_on_a_quadratic_loss(scored: Forecasts) -> None:
    found = scored.score("propagated")
    assert found.exchanged.sum() > 20
    assert found.concordance.value > 0.95
    assert found.error.value < 1e-4
    assert found.never < 0.1
    assert scored.score("damping").error.value < 0.1
    assert scored.score("fitted").error.value < 1e-4
    assert scored.score("line").error.value < 0.2


def test_the_flow_contradicts_gradient_descent_and_placebos_know_less(scored: Forecasts) -> None:
    assert scored.score("flow").error.value > scored.score(MEAN).error.value
    assert scored.score("flow").ratio.value > 1
    for form in ("propagated", "damping"):
        own, placebo = scored.score(form), scored.score(placebo_of(form))
        assert own.error.value < placebo.error.value


def test_curvatures_of_other_directions_foresee_nothing() -> None:
    control = Forecasts.of(worlds.planted("window-exchange", 6, with_controls=True)(0)[6:])
    found = control.score("propagated")
    if found.exchanged.any():
        assert found.within < 0.5
    assert control.score("fitted").error.value < 0.01  # which does not ask them


def test_the_flow_is_right_where_it_holds() -> None:
    runs = worlds.planted("collapse-time", 6)(0)
    found = Forecasts.of(runs, {name: forecasts.FORMS[name] for name in ("flow", "flow-linear", "line")}, {})
    assert found.score("flow").exchanged.sum() > 10
    assert found.score("flow").error.value < 0.25
    assert found.score("flow").concordance.value > 0.8
    assert found.score("flow").slope.value == pytest.approx(1, abs=0.2)


def flowing(scale: float = 1.0, spacing: int = 100) -> SimpleNamespace:
    """Tracks whose two modes follow 3.1 exactly, with `scale` times the sources that the probes show."""
    eta, omega, h, p = 1e-3, 0.1, np.array([0.25, 0.2]), np.array([2.0, 4.0])
    before = -spacing * np.arange(PAST - 1.0, -1, -1)
    # back in time: start where the flow leads to d = (14, 9) at t = 0
    decay, rest = 2 * eta * (h + omega), W * scale * p / (h + omega)
    u = rest + (np.array([14.0, 9.0]) ** 2 - rest) * np.exp(-decay * before[:, None])
    stepping = Optimizer("sgd", np.array([eta]), omega, 0.0, spacing)
    return SimpleNamespace(
        past=np.sqrt(u)[None], curvature=h[None], power=p[None], W=W, looked=np.array([50]),
        stepping=stepping, optimizer=stepping, steps_known=True,
    )  # fmt: skip


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_fitted_source_is_the_one_that_acts(scale: float) -> None:
    tracks: Any = flowing(scale)
    h, p = (forecasts.pairs(x) for x in (tracks.curvature, tracks.power))
    assert forecasts.source_scale(tracks, h, p)[0, 0] == pytest.approx(scale, rel=0.02)
    own = {"h": h[0, 0], "p": scale * p[0, 0], "eta": 1e-3, "omega": 0.1, "W": W}
    truth = theory.collapse_time([14.0, 9.0], **own) / 100
    found = forecasts.flow(tracks)
    assert found is not None
    assert found[0, 0] == pytest.approx(truth, rel=0.05) if np.isfinite(truth) else np.isinf(found[0, 0])


def test_times_are_in_records_whatever_their_interval() -> None:
    one, other = (forecasts.flow(flowing(3.0, spacing)) for spacing in (50, 100))  # type: ignore[arg-type]
    assert one is not None
    assert other is not None
    assert one[0, 0] == pytest.approx(2 * other[0, 0], rel=0.05)


@pytest.mark.parametrize(
    ("name", "momentum", "omega"),
    [("sgd", 0.0, 0.1), ("sgd", 0.9, 0.0), ("adam", 0.9, 0.0), ("adamw", 0.9, 0.5)],
)
def test_the_decay_factor_is_that_of_the_optimiser(name: str, momentum: float, omega: float) -> None:
    """Against the update rules, run on a quadratic loss of one dimension, with D = 1."""
    eta = 0.01
    for h in (3.0, 150.0):
        theta, m, previous, updates = 1.0, 0.0, 0.0, []
        for _ in range(3000):
            g = h * theta
            m = momentum * m + (g if name == "sgd" else (1 - momentum) * g)
            step = eta * m + eta * omega * theta
            theta -= step
            updates.append(abs(step))
            previous = step
        del previous
        tracks: Any = SimpleNamespace(stepping=Optimizer(name, np.array([eta]), omega, momentum, 1))
        expected = np.log(forecasts.decay_factor(tracks, np.array([[h]]))[0, 0])
        # the envelope: what oscillates is largest somewhere in each stretch
        blocks = np.array(updates[:2000]).reshape(20, 100).max(axis=1)
        kept = blocks > 1e-250
        rate = np.polyfit(100 * np.arange(20)[kept], np.log(blocks[kept]), 1)[0]
        assert rate == pytest.approx(expected, rel=0.05)


def test_forecasts_use_nothing_that_comes_later(descents: list[GramSequence]) -> None:
    run = descents[1]
    n = 120
    early = replace(
        run, K=run.K[:n, :n], steps=run.steps[:n], probes={name: v[:n] for name, v in run.probes.items()}
    )
    whole, part = Tracks.of(run), Tracks.of(early)
    rows = np.flatnonzero(whole.looked <= part.looked[-1])
    np.testing.assert_array_equal(whole.looked[rows], part.looked)
    for name, form in forecasts.FORMS.items():
        one, other = form(whole), form(part)
        assert one is not None, name
        assert other is not None
        np.testing.assert_allclose(one[rows], other, rtol=1e-6, err_msg=name)


def test_what_explodes_is_cut_off_and_the_rest_stands() -> None:
    s = np.arange(40)
    X = np.stack([0.9**s, 1e-3 * (-1.5) ** s], axis=1)  # the second grows for ever
    K = X @ X.T
    block = K[None, 12:22, 12:22]
    rows = theory.fit_window(block, 2, n=continuation.AHEAD)
    found = continuation.continued(block, rows)
    sigma = np.linalg.svd(X[20:30], compute_uv=False)
    np.testing.assert_allclose(found.sigma[0, 8, :2], sigma, rtol=1e-4)
    assert np.isnan(found.sigma[0, -1]).all()


def test_a_response_that_is_not_the_optimisers_own_propagates_nothing(descents: list[GramSequence]) -> None:
    run = descents[0]
    adam = replace(run, config={**run.config, "optimizer": "AdamW"})
    assert forecasts.propagated(Tracks.of(adam)) is None
    assert forecasts.checked(Tracks.of(adam)) is None
    assert forecasts.flow(Tracks.of(adam)) is not None  # the plain curvature stands in
    known = replace(adam, probes={**run.probes, "response": run.probes["hessian"]})
    assert forecasts.propagated(Tracks.of(known)) is not None
    assert forecasts.propagated(Tracks.of(replace(known, config={**run.config, "optimizer": "Muon"}))) is None


# -- scores -----------------------------------------------------------------------------------------------------


def random_states(n: int = 300, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    time = rng.integers(3, 40, n).astype(float)  # with ties
    return {
        "predicted": np.minimum(time * rng.lognormal(0, 0.6, n).round(1), HORIZON),
        "time": time,
        "exchanged": rng.random(n) < 0.6,
        "run": np.sort(rng.integers(0, 5, n)),
    }


def concordance_by_hand(predicted: np.ndarray, time: np.ndarray, exchanged: np.ndarray) -> float:
    agree, pairs = 0.0, 0
    for i in range(len(time)):
        for j in range(len(time)):
            if exchanged[i] and (time[i] < time[j] or (time[i] == time[j] and not exchanged[j])):
                pairs += 1
                agree += (predicted[i] < predicted[j]) + 0.5 * (predicted[i] == predicted[j])
    return agree / pairs


def test_concordance_is_harrells() -> None:
    own = random_states()
    agree, comparable = concordant(**own)
    by_hand = concordance_by_hand(own["predicted"], own["time"], own["exchanged"])
    assert agree.sum() / comparable.sum() == pytest.approx(by_hand, abs=1e-12)
    lifelines = pytest.importorskip("lifelines.utils")
    theirs = lifelines.concordance_index(own["time"], own["predicted"], own["exchanged"])
    assert by_hand == pytest.approx(theirs, abs=1e-12)


def test_pairs_are_counted_by_the_runs_they_are_of() -> None:
    own = random_states()
    own["run"] = own["run"] + (own["run"] >= 3)  # a run without states
    agree, comparable = concordant(**own)
    for r in range(6):
        one = {name: values[own["run"] == r] for name, values in own.items()}
        if not len(one["run"]):
            assert not comparable[r].any()
            continue
        expected = concordance_by_hand(one["predicted"], one["time"], one["exchanged"])
        assert agree[r, r] / comparable[r, r] == pytest.approx(expected)


def score(**changed: np.ndarray) -> Score:
    own = {**random_states(), **changed}
    return Score(**own, control=np.full(len(own["time"]), 15.0))


def test_perfect_chance_and_reversed_forecasts() -> None:
    own = random_states()
    time = own["time"] + 0.5 * ~own["exchanged"]  # what was watched until then exchanges later
    perfect = score(predicted=time)
    assert perfect.concordance.value == 1
    assert perfect.slope.value == pytest.approx(1)
    assert perfect.error == (0, 0, 0)
    assert perfect.within == 1
    assert score(predicted=HORIZON + 1 - time).concordance.value == 0
    chance = score(predicted=np.random.default_rng(5).permutation(time))
    assert chance.concordance.low < 0.5 < chance.concordance.high
    assert score(predicted=np.full(300, float(HORIZON))).concordance.value == 0.5
    assert score(predicted=np.full(300, float(HORIZON))).never == 1


def test_slope_and_errors_by_hand() -> None:
    own = random_states()
    twice = score(predicted=2 * own["time"] ** 1.5)
    assert twice.slope.value == pytest.approx(1.5)
    seen = own["exchanged"]
    assert twice.error.value == pytest.approx(np.median(np.abs(2 * own["time"][seen] ** 0.5 - 1)))
    control = np.median(np.abs(15.0 - own["time"][seen]) / own["time"][seen])
    assert twice.ratio.value == pytest.approx(twice.error.value / control)
    assert twice.control_error.value == pytest.approx(control)


def test_draws_of_runs_by_hand() -> None:
    """The medians and the slope of all draws, against each draw written out."""
    found, errors, slopes = score(), [], []
    run, error = found.run[found.exchanged], found._errors
    time, told = np.log(found.time[found.exchanged]), np.log(found.predicted[found.exchanged])
    one, other = np.triu_indices(len(run), 1)
    apart = time[one] != time[other]
    one, other = one[apart], other[apart]
    slope = (told[other] - told[one]) / (time[other] - time[one])
    for weights in found._weights:
        errors.append(np.median(np.repeat(error, weights[run])))
        pairs = np.sort(np.repeat(slope, weights[run[one]] * weights[run[other]]))
        slopes.append(pairs[(len(pairs) - 1) // 2])
    assert np.array_equal(found._medians, errors)
    assert found.slope[1:] == tuple(np.quantile(slopes, [0.025, 0.975]))


def test_intervals_hold_the_value_and_resample_runs() -> None:
    found = score()
    for one in (found.concordance, found.error, found.slope, found.ratio):
        assert one.low <= one.value <= one.high
        assert one.high > one.low
    assert found.concordance == score().concordance  # the same draws
    alone = score(run=np.zeros(300, dtype=int))
    assert np.isnan(alone.concordance.low)
    assert np.isfinite(alone.concordance.value)


def test_the_mean_is_that_of_other_exchanges(scored: Forecasts) -> None:
    key = list(zip(scored.run.tolist(), scored.event.tolist(), strict=True))
    for i in np.flatnonzero(scored.exchanged)[:20]:
        others = [scored.time[j] for j in np.flatnonzero(scored.exchanged) if key[j] != key[i]]
        assert scored.predicted[MEAN][i] == pytest.approx(np.mean(others))
    assert scored.counts[0] == len({key[i] for i in np.flatnonzero(scored.exchanged)})


def test_the_size_is_scaled_on_other_runs(scored: Forecasts) -> None:
    i = int(np.flatnonzero(scored.exchanged)[0])
    own = scored.predicted[SIZE][scored.run == scored.run[i]]
    assert (own[np.isfinite(own)] >= 0).all()
    alone = Forecasts.of([worlds.planted("window-exchange", 6)(0)[2]])
    assert (alone.predicted[SIZE] == HORIZON).all()  # there is nothing to scale it on


def test_where_keeps_the_pairs_of_the_gap(scored: Forecasts) -> None:
    parts = {where: scored.where(where) for where in WHERE}
    assert len(parts["leading pairs"].time) == len(scored.time)
    assert parts["k*"].at_gap.all()
    assert parts["weighted k*"].at_weighted.all()
    assert len(parts["k*"].predicted["flow"]) == len(parts["k*"].time) < len(scored.time)


# -- prediction 20 ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged() -> Verdict:
    return p20.judge(p20.PREDICTION.planted(0), [])


def test_planted_flow_is_supported(judged: Verdict) -> None:
    assert judged.verdict == "supported"
    assert judged.statistic < judged.control
    assert judged.effect.low <= 1 <= judged.effect.high
    assert judged.readings[0].name == "flow, k*"


def test_the_verdict_alone_carries_no_window_on(judged: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(forecasts, "continued", refused)
    with verdict_alone():
        alone = p20.judge(p20.PREDICTION.planted(0), [])
    for name in ("verdict", "statistic", "control", "effect", "p_value", "n"):
        assert getattr(alone, name) == getattr(judged, name), name
    assert {one.name for one in alone.readings} < {one.name for one in judged.readings}


def test_gradient_descent_refutes_the_flow(
    descents: list[GramSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(p20, "GAP", WHERE[-1])  # oscillations overtake drifts away from k*
    monkeypatch.setattr(p20, "RUNS", 2)
    monkeypatch.setattr(p20, "EVENTS", 4)
    assert p20.judge(descents, []).verdict == "refuted"


def test_noise_is_not_supported(descents: list[GramSequence]) -> None:
    noise = [worlds.matched_noise(run, 0, 1)[0] for run in descents[:3]]
    assert p20.judge(noise, []).verdict != "supported"


def test_few_exchanges_decide_nothing(descents: list[GramSequence]) -> None:
    found = p20.judge(descents[:2], [])
    assert found.verdict == "undecided"
    assert "decide nothing" in found.meaning
    assert np.isnan(found.statistic)


def test_not_run_says_what_is_missing() -> None:
    bare = GramSequence.from_updates(np.random.default_rng(0).normal(size=(60, 40)))
    found = p20.judge([bare], [])
    assert found.verdict == "not run"
    assert "the probes 'gradient' and 'response'" in found.meaning


def test_the_order_of_the_runs_does_not_matter(
    descents: list[GramSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(p20, "FORMS", {name: forecasts.FORMS[name] for name in ("flow", "line")})
    runs = worlds.planted("collapse-time", 16)(1)
    found = p20.judge(runs, [])
    assert found.verdict == "supported"
    assert astuple(found) == astuple(p20.judge(runs[::-1], []))  # in tuples what is unknown equals itself


@pytest.mark.parametrize(
    ("slope", "ratio", "expected"),
    [
        ((0.8, 1.2), (0.2, 0.6), True),
        ((0.8, 1.2), (0.8, 1.3), None),
        ((-0.2, 1.3), (0.2, 0.6), None),
        ((0.0, 0.3), (0.2, 0.6), False),
        ((1.2, 1.5), (0.2, 0.6), False),
        ((0.8, 1.2), (1.1, 3.0), False),
        ((0.92, 0.97), (0.1, 0.2), None),  # narrow and near: no refutation
    ],
)
def test_the_rule(slope: tuple[float, float], ratio: tuple[float, float], expected: bool | None) -> None:
    fake: Any = SimpleNamespace(
        slope=accuracy.Estimate(sum(slope) / 2, *slope), ratio=accuracy.Estimate(sum(ratio) / 2, *ratio)
    )
    assert p20.holds(fake) is expected


# -- pictures ---------------------------------------------------------------------------------------------------


def test_agreement_is_drawn(judged: Verdict) -> None:
    empty = replace(judged, details={})
    full, none = (figures.agreement(verdict, Figure().subplots()) for verdict in (judged, empty))
    assert full.get_xscale() == "log"
    assert [text.get_text() for text in none.texts] == ["no exchange could be followed"]
    labels = [text.get_text() for text in full.get_legend().get_texts()]
    assert {"flow", "equal", "the mean of the others"} <= set(labels)


def test_dense_runs_are_judged_by_what_is_about_them(descents: list[GramSequence]) -> None:
    dense = [replace(run, config={**run.config, "experiment": "dense"}) for run in descents[:2]]
    others, seen = descents[2:4], {}

    def judging(name: str, **own: Any) -> Any:
        def judge(runs: list[GramSequence], noise: list[Any]) -> Verdict:
            seen.setdefault(name, (len(runs), len(noise)))
            return p20.PREDICTION.verdict("undecided")

        return replace(p20.PREDICTION, id=name, judge=judge, planted=lambda seed: [], **own)

    check([*others, *dense], predictions=[judging("any", dense=False), judging("about them")])
    assert seen == {"any": (2, 2), "about them": (4, 4)}
    seen.clear()
    check(dense, predictions=[judging("alone", dense=False)])
    assert seen == {"alone": (2, 2)}


# -- further seeds ----------------------------------------------------------------------------------------------


def test_blended_is_the_geometric_mean_and_never_only_where_both_are(descents: list[GramSequence]) -> None:
    tracks = Tracks.of(descents[0])
    one, other = forecasts.corrected(tracks), forecasts.fitted(tracks)
    assert one is not None
    found = forecasts.blended(tracks)
    assert found is not None
    both = np.isfinite(one.time) & np.isfinite(other.time) & (one.time < HORIZON) & (other.time < HORIZON)
    assert both.any()
    np.testing.assert_allclose(found[both], np.sqrt(one.time[both] * other.time[both]))
    assert np.isinf(found[np.isinf(one.time) & np.isinf(other.time)]).all()
    alone = np.isfinite(one.time) & (one.time < HORIZON) & np.isinf(other.time)
    np.testing.assert_allclose(found[alone], np.sqrt(one.time[alone] * HORIZON))


def test_further_seeds_were_used_for_no_choice() -> None:
    stored = further.stored()
    assert set(stored["seeds"]) == set(config.FURTHER)
    assert not set(config.FURTHER) & {*config.EXPLORED, *config.REFINED, *config.FRESH}
    assert all(set(own) == {str(W) for W in further.WINDOWS} for own in stored["regimes"].values())


def test_what_was_aimed_at_is_counted_from_what_is_stored() -> None:
    def regime(propagated: float, size: float) -> dict[str, Any]:
        forms = {name: {"concordance": [0.5, 0.4, 0.6]} for name in (MEAN, "line", placebo_of("propagated"))}
        value = {"concordance": [propagated, 0.0, 1.0]}
        return {"exchanges": 10, "forms": forms | {SIZE: {"concordance": [size, 0.0, 1.0]}}
                | dict.fromkeys(collapse_tables.CARRIED, value)}  # fmt: skip

    one, other = {"10": regime(0.8, 0.6)}, {"10": regime(0.8, 0.9)}
    text = "\n".join(collapse_tables._reached({"a": one, "b": other, "c": {"10": regime(0.7, 0.6)}}))
    assert "*propagated*, W = 10: concordance of 0.75 and more in 2 of 3 regimes (not in c)" in text
    assert "in 2 (not in b)" in text


def test_every_regime_of_further_seeds_has_its_table() -> None:
    text = "\n".join(collapse_tables._by_window())
    for regime in further.REGIMES:
        assert f"**{regime}**" in text
    assert "| | W = 5 | W = 10 | W = 20 |" in text
