"""The propositions of each section with their proofs; `theory.propositions()` gathers them."""

from functools import cache
from importlib import import_module

from spectral_edge.theory.proposition import Proposition, check_registry

SECTIONS = tuple(f"section_{number}" for number in range(1, 10))


@cache
def registry() -> tuple[Proposition, ...]:
    """All propositions in order, checked against each other."""
    modules = (import_module(f"{__name__}.{name}") for name in SECTIONS)
    return check_registry(proposition for module in modules for proposition in module.PROPOSITIONS)
