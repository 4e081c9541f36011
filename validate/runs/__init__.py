"""Data is made: real training runs that the package can repeat, and those of a plan of your own (torch extra).

Their bundled recordings need no PyTorch.
"""

from typing import TYPE_CHECKING, Any

from spectral_edge.validate.runs.bundle import bundled

if TYPE_CHECKING:
    from spectral_edge.validate.runs.own import Plan, record

__all__ = ["Plan", "bundled", "record"]


def __getattr__(name: str) -> Any:
    if name in ("Plan", "record"):
        from spectral_edge.validate.runs import own

        return getattr(own, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
