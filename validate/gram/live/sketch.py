"""A random projection of the parameters to d numbers, so that W·d numbers are kept instead of W·P.

Every coordinate i goes to one of d/2 places of a first half and to one of d/2 of a second, each with a
random sign, all four decided by a hash of (seed, i): the projection is never stored, is the same on every
device, and E⟨Sx, Sy⟩ = ⟨x, y⟩ with a relative standard deviation of at most √(2/d) per entry (for the mean
over the two halves). It is linear, so the projection of an update is the difference of two projections of
parameters, and not even the previous parameters are kept. Each half estimates K by itself; from their
difference the error of R is measured (`WindowSpectra.ratio_error`). Section 8.6 of docs/theory.md.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.live.rings import host_view

GOLDEN = 0x9E3779B97F4A7C15
MIX_1, MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
#: Coordinates hashed at a time on a device.
BLOCK = 1 << 20


def project(array: Any, out: NDArray[np.float64], seed: int, offset: int) -> None:
    """Add the projection of `array`, whose first coordinate has number `offset`, to `out` (d,)."""
    flat = host_view(array)
    if flat is not None:
        from spectral_edge.validate.gram.arrays.kernels import add_sketch

        add_sketch(flat, np.uint64(seed), np.uint64(offset), out)
    elif hasattr(array, "detach"):
        out += project_torch(array, len(out), seed, offset)
    else:
        raise ValueError(f"sketch needs numpy or torch arrays, got {type(array).__name__} on a device")


def project_torch(array: Any, d: int, seed: int, offset: int) -> NDArray[np.float64]:
    """The same projection by torch, on the device where `array` lives."""
    import torch

    def signed(word: int) -> int:
        return word - (1 << 64) if word >= 1 << 63 else word

    def shifted(x: Any, by: int) -> Any:  # as of unsigned words
        return (x >> by) & ((1 << (64 - by)) - 1)

    flat, half = array.detach().reshape(-1), d // 2
    found = torch.zeros(d, dtype=torch.float64, device=flat.device)
    for start in range(0, flat.numel(), BLOCK):
        values = flat[start : start + BLOCK].to(torch.float64)
        index = torch.arange(values.numel(), device=flat.device) + (offset + start + 1)
        z = index * signed(GOLDEN) + signed((seed * MIX_2) % (1 << 64))
        z = (z ^ shifted(z, 30)) * signed(MIX_1)
        z = (z ^ shifted(z, 27)) * signed(MIX_2)
        z = z ^ shifted(z, 31)
        for side in (0, 1):
            word = z & 0xFFFFFFFF if side == 0 else shifted(z, 32)
            place = side * half + ((word >> 1) * half >> 31)
            found.index_add_(0, place, torch.where((word & 1) == 1, values, -values))
    return np.asarray((found / np.sqrt(2)).cpu().numpy())
