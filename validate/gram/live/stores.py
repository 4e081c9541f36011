"""What a tracker keeps of the last updates of all tensors: the updates, or their projections."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.live.rings import DeviceRing, HostRing, make_ring
from spectral_edge.validate.gram.parameters import device_name, size

Floats = NDArray[np.float64]


class Exact:
    """The last updates of every tensor."""

    def __init__(self, length: int, store: str | None) -> None:
        self._length, self._store = length, store
        self._rings: dict[str, HostRing | DeviceRing] = {}

    def join(self, arrays: Mapping[str, Any]) -> None:
        """Take in tensors that have not been moved so far."""
        self._rings |= {name: make_ring(array, self._length, self._store) for name, array in arrays.items()}

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

    def direction(self, slot: int) -> dict[str, Any]:
        """The update in `slot`, by name."""
        return {name: ring.direction(slot) for name, ring in self._rings.items()}

    def moved(self, name: str, stride: int) -> NDArray[np.bool_]:
        """Which of every `stride`-th entry of a tensor any of the updates has changed."""
        return self._rings[name].moved(stride)

    def not_finite(self, arrays: Mapping[str, Any]) -> str | None:
        """Name of the first tensor that holds NaN or infinity, if there is one."""
        return next((name for name, ring in self._rings.items() if not ring.finite()), None)

    def state(self) -> dict[str, Any]:
        """All that is kept, for `load`."""
        return {name: ring.state() for name, ring in self._rings.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        for name, ring in self._rings.items():
            if name in state:  # else it has not been moved until now
                ring.load(state[name])


class Sketched:
    """Projections of the last updates, and of the last parameters."""

    def __init__(self, length: int, d: int, seed: int) -> None:
        self._d, self._seed = d, seed
        self._updates = np.zeros((length, self._d))
        self._previous = np.zeros(self._d)
        self._size = 0

    def join(self, arrays: Mapping[str, Any]) -> None:
        """Take in tensors that have not been moved so far; they come last from now on."""
        self._previous += self._project(arrays, self._size)
        self._size += sum(map(size, arrays.values()))

    def _project(self, arrays: Mapping[str, Any], offset: int = 0) -> Floats:
        from spectral_edge.validate.gram.live.sketch import project

        out = np.zeros(self._d)
        for array in arrays.values():
            project(array, out, self._seed, offset)
            offset += size(array)
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

    def moved(self, name: str, stride: int) -> None:
        """None: of single entries nothing is kept."""

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


class Parts:
    """The stores of all groups of parameters; a run recorded as a whole has one group, "".

    Parameters
    ----------
    groups : mapping of str to str
        The group of every tensor, of those too that may join later.
    make : callable
        Makes an empty store.
    """

    def __init__(self, groups: Mapping[str, str], make: Callable[[], Exact | Sketched]) -> None:
        self._groups = dict(groups)
        self._stores = {group: make() for group in dict.fromkeys(groups.values())}

    def _split(self, arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {group: {} for group in self._stores}
        for name, array in arrays.items():
            found[self._groups[name]][name] = array
        return found

    def join(self, arrays: Mapping[str, Any]) -> None:
        """Take in tensors that have not been moved so far."""
        for group, own in self._split(arrays).items():
            self._stores[group].join(own)

    def advance(self, arrays: Mapping[str, Any], slot: int) -> dict[str, Floats]:
        """Put the new updates into `slot`; their products with every slot, by group."""
        return {group: self._stores[group].advance(own, slot) for group, own in self._split(arrays).items()}

    def inner(self, arrays: Mapping[str, Any]) -> Floats:
        """Products of another vector with the update in every slot, over all groups."""
        found = [self._stores[group].inner(own) for group, own in self._split(arrays).items()]
        return np.asarray(sum(found))

    def direction(self, slot: int) -> dict[str, Any]:
        """The update in `slot`, by name."""
        found: dict[str, Any] = {}
        for store in self._stores.values():
            assert isinstance(store, Exact)  # a sketch has no directions; the tracker has looked
            found |= store.direction(slot)
        return found

    def moved(self, name: str, stride: int) -> NDArray[np.bool_] | None:
        """Which of every `stride`-th entry of a tensor any of the updates has changed; None of a sketch."""
        return self._stores[self._groups[name]].moved(name, stride)

    def not_finite(self, arrays: Mapping[str, Any]) -> str | None:
        """Name of the first tensor that holds NaN or infinity, if there is one."""
        found = (self._stores[group].not_finite(own) for group, own in self._split(arrays).items())
        return next((name for name in found if name is not None), None)

    def state(self) -> dict[str, Any]:
        """All that is kept, for `load`."""
        return {group: store.state() for group, store in self._stores.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        for group, store in self._stores.items():
            store.load(state[group])
