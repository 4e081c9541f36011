"""What a tracker keeps of the last updates of all tensors: the updates, or their projections."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.live.rings import DeviceRing, HostRing, make_ring
from spectral_edge.validate.gram.parameters import device_name

Floats = NDArray[np.float64]


class Exact:
    """The last updates of every tensor."""

    def __init__(self, arrays: Mapping[str, Any], length: int, store: str | None) -> None:
        self._length = length
        self._rings: dict[str, HostRing | DeviceRing] = {
            name: make_ring(array, length, store) for name, array in arrays.items()
        }

    def advance(self, arrays: Mapping[str, Any], slot: int) -> Floats:
        """Put the new updates into `slot`; their products with every slot."""
        return self._total([self._rings[name].advance(array, slot) for name, array in arrays.items()])

    def inner(self, arrays: Mapping[str, Any]) -> Floats:
        """Products of another vector with the update in every slot."""
        return self._total([self._rings[name].inner(array) for name, array in arrays.items()])

    def _total(self, products: list[Any]) -> Floats:
        """The sum over tensors: on each device first, so that one small vector per device comes to the host."""
        sums: dict[str, Any] = {}
        for product in products:
            device = device_name(product)
            sums[device] = product if device not in sums else sums[device] + product
        total = np.zeros(self._length)
        for product in sums.values():
            host = product.cpu().numpy() if hasattr(product, "cpu") else product
            total += np.asarray(host if isinstance(host, np.ndarray) else [float(x) for x in host])
        return total

    def not_finite(self, arrays: Mapping[str, Any]) -> str | None:
        """Name of the first tensor that holds NaN or infinity, if there is one."""
        return next((name for name, ring in self._rings.items() if not ring.finite()), None)

    def curvature(self, hessian: Callable[[dict[str, Any]], Mapping[str, Any]], latest: int) -> Floats:
        """δ_sᵀHδ_r by slot, symmetrised; NaN for slots not yet filled."""
        filled = range(min(latest + 1, self._length))
        found = np.full((self._length, self._length), np.nan)
        for slot in filled:
            direction = {name: ring.direction(slot) for name, ring in self._rings.items()}
            curved = hessian(direction)
            found[slot] = self.inner({name: curved[name] for name in self._rings})
        return np.asarray((found + found.T) / 2)

    def state(self) -> dict[str, Any]:
        """All that is kept, for `load`."""
        return {name: ring.state() for name, ring in self._rings.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        for name, ring in self._rings.items():
            ring.load(state[name])


class Sketched:
    """Projections of the last updates, and of the last parameters."""

    def __init__(self, arrays: Mapping[str, Any], length: int, d: int, seed: int) -> None:
        self._d, self._seed = d, seed
        self._updates = np.zeros((length, self._d))
        self._previous = self._project(arrays)

    def _project(self, arrays: Mapping[str, Any]) -> Floats:
        from spectral_edge.validate.gram.live.sketch import project

        out, offset = np.zeros(self._d), 0
        for array in arrays.values():
            project(array, out, self._seed, offset)
            offset += int(np.prod(array.shape))
        return out

    def _halves(self, vector: Floats) -> Floats:
        """Products with every slot as each half estimates them, (2, length)."""
        half = self._d // 2
        return np.stack(
            [2 * self._updates[:, :half] @ vector[:half], 2 * self._updates[:, half:] @ vector[half:]]
        )

    def advance(self, arrays: Mapping[str, Any], slot: int) -> Floats:
        """Put the new updates into `slot`; their products with every slot."""
        now = self._project(arrays)
        self._updates[slot] = now - self._previous
        self._previous = now
        return self._halves(self._updates[slot])

    def inner(self, arrays: Mapping[str, Any]) -> Floats:
        """Products of another vector with the update in every slot."""
        return self._halves(self._project(arrays))

    def not_finite(self, arrays: Mapping[str, Any]) -> str | None:
        """Name of the first tensor that holds NaN or infinity, if there is one."""
        for name, array in arrays.items():
            if not np.isfinite(self._project({name: array})).all():
                return name
        return None

    def state(self) -> dict[str, Any]:
        """All that is kept, for `load`."""
        return {"previous": self._previous.tolist(), "updates": self._updates.tolist()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._previous, self._updates = np.array(state["previous"]), np.array(state["updates"])
