"""Gap Maximality."""

from typing import Any

import numpy as np
import sympy as sp

from spectral_edge.theory import maximality, stability
from spectral_edge.theory.spectrum import gram_spectrum
from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.proposition import (
    Proof,
    Proposition,
    conclude,
    is_nonnegative,
    is_positive,
    is_root,
    is_zero,
)
from spectral_edge.theory.statements.s5_stability import random_windows
from spectral_edge.theory.statements.s6_loss import lagrange_identity

NET = n.drive + n.b_fb
CUBIC = n.kappa * n.g**3 - NET * n.g**2 + n.b_fb * n.eps**2
G_SN = 2 * NET / (3 * n.kappa)
EPS_C = n.g_sn * sp.sqrt(NET / (3 * n.b_fb))
FEEDBACK = -n.kappa * n.g + n.drive + n.b_fb * (1 - n.eps**2 / n.g**2)  # above eps
FALL, GAIN = sp.symbols("s m", positive=True)  # c = -s < 0 and b + c = m > 0
REGION = {n.drive: -FALL, n.b_fb: FALL + GAIN}
OWN = ("7.1", "7.1b", "7.2", "7.2b", "7.2c")


def _rate(stated: Any) -> Proof:
    slope = sp.Symbol("t", positive=True)  # tangent of the angle to the leading subspace
    before = sp.Matrix([1, slope])
    after = sp.diag(n.sigma_j**2, n.sigma_j1**2) * before
    return conclude(
        "identity",
        (
            "one step with C multiplies the slowest tangent by the stated rate",
            is_zero(after[1] / after[0] / slope - stated),
        ),
    )


def _maximal(stated: Any) -> Proof:
    small, more = sp.symbols("x y", positive=True)  # sigma_j/sigma_{j+1}, and what k* has above it
    values = {n.sigma_j: n.sigma_j1 * small, n.sigma_k: n.sigma_k1 * (small + more)}
    room = sp.factor(sp.simplify((stated.gts - stated.lts).subs(values)))
    return conclude(
        "inequality",
        ("1/x² − 1/(x + y)² > 0 for y > 0: strict, so unique, where the maximum is", is_positive(room)),
    )


def _distance(stated: Any) -> Proof:
    angle = sp.Symbol("phi", real=True)
    steps = []
    for turned, k, common in (((0, 1), 1, sp.cos(angle) ** 2), ((1, 2), 2, 1 + sp.cos(angle) ** 2)):
        turn = sp.eye(3)
        first, second = turned
        turn[first, first] = turn[second, second] = sp.cos(angle)
        turn[first, second], turn[second, first] = -sp.sin(angle), sp.sin(angle)
        before, after = sp.eye(3)[:, :k], turn[:, :k]
        overlaps = before.T * after
        moved = before * before.T - after * after.T
        shared = sum(entry**2 for entry in overlaps)
        here = stated.subs({n.k: k, n.shared: shared})
        steps.append(
            (
                f"k = {k} in R³: tr(Π − Π′)² is the stated square",
                is_root(here, (moved * moved).trace()),
            )
        )
        steps.append((f"k = {k}: shared overlap", is_zero(shared - common)))
    return conclude("spectrum", *steps)


def _subspace(stated: Any) -> Proof:
    up, down = sp.symbols("mu_p mu_m", nonnegative=True)
    wanted = sp.lambdify((n.k, n.operator, n.frobenius, n.lam_k, n.lam_k1), stated.gts)
    worst = 0.0
    for updates in random_windows(400, seed=72):
        K = updates @ updates.T
        norms = stability.perturbation_norms(K, 4)
        lam = np.append(gram_spectrum(K[:4, :4]).lam, 0.0)
        overlaps = stability.mode_overlaps(K, 4)[0]
        for k in range(1, 5):
            if lam[k - 1] - lam[k] < 1e-9 * lam[0]:
                continue  # a tie: no subspace of its own
            bound = wanted(k, norms.operator[0], norms.frobenius[0], lam[k - 1], lam[k])
            worst = max(worst, float(maximality.subspace_distance(overlaps, k)) - bound)
    return conclude(
        "numeric",
        ("Yu, Wang & Samworth's theorem, in 400 windows, W = 4, P = 8, k = 1 … 4 (seed 72)", worst < 1e-6),
        (
            "‖ΔC‖_F² ≤ 2‖ΔC‖_op² (rank two): the bound is at most 4‖ΔC‖_op/gap",
            is_nonnegative(2 * (up + down) ** 2 - up**2 - (up + down) ** 2),
        ),
    )


def _captured(stated: Any) -> Proof:
    M = sp.Matrix(2, 2, sp.symbols("m1:5", real=True))
    x, y = sp.Matrix(sp.symbols("x1:3", real=True)), sp.Matrix(sp.symbols("y1:3", real=True))
    outer = x * y.T
    room = sum(e**2 for e in M) * sum(e**2 for e in outer) - (x.T * M * y)[0] ** 2
    flat, other = list(M), list(outer)
    squares = sum((flat[i] * other[j] - flat[j] * other[i]) ** 2 for i in range(4) for j in range(i))
    return conclude(
        "inequality",
        (
            "Λ − Λ′ = η∇L^T(Π − Π′)∇L; |x^TMy|² ≤ ‖M‖_F²‖x‖²‖y‖², the room is a sum of squares",
            is_zero(room - squares),
        ),
        ("‖xy^T‖_F = ‖x‖‖y‖ by Lagrange's identity", lagrange_identity()),
        ("the statement is that bound", is_zero(stated.gts - n.eta * n.subspace * n.grad_train * n.grad_val)),
    )


def _no_optimiser(stated: Any) -> Proof:
    from spectral_edge.theory.statements import registry

    known = {proposition.id: proposition for proposition in registry()}
    reached: set[str] = set()
    front: list[str] = list(OWN)
    while front:
        name = front.pop()
        if name not in reached:
            reached.add(name)
            front.extend(known[name].depends_on)
    leaning = sum(known[name].commutativity != "none" for name in reached)
    return conclude(
        "identity",
        (
            f"of the {len(reached)} results that 7.1 and 7.2 rest on, {leaning} lean on [P,H] ≈ 0",
            leaning == stated,
        ),
    )


def _saddle_node(stated: Any) -> Proof:
    double = {n.g: G_SN, n.eps: stated.subs(n.g_sn, G_SN)}
    return conclude(
        "identity",
        ("g²·F(g) = −(κg³ − (c+b)g² + bε²)", is_zero(sp.expand(FEEDBACK * n.g**2 + CUBIC))),
        ("the cubic vanishes at (g_sn, ε_c)", is_zero(sp.simplify(CUBIC.subs(double).subs(REGION)))),
        (
            "and so does its derivative in g",
            is_zero(sp.simplify(sp.diff(CUBIC, n.g).subs(double).subs(REGION)))
            and is_positive(double[n.eps].subs(REGION)),
        ),
        (
            "ε_c² is 4(c+b)³/(27κ²b)",
            is_zero(sp.simplify((double[n.eps] ** 2 - 4 * NET**3 / (27 * n.kappa**2 * n.b_fb)).subs(REGION))),
        ),
    )


def _g_sn(stated: Any) -> Proof:
    slope = sp.diff(CUBIC, n.g).subs(n.g, stated)
    return conclude(
        "identity",
        (
            "the cubic has its minimum for g > 0 at g_sn",
            is_zero(slope) and is_positive(sp.diff(CUBIC, n.g, 2).subs(n.g, stated).subs(REGION)),
        ),
    )


def _bistable(stated: Any) -> Proof:
    below = sp.Symbol("q", positive=True)  # eps_c² - eps²
    eps2 = stated.gts.subs(REGION)
    at_sn = CUBIC.subs(n.eps, sp.sqrt(eps2 - below)).subs(n.g, G_SN).subs(REGION)
    at_eps = sp.expand(CUBIC.subs(n.g, n.eps).subs(REGION))
    ratio = sp.simplify((eps2 / G_SN**2).subs(REGION))
    return conclude(
        "inequality",
        (
            "at g_sn the cubic is −b(ε_c² − ε²): negative iff ε < ε_c",
            is_zero(sp.simplify(at_sn + (FALL + GAIN) * below)),
        ),
        (
            "at ε it is ε²(κε − c) > 0",
            is_zero(at_eps - n.eps**2 * (n.kappa * n.eps + FALL)) and is_positive(at_eps),
        ),
        (
            "ε_c < g_sn: ε_c²/g_sn² = (c+b)/(3b) < 1",
            is_zero(ratio - GAIN / (3 * (FALL + GAIN))) and is_positive(sp.simplify(1 - ratio)),
        ),
        (
            "at infinity it is positive, and its slope changes sign only at 0 and g_sn: one root on either side",
            sp.limit(CUBIC.subs(REGION), n.g, sp.oo) == sp.oo
            and is_zero(sp.diff(CUBIC, n.g) - 3 * n.kappa * n.g * (n.g - G_SN)),
        ),
        ("below ε the flow is c − κg < 0: no rest point", is_positive(FALL + n.kappa * n.eps)),
    )


def _stability(stated: Any) -> Proof:
    """Sign of F' at a root g = x g_sn: F' = −κ + 2bε²/g³ with bε² = (c+b)g² − κg³."""
    x = sp.Symbol("x", positive=True)
    slope = sp.diff(FEEDBACK, n.g)
    feeding = (NET * n.g**2 - n.kappa * n.g**3) / n.b_fb
    at_root = sp.simplify(slope.subs(n.eps, sp.sqrt(feeding)).subs(n.g, x * G_SN))
    here = sp.simplify(stated.subs(n.g, x * G_SN))
    beyond = sp.Symbol("y", positive=True)
    return conclude(
        "identity",
        ("F′ at a rest point is as stated", is_zero(sp.simplify(at_root - here))),
        ("negative above g_sn: g_+ attracts", is_positive(sp.simplify(-here.subs(x, 1 + beyond)))),
        ("positive below: g_- repels", is_positive(sp.simplify(here.subs(x, 1 / (1 + beyond))))),
    )


def _passage(stated: Any) -> Proof:
    above = sp.Symbol("q", positive=True)  # eps² - eps_c²
    x, A, Bq = sp.symbols("x A B", positive=True)
    eps2 = (EPS_C**2).subs(n.g_sn, G_SN) + above
    flow = (-CUBIC / n.g**2).subs(n.eps, sp.sqrt(eps2))
    depth = sp.simplify(-flow.subs(n.g, G_SN).subs(REGION))
    curvature = sp.simplify((-sp.diff(flow, n.g, 2) / 2).subs(n.g, G_SN).subs(above, 0).subs(REGION))
    time = sp.integrate(1 / (A + Bq * x**2), (x, -sp.oo, sp.oo))
    leading = time.subs({A: depth, Bq: curvature})
    here = stated.subs({n.eps: sp.sqrt(eps2), n.eps_c: EPS_C}).subs(n.g_sn, G_SN).subs(REGION)
    return conclude(
        "limit",
        (
            "−F near g_sn is A + B(g − g_sn)² to leading order; no linear term",
            is_zero(sp.simplify(sp.diff(flow, n.g).subs(n.g, G_SN).subs(above, 0).subs(REGION))),
        ),
        ("∫dx/(A + Bx²) = π/√(AB)", is_zero(time - sp.pi / sp.sqrt(A * Bq))),
        ("which is the stated time", is_zero(sp.simplify(leading**2 / here**2 - 1)) and is_positive(here)),
    )


def _absorbing(stated: Any) -> Proof:
    time = stated.subs(n.drive, -FALL)
    g = -FALL / n.kappa + (n.g_0 + FALL / n.kappa) * sp.exp(-n.kappa * n.t)
    return conclude(
        "identity",
        (
            "below ε the loop is ġ = −κg + c",
            is_zero(sp.diff(g, n.t) + n.kappa * g + FALL) and is_zero(g.subs(n.t, 0) - n.g_0),
        ),
        ("it reaches 0 at the stated time", is_zero(sp.simplify(g.subs(n.t, time)))),
    )


_OPEN = (sp.Lt(n.drive, 0), sp.Gt(NET, 0))
PROPOSITIONS = (
    Proposition(
        "7.1", "D", "Rate of subspace iteration", sp.Eq(n.conv_rate, (n.sigma_j1 / n.sigma_j) ** 2),
        "One application of C scales the components on both sides of the cut by at least λ_j and at most λ_{j+1}.",
        proof=_rate, function="convergence_rate",
    ),
    Proposition(
        "7.1b", "D", "k* is where it is fastest",
        sp.Le((n.sigma_k1 / n.sigma_k) ** 2, (n.sigma_j1 / n.sigma_j) ** 2),
        "1/x² falls in x: the largest ratio is the fastest rate, and it is unique where the maximum is strict. "
        "span(v_1 … v_{k*}) is the leading subspace that subspace iteration finds first.",
        depends_on=("1.1", "7.1"), proof=_maximal, function="convergence_rate",
    ),
    Proposition(
        "7.2", "D", "Distance of leading subspaces", sp.Eq(n.subspace, sp.sqrt(2 * n.k - 2 * n.shared)),
        "tr(Π − Π′)² = 2k − 2 tr ΠΠ′.", depends_on=("5.5",), proof=_distance, function="subspace_distance",
    ),
    Proposition(
        "7.2b", "D", "Only the gap at k controls it",
        sp.Le(
            n.subspace,
            2 * sp.sqrt(2) * sp.Min(sp.sqrt(n.k) * n.operator, n.frobenius) / (n.lam_k - n.lam_k1),
        ),
        "Whatever the other gaps do, as long as k* does not switch; at most 4‖ΔC‖_op/(λ_k − λ_{k+1}).",
        assumptions=(sp.Gt(n.lam_k, n.lam_k1),), depends_on=("5.4", "7.2"),
        source="Yu, Wang & Samworth 2015, theorem 2",
        proof=_subspace, function="subspace_bound",
    ),
    Proposition(
        "7.2c", "D", "The captured descent moves no more than the subspace",
        sp.Le(sp.Abs(n.rate_change), n.eta * n.subspace * n.grad_train * n.grad_val),
        "Λ = η⟨Π_k∇L_train, Π_k∇L_val⟩ is indifferent to a collapse at j ≠ k* and loses its bound at j = k*.",
        depends_on=("6.1", "7.2b"), condition="Same gradients before and after.", proof=_captured,
        function="captured_rate",
    ),
    Proposition(
        "7.3", "F", "α-feedback loop",
        sp.Eq(n.g_dot, -n.kappa * n.g + n.drive + n.b_fb * sp.Max(0, 1 - n.eps**2 / n.g**2)),
        "Gradient power persists in proportion to stability. Projected on g ≥ 0: ġ = max(c, 0) at g = 0, where c < 0 "
        "absorbs. Never reflect; with noise, Skorokhod reflection.",
        depends_on=("3.4b", "5.3"), commutativity="weak", source="chosen here",
        unproved="a formalisation of a verbal claim",
        function="feedback_flow",
    ),
    Proposition(
        "7.3b", "D", "Gap at the saddle-node", sp.Eq(n.g_sn, G_SN), "Minimum of κg³ − (c+b)g² + bε² over g > 0.",
        assumptions=_OPEN, depends_on=("7.3",), commutativity="weak", proof=_g_sn, function="feedback_threshold",
    ),
    Proposition(
        "7.3c", "D", "Critical perturbation", sp.Eq(n.eps_c, EPS_C), "Where that minimum is zero.", assumptions=_OPEN,
        depends_on=("7.3", "7.3b"), commutativity="weak", proof=_saddle_node, function="feedback_threshold",
    ),
    Proposition(
        "7.3d", "D", "Bistable below it",
        sp.Lt(n.eps**2, 4 * NET**3 / (27 * n.kappa**2 * n.b_fb)),
        "Then and only then there are rest points above ε, ε < g_- < g_sn < g_+; with the collapsed state, two that "
        "attract. The signs of the cubic at ε, g_sn and infinity count its roots.",
        assumptions=_OPEN, depends_on=("7.3c",), commutativity="weak", proof=_bistable, function="feedback_equilibria",
    ),
    Proposition(
        "7.3e", "D", "Which of them attract", sp.Eq(n.rate, -3 * n.kappa + 2 * NET / n.g),
        "F′ at a rest point, with bε² = (c+b)g² − κg³ put in: negative iff g > g_sn.",
        assumptions=_OPEN, depends_on=("7.3d",), commutativity="weak", proof=_stability, function="feedback_equilibria",
    ),
    Proposition(
        "7.3f", "D", "Passage time above it",
        sp.Eq(n.T_pass, sp.pi * n.g_sn**2 / sp.sqrt(n.b_fb * NET * (n.eps**2 - n.eps_c**2))),
        "Normal form of the saddle-node, ∫dx/(A + Bx²).", assumptions=(*_OPEN, sp.Gt(n.eps, n.eps_c)),
        depends_on=("7.3c",),
        commutativity="weak", condition="ε → ε_c from above.", proof=_passage, function="passage_time",
    ),
    Proposition(
        "7.3g", "D", "Time to be absorbed", sp.Eq(n.t_c, sp.log(1 + n.kappa * n.g_0 / sp.Abs(n.drive)) / n.kappa),
        "From g_0 ≤ ε the feedback is off and 3.4c applies. g = 0 absorbs; it is no rest point of F.",
        assumptions=(sp.Lt(n.drive, 0), sp.Le(n.g_0, n.eps)), depends_on=("7.3", "3.4c"), commutativity="weak",
        proof=_absorbing, function="absorption_time",
    ),
    Proposition(
        "7.4", "T", "No assumption on the optimiser enters 7.1 and 7.2", sp.Eq(n.leaning, 0),
        "The results they rest on are listed by the registry itself.", depends_on=OWN, source="thesis, checked here",
        proof=_no_optimiser,
    ),
)  # fmt: skip
