"""Exact expectations of polynomials in independent standard normal variables."""

from typing import Any

import sympy as sp


def gaussian_mean(expression: Any, normals: tuple[Any, ...]) -> Any:
    """Expectation of a polynomial in independent standard normals: E z^n = (n - 1)!! for even n."""
    total = sp.Integer(0)
    for powers, coefficient in sp.Poly(sp.expand(expression), *normals).terms():
        if all(power % 2 == 0 for power in powers):
            total += coefficient * sp.prod([sp.factorial2(power - 1) for power in powers])
    return sp.expand(total)


def gaussian_variance(expression: Any, normals: tuple[Any, ...]) -> Any:
    """Variance of a polynomial in independent standard normals."""
    return sp.expand(gaussian_mean(expression**2, normals) - gaussian_mean(expression, normals) ** 2)
