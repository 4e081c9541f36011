"""K is a sum over shards: trackers on the ranks of a process group add up what each finds."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Found = dict[str, NDArray[np.float64]]


class Shards:
    """The ranks over which the parameters are sharded.

    Parameters
    ----------
    group : process group of torch.distributed, or "world"

    Raises
    ------
    ValueError
        If torch.distributed has not been initialised.
    """

    def __init__(self, group: Any) -> None:
        import torch.distributed as dist

        if not dist.is_available() or not dist.is_initialized():
            raise ValueError("group needs torch.distributed to be initialised first")
        self._group = None if isinstance(group, str) else group
        if isinstance(group, str) and group != "world":
            raise ValueError(f"group must be a process group or 'world', got {group!r}")
        self.first = dist.get_rank(self._group) == 0
        self._agreed = False

    def added(self, work: Callable[[], Found | None], options: tuple[int, ...]) -> Found | None:
        """What `work` finds on every rank, added up; one all-reduce (a second one for probes).

        Raises
        ------
        ValueError
            On every rank, if the ranks disagree on `options` or one of them refuses its parameters.
        """
        if not self._agreed:
            self._agree(options)
        found, refusal = None, None
        try:
            found = work()
        except ValueError as error:
            refusal = error
        R, sketch = options[0] + 1, options[2]
        own = np.zeros(2 + R * (2 if sketch else 1))
        own[0], own[1] = refusal is not None, found is not None
        if found is not None:
            own[2 : 2 + R] = found[""]
            if sketch:
                own[2 + R :] = found["first_half"]
        total = self._sum(own)
        if refusal is not None:
            raise refusal
        if total[0]:
            raise ValueError("params were refused on another rank: its error says why")
        if found is None:
            return None
        rest = {name: value for name, value in found.items() if name not in ("", "first_half")}
        summed = {"": total[2 : 2 + R]} | ({"first_half": total[2 + R :]} if sketch else {})
        if rest:
            flat = self._sum(np.concatenate([value.ravel() for value in rest.values()]))
            parts = np.split(flat, np.cumsum([value.size for value in rest.values()])[:-1])
            summed |= {
                name: part.reshape(value.shape)
                for (name, value), part in zip(rest.items(), parts, strict=True)
            }
        return summed

    def total(self, number: int) -> int:
        """The sum of a whole number over the ranks."""
        return int(self._sum(np.array([float(number)]))[0])

    def _agree(self, options: tuple[int, ...]) -> None:
        values = np.array(options, dtype=np.float64)
        # mean and mean square agree with one's own on every rank only if all are equal
        sums = self._sum(np.concatenate([values, values**2, [1.0]]))
        n, count = len(values), sums[-1]
        spread = sums[n : 2 * n] * count - sums[:n] ** 2
        if (spread != 0).any():
            raise ValueError(
                f"W_max, every and sketch must be the same on every rank, got {options} on this one"
            )
        self._agreed = True

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        import torch
        import torch.distributed as dist

        device = "cuda" if dist.get_backend(self._group) == "nccl" else "cpu"
        tensor = torch.as_tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(tensor, group=self._group)
        return np.asarray(tensor.cpu().numpy())
