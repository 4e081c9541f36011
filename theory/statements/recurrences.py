"""Proofs of section 10 that start from an optimiser's update rule: its recurrence of updates, carried on."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import sympy as sp

from spectral_edge.theory.statements import notation as n
from spectral_edge.theory.statements.proposition import (
    Proof,
    conclude,
    is_nonnegative,
    is_root,
    is_zero,
    says,
)


def _by_rule(step: Callable[[Any, Any, Any], tuple[Any, Any]], D: Any = 1) -> tuple[Any, dict[Any, Any]]:
    """Third of three updates of one component by `step`(θ, buffer, gradient), and what it is to follow from."""
    theta, buffer, *g = sp.symbols("theta b g1:4", real=True)
    path = [theta]
    for gradient in g:
        theta, buffer = step(theta, buffer, gradient)
        path.append(theta)
    updates = [after - before for before, after in pairwise(path)]
    known = {n.delta_prev: updates[0], n.delta_s: updates[1]}
    changed = (g[2] - g[1]) / D  # D^-1 of the change of the gradient over an update: D^-1 H δ_s
    return updates[2], {**known, n.response: changed, n.mean_response: changed}


def _obeys(stated: Any, step: Callable[[Any, Any, Any], tuple[Any, Any]], D: Any = 1) -> bool:
    update, values = _by_rule(step, D)
    return is_zero(update - stated.subs(values, simultaneous=True))


def _descent(theta: Any, buffer: Any, g: Any) -> tuple[Any, Any]:
    return theta - n.eta * (g + n.omega * theta), buffer


def gradient_descent(stated: Any) -> Proof:
    """Prove 10.3."""
    return conclude(
        "identity",
        ("θ ← θ − η(∇L + ωθ), with ∇L(θ_s) − ∇L(θ_(s−1)) = Hδ_s", _obeys(stated, _descent)),
    )


def heavy_ball(stated: Any) -> Proof:
    """Prove 10.3b."""

    def step(theta: Any, b: Any, g: Any) -> tuple[Any, Any]:
        b = n.momentum * b + g
        return theta - n.eta * b - n.eta * n.omega * theta, b

    return conclude("identity", ("b ← βb + ∇L, θ ← θ − ηb − ηωθ", _obeys(stated, step)))


def heavy_ball_coupled(stated: Any) -> Proof:
    """Prove 10.3c."""

    def step(theta: Any, b: Any, g: Any) -> tuple[Any, Any]:
        b = n.momentum * b + g + n.omega * theta
        return theta - n.eta * b, b

    return conclude("identity", ("b ← βb + ∇L + ωθ, θ ← θ − ηb", _obeys(stated, step)))


def adam(stated: Any) -> Proof:
    """Prove 10.3d."""
    D = sp.Symbol("D_i", positive=True)

    def step(theta: Any, m: Any, g: Any) -> tuple[Any, Any]:
        m = n.momentum * m + (1 - n.momentum) * g
        return theta - n.eta * m / D - n.eta * n.omega * theta, m

    return conclude(
        "identity", ("m ← β₁m + (1 − β₁)∇L, θ ← θ − ηD^-1 m − ηωθ, D held", _obeys(stated, step, D))
    )


def outside_of_span() -> tuple[Any, Any, Any]:
    """B = D^-1 H of size 3 and an update in the plane of the first two axes: B·δ, its part there and the rest of it."""
    B = sp.Matrix(3, 3, sp.symbols("b1:10", real=True))
    y = sp.Matrix(sp.symbols("y1:3", real=True))
    V = sp.Matrix([[1, 0], [0, 1], [0, 0]])
    full = B * V * y
    inside = V.T * B * V * y
    return full, inside, full - V * inside


def row_error(stated: Any) -> Proof:
    """Prove 10.3e."""
    full, inside, rest = outside_of_span()
    V = sp.Matrix([[1, 0], [0, 1], [0, 0]])
    error = -n.step_size * full + V * n.step_size * inside  # the true row less the propagated one
    size = sum(entry**2 for entry in rest)
    here = stated.subs(n.outside_response, sp.sqrt(size))
    return conclude(
        "identity",
        (
            "W = 2, P = 3: the two rows differ by η′ times the response off the plane, all else being in it",
            is_root(here, sum(entry**2 for entry in error)),
        ),
    )


def outside(stated: Any) -> Proof:
    """Prove 10.3f."""
    full, inside, rest = outside_of_span()
    sizes = [sp.sqrt(sum(entry**2 for entry in part)) for part in (full, inside)]
    here = stated.subs({n.response_norm: sizes[0], n.inside_response: sizes[1]})
    return conclude("identity", ("Pythagoras, W = 2, P = 3", is_root(here, sum(entry**2 for entry in rest))))


def invariant(stated: Any) -> Proof:
    """Prove 10.3g."""
    A = sp.Matrix(2, 2, sp.symbols("a1:5", real=True))
    B = sp.Matrix(
        sp.BlockMatrix([[A, sp.Matrix(2, 1, sp.symbols("c1:3"))], [sp.zeros(1, 2), sp.Matrix([[5]])]])
    )
    V = sp.Matrix([[1, 0], [0, 1], [0, 0]])
    P, Q = sp.symbols("P Q", real=True)  # y_{s+1} = (P − η′A)y_s − Q y_{s−1}
    before, now = (sp.Matrix(sp.symbols(f"{name}1:3", real=True)) for name in "xy")
    held, true_before, true_now = B * V == V * A, V * before, V * now
    for _ in range(3):
        before, now = now, P * now - n.step_size * A * now - Q * before
        true_before, true_now = true_now, P * true_now - n.step_size * B * true_now - Q * true_before
        held &= all(is_zero(entry) for entry in true_now - V * now)
    exact = {"outside_response": 0, "row_error": 0}
    return conclude(
        "spectrum",
        ("the statement: nothing outside, no error", says(stated, exact, {**exact, "row_error": 1})),
        ("D^-1 H V = VA: three rows of the recurrence stay V times those with A (W = 2, P = 3)", bool(held)),
    )


def records(stated: Any) -> Proof:
    """Prove 10.3h."""
    c1, c2, Z1, Z2 = sp.symbols("C1 C2 Z1 Z2", nonzero=True)
    powers = {n.z_1**n.interval: Z1, n.z_2**n.interval: Z2}
    sums = {n.block: c1 + c2, n.block_prev: c1 / Z1 + c2 / Z2}
    i = sp.symbols("i", integer=True, positive=True)
    trace, product = n.z_1 + n.z_2, n.z_1 * n.z_2
    powers_of_roots = n.z_1**i + n.z_2**i
    later = (
        powers_of_roots.subs(i, i + 1) - trace * powers_of_roots + product * powers_of_roots.subs(i, i - 1)
    )
    three = sum(n.z_1 ** (3 + k) for k in range(3)) - n.z_1**3 * sum(n.z_1**k for k in range(3))
    return conclude(
        "identity",
        ("a sum of r terms c·z^s is z^r times the sum of the r terms before, r = 3", is_zero(three)),
        (
            "so S_k = C_1 z_1^(rk) + C_2 z_2^(rk) obeys the stated recurrence",
            is_zero(stated.subs(powers).subs(sums) - c1 * Z1 - c2 * Z2),
        ),
        (
            "z_1^r + z_2^r follows from P = z_1 + z_2 and Q = z_1 z_2 alone: L_(i+1) = P L_i − Q L_(i−1)",
            is_zero(sp.powsimp(sp.expand(later))),
        ),
    )


def fitted(stated: Any) -> Proof:
    """Prove 10.4."""
    rows = sp.symbols("r1:5", real=True)
    b, first = sp.symbols("b f", positive=True)
    error = sum((rows[s + 1] - b * rows[s]) ** 2 for s in range(3))

    def at(values: Any) -> Any:
        return stated.subs(n.W, 4).doit().subs({n.y[s + 1]: values[s] for s in range(4)})

    B = sp.Matrix([[sp.Rational(9, 10), 1], [0, sp.Rational(-1, 2)]])
    path = [sp.Matrix([1, 2])]
    path += [B * path[0], B**2 * path[0]]
    fitted = sp.Matrix.hstack(*path[1:]) * sp.Matrix.hstack(*path[:2]).inv()
    return conclude(
        "identity",
        (
            "the squared error of y_(s+1) = b y_s is stationary there, W = 4",
            is_zero(sp.diff(error, b).subs(b, at(rows))),
        ),
        ("and least, being a square in b", is_nonnegative(sp.diff(error, b, 2))),
        ("rows f·b^s give b back", is_zero(at([first * b**s for s in range(4)]) - b)),
        ("q = 2: three rows in a plane give their matrix back", fitted == B),
    )


def transport(stated: Any) -> Proof:
    """Prove 10.6: what a step does to an update, whatever the loss."""
    x, y, dx, dy, s = sp.symbols("x y dx dy s", real=True)
    c = sp.symbols("c1:10", real=True)
    quartic = sum(a * x ** (4 - i) * y**i for i, a in enumerate(c[:5]))
    loss = quartic + sum(a * x ** (3 - i) * y**i for i, a in enumerate(c[5:]))
    point = {x: x + s * dx, y: y + s * dy}
    hessian = sp.hessian(loss, (x, y)).subs(point, simultaneous=True)
    mean = hessian.applyfunc(lambda entry: sp.integrate(sp.expand(entry), (s, 0, 1)))
    gradient = sp.Matrix([loss]).jacobian((x, y)).T
    moved = gradient.subs(point, simultaneous=True).subs(s, 1) - gradient
    return conclude(
        "identity",
        (
            "∇L(θ + δ) − ∇L(θ) = H̄δ, H̄ the mean of H along δ: any loss of degree 3 and 4 in the plane",
            all(is_zero(entry) for entry in moved - mean * sp.Matrix([dx, dy])),
        ),
        ("with it θ ← θ − η(∇L + ωθ) gives the stated update", _obeys(stated, _descent)),
    )
