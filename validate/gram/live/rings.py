"""The last updates of one tensor: on the host by a fused kernel, on other devices by their own arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.arrays.inner_products import advance_ring
from spectral_edge.validate.gram.arrays.rows import native
from spectral_edge.validate.gram.parameters import dtype_name

#: Columns that a device multiplies in float64 at a time.
DEVICE_BLOCK = 1 << 20


def make_ring(theta: Any, length: int, store: str | None) -> "HostRing | DeviceRing":
    """A ring of `length` updates of a tensor like `theta`, kept where it lives, in the dtype `store`."""
    return (
        HostRing(theta, length, store) if host_view(theta) is not None else DeviceRing(theta, length, store)
    )


def host_view(array: Any) -> NDArray[Any] | None:
    """`array` flat as numpy float32 or float64, without a copy where it can be; None if on another device."""
    if hasattr(array, "detach"):  # torch
        if array.device.type != "cpu":
            return None
        flat = array.detach().reshape(-1)
        return native(flat.float().numpy() if dtype_name(array) == "bfloat16" else flat.numpy())
    if not isinstance(array, np.ndarray):
        if array.__dlpack_device__()[0] != 1:  # kDLCPU
            return None
        array = np.asarray(array) if hasattr(array, "__array__") else np.from_dlpack(array)
    return native(np.ascontiguousarray(array).reshape(-1))


class HostRing:
    """Updates of a tensor in ordinary memory, one row each."""

    def __init__(self, theta: Any, length: int, store: str | None) -> None:
        first = host_view(theta)
        assert first is not None  # make_ring has looked
        self._torch, self._shape, self._dtype = hasattr(theta, "detach"), tuple(theta.shape), theta.dtype
        kinds: dict[str | None, Any] = {
            None: first.dtype,
            "float32": np.float32,
            "float64": np.float64,
            "bfloat16": np.uint16,
        }
        self.previous = first.copy()
        self.updates = np.zeros((length, first.size), kinds[store])

    def advance(self, theta: Any, slot: int) -> Any:
        """Put θ − θ_previous into row `slot`; its products with every row, float64."""
        now = host_view(theta)
        assert now is not None
        return advance_ring(now, self.previous, self.updates, slot)

    def inner(self, vector: Any) -> Any:
        """Products of `vector` with every row, float64."""
        q, step = host_view(vector), 1 << 16
        assert q is not None
        total = np.zeros(len(self.updates))
        for start in range(0, q.size, step):
            block = self._floats(self.updates[:, start : start + step])
            total += block.astype(np.float64) @ q[start : start + step].astype(np.float64)
        return total

    def direction(self, slot: int) -> Any:
        """The update in row `slot`, shaped and typed like the parameter."""
        update = self._floats(self.updates[slot]).reshape(self._shape)
        if self._torch:
            import torch

            return torch.from_numpy(update.copy()).to(self._dtype)
        return update.astype(self._dtype)

    def moved(self, stride: int) -> NDArray[np.bool_]:
        """Which of every `stride`-th entry any update in the ring has changed."""
        return np.asarray((self.updates[:, ::stride] != 0).any(axis=0))

    def finite(self) -> bool:
        """Whether the last θ is."""
        return bool(np.isfinite(self.previous).all())

    def _floats(self, stored: NDArray[Any]) -> NDArray[Any]:
        if stored.dtype == np.uint16:
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored

    def state(self) -> dict[str, Any]:
        """Copies of what is kept, as torch tensors for a torch parameter."""
        state = {"previous": self.previous.copy(), "updates": self.updates.copy()}
        if self._torch:
            import torch

            return {name: torch.from_numpy(array) for name, array in state.items()}
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.previous[:] = np.asarray(state["previous"])
        self.updates[:] = np.asarray(state["updates"])


class DeviceRing:
    """Updates of a tensor on an accelerator, or of any array with the array API; nothing goes to the host."""

    def __init__(self, theta: Any, length: int, store: str | None) -> None:
        self._torch, self._length = hasattr(theta, "detach"), length
        self._shape, self._dtype = tuple(theta.shape), theta.dtype
        if self._torch:
            import torch

            xp: Any = torch
        else:
            xp = theta.__array_namespace__()
        self._xp = xp
        narrow = dtype_name(theta) in ("float16", "bfloat16")
        self._work = xp.float32 if narrow else theta.dtype
        self._store = self._work if store is None else getattr(xp, store)
        self._wide = xp.float32 if self._torch and theta.device.type == "mps" else xp.float64
        self.previous = self._flat(theta)
        zeros = self._cast(self.previous, self._store) * 0
        if self._torch:
            self.updates: Any = zeros.new_zeros((length, zeros.numel()))
        else:
            self.updates = [zeros] * length

    def _flat(self, array: Any) -> Any:
        if self._torch:
            return array.detach().reshape(-1).clone()
        return self._xp.reshape(array, (-1,), copy=True)

    def _cast(self, array: Any, dtype: Any) -> Any:
        return array.to(dtype) if self._torch else self._xp.astype(array, dtype)

    def advance(self, theta: Any, slot: int) -> Any:
        """As `HostRing.advance`; the products stay on the device."""
        if self._torch:
            now = theta.detach().reshape(-1)
            update = self._cast(now, self._work) - self._cast(self.previous, self._work)
            self.updates[slot].copy_(update)
            self.previous.copy_(now)
        else:
            now = self._flat(theta)
            update = self._cast(now, self._work) - self._cast(self.previous, self._work)
            self.updates[slot] = self._cast(update, self._store)
            self.previous = now
        return self._products(self.updates[slot])

    def inner(self, vector: Any) -> Any:
        """As `HostRing.inner`; the products stay on the device."""
        return self._products(self._flat(vector))

    def _products(self, q: Any) -> Any:
        xp, n = self._xp, q.shape[0]
        if self._torch:
            total = q.new_zeros(self._length, dtype=self._wide)
            for start in range(0, n, DEVICE_BLOCK):
                block = self.updates[:, start : start + DEVICE_BLOCK].to(self._wide)
                total += block @ q[start : start + DEVICE_BLOCK].to(self._wide)
            return total
        total = xp.zeros(self._length, dtype=self._wide, device=q.device)
        for start in range(0, n, DEVICE_BLOCK):
            stop = min(start + DEVICE_BLOCK, n)  # slices beyond the end are not in the array API
            here = self._cast(q[start:stop], self._wide)
            parts = [xp.sum(self._cast(row[start:stop], self._wide) * here) for row in self.updates]
            total = total + xp.stack(parts)
        return total

    def direction(self, slot: int) -> Any:
        """As `HostRing.direction`."""
        return self._xp.reshape(self._cast(self.updates[slot], self._dtype), self._shape)

    def moved(self, stride: int) -> NDArray[np.bool_]:
        """As `HostRing.moved`; on the host."""
        changed = [row[::stride] != 0 for row in self.updates]
        found = changed[0]
        for row in changed[1:]:
            found = found | row
        return np.asarray(found.cpu() if self._torch else found)

    def finite(self) -> bool:
        """Whether the last θ is."""
        return bool(self._xp.all(self._xp.isfinite(self.previous)))

    def state(self) -> dict[str, Any]:
        """Copies of what is kept, on the device."""
        if self._torch:
            return {"previous": self.previous.clone(), "updates": self.updates.clone()}
        return {"previous": self.previous, "updates": self._xp.stack(self.updates)}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        if self._torch:
            self.previous.copy_(state["previous"])
            self.updates.copy_(state["updates"])
        else:
            self.previous = state["previous"]
            self.updates = [state["updates"][slot, :] for slot in range(self._length)]
