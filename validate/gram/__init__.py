"""Data comes in: Gram sequences from arrays, checkpoints and live training."""

from spectral_edge.validate.gram.sequence import GramSequence
from spectral_edge.validate.gram.tracker import GramTracker
from spectral_edge.validate.gram.windows import WindowSpectra

__all__ = ["GramSequence", "GramTracker", "WindowSpectra"]
