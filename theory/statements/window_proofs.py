"""Proofs of section 10 about the window itself: what enters and leaves it, its modes, its spectrum."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.moments import gaussian_mean
from spectral_edge.theory.statements.proposition import (
    Proof,
    conclude,
    is_nonnegative,
    is_positive,
    is_root,
    is_zero,
)
from spectral_edge.theory.statements.s3_flow import SIGNAL_FLOW

KAPPA = n.eta * (n.h_j + n.omega)


def turn() -> Any:
    """A rotation of the plane with rational entries: cos and sin of an angle by the tangent of its half."""
    x = sp.Symbol("x", real=True)
    return sp.Matrix([[1 - x**2, -2 * x], [2 * x, 1 - x**2]]) / (1 + x**2)


def slope_of(matrix: Any, eps: Any, lam: Any) -> Any:
    """Rate of the eigenvalue `lam` of `matrix` at eps = 0 as eps grows, from the characteristic polynomial."""
    unknown = sp.Symbol("unknown")
    polynomial = (unknown * sp.eye(matrix.rows) - matrix).det()
    by_eps, by_lam = (sp.diff(polynomial, x).subs(eps, 0).subs(unknown, lam) for x in (eps, unknown))
    return sp.cancel(sp.together(-by_eps / by_lam))


def strength_slope(X: Any, shift: Any) -> tuple[bool, Any]:
    """Whether first-order perturbation holds, and by it the rate of σ_1² of X along `shift`, v_1 the first axis."""
    eps, m1, m2, m3 = sp.symbols("epsilon m1:4")
    lam = sp.symbols("l1:3", positive=True)
    slope = slope_of(sp.diag(*lam) + eps * sp.Matrix([[m1, m2], [m2, m3]]), eps, lam[0])
    square = (X.T * X).applyfunc(sp.cancel)
    return is_zero(slope - m1) and square.is_diagonal(), (X.T * shift + shift.T * X)[0, 0]


def energy(stated: Any) -> Proof:
    """Prove 10.1."""
    d1, d2 = sp.symbols("d1 d2", positive=True)
    u, v = turn(), turn().subs(sp.Symbol("x", real=True), sp.Symbol("w", real=True))
    X = u * sp.diag(d1, d2) * v.T
    here = stated.subs(n.W, 2).doit().subs({n.proj[s + 1]: (X * v)[s, 0] for s in range(2)})
    return conclude(
        "spectrum",
        ("X = UΣV^T, W = 2: Σ_s⟨δ_s, v_1⟩² = ‖Xv_1‖² = σ_1²", is_zero(here - d1**2)),
    )


def first_order(stated: Any) -> Proof:
    """Prove 10.1b."""
    eps = sp.Symbol("epsilon")
    lam = sp.symbols("l1:4", positive=True)
    x, y = (sp.Matrix(sp.symbols(f"{name}1:4", real=True)) for name in "xy")
    slope = slope_of(sp.diag(*lam) + eps * (x * x.T - y * y.T), eps, lam[0])
    return conclude(
        "spectrum",
        (
            "derivative of the first eigenvalue of C + ε(xx^T − yy^T) at ε = 0, C = diag(λ), 3×3",
            is_zero(slope - stated.subs({n.enters: x[0] ** 2, n.leaves: y[0] ** 2})),
        ),
    )


def power_in_out(stated: Any) -> Proof:
    """Prove 10.1c."""
    p = sp.symbols("p1:5", nonnegative=True)
    before, after = (n.eta**2 * sum(p[i : i + 3]) for i in (0, 1))
    return conclude(
        "identity",
        (
            "u = η²Σp over W = 3 records, one in and one out",
            is_zero(after - before - stated.subs({n.p_enter: p[3], n.p_leave: p[0]})),
        ),
    )


def meeting(stated: Any) -> Proof:
    """Prove 10.2."""
    a, b = sp.symbols("a b", positive=True)
    theta = sp.Symbol("theta", real=True)
    path = [theta * (1 - KAPPA) ** step for step in range(3)]
    steps = []
    for sign, name in ((1, "1 − κ > 0"), (-1, "1 − κ < 0: oscillating")):
        values = {n.h_k: (1 - a) / n.eta - n.omega, n.h_k1: (1 - sign * b) / n.eta - n.omega}
        time = sp.simplify(stated.subs(values))
        apart = sp.expand_log(sp.log(n.d_k) + time * sp.log(a) - sp.log(n.d_k1) - time * sp.log(b))
        steps.append((f"d_k|1−κ_k|^t = d_(k+1)|1−κ_(k+1)|^t at the stated t, {name}", is_zero(apart)))
    ratio = (path[2] - path[1]) - (1 - KAPPA) * (path[1] - path[0])
    return conclude(
        "identity",
        ("θ ← θ − η(hθ + ωθ): each update is 1 − κ times the one before", is_zero(ratio)),
        *steps,
    )


def _decay(rate: Any) -> bool:
    """Whether d_j of gradient flow on a quadratic, a window of updates that decay at κ, decays at -rate."""
    then, kappa = sp.Symbol("r", real=True), sp.Symbol("k", positive=True)
    energy = sp.integrate(sp.exp(-2 * kappa * then), (then, n.t - n.W, n.t))
    return is_zero(sp.simplify(sp.diff(energy, n.t) / (2 * energy) + kappa)) and is_zero(rate + KAPPA)


def measured_in_flow(stated: Any) -> Proof:
    """Prove 10.2b."""
    measured = n.d_j**2 / (n.W * n.eta**2)
    truth = -KAPPA
    return conclude(
        "identity",
        (
            "3.1 over d_j with Wη²p_j = d_j² is as stated",
            is_zero(SIGNAL_FLOW.subs(n.p_j, measured) / n.d_j - stated),
        ),
        ("a quadratic loss has ḋ_j/d_j = −κ_j", _decay(truth)),
        (
            "the stated rate exceeds it by 1/η: at no scale are they equal",
            is_positive(sp.expand(stated - truth)),
        ),
    )


def measured_in_dissipation(stated: Any) -> Proof:
    """Prove 10.2c."""
    measured = n.u_j / (n.W * n.eta**2)
    flow = -2 * KAPPA * n.u_j + n.eta**2 * n.W * measured  # theorem 12.1 with S_j + 2 G_j N_j = p_j
    truth = -KAPPA
    return conclude(
        "identity",
        ("u̇_j/(2u_j) of 12.1 with Wη²p_j = u_j is as stated", is_zero(flow / (2 * n.u_j) - stated)),
        ("a quadratic loss has ḋ_j/d_j = −κ_j", _decay(truth)),
        ("the stated rate exceeds it by one half", is_positive(sp.expand(stated - truth))),
    )


def noise_level(stated: Any) -> Proof:
    """Prove 10.2d."""
    z, w = sp.symbols("z w", real=True)  # standard normal: the parameter and the noise of the step
    update = -n.eta * (n.h_j * sp.sqrt(n.var_theta) * z + sp.sqrt(n.noise_power) * w)
    return conclude(
        "identity",
        (
            "δ = −η(hθ + ξ), ξ independent of θ: W times E δ²",
            is_zero(n.W * gaussian_mean(update**2, (z, w)) - stated),
        ),
    )


def noise_closed(stated: Any) -> Proof:
    """Prove 10.2e."""
    room, h = sp.Symbol("q", positive=True), sp.Symbol("h", positive=True)  # q = 2 − ηh
    variance = n.eta * n.noise_power / (n.h_j * (2 - n.eta * n.h_j))
    kept = (1 - n.eta * n.h_j) ** 2 * variance + n.eta**2 * n.noise_power
    level = n.W * n.eta**2 * (n.noise_power + n.h_j**2 * variance)
    return conclude(
        "identity",
        ("Var θ = ηs/(h(2 − ηh)) is kept by θ ← (1 − ηh)θ − ηξ", is_zero(kept - variance)),
        ("10.2d with it is as stated", is_zero(level - stated)),
        ("positive for 0 < ηh < 2", is_nonnegative(stated.subs(n.eta, (2 - room) / h).subs(n.h_j, h))),
    )


def sharpness(stated: Any) -> Proof:
    """Prove 10.5."""
    x, y, c = sp.symbols("x y c", positive=True)
    gram = sp.Matrix([[x**2, c * x * y], [c * x * y, y**2]])
    measure = gram.trace() ** 2 / gram.det()  # (1 + ρ)²/ρ with ρ = λ_1/λ_2: grows with the ratio
    q = sp.Symbol("q", positive=True)  # 1 − c²
    excess = sp.factor((measure - measure.subs(y, x)).subs(c, sp.sqrt(1 - q)))
    ratio = sp.Symbol("rho", positive=True)
    growth = sp.diff((2 + ratio) ** 2 / (1 + ratio), ratio)  # at λ_1/λ_2 = 1 + rho
    return conclude(
        "inequality",
        ("trace²/det of the 2×2 Gram matrix is least at d_k = d_(k+1)", is_nonnegative(excess)),
        ("it grows with the ratio of the eigenvalues", is_positive(sp.factor(growth))),
        (
            "there the eigenvalues are d²(1 ± c)",
            all(is_zero((gram.subs(y, x) - x**2 * (1 + e) * sp.eye(2)).det()) for e in (c, -c)),
        ),
        (
            "and the root of their ratio is as stated",
            is_root(stated, (1 + n.cosine) / (1 - n.cosine), cosine=sp.Rational(1, 2)),
        ),
    )


def flow_of_rows(stated: Any) -> Proof:
    """Prove 10.6b."""
    d1, d2 = sp.symbols("d1 d2", positive=True)
    u = turn()
    H, *each = (
        sp.Matrix([[a, b], [b, c]]) for a, b, c in (sp.symbols(f"{x}1:4", real=True) for x in ("h", "f", "g"))
    )
    X = u * sp.diag(d1, d2)  # v_1 and v_2 are the axes
    shift = sp.Matrix.vstack(*(-n.eta * X[s, :] * (each[s] + n.omega * sp.eye(2)) for s in range(2)))
    perturbed, slope = strength_slope(X, shift)
    rest = sum((d1, d2)[i] / d1 * u[s, 0] * u[s, i] * (each[s] - H)[0, i] for i in range(2) for s in range(2))
    return conclude(
        "spectrum",
        ("the first eigenvalue of diag(λ) + εM moves at the rate M_11", perturbed),
        (
            "derivative of σ_1 when each row moves by −η(H̄_s + ω)δ_s, W = P = 2, any H",
            is_zero(
                slope / (2 * d1) - stated.subs({n.h_j: H[0, 0], n.rest: rest, n.d_j: d1}, simultaneous=True)
            ),
        ),
    )


def flow_from_products(stated: Any) -> Proof:
    """Prove 10.6c."""
    d1, d2 = sp.symbols("d1 d2", positive=True)
    u = turn()
    X, later = u * sp.diag(d1, d2), sp.Matrix(2, 2, sp.symbols("k1:5", real=True))
    perturbed, slope = strength_slope(X, later - X)
    form = (u[:, 0].T * (later * X.T - X * X.T) * u[:, 0])[0]
    return conclude(
        "spectrum",
        ("the first eigenvalue of diag(λ) + εM moves at the rate M_11", perturbed),
        (
            "derivative of ln σ_1 along X_(t+1) − X_t, W = P = 2",
            is_zero(slope / (2 * d1**2) - stated.subs({n.shift_form: form, n.lam_j: d1**2})),
        ),
    )


def no_such_source(stated: Any) -> Proof:
    """Prove 10.6d."""
    source = SIGNAL_FLOW + KAPPA * n.d_j
    inflow = n.eta**2 * n.p_j / (2 * n.d_j)  # 10.1c: u gains η²p a record, and u̇ = 2dḋ
    return conclude(
        "identity",
        ("source of 3.1 over the inflow of 10.1c, both in ḋ_j", is_zero(sp.cancel(source / inflow) - stated)),
    )


def no_such_injection(stated: Any) -> Proof:
    """Prove 10.6e."""
    source, inflow = n.eta**2 * n.W * n.p_j, n.eta**2 * n.p_j
    return conclude(
        "identity",
        (
            "source of 12.1 over the inflow of 10.1c, both in u̇_j",
            is_zero(sp.cancel(source / inflow) - stated),
        ),
    )


def weighted() -> tuple[Any, Any, Any, Any, Any]:
    """Two updates in three dimensions, roots of a diagonal D, a symmetric H, a combination of rows, its length."""
    X = sp.Matrix(2, 3, sp.symbols("x1:7", real=True))
    root = sp.diag(*sp.symbols("r1:4", positive=True))
    H = sp.Matrix(3, 3, lambda i, j: sp.Symbol(f"h{min(i, j)}{max(i, j)}", real=True))
    return X, root, H, sp.Matrix(sp.symbols("u1:3", real=True)), sp.Symbol("d", positive=True)


def seen(stated: Any) -> Proof:
    """Prove 10.7."""
    X, root, H, u, d = weighted()
    v, B = X.T * u / d, root**-2 * H
    form = (u.T * (X * B * X.T) * u)[0]
    return conclude(
        "identity",
        (
            "v^T D^-1 H v with v = X^T u/σ, W = 2, P = 3",
            is_zero((v.T * B * v)[0] - stated.subs({n.form_response: form, n.lam_j: d**2})),
        ),
    )


def seen_symmetric(stated: Any) -> Proof:
    """Prove 10.7b."""
    X, root, H, u, d = weighted()
    v, seen = root * X.T * u / d, root**-1 * H * root**-1
    form = (u.T * (X * H * X.T) * u)[0]
    return conclude(
        "identity",
        (
            "rows XD^(1/2) have the Gram matrix XDX^T, and D^(-1/2)HD^(-1/2) on their mode is as stated, W = 2, P = 3",
            is_zero((v.T * seen * v)[0] - stated.subs({n.form_hessian: form, n.lam_tilde: d**2})),
        ),
        ("D^(-1/2)HD^(-1/2) is symmetric", seen == seen.T),
        ("and similar to D^-1 H", (root * root**-2 * H * root**-1).expand() == seen.expand()),
    )


def seen_projected(stated: Any) -> Proof:
    """Prove 10.7d."""
    # what the window spans is everything: with a basis of the span in the place of the axes this is the general case
    d = sp.symbols("d1 d2", positive=True)
    u, v = sp.eye(2), turn()  # turned rows change no form
    X, root = u * sp.diag(*d) * v.T, sp.diag(*sp.symbols("r1:3", positive=True))
    H = sp.Matrix(2, 2, lambda i, j: sp.Symbol(f"h{min(i, j)}{max(i, j)}", real=True))
    form = (u[:, 0].T * (X * root**2 * X.T).inv() * X * H * X.T * u[:, 0])[0]
    c = sp.Matrix(sp.symbols("c1 c2", real=True))
    rest = root**-2 * H * v[:, 0] - X.T * c
    return conclude(
        "identity",
        (
            "v^T D^-1 H v where it lies in the span, W = P = 2",
            is_zero(stated.subs(n.form_projected, form) - (v[:, 0].T * root**-2 * H * v[:, 0])[0]),
        ),
        (
            "c of X^T c nearest to D^-1 H v by the metric D solves XDX^T c = XHv",
            all(
                is_zero(
                    sp.diff((rest.T * root**2 * rest)[0], c[i])
                    + 2 * (X * (H * v[:, 0] - root**2 * X.T * c))[i]
                )
                for i in range(2)
            ),
        ),
    )


def seen_gradient(stated: Any) -> Proof:
    """Prove 10.7c."""
    X, root, _, u, d = weighted()
    g = sp.Matrix(sp.symbols("g1:4", real=True))
    v, form = root * X.T * u / d, (u.T * X * g)[0]
    return conclude(
        "identity",
        (
            "⟨D^(-1/2)∇L, v⟩, W = 2, P = 3",
            is_zero(((root**-1 * g).T * v)[0] - stated.subs({n.form_gradient: form, n.lam_tilde: d**2})),
        ),
    )


def taylor(stated: Any) -> Proof:
    """Prove 10.8."""
    m, x, b, c, r = sp.symbols("m x b c r", positive=True)
    pairs = sp.factor(sp.summation((n.W - m) * m**2, (m, 1, n.W - 1)))
    rows = sp.Matrix(3, 2, lambda s, i: (x + s * r * b, s * r * c)[i])
    area = (rows.T * rows).det()
    first, second = n.W * x**2, r**2 * x**2 * c**2 * pairs  # λ_1 and λ_1 λ_2 to leading order
    square = (first**2 / second).subs(c, x / n.tau_0).subs(r, n.interval)
    return conclude(
        "limit",
        (
            "rows δ + srδ′, W = 3: λ_1λ_2 is r²|δ|²|δ′_⊥|² times Σ_(s<t)(t−s)², whatever r",
            is_zero(area - 6 * (r * x * c) ** 2),
        ),
        ("Σ_(s<t)(t−s)² = W²(W²−1)/12, which is 6 for W = 3", is_zero(pairs - n.W**2 * (n.W**2 - 1) / 12)),
        ("λ_1 → W|δ|² as r → 0, W = 3", is_zero((rows.T * rows).trace().subs(r, 0) - 3 * x**2)),
        ("so λ_1/λ_2 = λ_1²/(λ_1λ_2) is the square of the stated ratio", is_root(stated, square)),
    )


def derivatives(stated: Any) -> Proof:
    """Prove 10.8b."""
    s = sp.Symbol("s")
    moments = [sp.summation((s - (n.W - 1) / 2) ** k, (s, 0, n.W - 1)) for k in range(7)]
    minors = [sp.Integer(1)] + [sp.Matrix(m, m, lambda a, b: moments[a + b]).det() for m in range(1, 5)]
    steps = []
    for i in range(4):
        square = minors[i + 1] / minors[i] * (n.length * n.interval ** (i + 1) / sp.factorial(i)) ** 2
        here = stated.subs(n.order, i)
        positive = bool(here.subs({n.W: 7, n.length: 1, n.interval: 1}) > 0)
        label = f"c_{i}², the squared length of the polynomial of degree {i} orthogonal to the lower ones"
        steps.append((label, positive and is_zero(sp.gammasimp(sp.expand(here**2)) - square)))
    return conclude("limit", *steps)
