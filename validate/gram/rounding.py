"""How much of an update is the rounding of the parameters it is the difference of."""

from typing import Any

import numpy as np

from spectral_edge.validate.gram.parameters import dtype_name, size

#: Significant bits of the floating types.
BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
#: How many entries of a tensor are looked at.
SAMPLE = 1 << 20


def rounding_floor(array: Any) -> float:
    """Σ ulp²/12 over the entries of `array`: the mean squared error of rounding them once, parameter units².

    Updates that are differences of rounded parameters hold an error of this squared length each, nearly the same in
    every window and in no direction: no singular value of a window is seen below its root. Of a large tensor evenly
    spaced entries are looked at.

    Examples
    --------
    >>> rounding_floor(np.full(12, 1.5, dtype=np.float32)) == 2.0**-46
    True
    """
    n = size(array)
    if not n:
        return 0.0
    step = -(-n // SAMPLE)
    if hasattr(array, "detach"):
        values = array.detach().reshape(-1)[::step].double().cpu().numpy()
    else:
        values = np.asarray(array).reshape(-1)[::step].astype(np.float64)
    _, exponent = np.frexp(values)
    ulp = np.where(values == 0, 0.0, np.ldexp(1.0, exponent - BITS[dtype_name(array)]))
    return float(np.mean(ulp**2) * n / 12)
