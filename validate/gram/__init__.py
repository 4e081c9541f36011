"""Data comes in: Gram sequences from arrays, checkpoints and live training.

=====================  ==================================================================
`sequence`             `GramSequence`: K of a run, from whatever there is; `windows` of it
`storage`, `checks`    sequences as files; what an array must be to be one
`parameters`           which tensors of a model or a file count as its parameters
`arrays`               K of vectors in memory, memory maps and dask arrays, and the second
                       pass for small singular values that squaring loses
`files`                K of checkpoints: found, ordered, read tensor by tensor
`live`                 `GramTracker`: K of a training while it runs, safe on disk
`integrations`         PyTorch, Hugging Face Trainer, Lightning
=====================  ==================================================================
"""

from spectral_edge.validate.gram.live.tracker import GramTracker
from spectral_edge.validate.gram.sequence import GramSequence
from spectral_edge.validate.gram.windows import WindowSpectra

__all__ = ["GramSequence", "GramTracker", "WindowSpectra"]
