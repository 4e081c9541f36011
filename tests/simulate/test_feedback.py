"""The feedback loop against its equilibria, its saddle-node, and an independent integrator."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spectral_edge import simulate, theory

LOOP = {"kappa": 1.0, "b": 4.0, "c": -1.0}


def test_against_an_independent_integrator():
    rng = np.random.default_rng(1)
    for _ in range(20):
        kappa, b, c, eps = rng.uniform(0.5, 2), rng.uniform(1, 5), rng.uniform(-1, 1), rng.uniform(0.1, 2)
        g0, t_max = rng.uniform(0.2, 4), rng.uniform(1, 4)

        def slope(t, g, kappa=kappa, b=b, c=c, eps=eps):
            return -kappa * g + c + b * np.maximum(0, 1 - eps**2 / np.maximum(g, 1e-9) ** 2)

        def closed(t, g):
            return g[0]

        closed.terminal = True
        wanted = solve_ivp(slope, (0, t_max), [g0], method="LSODA", rtol=1e-10, atol=1e-12, events=closed)
        ours = simulate.feedback_sweep(g0, kappa=kappa, b=b, c=c, eps=eps, t_max=t_max)
        if wanted.t_events[0].size:
            assert ours.collapse_time == pytest.approx(wanted.t_events[0][0], rel=1e-6)
            assert ours.gap == 0
        else:
            assert np.isnan(ours.collapse_time)
            assert ours.gap == pytest.approx(wanted.y[0, -1], rel=1e-6)


def test_below_eps_the_collapse_time_is_the_closed_form():
    g0, kappa, c = np.array([0.1, 0.5, 0.9]), 0.7, -0.3
    ours = simulate.feedback_sweep(g0, kappa=kappa, b=4.0, c=c, eps=0.9, t_max=20.0)
    np.testing.assert_allclose(ours.collapse_time, np.log1p(kappa * g0 / abs(c)) / kappa, rtol=1e-8)


def test_the_unstable_state_separates_the_basins():
    eps = np.linspace(0.3, 0.95, 8)
    rest = theory.feedback_equilibria(**LOOP, eps=eps)
    above = simulate.feedback_sweep(rest.unstable * (1 + 1e-6), **LOOP, eps=eps, t_max=500.0)
    below = simulate.feedback_sweep(rest.unstable * (1 - 1e-6), **LOOP, eps=eps, t_max=500.0)
    np.testing.assert_allclose(above.gap, rest.open, rtol=1e-7)
    assert np.all(below.gap == 0)


@pytest.mark.parametrize("loop", [LOOP, {"kappa": 0.3, "b": 1.0, "c": -0.2}])
def test_saddle_node_to_one_millionth(loop):
    """Bisection on the last scale that holds the gap open, integrated from the open state."""
    eps_c = float(theory.feedback_threshold(**loop).eps_c)
    lo, hi, g0 = 0.5 * eps_c, 2 * eps_c, (loop["b"] + loop["c"]) / loop["kappa"]
    for _ in range(30):
        middle = (lo + hi) / 2
        end = simulate.feedback_sweep(g0, **loop, eps=middle, t_max=2e4)
        lo, hi = (lo, middle) if end.gap == 0 else (middle, hi)
    assert lo == pytest.approx(eps_c, rel=1e-6)


def test_passage_just_above_follows_the_bottleneck_law():
    threshold = theory.feedback_threshold(**LOOP)
    excess = np.array([1e-4, 1e-5])
    eps = threshold.eps_c * np.sqrt(1 + excess)
    ours = simulate.feedback_sweep(3.0, **LOOP, eps=eps, t_max=1e5).collapse_time
    b, c = LOOP["b"], LOOP["c"]
    law = np.pi * threshold.g_sn**2 / np.sqrt(b * (b + c) * excess * threshold.eps_c**2)
    assert np.all(np.abs(ours / law - 1) < [0.05, 0.02])


def test_hysteresis_never_comes_back():
    eps = np.linspace(0.2, 1.5, 40)
    loop = simulate.hysteresis(eps, **LOOP, hold=500.0)
    open_state = theory.feedback_equilibria(**LOOP, eps=eps).open
    np.testing.assert_allclose(loop.rising[eps < 1], open_state[eps < 1], rtol=1e-8)
    assert np.all(loop.rising[eps > 1.01] == 0)
    assert np.all(loop.falling == 0)  # c < 0: the collapsed state absorbs
    back = simulate.hysteresis(eps, kappa=1.0, b=4.0, c=0.4, hold=500.0)
    assert np.all(back.falling > 0)  # c > 0: nothing absorbs
    ax = loop.plot()
    assert "parameter units" in ax.get_ylabel()


class TestGapOde:
    def test_feedback_holds_a_gap_that_would_close(self):
        own = {"h": (1.0, 0.8), "p": (2.0, 2.0), "eta": 1e-2, "omega": 0.1, "W": 10}
        alone = simulate.gap_ode(3, 5, **own, t_max=4000)
        held = simulate.gap_ode(3, 5, **own, t_max=4000, feedback=(0.08, 1.0))
        torn = simulate.gap_ode(3, 5, **own, t_max=4000, feedback=(0.08, 5.0))
        assert (alone.regime, held.regime, torn.regime) == ("collapsing", "viable", "collapsing")
        frozen = theory.linear_gap_flow(5.0, **own, form="frozen")
        rest = theory.feedback_equilibria(frozen.rate, 0.08, frozen.c, 1.0)
        assert held.gap[-1] == pytest.approx(float(rest.open), rel=1e-6)
        slope = np.gradient(held.gap, held.t)
        total = sum(held.terms) + held.feedback
        np.testing.assert_allclose(slope[5:-5], total[5:-5], atol=1e-2 * np.abs(total).max())
        assert torn.gap[-1] == 0
        assert torn.crossings.size == 1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"feedback": (0.1, -1)}, "feedback must be positive"),
            ({"feedback": (0.1, 1), "eta": lambda t: 1e-3}, "must be constants with feedback"),
            ({"feedback": (0.1, 1), "h": (-3, -3)}, "kappa = .* must be positive"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            simulate.gap_ode(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"g0": -1}, "g0 must not be negative"),
        ({"b": 0}, "b must be positive"),
        ({"eps": 0}, "eps must be positive"),
        ({"kappa": [1, 2], "c": [1, 2, 3]}, "must broadcast"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate.feedback_sweep(**({"g0": 1, "eps": 1, "t_max": 1} | LOOP | arguments))
    with pytest.raises(ValueError, match="eps must be increasing"):
        simulate.hysteresis([1, 0.5], **LOOP, hold=1)
