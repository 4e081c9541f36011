"""The spectral edge thesis as an instrument: state it, simulate it, test it.

Three floors, one thing that flows:

``spectral_edge.theory``
    what is claimed: definitions, propositions, closed forms;
``spectral_edge.simulate``
    worlds in which the claims can be watched: gap ODE, noise, planted signals;
``spectral_edge.validate``
    claims against data: Gram sequences, recorded runs, verdicts, report.

The floors load when they are first used, so that ``import spectral_edge`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectral_edge import simulate, theory, validate

__version__ = "0.2.0"
__all__ = ["__version__", "simulate", "theory", "validate"]

_FLOORS = ("theory", "simulate", "validate")


def __getattr__(name: str) -> Any:
    if name in _FLOORS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
