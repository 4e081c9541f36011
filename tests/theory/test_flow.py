"""The closed forms of section 3 against scans, integrators, series, and awkward coefficients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from spectral_edge import theory
from spectral_edge.theory.testing import two_modes
from tests.reference import theory_dense as dense

COEFFICIENTS = ("h", "p", "eta", "omega", "W")


def coefficients(modes):
    return {name: modes[name] for name in COEFFICIENTS}


def single(modes, j):
    return {**coefficients(modes), "h": modes["h"][j], "p": modes["p"][j]}


@given(two_modes(), st.floats(0, 4))
def test_the_closed_form_solves_the_equation(modes, exponent):
    c = single(modes, 0)
    rate = c["eta"] * (abs(c["h"] + c["omega"]) + 1e-3)
    t = 10.0**exponent / 100 / rate  # up to a hundred time constants
    if (c["h"] + c["omega"]) < 0:
        t = min(t, 5 / rate)
    solved = solve_ivp(
        lambda _, u: -2 * c["eta"] * (c["h"] + c["omega"]) * u + 2 * c["eta"] * c["W"] * c["p"],
        (0, t), [modes["d0"][0] ** 2], method="LSODA", rtol=1e-10, atol=1e-14,
    )  # fmt: skip
    assert theory.signal_flow(modes["d0"][0], t, **c) ** 2 == pytest.approx(
        solved.y[0, -1], rel=1e-6, abs=1e-9
    )


@given(two_modes(damped=True))
def test_the_flow_ends_at_the_stationary_strength(modes):
    c = single(modes, 0)
    end = theory.signal_flow(modes["d0"][0], 100 / (c["eta"] * (c["h"] + c["omega"])), **c)
    stationary = theory.stationary_strength(c["h"], c["p"], c["omega"], c["W"])
    assert end == pytest.approx(stationary, rel=1e-9, abs=1e-9 * modes["d0"][0])
    assert stationary == pytest.approx(np.sqrt(c["p"] * c["W"] / (c["h"] + c["omega"])))


@given(two_modes(), st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_the_flow_composes(modes, s, t):
    c = single(modes, 1)
    s, t = s / c["eta"] / 20, t / c["eta"] / 20
    halfway = theory.signal_flow(modes["d0"][1], s, **c)
    assert theory.signal_flow(halfway, t, **c) == pytest.approx(
        theory.signal_flow(modes["d0"][1], s + t, **c), rel=1e-9
    )


def test_no_damping_grows_linearly_in_u():
    assert theory.signal_flow(1.0, 50.0, h=0.0, p=2.0, eta=0.01, omega=0.0, W=4) ** 2 == pytest.approx(9.0)
    near = theory.signal_flow(1.0, 50.0, h=1e-12, p=2.0, eta=0.01, omega=0.0, W=4) ** 2
    assert near == pytest.approx(9.0, rel=1e-10)


def test_everything_broadcasts():
    d = theory.signal_flow(
        np.ones((3, 1)), np.linspace(0, 1, 5), h=[[1.0], [2.0], [3.0]], p=1.0, eta=0.1, omega=0.0, W=2
    )
    assert d.shape == (3, 5)
    t = theory.collapse_time(
        np.ones((4, 1, 2)) * [2.0, 1.0], h=np.ones((5, 2)), p=[0.0, 1.0], eta=0.01, omega=0.0, W=10
    )
    assert t.shape == (4, 5)
    assert np.unique(t).size == 1


@given(two_modes(), st.floats(-0.95, 0.95))
def test_the_three_terms_are_the_derivative_of_the_gap(modes, part):
    d_bar = float(modes["d0"].mean())
    g = 2 * d_bar * part
    c = coefficients(modes)
    terms = theory.gap_terms(g, d_bar, **c)
    speed = [
        -c["eta"] * (c["h"][j] + c["omega"]) * d + c["eta"] * c["W"] * c["p"][j] / d
        for j, d in enumerate((d_bar + g / 2, d_bar - g / 2))
    ]
    size = sum(abs(float(term)) for term in terms) + max(map(abs, speed))
    assert sum(terms) == pytest.approx(speed[0] - speed[1], abs=1e-12 * size)


@given(two_modes())
def test_crossings_are_those_of_a_scan(modes):
    times = theory.crossing_times(**modes)
    t_max = 20 / modes["eta"]
    found = [float(t) for t in times if 1e-5 < t < t_max]
    wanted = dense.crossings(modes["d0"], *(modes[name] for name in COEFFICIENTS), t_max=t_max)
    wanted = [t for t in wanted if t > 1e-5]
    if len(found) != len(wanted):  # a scan misses two roots in one step and touching roots
        u = [theory.signal_flow(modes["d0"][j], np.array(found), **single(modes, j)) for j in (0, 1)]
        np.testing.assert_allclose(u[0], u[1], rtol=1e-6)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-3)


@given(two_modes())
def test_the_strengths_meet_at_the_crossing(modes):
    for t in theory.crossing_times(**modes):
        if np.isfinite(t) and t * modes["eta"] < 50:
            a, b = (theory.signal_flow(modes["d0"][j], t, **single(modes, j)) for j in (0, 1))
            assert a == pytest.approx(b, rel=1e-7)
    times = theory.crossing_times(**modes)
    assert np.isnan(times.second) or times.first < times.second
    assert np.array_equal(theory.collapse_time(**modes), times.first, equal_nan=True)


@given(two_modes(damped=True))
def test_the_number_of_crossings_is_odd_iff_the_modes_end_swapped(modes):
    g = theory.equilibrium_gap(modes["h"], modes["p"], modes["omega"], modes["W"])
    if modes["d0"][0] == modes["d0"][1] or abs(g) < 1e-9 * modes["d0"].max():
        return
    count = np.isfinite(theory.crossing_times(**modes)).sum()
    assert (count % 2 == 1) == (g < 0)


def test_equal_damping_has_a_closed_form():
    rng = np.random.default_rng(0)
    h = np.repeat(10 ** rng.uniform(-2, 1, (200, 1)), 2, axis=1)
    p, d = 10 ** rng.uniform(-2, 1, (200, 2)), np.sort(10 ** rng.uniform(-1, 1, (200, 2)))[:, ::-1]
    eta, omega, W = 1e-3, 0.1, 10
    exact = theory.collapse_time(d, h=h, p=p, eta=eta, omega=omega, W=W)
    # the general route with damping that differs in the eleventh digit
    general = theory.collapse_time(d, h=h * [1, 1 + 1e-11], p=p, eta=eta, omega=omega, W=W)
    np.testing.assert_array_equal(np.isnan(exact), np.isnan(general))
    np.testing.assert_allclose(general, exact, rtol=1e-6)
    kappa, delta = eta * (h[:, 0] + omega), d[:, 0] ** 2 - d[:, 1] ** 2
    D = eta * W * (p[:, 1] - p[:, 0])
    exists = (D > 0) & (kappa * delta > -D)
    np.testing.assert_array_equal(np.isfinite(exact), exists)
    np.testing.assert_allclose(
        exact[exists], (np.log1p(kappa * delta / np.where(D > 0, D, 1)) / (2 * kappa))[exists]
    )


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_of_length_and_time_do_not_matter(scale):
    modes = {"h": np.array([2.0, 0.5]), "p": np.array([0.1, 0.2]), "omega": 0.1, "W": 10}
    d0 = np.array([3.0, 1.0])
    reference = theory.collapse_time(d0, eta=1e-3, **modes)
    assert np.isfinite(reference)
    longer = theory.collapse_time(d0 * scale, eta=1e-3, **{**modes, "p": modes["p"] * scale**2})
    assert longer == pytest.approx(reference, rel=1e-9)
    slower = theory.collapse_time(d0, eta=1e-3 * scale, **modes)
    assert slower == pytest.approx(reference / scale, rel=1e-9)


def test_two_decaying_modes_cross_at_a_logarithm_however_late():
    for ratio in (1.5, 1e3, 1e150):
        t = theory.collapse_time([ratio, 1.0], h=[2.0, 1.0], p=[0.0, 0.0], eta=1e-2, omega=0.0, W=5)
        assert t == pytest.approx(np.log(ratio) / 1e-2, rel=1e-9)


def test_negative_curvature_and_no_damping():
    kw = {"eta": 1e-2, "omega": 0.0, "W": 10}
    # mode k+1 grows exponentially, mode k rests
    t = theory.collapse_time([2.0, 1.0], h=[0.0, -1.0], p=[0.0, 0.0], **kw)
    assert t == pytest.approx(np.log(2.0) / 1e-2)
    t = theory.collapse_time([2.0, 1.0], h=[0.0, 0.0], p=[0.0, 1.0], **kw)
    assert t == pytest.approx(3.0 / (2 * 1e-2 * 10))
    assert np.isnan(theory.collapse_time([2.0, 1.0], h=[-1.0, -1.0], p=[1.0, 0.0], **kw))


def test_a_transient_collapse_reopens():
    modes = {"h": [10.0, 1.0], "p": [20.0, 1.0], "eta": 1e-3, "omega": 0.0, "W": 1}
    d0 = [3.0, 2.0]
    times = theory.crossing_times(d0, **modes)
    assert 0 < times.first < times.second
    assert theory.gap_regime(d0, **modes) == "transient"
    assert theory.equilibrium_gap(modes["h"], modes["p"], 0.0, 1) > 0


def test_regimes():
    kw = {"eta": 1e-2, "omega": 0.0, "W": 10}
    names = theory.gap_regime([2.0, 1.0], h=np.ones((3, 2)), p=[[2.0, 1.0], [1.0, 1.0], [0.5, 1.0]], **kw)
    assert names.tolist() == ["viable", "marginal", "collapsing"]
    assert theory.gap_regime([2.0, 1.0], h=[1.0, 1.0], p=[1.001, 1.0], **kw, rtol=0.01) == "marginal"
    assert theory.gap_regime([2.0, 1.0], h=[0.0, 0.0], p=[1.0, 1.0], **kw) == "viable"  # no equilibrium


@given(two_modes(damped=True))
def test_frozen_and_linear_forms_solve_their_equations(modes):
    c = coefficients(modes)
    g0, d_bar = float(modes["d0"][0] - modes["d0"][1]), float(modes["d0"].mean())
    for form in ("frozen", "linear"):
        flow = theory.linear_gap_flow(d_bar, form=form, **c)
        t = theory.collapse_time(modes["d0"], form=form, **c)
        if g0 > 0 and flow.c < 0:
            g = flow.equilibrium + (g0 - flow.equilibrium) * np.exp(-flow.rate * t)
            assert g == pytest.approx(0, abs=1e-9 * (g0 + abs(flow.equilibrium)))
        else:
            assert np.isnan(t)


def test_the_frozen_form_is_twice_too_slow_at_stationarity():
    equal = {"h": [1.5, 1.5], "p": [2.0, 2.0], "eta": 1e-2, "omega": 0.5, "W": 10}
    d = theory.stationary_strength(1.5, 2.0, 0.5, 10)
    frozen = theory.linear_gap_flow(d, form="frozen", **equal)
    linear = theory.linear_gap_flow(d, **equal)
    assert linear.rate / frozen.rate == pytest.approx(2.0)
    assert theory.linear_gap_flow(d / 2, **equal).rate / frozen.rate == pytest.approx(5.0)  # 1 + (d*/d)²


def test_the_linear_form_is_right_for_small_gaps_and_the_frozen_one_is_not():
    h, p, kw = np.array([1.0, 1.0]), np.array([1.0, 1.0 + 1e-6]), {"eta": 1e-2, "omega": 0.0, "W": 10}
    d = theory.stationary_strength(1.0, 1.0, 0.0, 10)
    d0 = np.array([d * (1 + 1e-6), d * (1 - 1e-6)])
    exact = theory.collapse_time(d0, h=h, p=p, **kw)
    assert theory.collapse_time(d0, h=h, p=p, form="linear", **kw) == pytest.approx(exact, rel=1e-4)
    assert theory.collapse_time(d0, h=h, p=p, form="frozen", **kw) > 1.2 * exact


@given(two_modes(damped=True), st.floats(0.1, 0.95))
def test_the_gap_reaches_its_fraction_at_the_opening_time(modes, fraction):
    t = theory.opening_time(**modes, fraction=fraction)
    g = theory.equilibrium_gap(modes["h"], modes["p"], modes["omega"], modes["W"])

    def gap(time):
        a, b = (theory.signal_flow(modes["d0"][j], time, **single(modes, j)) for j in (0, 1))
        return a - b

    if not g > 0:
        assert np.isnan(t)
    elif t == 0:
        assert gap(0.0) >= fraction * g * (1 - 1e-12)
    else:
        assert gap(t) == pytest.approx(fraction * g, rel=1e-5)
        assert np.all(gap(np.linspace(0, t, 50)[:-1]) <= fraction * g * (1 + 1e-9))


def test_no_equilibrium_is_nan():
    assert np.isnan(theory.stationary_strength(-1.0, 1.0, 0.5, 10))
    assert np.isnan(theory.equilibrium_gap([1.0, -1.0], [1.0, 1.0], 0.0, 10))
    assert np.isnan(theory.opening_time([1.0, 1.0], h=[1.0, -1.0], p=[1.0, 1.0], eta=0.1, omega=0.0, W=2))


GOOD = {"h": [1.0, 1.0], "p": [1.0, 1.0], "eta": 0.1, "omega": 0.0, "W": 10}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h": [1.0]}, "h must be a pair"),
        ({"h": [1.0, np.nan]}, "h must be finite"),
        ({"p": [1.0, -1.0]}, "p must not be negative"),
        ({"eta": 0.0}, "eta must be positive"),
        ({"W": 0}, "W must be positive"),
        ({"omega": np.inf}, "omega must be finite"),
        ({"d0": [-1.0, 1.0]}, "d0 must not be negative"),
        ({"form": "exactly"}, "form must be one of exact, frozen, linear"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        theory.collapse_time(**{"d0": [2.0, 1.0], **GOOD, **change})


def test_more_bad_input():
    with pytest.raises(ValueError, match="fraction must be below 1"):
        theory.opening_time([2.0, 1.0], **GOOD, fraction=1.0)
    with pytest.raises(ValueError, match="g must be smaller"):
        theory.gap_terms(2.0, 1.0, **GOOD)
    with pytest.raises(ValueError, match="t must not be negative"):
        theory.signal_flow(1.0, -1.0, h=1.0, p=1.0, eta=0.1, omega=0.0, W=10)
    with pytest.raises(ValueError, match="form must be one of frozen, linear"):
        theory.linear_gap_flow(1.0, **GOOD, form="exact")
