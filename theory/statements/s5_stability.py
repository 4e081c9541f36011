"""Stability and the adiabatic parameter."""

from typing import Any

import numpy as np
import sympy as sp

from spectral_edge.theory import stability
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
    says,
)


def rank_two() -> tuple[Any, dict[Any, Any]]:
    """X x^T - y y^T with <x,x> = a, <y,y> = b, <x,y> = c, in the plane of x and y."""
    a, c, q = sp.symbols("A C Q", positive=True)  # q is the part of y off x
    x, y = sp.Matrix([a, 0]), sp.Matrix([c / a, q])
    return x * x.T - y * y.T, {n.a: a**2, n.b: c**2 / a**2 + q**2, n.c: c}


def random_windows(count: int, seed: int) -> Any:
    """Updates (T = 5, P = 8) with uneven norms, near ties and repeats, for numeric checks."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        updates = rng.normal(size=(5, 8)) * 10.0 ** rng.uniform(-1, 1, (5, 1))
        if index % 4 == 1:
            updates = np.eye(5, 8) + 10.0 ** rng.uniform(-6, 0) * updates
        if index % 4 == 2:
            updates[4] = updates[0] + 10.0 ** rng.uniform(-6, 0) * updates[4]
        if index % 4 == 3:  # two directions change places, or just not: the worst case of 5.4
            m = 0.5 + 10.0 ** rng.uniform(-6, -1) * rng.choice([-1, 1])
            swap = np.zeros((5, 8))
            swap[[0, 1, 2, 3, 4], [0, 0, 1, 2, 1]] = np.sqrt([m, 2 - m, 1.0, 0.1, m])
            updates = swap @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
        yield updates


def _frobenius(stated: Any) -> Proof:
    delta, values = rank_two()
    square = sum(entry**2 for entry in delta)
    return conclude(
        "identity",
        ("‖xx^T − yy^T‖_F² in the plane of x and y", is_root(stated.subs(values), square, A=3, C=5)),
    )


def _operator(stated: Any) -> Proof:
    delta, values = rank_two()
    trace, spread = (n.a - n.b).subs(values), ((n.a + n.b) ** 2 - 4 * n.c**2).subs(values)
    bigger = sp.Symbol("e", nonnegative=True)
    ordered = stated.subs(n.a, n.b + bigger)
    upper = (bigger + sp.sqrt((2 * n.b + bigger) ** 2 - 4 * n.c**2)) / 2
    worst, wanted = 0.0, sp.lambdify((n.a, n.b, n.c), stated)
    for updates in random_windows(60, seed=51):
        x, y = updates[4], updates[0]
        dense = np.linalg.norm(np.outer(x, x) - np.outer(y, y), 2)
        exact = wanted(x @ x, y @ y, x @ y)
        worst = max(worst, abs(dense - exact) / max(x @ x, y @ y))
    return conclude(
        "spectrum",
        ("trace is a − b", is_zero(delta.trace() - trace)),
        (
            "squared difference of the two eigenvalues is (a+b)² − 4c²",
            is_zero(delta.trace() ** 2 - 4 * delta.det() - spread),
        ),
        ("the larger in size is ½(|a−b| + √((a+b)² − 4c²))", is_zero(ordered - upper)),
        ("and so for 60 dense matrices", worst < 1e-6),
    )


def _hoffman_wielandt(stated: Any) -> Proof:
    angle = sp.Symbol("phi", real=True)
    l1, m1, gap, other = sp.symbols("l m g e", positive=True)
    turn = sp.Matrix([[sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)]])
    before, after = sp.diag(l1 + gap, l1), turn * sp.diag(m1 + other, m1) * turn.T
    excess = sum(entry**2 for entry in after - before) - (m1 + other - l1 - gap) ** 2 - (m1 - l1) ** 2
    return conclude(
        "spectrum",
        (
            "the statement bounds the change of eigenvalues",
            says(stated, {"eigen_change": 4, "frobenius": 2}, {"eigen_change": 4, "frobenius": 1}),
        ),
        (
            "2×2: ‖ΔC‖_F² − Σ(Δλ)² = 2(λ_1−λ_2)(μ_1−μ_2)sin²φ",
            is_zero(sp.simplify(excess - 2 * gap * other * sp.sin(angle) ** 2)),
        ),
        ("which is not negative", is_nonnegative(2 * gap * other * sp.sin(angle) ** 2)),
    )


def _rows_differ(stated: Any) -> Proof:
    updates = sp.Matrix([[1, 0], [0, 2], [1, 0]])
    before, after = updates[:2, :], updates[1:, :]
    return conclude(
        "counterexample",
        (
            "the statement is that they differ",
            says(stated, {"gram_change": 1, "frobenius": 0}, {"gram_change": 1, "frobenius": 1}),
        ),
        ("updates (1,0), (0,2), (1,0), W = 2: ΔC = 0", after.T * after == before.T * before),
        ("G_{t+1} − G_t is not", after * after.T != before * before.T),
    )


def _trace_change(stated: Any) -> Proof:
    delta, values = rank_two()
    return conclude("identity", ("trace of xx^T − yy^T", is_zero(delta.trace() - stated.subs(values))))


def _interlacing(stated: Any) -> Proof:
    held, stated_at = True, sp.lambdify((n.lam_down, n.lam_next, n.lam_up), stated)
    for updates in random_windows(400, seed=52):
        before, after = (np.linalg.svd(updates[i : i + 4], compute_uv=False) ** 2 for i in (0, 1))
        slack = 1e-9 * max(before[0], after[0])
        up, down = np.append(np.inf, before[:-1]) + slack, np.append(before[1:], 0.0) - slack
        held &= bool(np.all(stated_at(down, after, up)))
    return conclude(
        "numeric", ("400 windows, W = 4, P = 8, uneven norms, near ties, near repeats (seed 52)", held)
    )


def _davis_kahan(stated: Any) -> Proof:
    x, excess, over = sp.symbols("x y z", nonnegative=True)  # x = s/gap
    r = sp.Symbol("r", nonnegative=True)  # √(1 − x²), between 0 and 1
    q = sp.Symbol("q", nonnegative=True)  # 1 − r
    bound = stated.lts.subs(n.operator, n.gap_j * (x + excess) / 2)
    room = (1 + r) / 2 - (1 - x**2).subs(x**2, 1 - r**2)
    return conclude(
        "inequality",
        (
            "s = μ_+ − μ_- ≤ 2‖ΔC‖_op, so the bound is at most 1 − s²/gap²",
            is_nonnegative(sp.expand(1 - x**2 - bound)),
        ),
        (
            "s < gap: 5.4b leaves room (1 − r)(1 + 2r)/2, r = √(1 − s²/gap²)",
            is_zero(room - (1 - r) * (1 + 2 * r) / 2),
        ),
        ("which is not negative for r ≤ 1", is_nonnegative(q * (1 + 2 * r) / 2)),
        (
            "s ≥ gap: the bound is not positive, and says nothing",
            is_nonnegative(-sp.expand(bound.subs(x, 1 + over))),
        ),
    )


def _sine_two_theta(stated: Any) -> Proof:
    angle, s, gap = sp.Symbol("phi", real=True), sp.Symbol("s", positive=True), sp.Symbol("g", positive=True)
    turn = sp.Matrix([[sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)]])
    moved = sp.diag(gap, 0) + turn * sp.diag(s, 0) * turn.T
    off, split = 2 * moved[0, 1], moved[0, 0] - moved[1, 1]  # tan 2θ = off/split
    slack = (gap * sp.cos(2 * angle) + s) ** 2
    room = s**2 * (off**2 + split**2) - gap**2 * off**2
    sine = sp.Symbol("q", positive=True)
    cosine2 = (1 + sp.sqrt(1 - sine**2)) / 2
    here = stated.lts.subs({n.s_width: sine * n.gap_j})
    worst = 0.0
    for updates in random_windows(400, seed=54):
        K = updates @ updates.T
        lam = gram_spectrum(K[:4, :4]).lam
        overlaps = np.diagonal(stability.mode_overlaps(K, 4)[0]) ** 2
        least = stability.guaranteed_overlap(lam, K[4, 4], K[0, 0], K[4, 0])
        worst = max(worst, float(np.nanmax(least - overlaps)))
    return conclude(
        "spectrum",
        (
            "2×2: s² sin-cos excess is s²(gap cos 2φ + s)²: sin 2θ ≤ s/gap",
            is_zero(sp.simplify(room - s**2 * slack)),
        ),
        ("cos²θ = ½(1 + √(1 − sin²2θ)) is the statement", is_zero(cosine2 - here)),
        ("never violated in 400 windows, W = 4, P = 8 (seed 54)", worst < 1e-6),
    )


def _frobenius_one(stated: Any) -> Proof:
    up, down = sp.symbols("mu_p mu_m", nonnegative=True)  # eigenvalues μ_+ and −μ_-
    r, q, y = sp.symbols("r q y", nonnegative=True)  # r = √(1 − x²), q = 1 − r, x = s/gap
    bound = stated.args[1].lts
    at_least_half = 2 * (up**2 + down**2) - (up + down) ** 2
    return conclude(
        "inequality",
        ("s² ≤ 2‖ΔC‖_F²: the room is (μ_+ − μ_-)²", is_zero(at_least_half - (up - down) ** 2)),
        (
            "so the bound is at most 1 − x²/2",
            is_nonnegative(1 - q**2 / 2 - bound.subs(n.frobenius, n.gap_j * sp.sqrt(q**2 / 2 + y))),
        ),
        ("½(1 + r) − (1 − x²/2) = r(1 − r)/2", is_zero((1 + r) / 2 - (1 - (1 - r**2) / 2) - r * (1 - r) / 2)),
        ("which is not negative for r ≤ 1", is_nonnegative(r * q / 2)),
        (
            "α_j = ½ + y means ‖ΔC‖_F² = gap²(½ − y), so s² ≤ gap²(1 − 2y) ≤ gap²",
            is_zero(
                (1 - bound.subs(n.frobenius, n.gap_j * sp.sqrt(sp.Rational(1, 2) - y)))
                - (sp.Rational(1, 2) - y)
            )
            and is_nonnegative(1 - (1 - 2 * y)),
        ),
    )


def _frobenius_fails(stated: Any) -> Proof:
    m = sp.Rational(1001, 2000)
    before, delta = sp.diag(2, 1), sp.diag(-m, m)
    after = before + delta
    alpha = 1 - (2 * m**2) / 1
    return conclude(
        "counterexample",
        (
            "the statement holds there",
            says(stated, {"overlap_j": 0, "alpha_j": alpha}, {"overlap_j": alpha, "alpha_j": alpha}),
        ),
        (
            "C = diag(2, 1), ΔC = diag(−m, m), m = 0.5005: the two directions change places",
            bool(after[1, 1] > after[0, 0]),
        ),
        ("α_1 with C = 1 and ‖ΔC‖_F is 0.4989995, the overlap 0", alpha == sp.Rational(997999, 2000000)),
    )


def _recovery(stated: Any) -> Proof:
    margin = sp.Symbol("y", positive=True)
    strength = stated.lts * sp.sqrt(1 + margin)
    alpha = 1 - 4 * (n.nu**2 * n.P) ** 2 / (strength**2) ** 2
    at_bound = 1 - 4 * (n.nu**2 * n.P) ** 2 / stated.lts**4
    return conclude(
        "inequality",
        ("with ‖ΔC‖_op = ν²P and gap_j = d², α_j = 0 at the stated d", is_zero(at_bound)),
        ("and positive above it", is_positive(sp.factor(sp.simplify(alpha)))),
    )


def _overlaps(stated: Any) -> Proof:
    X = sp.Matrix(2, 3, sp.symbols("x1:7", real=True))
    Y = sp.Matrix(2, 3, sp.symbols("y1:7", real=True))
    u, w = sp.Matrix(sp.symbols("u1:3", real=True)), sp.Matrix(sp.symbols("w1:3", real=True))
    v, v_next = X.T * u / n.sigma_j, Y.T * w / n.sigma_l
    form = (u.T * (X * Y.T) * w)[0]
    return conclude(
        "identity",
        (
            "⟨X^Tu/σ, Y^Tu′/σ′⟩ = u^T(XY^T)u′/(σσ′), W = 2, P = 3",
            is_zero((v.T * v_next)[0] - stated.subs(n.bilinear, form)),
        ),
    )


PROPOSITIONS = (
    Proposition(
        "5.1", "D", "Frobenius norm of the change of a window",
        sp.Eq(n.frobenius, sp.sqrt(n.a**2 + n.b**2 - 2 * n.c**2)),
        "ΔC = xx^T − yy^T, one update enters and one leaves.", assumptions=(sp.Le(n.c**2, n.a * n.b),),
        proof=_frobenius,
        function="perturbation_norms",
    ),
    Proposition(
        "5.1b", "D", "Operator norm of the change of a window",
        sp.Eq(n.operator, (sp.Abs(n.a - n.b) + sp.sqrt((n.a + n.b) ** 2 - 4 * n.c**2)) / 2),
        "Trace and determinant of ΔC in the plane of the two updates give its two eigenvalues.",
        assumptions=(sp.Le(n.c**2, n.a * n.b),), proof=_operator, function="perturbation_norms",
    ),
    Proposition(
        "5.2", "D", "Hoffman-Wielandt: eigenvalues understate the change", sp.Le(n.eigen_change, n.frobenius**2),
        "For 2×2 the excess is 2(λ_1−λ_2)(μ_1−μ_2)sin²φ. In general tr CC′ is linear in the doubly stochastic matrix "
        "of squared overlaps, so largest at a permutation (Birkhoff), and of those at the ordered one. The published "
        "analyses use the left side for ‖ΔG‖: a lower bound, so their stability is optimistic.",
        depends_on=("5.1",), source="Hoffman & Wielandt 1953", proof=_hoffman_wielandt, function="perturbation_norms",
    ),
    Proposition(
        "5.2b", "D", "G_{t+1} − G_t entry by entry is not the perturbation", sp.Ne(n.gram_change, n.frobenius),
        "Their rows are different updates.", condition="There are runs such that.", proof=_rows_differ,
    ),
    Proposition(
        "5.2c", "D", "Change of the trace", sp.Eq(n.trace_change, n.a - n.b), "Trace of ΔC.", proof=_trace_change,
    ),
    Proposition(
        "5.2d", "D", "Interlacing", sp.And(sp.Le(n.lam_down, n.lam_next), sp.Le(n.lam_next, n.lam_up)),
        "Weyl: a rank-one term that is added moves every eigenvalue up by at most one place, one that is taken away "
        "down by at most one.",
        source="Weyl 1912", proof=_interlacing,
    ),
    Proposition(
        "5.3", "T", "Stability coefficient",
        sp.Eq(n.alpha_j, sp.Max(0, 1 - n.C_alpha * n.frobenius**2 / n.gap_j**2)),
        "gap_j is the distance of λ_j to the other eigenvalues of C, zero among them (C has P − W).",
        source="thesis", unproved="a definition; what it guarantees is 5.4 to 5.4d", function="stability_coefficient",
    ),
    Proposition(
        "5.4", "D", "C = 4 with the operator norm is guaranteed",
        sp.Ge(n.overlap_j, 1 - 4 * n.operator**2 / n.gap_j**2),
        "sin∠(v_j, v_j′) ≤ 2‖ΔC‖_op/gap_j; follows from 5.4b.", depends_on=("5.4b", "5.1b"),
        source="Davis & Kahan 1970; Yu, Wang & Samworth 2015", proof=_davis_kahan, function="stability_coefficient",
    ),
    Proposition(
        "5.4b", "D", "The sharp form, sin 2Θ",
        sp.Ge(n.overlap_j, (1 + sp.sqrt(1 - n.s_width**2 / n.gap_j**2)) / 2),
        "s is the difference of the two eigenvalues of ΔC. For 2×2 matrices the room in sin 2θ ≤ s/gap is a square; in "
        "general it is the sin 2Θ theorem, centred on the middle of the spectrum of ΔC.",
        assumptions=(sp.Lt(n.s_width, n.gap_j),), source="Davis & Kahan 1970", depends_on=("5.1b",),
        proof=_sine_two_theta,
        function="guaranteed_overlap",
    ),
    Proposition(
        "5.4c", "D", "C = 1 with the Frobenius norm is guaranteed where s < gap",
        sp.Implies(sp.Lt(n.s_width, n.gap_j), sp.Ge(n.overlap_j, 1 - n.frobenius**2 / n.gap_j**2)),
        "s² ≤ 2‖ΔC‖_F², and ½(1 + √(1−x²)) ≥ 1 − x²/2. In particular whenever it gives α_j ≥ ½.",
        depends_on=("5.4b", "5.1"), proof=_frobenius_one, function="stability_coefficient",
    ),
    Proposition(
        "5.4d", "D", "Below one half it can fail altogether",
        sp.And(sp.Eq(n.overlap_j, 0), sp.Gt(n.alpha_j, sp.Rational(49, 100))),
        "Two directions change places. With the eigenvalue-only ‖Δλ‖ nothing is guaranteed at all.",
        condition="There are windows such that.", depends_on=("5.3",), proof=_frobenius_fails,
    ),
    Proposition(
        "5.4e", "D", "A stable direction is far above the BBP threshold",
        sp.Gt(n.d, sp.sqrt(2) * n.nu * sp.sqrt(n.P)),
        "Noise alone makes ‖ΔC‖_op about ν²P, and gap_j is about d²: α_j > 0 (C = 4) needs d² > 2ν²P, never d_crit.",
        condition="α_j > 0 with C = 4; W ≪ P, leading order.", depends_on=("5.4", "2.2"), proof=_recovery,
    ),
    Proposition(
        "5.5", "D", "Overlaps of consecutive windows from K alone",
        sp.Eq(n.overlap_jl, n.bilinear / (n.sigma_j * n.sigma_l)),
        "v = X^Tu/σ, and X_tX_{t+1}^T is a block of K.", proof=_overlaps, function="mode_overlaps",
    ),
    Proposition(
        "5.6", "T", "Adiabatic parameter", sp.Eq(n.adiabatic, n.frobenius / (n.eta * n.g**2)),
        "≪ 1 plateau, ~ 1 transition, ≫ 1 forgetting; the default reading is the amplitude gap with ‖ΔC‖_F, the "
        "published one the eigenvalue-only norm.",
        source="thesis", unproved="a definition; its regimes are tested against data", function="adiabatic_parameter",
    ),
)  # fmt: skip
