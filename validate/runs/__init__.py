"""Data is made: real training runs that the package can repeat (torch extra).

Their bundled recordings need no PyTorch.
"""

from spectral_edge.validate.runs.bundle import bundled

__all__ = ["bundled"]
