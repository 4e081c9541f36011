"""Runs whose learning rate follows a schedule are judged by the rate of each record, not by the one on the card."""

from dataclasses import replace

import numpy as np
import pytest

from spectral_edge import simulate, theory, validate
from spectral_edge.validate import GramSequence
from spectral_edge.validate.referee.cards import card, knows, learning_rate
from spectral_edge.validate.referee.curvature import rate
from spectral_edge.validate.referee.early_warning import features
from spectral_edge.validate.referee.figures import predictions as figures
from spectral_edge.validate.referee.predictions import p04_krylov_bound as krylov
from spectral_edge.validate.referee.predictions import p07_gap_flow as gap_flow
from spectral_edge.validate.referee.predictions import p14_adiabatic_regimes as regimes
from spectral_edge.validate.referee.published import spectra, stability

W, T, DROP = 10, 140, 30
#: What is left of the peak after the drop.
LEFT = 0.25
PEAK = 4e-3


def descent(h: np.ndarray, rates: np.ndarray, start: np.ndarray) -> GramSequence:
    """Gradient descent on a quadratic loss with these curvatures, the rate of every step as given; exact."""
    theta, X, gradient = start / h, [], []
    for eta in rates:
        X.append(-eta * h * theta)
        theta = theta + X[-1]
        gradient.append(h * theta)
    X = np.array(X)
    hessian, along = np.full((len(X), W, W), np.nan), np.full((len(X), W), np.nan)
    for t in range(W - 1, len(X)):
        rows = X[t - W + 1 : t + 1][::-1]
        hessian[t], along[t] = (rows * h) @ rows.T, rows @ gradient[t]
    return GramSequence.from_inner_products(
        X @ X.T, P=len(h), probes={"hessian": hessian, "gradient": along}, metrics={"learning_rate": rates},
        config={"optimizer": "SGD", "learning_rate": PEAK, "weight_decay": 0.0, "run": "scheduled"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def dropped() -> GramSequence:
    """A drift is overtaken by an oscillation that hardly fades, after the rate has been divided by four."""
    rates = np.where(np.arange(T) < DROP, PEAK, LEFT * PEAK)
    h = (1 - np.array([0.95, -0.9995, 0.97])) / (LEFT * PEAK)
    # what is left of the gradient when the rate drops; at the peak the second blows up, and so begins small
    left = np.array([20.0, 1.0, 0.2]) / (LEFT * PEAK)
    return descent(h, rates, left / (1 - PEAK * h) ** DROP)


def without_record(run: GramSequence) -> GramSequence:
    """The same run, of which the card alone says the rate."""
    return replace(run, metrics={})


def with_rates(run: GramSequence, rates: np.ndarray) -> GramSequence:
    return replace(run, metrics={"learning_rate": rates})


def test_the_rate_of_every_record():
    run = GramSequence.from_inner_products(np.eye(5), steps=[1, 2, 3, 5, 6])

    def said(values, **config):
        return learning_rate(
            replace(run, metrics={"train/lr": np.array(values)} if values else {}, config=config)
        )

    np.testing.assert_array_equal(said([], lr=0.1), np.full(5, 0.1))
    assert np.isnan(said([])).all()
    # between records that know it the line in steps, before and after them what they say
    np.testing.assert_allclose(
        said([np.nan, 0.1, np.nan, 0.4, np.nan], lr=7.0), [0.1, 0.1, 0.2, 0.4, 0.4], rtol=1e-15
    )
    np.testing.assert_array_equal(said([0.0, 0.1, -1.0, 0.1, 0.0]), [np.nan, 0.1, np.nan, 0.1, np.nan])
    np.testing.assert_array_equal(said([0.0] * 5, lr=0.1), np.full(5, 0.1))  # a metric that says nothing
    np.testing.assert_array_equal(said([np.nan] * 5, lr=0.1), np.full(5, 0.1))


def test_a_card_that_does_not_say_it_has_the_peak():
    metrics = {"learning_rate": np.array([0.0, 0.1, 0.3, 0.2])}
    run = GramSequence.from_inner_products(np.eye(4), metrics=metrics)
    assert card(run).learning_rate == 0.3
    assert knows(run, "learning_rate")
    assert card(replace(run, config={"learning_rate": 0.5})).learning_rate == 0.5
    assert not knows(replace(run, metrics={}), "learning_rate")


def test_a_forecast_goes_on_at_the_rate_of_its_window(dropped):
    modes = simulate.follow_modes(dropped.K, W)
    found = simulate.mode_exchanges(modes)
    later = [
        float(time) + W - 1
        for time, kind, rank in zip(found.time, found.kind, found.rank, strict=True)
        if kind == "exchange" and tuple(rank) == (1, 2) and time + W - 1 > DROP + 2 * W
    ]
    assert len(later) == 1
    at = DROP + 2 * W
    step = int(dropped.steps[at])
    told = validate.forecast(dropped, step=step)
    assert told.collapse_time["propagated"][0] == pytest.approx(later[0] - at, abs=0.1)
    assert told.best == "checked"
    assert told.collapse_time["checked"][0] == pytest.approx(later[0] - at, abs=0.1)
    wrong = validate.forecast(without_record(dropped), step=step)
    assert not abs(wrong.collapse_time["propagated"][0] - (later[0] - at)) < 5


@pytest.mark.filterwarnings("error")
def test_a_schedule_that_ends_at_zero_leaves_what_needs_no_rate(dropped):
    rates = dropped.metrics["learning_rate"].copy()
    rates[-1] = 0.0
    ended = with_rates(dropped, rates)
    found = validate.forecast(ended)
    assert found.best == "fitted"
    assert not found.collapse_time.keys() & {"propagated", "flow", "damping"}
    assert np.isfinite(found.ahead[:, 0]).all()
    before = validate.forecast(ended, step=int(ended.steps[-2]))
    usual = validate.forecast(dropped, step=int(ended.steps[-2]))
    for form, times in usual.collapse_time.items():
        np.testing.assert_array_equal(before.collapse_time[form], times)
    assert np.isnan(rate(ended)[-1])
    assert np.isfinite(rate(ended)[:-1]).all()
    assert np.isnan(krylov.READINGS["k* ≤ K"](ended)[-1])
    assert np.isnan(ended.window(W).adiabatic(learning_rate(ended)[W:])[-1])
    assert len(gap_flow.measure(ended).observed) == len(gap_flow.measure(dropped).observed)
    assert str(validate.check(ended))


def test_terms_of_the_flow_are_those_of_the_rate_of_their_window(dropped):
    one, other = (gap_flow.measure(run) for run in (dropped, without_record(dropped)))
    np.testing.assert_array_equal(one.observed, other.observed)
    factor = one.terms / other.terms
    assert set(np.round(factor.ravel(), 12)) == {1.0, LEFT}
    # windows that end before the rate drops, and those that end after
    before = DROP - (W - 1)
    assert (factor[: before - 5, 0] == 1).all()
    np.testing.assert_allclose(factor[before:], LEFT, rtol=1e-12)


def test_sharp_directions_are_counted_by_the_rate_of_their_window():
    # two sharp directions at the peak, of which one is left; ten flat ones that alternate, so that none is rounding
    h = np.concatenate([[100.0, 30.0], np.linspace(1e-3, 2e-3, 10)])
    rates = np.where(np.arange(60) < DROP, PEAK, LEFT * PEAK)
    X = np.random.default_rng(0).normal(size=(60, 12))
    hessian = np.full((60, W, W), np.nan)
    for t in range(W - 1, 60):
        rows = X[t - W + 1 : t + 1][::-1]
        hessian[t] = (rows * h) @ rows.T
    run = GramSequence.from_inner_products(
        X @ X.T, P=12, probes={"hessian": hessian}, metrics={"learning_rate": rates},
        config={"optimizer": "SGD", "learning_rate": PEAK},
    )  # fmt: skip
    curvature, found = run.window(W).curvature(), krylov.READINGS["k* ≤ K, η of one step"](run)
    np.testing.assert_array_equal(found, (curvature >= 1 / (rates[W - 1 :] * W)[:, None]).sum(axis=1))
    at_peak = krylov.READINGS["k* ≤ K, η of one step"](without_record(run))
    assert (found[: DROP - W + 1] == at_peak[: DROP - W + 1]).all()
    assert (found <= at_peak).all()
    assert (found < at_peak).any()
    told = spectra._sharp([run])
    assert told.startswith(f"{np.median(found):g} in the median")
    assert told != spectra._sharp([without_record(run)])


def test_the_slow_modes_are_bounded_with_a_rate_for_each():
    rng = np.random.default_rng(0)
    h, first, eta = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), np.array([0.01, 0.1, 0.02, 0.3])
    alone = [float(theory.slow_mode_bound(*row, W=W)) for row in zip(h, first, eta, strict=True)]
    np.testing.assert_array_equal(theory.slow_mode_bound(h, first, eta, W), alone)


def test_the_adiabatic_parameter_has_the_rate_of_the_update_that_makes_the_change(dropped):
    windows, rates = dropped.window(W), dropped.metrics["learning_rate"]
    usual, found = windows.adiabatic(PEAK), windows.adiabatic(rates[W:])
    known = np.isfinite(usual)
    assert known[: DROP - W].any()
    np.testing.assert_allclose((usual / found)[known], (rates[W:] / PEAK)[known], rtol=1e-12)
    np.testing.assert_array_equal(
        regimes.FORMS["‖Δλ‖, as published"](dropped), windows.adiabatic(rates[W:], "eigenvalue")
    )
    np.testing.assert_array_equal(regimes._parameter(dropped), found)
    np.testing.assert_array_equal(figures._adiabatic(dropped)[1], found)
    warned = features._adiabatic(dropped, windows)
    np.testing.assert_array_equal(warned[W:], np.log(found))
    near, away = stability.adiabatic(dropped, DROP)
    at_peak = stability.adiabatic(without_record(dropped), DROP)
    assert (near, away) != at_peak
    with pytest.raises(ValueError, match=r"eta must be a number or of shape \(130,\), got shape \(140,\)"):
        windows.adiabatic(rates)
    with pytest.raises(ValueError, match="eta must be positive"):
        windows.adiabatic(0.0)
