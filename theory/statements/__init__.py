"""What is said of the ground floor: the propositions of each section with their proofs.

One file per section, ``s<number>_<subject>.py``; a new one is found by its name. `theory.propositions()` gathers them.
"""

import re
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from spectral_edge.theory.statements.proposition import Proposition, check_registry


def sections() -> dict[int, str]:
    """Name of the module of each section, by its number."""
    found = (re.fullmatch(r"s(\d+)_\w+", module.name) for module in iter_modules(__path__))
    return dict(sorted((int(match[1]), match[0]) for match in found if match))


@cache
def registry() -> tuple[Proposition, ...]:
    """All propositions in order, checked against each other."""
    modules = (import_module(f"{__name__}.{name}") for name in sections().values())
    return check_registry(proposition for module in modules for proposition in module.PROPOSITIONS)
