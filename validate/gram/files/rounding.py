"""How much of an update is the rounding of the parameters as they were stored."""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.files.tensors import STORED

Floats = NDArray[np.float64]
#: The probe that holds the expected ⟨δ_t, δ_t⟩ of the rounding of the stored parameters alone, (T,).
STORAGE = "storage_rounding"


class Rounding:
    """Σ ulp²/12 of every snapshot, gathered block by block on any number of threads.

    A number x that is stored with p bits of fraction is off by up to half of ulp = 2^(⌊log₂|x|⌋ − p), uniformly: its
    error has the variance ulp²/12. Entries that never change have none that matters, and zeros are exact.

    Parameters
    ----------
    stored : list of str
        The type in which each snapshot is stored.
    dtype : numpy.dtype
        float32 or float64, what the blocks are.
    """

    def __init__(self, stored: list[str], dtype: np.dtype[Any]) -> None:
        self._stored, self._wide = stored, dtype.itemsize == 8
        self._counts = np.zeros((len(stored), 2048 if self._wide else 256), np.int64)
        self._lock = threading.Lock()

    def add(self, block: NDArray[Any]) -> None:
        """Take account of a block of columns, (n, columns) float32 or float64."""
        from spectral_edge.validate.gram.arrays.kernels import count_exponents, that_move

        bits = block.view(np.uint64 if self._wide else np.uint32)
        shift, mask = (np.uint64(52), np.uint64(0x7FF)) if self._wide else (np.uint32(23), np.uint32(0xFF))
        moves, counts = that_move(bits), np.zeros(self._counts.shape[1], np.int64)
        for row, total in zip(bits, self._counts, strict=True):
            count_exponents(row, moves, shift, mask, counts)
            with self._lock:  # whole numbers: the order does not matter
                total += counts
            counts[:] = 0

    def energy(self) -> Floats:
        """The expected squared norm of the rounding error of each snapshot, (n,), parameter units²."""
        exponents = np.arange(self._counts.shape[1]) - (1023 if self._wide else 127)
        return np.array(
            [
                counts @ rounding_variance(exponents, dtype)
                for counts, dtype in zip(self._counts, self._stored, strict=True)
            ]
        )


def rounding_variance(exponents: NDArray[np.integer[Any]], dtype: str) -> Floats:
    """Variance ulp²/12 of the rounding of numbers of these binary exponents, ⌊log₂|x|⌋, stored as `dtype`."""
    _, fraction, lowest = STORED[dtype]
    return np.asarray(np.exp2(2.0 * (np.clip(exponents, lowest, 511) - fraction)) / 12)
