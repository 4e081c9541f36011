"""Data is made: real training runs that the package can repeat, and those of a plan of your own (torch extra).

Their bundled recordings need no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spectral_edge.validate.runs.bundle import bundled

if TYPE_CHECKING:
    from spectral_edge.validate.runs.own.plan import Plan
    from spectral_edge.validate.runs.own.recording import record

__all__ = ["Plan", "bundled", "record"]

_OWN = {"Plan": "plan", "record": "recording"}


def __getattr__(name: str) -> Any:
    if name in _OWN:
        return getattr(import_module(f"{__name__}.own.{_OWN[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
