"""Spectral loss decomposition."""

from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.proposition import Proof, Proposition, conclude, is_zero

MODES = sp.Sum(n.G_train[n.j] * n.G_val[n.j], (n.j, 1, n.W))
STABLE = sp.Sum(n.alpha[n.j] * n.G_train[n.j] * n.G_val[n.j], (n.j, 1, n.W))
UNSTABLE = sp.Sum((1 - n.alpha[n.j]) * sp.Abs(n.G_train[n.j] * n.G_val[n.j]), (n.j, 1, n.W))


def _exact(stated: Any) -> Proof:
    """Two modes in three parameters, any orthonormal pair and any window with those modes."""
    half = sp.symbols("t1:4", real=True)  # Rodrigues parameters: rational rotations of R³
    x, y, z = half
    skew = sp.Matrix([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = (sp.eye(3) + skew) * (sp.eye(3) - skew).inv()
    V = rotation[:, :2]
    angle = sp.Symbol("phi", real=True)
    U = sp.Matrix([[sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)]])
    sigma = sp.symbols("s1 s2", positive=True)
    X = U * sp.diag(*sigma) * V.T
    train, val = sp.Matrix(sp.symbols("a1:4", real=True)), sp.Matrix(sp.symbols("b1:4", real=True))
    # G_j = sum_s u_js <grad L, delta_s>/sigma_j, from inner products with the updates
    G = [[(U[:, j].T * X * grad)[0] / sigma[j] for j in range(2)] for grad in (train, val)]
    by_projection = all(
        is_zero(G[i][j] - (V[:, j].T * grad)[0]) for i, grad in enumerate((train, val)) for j in range(2)
    )
    left = sp.eye(3) - V * V.T
    outside = ((left * train).T * (left * val))[0]
    here = stated.subs(n.W, 2).doit().subs(n.outside, outside)
    for j in (1, 2):
        here = here.subs({n.G_train[j]: (V[:, j - 1].T * train)[0], n.G_val[j]: (V[:, j - 1].T * val)[0]})
    total = n.eta * (train.T * val)[0]
    return conclude(
        "spectrum",
        ("G_j from inner products with the updates is ⟨∇L, v_j⟩ (W = 2, P = 3)", by_projection),
        (
            "the sum over modes and the part outside add up to η⟨∇L_train, ∇L_val⟩",
            is_zero(sp.factor(total - here)),
        ),
    )


def lagrange_identity() -> bool:
    """Cauchy-Schwarz in three dimensions: |x|²|y|² − ⟨x,y⟩² is a sum of squares."""
    x, y = sp.symbols("x1:4", real=True), sp.symbols("y1:4", real=True)
    room = sum(a**2 for a in x) * sum(b**2 for b in y) - sum(a * b for a, b in zip(x, y, strict=True)) ** 2
    squares = sum((x[i] * y[j] - x[j] * y[i]) ** 2 for i in range(3) for j in range(i))
    return is_zero(room - squares)


def _bound(stated: Any) -> Proof:
    error, bound = stated.lts, stated.gts
    exact = n.eta * (MODES + n.outside)
    two = {n.W: 2}
    inner = (exact - n.eta * STABLE).subs(two).doit()
    terms = sum((1 - n.alpha[j]) * n.G_train[j] * n.G_val[j] for j in (1, 2))
    triangle = (
        sum((1 - n.alpha[j]) * sp.Abs(n.G_train[j] * n.G_val[j]) for j in (1, 2)) + n.norm_train * n.norm_val
    )
    share, product = sp.Symbol("beta", nonnegative=True), sp.Symbol("x", real=True)
    written = error.args[0].subs(two).doit().subs(n.descent, exact.subs(two).doit())
    return conclude(
        "inequality",
        (
            "the error is η[Σ(1−α_j)G_jG_j + outside] (two modes)",
            is_zero(inner - n.eta * (terms + n.outside)),
        ),
        ("which is what the statement bounds", isinstance(error, sp.Abs) and is_zero(written - inner)),
        (
            "the bound is term by term its triangle inequality",
            is_zero(bound.subs(two).doit() - n.eta * triangle),
        ),
        ("|(1−α)x| = (1−α)|x| for α ≤ 1", is_zero(sp.Abs(share * product) - share * sp.Abs(product))),
        ("Cauchy-Schwarz outside: the room is a sum of squares", lagrange_identity()),
    )


PROPOSITIONS = (
    Proposition(
        "6.1", "D", "Spectral loss decomposition", sp.Eq(n.descent, n.eta * (MODES + n.outside)),
        "Gradient flow: −L̇_val = η⟨∇L_train, ∇L_val⟩, and Π = Σv_jv_j^T splits the product. "
        "G_j = Σ_s u_js⟨∇L, δ_s⟩/σ_j needs inner products with the updates only.",
        condition="Gradient flow on the training loss; v_j orthonormal.", proof=_exact, function="loss_decomposition",
    ),
    Proposition(
        "6.2", "T", "The stable part, with a bound",
        sp.Le(sp.Abs(n.descent - n.eta * STABLE), n.eta * (UNSTABLE + n.norm_train * n.norm_val)),
        "The thesis puts η Σ α_jG_j^trainG_j^val for the descent; this is how far that can be off. Triangle inequality "
        "over the modes, Cauchy-Schwarz outside them.",
        condition="0 ≤ α_j ≤ 1.", depends_on=("6.1", "5.3"), source="thesis, bounded here", proof=_bound,
        function="loss_decomposition",
    ),
    Proposition(
        "6.3", "T", "Importance of a mode", sp.Eq(n.importance, n.alpha_j * n.Gt_j * n.Gv_j),
        "To be compared with the measured change of the loss when v_j is projected out of the parameters.",
        depends_on=("6.2",), source="thesis", unproved="a claim about measured losses: a prediction tests it",
        function="loss_decomposition",
    ),
)  # fmt: skip
