"""The gap equation against its closed forms, an independent integrator, and bad input."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectral_edge import simulate, theory
from spectral_edge.simulate._compiling import once
from tests.reference import simulate_gap as reference


def draw(rng):
    """Random constants in the ranges of training: curvature, power and signals over four decades."""
    h = 10 ** rng.uniform(-2, 1, 2)
    p = 10 ** rng.uniform(-3, 2, 2) * (rng.random(2) > 0.1)
    d = np.sort(10 ** rng.uniform(-2, 2, 2))
    omega = float(rng.choice([0.0, 0.1, 1.0]))
    eta = float(10 ** rng.uniform(-4, -2))
    return (
        d[1],
        d[0],
        {"h": tuple(h), "p": tuple(p), "eta": eta, "omega": omega, "W": int(rng.integers(2, 30))},
    )


def run(d_k, d_next, **arguments):
    return simulate.gap_ode(d_k - d_next, (d_k + d_next) / 2, **arguments)


class TestConstantCoefficients:
    def test_agrees_with_the_closed_form(self):
        rng = np.random.default_rng(1)
        for _ in range(400):
            d_k, d_next, c = draw(rng)
            t_max = float(rng.uniform(0.2, 5) / c["eta"])
            result = run(d_k, d_next, t_max=t_max, **c)
            exact = theory.signal_flow(np.array([d_k, d_next]), result.t[:, None], **c)
            assert np.abs(result.sigma - exact).max() <= 1e-7 * exact.max()

    def test_collapse_time_agrees_with_the_closed_form(self):
        rng = np.random.default_rng(2)
        seen = {False: 0, True: 0}
        for _ in range(600):
            d_k, d_next, c = draw(rng)
            t_max = float(3 / c["eta"])
            result = run(d_k, d_next, t_max=t_max, **c)
            exact = float(theory.collapse_time((d_k, d_next), **c))
            if abs(exact - t_max) < 1e-3 * t_max:
                continue
            happens = exact < t_max  # NaN: never
            # A gap that stays within the tolerance of zero decides nothing about its crossing.
            if happens == np.isnan(result.collapse_time):
                assert np.abs(result.minimum) < 1e-7 * d_k
                continue
            seen[happens] += 1
            if happens:
                slope = abs(np.interp(exact, result.t, sum(result.terms)))
                assert abs(result.collapse_time - exact) <= 1e-6 * exact + 1e-9 * d_k / slope
        assert min(seen.values()) > 100

    @pytest.mark.parametrize("kappa_zero", [False, True])
    def test_two_crossings_are_both_found(self, kappa_zero):
        h, omega = ((0.0, 0.5), 0.0) if kappa_zero else ((0.1, 1.0), 0.1)
        p = (0.4, 4.0) if kappa_zero else (0.72, 2.75)
        c = {"h": h, "p": p, "eta": 1e-3, "omega": omega, "W": 10}
        d_k, d_next = 3.0, 2.5
        wanted = reference.crossings(d_k, d_next, **c, t_max=20_000)
        assert len(wanted) == 2
        result = run(d_k, d_next, t_max=20_000, **c)
        np.testing.assert_allclose(result.crossings, wanted, rtol=1e-6)
        assert (result.collapse_time, result.reopen_time) == tuple(result.crossings)
        assert result.regime == "transient"

    def test_two_crossings_within_one_step_are_both_found(self):
        """Loose tolerances make steps long; the dip between two samples must not be stepped over."""
        c = {"h": (0.1, 1.0), "p": (0.72, 2.75), "eta": 1e-3, "omega": 0.1, "W": 10, "t_max": 20_000}
        counts = []
        for d_k in np.linspace(2.8, 5.2, 25):
            wanted = reference.crossings(d_k, 2.5, **c, n=20_001)
            result = run(d_k, 2.5, rtol=1e-3, atol=1e-5, **c)
            assert result.crossings.size == len(wanted)
            counts.append(len(wanted))
        assert set(counts) == {0, 2}

    def test_a_dip_between_two_steps_is_seen(self):
        """Just past tangency both crossings lie within one step, whose ends are both positive."""
        c = {"h": (0.1, 1.0), "p": (0.72, 2.75), "eta": 1e-3, "omega": 0.1, "W": 10}
        touching, apart = 2.8, 5.2
        for _ in range(50):
            middle = (touching + apart) / 2
            crosses = np.isfinite(theory.collapse_time((middle, 2.5), **c))
            touching, apart = (middle, apart) if crosses else (touching, middle)
        for below in (1e-3, 1e-4, 1e-5):
            d_k = touching * (1 - below)
            times = theory.crossing_times((d_k, 2.5), **c)
            result = run(d_k, 2.5, t_max=20_000, **c)
            assert np.diff(result.crossings) < 20_000 / result.n_steps  # less than a mean step
            np.testing.assert_allclose(result.crossings, [times.first, times.second], rtol=1e-4)
            fine = np.linspace(times.first, times.second, 1001)[:, None]
            exact = theory.signal_flow(np.array([d_k, 2.5]), fine, **c)
            assert result.minimum == pytest.approx((exact[:, 0] - exact[:, 1]).min(), rel=1e-2)

    def test_terms_add_up_to_the_slope(self):
        rng = np.random.default_rng(3)
        for _ in range(20):
            d_k, d_next, c = draw(rng)
            result = run(
                d_k, d_next, t_max=1.0 / c["eta"], t_eval=np.linspace(0, 1.0 / c["eta"], 20_001), **c
            )
            slope = np.gradient(result.gap, result.t, edge_order=2)
            scale = np.abs(sum(result.terms)).max() + 1e-12
            assert np.median(np.abs(slope - sum(result.terms))) < 1e-5 * scale

    def test_each_term_is_the_one_of_the_equation(self):
        result = simulate.gap_ode()
        h_k, h_next, p_k, p_next, eta, omega, W = 0.9, 0.4, 2.0, 2.2, 1e-3, 0.1, 10
        d_k, d_next = result.sigma.T
        np.testing.assert_allclose(result.terms.curvature, -eta * (h_k - h_next) * result.d)
        np.testing.assert_allclose(
            result.terms.damping, -eta * ((h_k + h_next) / 2 + omega) * result.gap, atol=1e-15
        )
        np.testing.assert_allclose(result.terms.driving, eta * W * (p_k / d_k - p_next / d_next), atol=1e-15)

    def test_no_argument_shows_a_collapse(self):
        result = simulate.gap_ode()
        assert result.regime == "collapsing"
        assert 0.1 * result.t[-1] < result.collapse_time < 0.9 * result.t[-1]
        assert result.gap[0] > 0 > result.gap[-1]

    @pytest.mark.parametrize(
        ("h_k", "counts", "order"), [(-1.1, (4, 5, 6), 16), (lambda t: -1.1, (32, 64, 128), 5)]
    )
    def test_convergence_is_of_the_order_of_the_method(self, h_k, counts, order):
        """Fixed steps (loose tolerance, max_step) against the closed form: 16 with constants, 5 with functions.

        Without sources the signals grow as exponentials, whose series converge for every step.
        """
        c = {"p": (0.0, 0.0), "eta": 1e-3, "omega": 0.1, "W": 10}
        exact = theory.signal_flow(np.array([10.0, 4.0]), 6000.0, h=(-1.1, -0.6), **c)
        errors = []
        for count in counts:
            fixed = {
                "t_max": 6000.0,
                "t_eval": [6000.0],
                "max_step": 6000.0 / count,
                "rtol": 1e-2,
                "atol": 1e3,
            }
            result = run(10.0, 4.0, h=(h_k, -0.6), **fixed, **c)
            assert result.n_steps == count
            errors.append(np.abs(result.sigma[0] - exact).max())
        slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
        assert order - 1 < slope < order + 1

    @settings(max_examples=60, deadline=None)
    @given(st.floats(0.1, 10), st.floats(0.1, 10))
    def test_units_scale(self, length, time):
        """(g, d, p) -> (a g, a d, a^2 p) and (t, eta) -> (b t, eta/b) leave the run as it is."""
        plain = simulate.gap_ode()
        scaled = simulate.gap_ode(
            6.0 * length, 7.0 * length, h=(0.9, 0.4), p=(2.0 * length**2, 2.2 * length**2), eta=1e-3 / time,
            t_max=3000.0 * time,
        )  # fmt: skip
        np.testing.assert_allclose(scaled.gap, plain.gap * length, atol=1e-6 * length)
        assert scaled.collapse_time == pytest.approx(plain.collapse_time * time, rel=1e-6)

    def test_identical_modes_never_cross(self):
        result = simulate.gap_ode(0.0, 3.0, h=(1, 1), p=(2, 2), eta=1e-3, omega=0.1, W=10, t_max=5000)
        assert np.all(result.gap == 0)
        assert result.crossings.size == 0
        assert result.regime == "marginal"

    def test_opening_from_zero_is_no_crossing(self):
        result = simulate.gap_ode(0.0, 3.0, h=(0.5, 1), p=(3, 2), eta=1e-3, omega=0.1, W=10, t_max=9000)
        assert np.isnan(result.collapse_time)
        assert result.regime == "viable"
        assert result.gap[-1] == pytest.approx(theory.equilibrium_gap((0.5, 1), (3, 2), 0.1, 10), rel=1e-4)

    def test_a_mode_without_source_may_decay_to_rounding(self):
        result = simulate.gap_ode(6, 7, h=(0.1, 5), p=(1, 0), eta=1e-2, omega=0, W=10, t_max=1e5)
        assert np.all(np.isfinite(result.gap))
        assert result.gap[-1] == pytest.approx(np.sqrt(10 * 1 / 0.1), rel=1e-8)


H_OF_T = (lambda t: 0.9 + 0.3 * np.sin(t / 200), lambda t: 0.4)
P_OF_T = (2.0, lambda t: 2.2 + 1.0 * np.cos(t / 150))


def ETA_OF_T(t):
    return 1e-3 * (0.5 + 0.5 * np.cos(np.pi * t / 3000))


@pytest.fixture(scope="module")
def wanted():
    times = np.linspace(0, 3000, 31)
    signals = reference.signals(
        10, 4, times, lambda t: [f(t) for f in H_OF_T], lambda t: [2.0, P_OF_T[1](t)], ETA_OF_T, 0.1, 10
    )
    return times, signals.T


class TestCoefficientsInTime:
    def check(self, wanted, h, p, eta):
        times, signals = wanted
        result = simulate.gap_ode(6, 7, h=h, p=p, eta=eta, t_max=3000, t_eval=times)
        np.testing.assert_allclose(result.sigma, signals, rtol=1e-7)
        return result

    def test_against_an_independent_integrator(self, wanted):
        self.check(wanted, H_OF_T, P_OF_T, ETA_OF_T)

    def test_one_function_may_return_the_pair(self, wanted):
        self.check(wanted, lambda t: (H_OF_T[0](t), 0.4), lambda t: np.array([2.0, P_OF_T[1](t)]), ETA_OF_T)

    def test_functions_that_numba_cannot_compile(self, wanted):
        table = {"amplitude": 0.3, "kind": object()}
        result = self.check(
            wanted, (lambda t: 0.9 + table["amplitude"] * np.sin(t / 200), 0.4), P_OF_T, ETA_OF_T
        )
        compiled = self.check(wanted, H_OF_T, P_OF_T, ETA_OF_T)
        np.testing.assert_allclose(result.gap, compiled.gap, rtol=1e-12)

    def test_constant_functions_are_constants(self):
        constant = simulate.gap_ode()
        function = simulate.gap_ode(h=(lambda t: 0.9, 0.4), eta=lambda t: 1e-3)
        np.testing.assert_allclose(function.gap, constant.gap, atol=1e-7)
        assert function.collapse_time == pytest.approx(constant.collapse_time, rel=1e-6)

    def test_a_short_pulse_is_not_stepped_over(self):
        still = {"h": (0.0, 0.0), "omega": 0.0, "t_max": 10_000}
        pulse = simulate.gap_ode(1, 5, p=(0.0, lambda t: 100.0 if 5000 < t < 5120 else 0.0), **still)
        assert pulse.regime == "collapsing"
        assert 5000 < pulse.collapse_time < 5120

    def test_a_bump_between_two_steps_is_seen(self):
        """u_k - u_k+1 = (cos wt - 1)/2 + delta by construction: after the first crossing a bump of delta."""
        w, delta, eta, W = 2 * np.pi / 1000, 1e-6, 1e-3, 10
        base = w / (4 * eta * W)
        p = (lambda t: base - w * np.sin(w * t) / (4 * eta * W), base)
        d_next = 3.0
        d_k = np.sqrt(d_next**2 + delta)
        result = run(d_k, d_next, h=(0, 0), p=p, omega=0.0, eta=eta, W=W, t_max=1500)
        first = np.arccos(1 - 2 * delta) / w
        assert 2 * first < 1500 / result.n_steps  # less than a mean step
        np.testing.assert_allclose(result.crossings, [first, 1000 - first, 1000 + first], atol=0.05 * first)

    def test_many_crossings_are_all_kept(self):
        result = simulate.gap_ode(
            0.5, 5, h=(0, 0), p=(lambda t: 9 + 9 * np.cos(t / 30), 9.0), omega=0.0, t_max=8000, eta=1e-2
        )
        changes = np.sum(np.diff(np.sign(result.gap)) != 0)
        assert result.crossings.size >= max(changes, 17)
        assert np.all(np.diff(result.crossings) > 0)


def raises_late(t):
    if t > 1234.0:
        raise RuntimeError("no data")
    return 0.9


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"g0": -1}, "g0 must not be negative"),
            ({"g0": np.nan}, "g0 must be finite"),
            ({"g0": 20}, "d0 must exceed g0/2"),
            ({"g0": 14}, "d0 must exceed g0/2"),
            ({"d0": [1, 2]}, "d0 must be one number"),
            ({"h": (1, 2, 3)}, "h must be a pair"),
            ({"h": (1, np.inf)}, "h must be finite"),
            ({"h": "steep"}, "h must be"),
            ({"h": (lambda t: 1.0,)}, "h must be a pair"),
            ({"p": (1, -1)}, "p must not be negative"),
            ({"eta": 0}, "eta must be positive"),
            ({"eta": (1, 2)}, "eta must be one number"),
            ({"omega": -0.1}, "omega must not be negative"),
            ({"W": 1}, "W must be at least 2"),
            ({"W": 2.5}, "W must be a whole number"),
            ({"t_max": 0}, "t_max must be positive"),
            ({"t_max": np.inf}, "t_max must be finite"),
            ({"rtol": 1e-17}, "rtol must lie between"),
            ({"atol": 0}, "atol must be positive"),
            ({"max_step": 0}, "max_step must be positive"),
            ({"t_eval": [2, 1]}, "t_eval must be increasing"),
            ({"t_eval": [0, 5000]}, "t_eval must be increasing times within"),
            ({"t_eval": []}, "t_eval must be increasing"),
            ({"h": (raises_late, 0.4)}, r"h raised RuntimeError at t = 12\d\d.*: no data"),
            ({"p": (2.0, lambda t: 1.0 if t < 50 else np.nan)}, r"p must be finite, got .* at t = "),
            ({"p": (2.0, lambda t: 50.0 - t)}, r"p must not be negative, got .* at t = "),
            ({"eta": lambda t: 1e-3 - t}, r"eta must not be negative, got .* at t = "),
            ({"eta": lambda t: {}["missing"]}, r"eta raised KeyError at t = 0"),
            ({"h": (-500.0, -400.0), "t_max": 1e6}, "cannot be reached"),
        ],
    )
    def test_one_clear_error(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            simulate.gap_ode(**arguments)


def test_results_draw_and_tabulate(tmp_path):
    result = simulate.gap_ode()
    for draw_it in (result.plot, result.plot_terms):
        ax = draw_it()
        assert ax.get_xlabel() == "time (steps)"
        assert "parameter units" in ax.get_ylabel()
        assert draw_it(ax) is ax
        ax.figure.savefig(tmp_path / "figure.png")
    frame = result.to_dataframe()
    assert list(frame.columns) == ["t", "gap", "d", "d_k", "d_next", "curvature", "damping", "driving"]
    np.testing.assert_array_equal(frame["d_k"] - frame["d_next"], result.sigma[:, 0] - result.sigma[:, 1])


def test_the_kernel_is_the_same_without_jit():
    """The kernel run by the Python interpreter gives the numbers of the compiled one."""
    code = (
        "from spectral_edge import simulate; r = simulate.gap_ode(t_eval=[0, 700, 3000], rtol=1e-6);"
        "print(*(float(x).hex() for x in (*r.gap, r.collapse_time)))"
    )
    environment = dict(os.environ, NUMBA_DISABLE_JIT="1")
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    interpreted = [float.fromhex(word) for word in out.stdout.split()]
    compiled = simulate.gap_ode(t_eval=[0, 700, 3000], rtol=1e-6)
    np.testing.assert_allclose(interpreted, [*compiled.gap, compiled.collapse_time], rtol=1e-12)


def test_a_command_leaves_a_short_run_to_the_interpreter():
    rng = np.random.default_rng(8)
    equal = 0
    for t_max in 10 ** rng.uniform(2, 4.5, 25):
        d_k, d_next, c = draw(rng)
        compiled = run(d_k, d_next, t_max=t_max, **c)
        with once():
            found = run(d_k, d_next, t_max=t_max, **c)
        assert (found.regime, found.n_steps) == (compiled.regime, compiled.n_steps)
        assert np.all(
            np.abs(found.sigma - compiled.sigma) <= 1e-9 * compiled.sigma.max(axis=1, keepdims=True)
        )
        np.testing.assert_allclose(found.crossings, compiled.crossings, rtol=1e-9)
        np.testing.assert_array_equal(run(d_k, d_next, t_max=t_max, **c).gap, compiled.gap)  # compiled again
        equal += np.array_equal(found.gap, compiled.gap)
    assert equal < 25  # all of them only if none was left to the interpreter


def test_a_command_has_a_long_run_compiled():
    compiled = simulate.gap_ode(t_max=1e7)
    with once():
        found = simulate.gap_ode(t_max=1e7)
    assert found.n_steps > 500
    np.testing.assert_array_equal(found.gap, compiled.gap)
