"""Data comes in: Gram sequences from arrays, checkpoints and live training.

=====================  ==================================================================
`sequence`             `GramSequence`: K of a run, from whatever there is; `windows` of it
`inner_products`       K from vectors in one pass; `rows` says what can be read by columns
`refine`               the second pass: small singular values that squaring loses
`checkpoints`          K from files: `discovery` finds them, `files` reads them
`larger`, `sharded`    K of dask arrays; K as a sum over the ranks of a process group
`tracker`              `GramTracker`: K of a training while it runs; `stores`, `rings` and
                       `sketch` keep the updates, `recording` and `journal` the records
`probes`               Hessian-vector products for a tracker
`integrations`         PyTorch, Hugging Face Trainer, Lightning
`reading`              a sequence from whatever file or folder a user names
=====================  ==================================================================
"""

from spectral_edge.validate.gram.sequence import GramSequence
from spectral_edge.validate.gram.tracker import GramTracker
from spectral_edge.validate.gram.windows import WindowSpectra

__all__ = ["GramSequence", "GramTracker", "WindowSpectra"]
