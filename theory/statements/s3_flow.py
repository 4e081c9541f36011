"""Signal flow and gap flow."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.proposition import (
    Proof,
    Proposition,
    conclude,
    is_positive,
    is_zero,
    says,
)

HALF = sp.Rational(1, 2)
H_BAR = (n.h_k + n.h_k1) / 2
KAPPA = n.eta * (H_BAR + n.omega)
ASYMMETRY = n.h_k - n.h_k1
DRIVE = -n.eta * ASYMMETRY * n.d_bar + n.eta * n.W * (n.p_k - n.p_k1) / n.d_bar
UPPER, LOWER = n.d_bar + n.g / 2, n.d_bar - n.g / 2
GAP_FLOW = -n.eta * ASYMMETRY * n.d_bar - KAPPA * n.g + n.eta * n.W * (n.p_k / UPPER - n.p_k1 / LOWER)
SIGNAL_FLOW = -n.eta * (n.h_j + n.omega) * n.d_j + n.eta * n.W * n.p_j / n.d_j
DIFFERENCE_RATE = n.r_k * sp.exp(-2 * n.kappa_k * n.t) - n.r_k1 * sp.exp(-2 * n.kappa_k1 * n.t)


def _signal(h: Any, p: Any, d: Any) -> Any:
    return SIGNAL_FLOW.subs({n.h_j: h, n.p_j: p, n.d_j: d}, simultaneous=True)


def _sgd(stated: Any) -> Proof:
    x = sp.symbols("x1:4", real=True)  # <grad L_s, v_j> at three steps
    strength = sum((-n.eta * value) ** 2 for value in x)
    mean = sum(value**2 for value in x) / 3
    return conclude(
        "identity",
        (
            "d_j² = Σ_s⟨δ_s, v_j⟩² = η² Σ_s⟨∇L_s, v_j⟩² (W = 3; more alike)",
            is_zero(stated.subs({n.W: 3, n.p_j: mean}) - strength),
        ),
    )


def _solution(stated: Any) -> Proof:
    source = 2 * n.kappa * n.u_star
    chain = 2 * n.d_j * SIGNAL_FLOW
    linear = -2 * n.eta * (n.h_j + n.omega) * n.d_j**2 + 2 * n.eta * n.W * n.p_j
    undamped = sp.limit(stated.subs(n.u_star, n.eta * n.W * n.p_j / n.kappa), n.kappa, 0, "+")
    return conclude(
        "identity",
        ("u = d² obeys u̇ = −2κu + 2ηWp", is_zero(chain - linear)),
        ("the stated u(t) solves it", is_zero(sp.diff(stated, n.t) + 2 * n.kappa * stated - source)),
        ("and starts at u(0)", is_zero(stated.subs(n.t, 0) - n.u_0)),
        ("κ → 0 leaves u(0) + 2ηWpt", is_zero(undamped - n.u_0 - 2 * n.eta * n.W * n.p_j * n.t)),
    )


def _stationary(stated: Any) -> Proof:
    stiffness, power = sp.symbols("s p", positive=True)  # h + omega, and p
    here = stated.subs({n.h_j: stiffness - n.omega, n.p_j: power})
    flow = SIGNAL_FLOW.subs({n.h_j: stiffness - n.omega, n.p_j: power, n.d_j: here})
    return conclude(
        "identity", ("ḋ = 0 at the stated strength, which is positive", is_zero(flow) and is_positive(here))
    )


def _slope(stated: Any) -> Proof:
    stiffness, power = sp.symbols("s p", positive=True)
    flow = SIGNAL_FLOW.subs({n.h_j: stiffness - n.omega, n.p_j: power})
    at_rest = sp.diff(flow, n.d_j).subs(n.d_j, sp.sqrt(n.W * power / stiffness))
    here = stated.subs(n.h_j, stiffness - n.omega)
    return conclude(
        "identity",
        ("∂ḋ/∂d at d* is as stated", is_zero(at_rest - here)),
        ("negative for h + ω > 0: stable", is_positive(-sp.simplify(here))),
    )


def _gap(stated: Any) -> Proof:
    exact = _signal(n.h_k, n.p_k, UPPER) - _signal(n.h_k1, n.p_k1, LOWER)
    return conclude(
        "identity", ("3.1 at d̄ + g/2 minus 3.1 at d̄ − g/2 is the three terms", is_zero(exact - stated))
    )


def _mean(stated: Any) -> Proof:
    exact = (_signal(n.h_k, n.p_k, UPPER) + _signal(n.h_k1, n.p_k1, LOWER)) / 2
    return conclude("identity", ("mean of 3.1 at d̄ ± g/2 is as stated", is_zero(exact - stated)))


def _frozen_drive(stated: Any) -> Proof:
    return conclude("identity", ("3.3 at g = 0 is the drive", is_zero(GAP_FLOW.subs(n.g, 0) - stated)))


def _frozen_flow(stated: Any) -> Proof:
    held = GAP_FLOW.subs({UPPER: n.d_bar, LOWER: n.d_bar})
    here = stated.subs({n.drive: DRIVE, n.kappa: KAPPA})
    return conclude("identity", ("3.3 with the driving held at g = 0 is c − κg", is_zero(held - here)))


def _frozen_time(stated: Any) -> Proof:
    fall = sp.Symbol("s", positive=True)  # |c|
    time = stated.subs(n.drive, -fall)
    g = -fall / n.kappa + (n.g_0 + fall / n.kappa) * sp.exp(-n.kappa * n.t)
    return conclude(
        "identity",
        (
            "g(t) solves ġ = c − κg from g_0",
            is_zero(sp.diff(g, n.t) + fall + n.kappa * g) and is_zero(g.subs(n.t, 0) - n.g_0),
        ),
        ("g(t_c) = 0", is_zero(sp.simplify(g.subs(n.t, time)))),
        ("κ → 0 leaves g_0/|c|", is_zero(sp.limit(time, n.kappa, 0, "+") - n.g_0 / fall)),
    )


def _kappa_eff(stated: Any) -> Proof:
    slope = -sp.diff(GAP_FLOW, n.g).subs(n.g, 0)
    return conclude("identity", ("minus the slope of 3.3 in g at g = 0", is_zero(slope - stated)))


def _damping_ratio(stated: Any) -> Proof:
    stiffness, power = sp.symbols("s p", positive=True)
    equal = {n.h_k: stiffness - n.omega, n.h_k1: stiffness - n.omega, n.p_k: power, n.p_k1: power}
    effective = KAPPA + n.eta * n.W * (n.p_k + n.p_k1) / (2 * n.d_bar**2)
    ratio = (effective / KAPPA).subs(equal)
    here = stated.subs(n.d_bar_star, sp.sqrt(n.W * power / stiffness))
    return conclude(
        "identity",
        ("κ_eff/κ for equal modes is as stated", is_zero(ratio - here)),
        ("2 at stationary d̄", is_zero(stated.subs(n.d_bar, n.d_bar_star) - 2)),
        ("unbounded as d̄ → 0", sp.limit(stated, n.d_bar, 0, "+") == sp.oo),
    )


def _frozen_ratio(stated: Any) -> Proof:
    upper, lower = n.d_bar_star + n.g_star / 2, n.d_bar_star - n.g_star / 2
    # W p = (h + omega) d*² for each mode
    powers = {n.p_k: (n.h_k + n.omega) * upper**2 / n.W, n.p_k1: (n.h_k1 + n.omega) * lower**2 / n.W}
    ratio = DRIVE.subs(powers).subs(n.d_bar, n.d_bar_star) / (KAPPA * n.g_star)
    return conclude(
        "identity",
        ("c/(κg*) at d̄* is as stated", is_zero(ratio - stated)),
        ("exactly 2 for equal curvatures", is_zero(stated.subs(n.h_k1, n.h_k) - 2)),
    )


def _equilibrium(stated: Any) -> Proof:
    s1, s2, p1, p2 = sp.symbols("s1 s2 p1 p2", positive=True)
    values = {n.h_k: s1 - n.omega, n.h_k1: s2 - n.omega, n.p_k: p1, n.p_k1: p2}
    upper, lower = sp.sqrt(n.W * p1 / s1), sp.sqrt(n.W * p2 / s2)
    rest = GAP_FLOW.subs(values).subs({n.d_bar: (upper + lower) / 2, n.g: upper - lower}, simultaneous=True)
    return conclude(
        "identity",
        ("g* = d_k* − d_{k+1}*", is_zero(stated.subs(values) - (upper - lower))),
        ("the exact gap flow 3.3 rests there", is_zero(sp.expand(sp.simplify(rest)))),
    )


def _equal_time(stated: Any) -> Proof:
    difference = -n.D / n.kappa + (n.Delta + n.D / n.kappa) * sp.exp(-2 * n.kappa * n.t)
    flow = sp.diff(difference, n.t) + 2 * n.kappa * difference + 2 * n.D
    return conclude(
        "identity",
        (
            "u_k − u_{k+1} obeys ẋ = −2κx − 2D and starts at Δ",
            is_zero(flow) and is_zero(difference.subs(n.t, 0) - n.Delta),
        ),
        ("it vanishes at t_c", is_zero(sp.simplify(difference.subs(n.t, stated)))),
        ("κ → 0 leaves Δ/(2D)", is_zero(sp.limit(stated, n.kappa, 0, "+") - n.Delta / (2 * n.D))),
    )


def _two_zeros(stated: Any) -> Proof:
    scaled = DIFFERENCE_RATE * sp.exp(2 * n.kappa_k * n.t)
    slope = sp.simplify(sp.diff(scaled, n.t))
    growth = sp.exp(2 * (n.kappa_k - n.kappa_k1) * n.t)
    constant = -2 * (n.kappa_k - n.kappa_k1) * n.r_k1
    u = n.u_0 + n.r_k * (1 - sp.exp(-2 * n.kappa_k * n.t)) / (2 * n.kappa_k)
    return conclude(
        "inequality",
        (
            "one zero of the derivative allows two of the difference",
            says(stated, {"crossings": 2}, {"crossings": 3}),
        ),
        ("u̇_j(t) = r_j e^{−2κ_j t}", is_zero(sp.diff(u, n.t) - n.r_k * sp.exp(-2 * n.kappa_k * n.t))),
        (
            "d/dt[e^{2κ_k t}(u̇_k − u̇_{k+1})] is a constant times an exponential",
            is_zero(slope - constant * growth),
        ),
        (
            "the exponential is positive, so the derivative of the difference has one zero at most",
            is_positive(growth),
        ),
    )


def _extremum(stated: Any) -> Proof:
    r1, r2, gap = sp.symbols("r1 r2 delta", positive=True)
    values = {n.r_k: r1, n.r_k1: r2, n.kappa_k: n.kappa_k1 + gap}
    at = sp.simplify(
        DIFFERENCE_RATE.subs(values).subs(n.t, stated.subs(values))
        * sp.exp(2 * n.kappa_k1 * stated.subs(values))
    )
    negative = sp.simplify(stated.subs({n.r_k: -r1, n.r_k1: -r2}) - stated.subs({n.r_k: r1, n.r_k1: r2}))
    return conclude(
        "identity",
        ("the derivative vanishes at t_m", is_zero(sp.expand(at))),
        ("only the ratio of the two rates enters", is_zero(negative)),
    )


def _parity(stated: Any) -> Proof:
    k1, k2, a1, a2, b1, b2 = sp.symbols("kappa1 kappa2 a1 a2 b1 b2", positive=True)
    end = sp.limit(a1**2 + b1 * sp.exp(-2 * k1 * n.t), n.t, sp.oo) - sp.limit(
        a2**2 + b2 * sp.exp(-2 * k2 * n.t), n.t, sp.oo
    )
    return conclude(
        "limit",
        (
            "the statement: swapped iff odd",
            says(stated, {"g_star": -1, "crossings": 1}, {"g_star": -1, "crossings": 2})
            and says(stated, {"g_star": 1, "crossings": 2}, {"g_star": 1, "crossings": 1}),
        ),
        ("u_k − u_{k+1} tends to d_k*² − d_{k+1}*²", is_zero(end - (a1**2 - a2**2))),
        (
            "which has the sign of g*: it is g*(d_k* + d_{k+1}*)",
            is_zero(end - (a1 - a2) * (a1 + a2)) and is_positive(a1 + a2),
        ),
    )


def _time_dependent(stated: Any) -> Proof:
    return conclude(
        "identity",
        (
            "the stated u(t) obeys u̇ = −2κ(t)u + S(t)",
            is_zero(sp.expand(sp.diff(stated, n.t) + 2 * n.kappa_of(n.t) * stated - n.source_of(n.t))),
        ),
        ("and starts at u(0)", is_zero(stated.subs(n.t, 0).doit() - n.u_0)),
    )


_s, _r = sp.symbols("s r", nonnegative=True)
_DAMPING = sp.exp(-2 * sp.Integral(n.kappa_of(_r), (_r, 0, n.t)))
_GROWTH = sp.exp(2 * sp.Integral(n.kappa_of(_r), (_r, 0, _s)))

PROPOSITIONS = (
    Proposition(
        "3.1", "T", "Signal flow", sp.Eq(n.d_dot, SIGNAL_FLOW),
        "The absolute scale of the source is not derived: p_j is an effective, fitted source strength when data "
        "are compared with.",
        commutativity="weak", source="thesis", unproved="a model of the thesis, tested against data",
        function="signal_flow",
    ),
    Proposition(
        "3.1b", "D", "For plain SGD the strength is not the stationary one", sp.Eq(n.u_j, n.W * n.eta**2 * n.p_j),
        "δ_s = −η∇L_s, so d_j² = Σ_s⟨δ_s, v_j⟩² = Wη²·(mean of p_j over the window) identically, whatever the "
        "curvature; 3.2b has Wp_j/(h_j + ω) instead.",
        condition="Plain gradient steps; p_j the mean over the window.", proof=_sgd,
    ),
    Proposition(
        "3.2", "D", "Signal strength in closed form",
        sp.Eq(n.u_t, n.u_star + (n.u_0 - n.u_star) * sp.exp(-2 * n.kappa * n.t)),
        "In u = d² the flow is linear.", depends_on=("3.1",), commutativity="weak", proof=_solution,
        condition="Constant coefficients.", function="signal_flow",
    ),
    Proposition(
        "3.2b", "D", "Stationary strength", sp.Eq(n.d_star, sp.sqrt(n.W * n.p_j / (n.h_j + n.omega))),
        "Right side of 3.1 set to 0.", assumptions=(sp.Gt(n.h_j + n.omega, 0),), depends_on=("3.1",),
        commutativity="weak", proof=_stationary, function="stationary_strength",
    ),
    Proposition(
        "3.2c", "D", "The stationary strength is stable", sp.Eq(n.rate, -2 * n.eta * (n.h_j + n.omega)),
        "Slope of 3.1 at d*: the source contributes as much damping as the damping.",
        assumptions=(sp.Gt(n.h_j + n.omega, 0), sp.Gt(n.p_j, 0)), depends_on=("3.2b",), commutativity="weak",
        proof=_slope,
    ),
    Proposition(
        "3.3", "T", "Gap flow: curvature asymmetry, damping, gradient driving", sp.Eq(n.g_dot, GAP_FLOW),
        "Exact consequence of 3.1 for two modes; no linearisation.", depends_on=("3.1",), commutativity="weak",
        assumptions=(sp.Lt(sp.Abs(n.g), 2 * n.d_bar),), source="thesis, proved here", proof=_gap, function="gap_terms",
    ),
    Proposition(
        "3.3b", "D", "Flow of the mean strength",
        sp.Eq(
            n.d_bar_dot,
            -KAPPA * n.d_bar - n.eta * ASYMMETRY * n.g / 4 + n.eta * n.W * (n.p_k / UPPER + n.p_k1 / LOWER) / 2,
        ),
        "Closes 3.3.", depends_on=("3.1",), commutativity="weak", assumptions=(sp.Lt(sp.Abs(n.g), 2 * n.d_bar),),
        proof=_mean,
    ),
    Proposition(
        "3.4", "T", "Drive of the gap near zero", sp.Eq(n.drive, DRIVE),
        "c > 0 viable, c < 0 collapsing.", depends_on=("3.3",), commutativity="weak", source="thesis, proved here",
        proof=_frozen_drive, function="linear_gap_flow",
    ),
    Proposition(
        "3.4b", "T", "Frozen gap flow", sp.Eq(n.g_dot, n.drive - n.kappa * n.g),
        "3.3 with d̄ frozen and the driving held at its value for g = 0; rests at c/κ. Not the first order in g: 3.5.",
        depends_on=("3.3", "3.4"), commutativity="weak", source="thesis, proved here", proof=_frozen_flow,
        function="linear_gap_flow",
    ),
    Proposition(
        "3.4c", "T", "Frozen collapse time", sp.Eq(n.t_c, sp.log(1 + n.kappa * n.g_0 / sp.Abs(n.drive)) / n.kappa),
        "Time at which 3.4b reaches g = 0.", assumptions=(sp.Lt(n.drive, 0),), depends_on=("3.4b",),
        commutativity="strong", source="thesis, proved here", proof=_frozen_time, function="collapse_time",
    ),
    Proposition(
        "3.5", "D", "Damping of the gap to first order",
        sp.Eq(n.kappa_eff, KAPPA + n.eta * n.W * (n.p_k + n.p_k1) / (2 * n.d_bar**2)),
        "The driving term depends on g too.", depends_on=("3.3",), commutativity="weak", proof=_kappa_eff,
        function="linear_gap_flow",
    ),
    Proposition(
        "3.5b", "D", "The frozen form is twice too slow at stationarity",
        sp.Eq(n.damping_ratio, 1 + (n.d_bar_star / n.d_bar) ** 2),
        "Equal modes: 2 at stationary d̄, unbounded for d̄ ≪ d̄*.", depends_on=("3.5", "3.2b"), commutativity="weak",
        condition="h_k = h_{k+1}, p_k = p_{k+1}.", proof=_damping_ratio, function="linear_gap_flow",
    ),
    Proposition(
        "3.5c", "D", "The frozen equilibrium gap is about twice too large",
        sp.Eq(n.frozen_ratio, 2 + ASYMMETRY * n.g_star / (4 * (H_BAR + n.omega) * n.d_bar_star)),
        "c of 3.4 at d̄* with Wp = (h + ω)d*² for each mode; exact.", depends_on=("3.4", "3.2b"), commutativity="weak",
        proof=_frozen_ratio,
    ),
    Proposition(
        "3.5d", "D", "Exact equilibrium gap",
        sp.Eq(n.g_star, sp.sqrt(n.W * n.p_k / (n.h_k + n.omega)) - sp.sqrt(n.W * n.p_k1 / (n.h_k1 + n.omega))),
        "Difference of two stationary strengths.", depends_on=("3.2b", "3.3"), commutativity="weak",
        assumptions=(sp.Gt(n.h_k + n.omega, 0), sp.Gt(n.h_k1 + n.omega, 0)), proof=_equilibrium,
        function="equilibrium_gap",
    ),
    Proposition(
        "3.6", "D", "Exact collapse time, equal damping",
        sp.Eq(n.t_c, sp.log(1 + n.kappa * n.Delta / n.D) / (2 * n.kappa)),
        "u_k − u_{k+1} obeys one linear equation. A crossing exists iff D > 0 and κΔ > −D; at κ = 0, t_c = Δ/(2D).",
        assumptions=(sp.Gt(n.D, 0), sp.Gt(n.Delta, 0)), depends_on=("3.2",), commutativity="strong",
        condition="κ_k = κ_{k+1}.", proof=_equal_time, function="collapse_time",
    ),
    Proposition(
        "3.6b", "D", "At most two crossings", sp.Le(n.crossings, 2),
        "The derivative of u_k − u_{k+1} times e^{2κ_k t} is monotone, so it has one zero at most, and by Rolle the "
        "difference has two.",
        depends_on=("3.2",), commutativity="strong", condition="Constant coefficients; modes not identical.",
        proof=_two_zeros, function="crossing_times",
    ),
    Proposition(
        "3.6c", "D", "The extremum that separates them",
        sp.Eq(n.t_m, sp.log(n.r_k / n.r_k1) / (2 * (n.kappa_k - n.kappa_k1))),
        "r_k e^{−2κ_k t} = r_{k+1} e^{−2κ_{k+1} t}; brackets both roots.",
        assumptions=(sp.Gt(n.r_k * n.r_k1, 0), sp.Ne(n.kappa_k, n.kappa_k1)), depends_on=("3.2",),
        commutativity="strong",
        proof=_extremum, function="crossing_times",
    ),
    Proposition(
        "3.6d", "D", "Crossings are odd in number iff the modes end swapped",
        sp.Equivalent(sp.Lt(n.g_star, 0), sp.Eq(sp.Mod(n.crossings, 2), 1)),
        "The difference starts at Δ > 0 and ends with the sign of g*; crossings change its sign. Modes keep their "
        "labels; the ordered gap is |g|.",
        assumptions=(sp.Gt(n.Delta, 0), sp.Gt(n.kappa_k, 0), sp.Gt(n.kappa_k1, 0), sp.Ne(n.g_star, 0)),
        depends_on=("3.6b", "3.5d"), commutativity="strong", proof=_parity, function="crossing_times",
        condition="A touching without a change of sign does not count.",
    ),
    Proposition(
        "3.6e", "F", "Opening time", sp.Eq(n.g_t, n.fraction * n.g_star),
        "The first t at which the gap reaches a stated fraction of g*.", depends_on=("3.5d",), commutativity="strong",
        source="chosen here", unproved="a definition", function="opening_time",
    ),
    Proposition(
        "3.7", "D", "Coefficients that depend on time",
        sp.Eq(n.u_t, _DAMPING * (n.u_0 + sp.Integral(n.source_of(_s) * _GROWTH, (_s, 0, n.t)))),
        "Variation of constants with κ(t) = η(t)(h_j(t) + ω) and S(t) = 2η(t)W p_j(t).", depends_on=("3.1",),
        commutativity="weak", proof=_time_dependent,
    ),
    Proposition(
        "3.8", "F", "A gap is viable", sp.And(sp.Gt(n.g_star, 0), sp.Eq(n.crossings, 0)),
        "Collapsing: one crossing. Transient: two, it re-opens. Marginal: |g*| below a tolerance and no crossing.",
        depends_on=("3.5d", "3.6b"), commutativity="strong", source="chosen here", unproved="a definition",
        function="gap_regime",
    ),
)  # fmt: skip
