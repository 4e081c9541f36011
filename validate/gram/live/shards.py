"""K is a sum over shards: trackers on the ranks of a process group add up what each finds."""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectral_edge.validate.gram.live.journal import Record
from spectral_edge.validate.gram.parameters import shortened, size

if TYPE_CHECKING:
    from spectral_edge.validate.gram.live.recording import Recording

Found = dict[str, NDArray[np.float64]]

#: How many numbers of a tensor tell whether two ranks hold the same one.
SAMPLE = 4096


class Shards:
    """The ranks over which the parameters are sharded.

    Parameters
    ----------
    group : process group of torch.distributed, or "world"

    Attributes
    ----------
    first : bool
        Whether this is the rank that writes.
    P : int
        Parameters over all ranks, at the last record.

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
        self.first, self.ranks = dist.get_rank(self._group) == 0, dist.get_world_size(self._group)
        self.P = 0
        self._agreed = False

    def added(
        self, work: Callable[[], Found | None], options: tuple[int, ...], mark: Callable[[], "Mark"]
    ) -> Found | None:
        """What `work` finds on every rank, added up; one all-reduce (a second one for probes).

        Parameters
        ----------
        work : callable
            Finds this rank's share.
        options : tuple of int
            W_max, every and sketch: the same on every rank.
        mark : callable
            Called after `work`: what this rank holds.

        Raises
        ------
        ValueError
            On every rank, if the ranks disagree on `options`, one of them fails, or they hold the same tensors.
        """
        if not self._agreed:
            self._agree(options)
        found, failure, own = None, None, Mark(0)
        try:
            found = work()
            own = mark()
        except Exception as error:  # the other ranks wait for this one
            failure = error
        R, sketch = options[0] + 1, options[2]
        rows = np.zeros((2 if sketch else 1, R))
        if found is not None:
            rows[0] = found[""]
            if sketch:
                rows[1] = found["first_half"]
        heads = [failure is not None, found is not None, own.P, *own.numbers]
        total = self._sum(np.concatenate([heads, rows.ravel()]))
        if failure is not None:
            raise failure
        if total[0]:
            raise ValueError("params were refused on another rank: its error says why")
        own.require_different(total[3 : len(heads)], self.ranks)
        self.P = int(total[2])
        if not self.P:
            raise ValueError("params must not be empty, got no entries on any rank")
        if found is None:
            return None
        rows = total[len(heads) :].reshape(rows.shape)
        summed = {"": rows[0]} | ({"first_half": rows[1]} if sketch else {})
        rest = {name: value for name, value in found.items() if name not in summed}
        if rest:
            flat = self._sum(np.concatenate([value.ravel() for value in rest.values()]))
            parts = np.split(flat, np.cumsum([value.size for value in rest.values()])[:-1])
            summed |= {
                name: part.reshape(value.shape)
                for (name, value), part in zip(rest.items(), parts, strict=True)
            }
        return summed

    def summed(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Whole numbers added up over the ranks, by name."""
        total = self._sum(np.array(list(sizes.values()), dtype=np.float64))
        return {name: int(count) for name, count in zip(sizes, total, strict=True)}

    def total(self, value: float) -> float:
        """A number added up over the ranks."""
        return float(self._sum(np.array([value]))[0])

    def opened(self, open_: "Callable[[Any], Recording]", path: Any) -> "Recording":
        """The recording at `path`, which the first rank writes; the others have the same records in memory."""
        found: list[Recording] = []

        def first() -> list[Any]:
            found.append(open_(path))
            return [[vars(record) for record in found[0].records], found[0].run, found[0].config]

        records, run, config = self.from_first(first)
        if found:
            return found[0]
        recording = open_(None)
        recording.records, recording.run = [Record(**record) for record in records], run
        recording.config |= config
        return recording

    def from_first(self, work: Callable[[], Any]) -> Any:
        """What `work` returns on the first rank (JSON values), on every rank.

        Raises
        ------
        ValueError
            On every rank, if it fails there.
        """
        import torch
        import torch.distributed as dist

        failure, text = None, b""
        if self.first:
            try:
                text = json.dumps({"found": work()}).encode()
            except Exception as error:  # the other ranks wait for this one
                failure, text = error, json.dumps({"refused": str(error)}).encode()
        source = 0 if self._group is None else dist.get_global_rank(self._group, 0)
        length = torch.tensor([len(text)], dtype=torch.int64, device=self._device())
        dist.broadcast(length, source, group=self._group)
        data = torch.zeros(int(length), dtype=torch.uint8, device=self._device())
        if self.first:
            data = torch.frombuffer(bytearray(text), dtype=torch.uint8).to(data.device)
        dist.broadcast(data, source, group=self._group)
        if failure is not None:
            raise failure
        said = json.loads(data.cpu().numpy().tobytes())
        if "refused" in said:
            raise ValueError(said["refused"])
        return said["found"]

    def _agree(self, options: tuple[int, ...]) -> None:
        values = np.array(options, dtype=np.float64)
        # mean and mean square agree with one's own on every rank only if all are equal
        sums = self._sum(np.concatenate([values, values**2]))
        n = len(values)
        if (sums[n:] * self.ranks != sums[:n] ** 2).any():
            raise ValueError(
                f"W_max, every and sketch must be the same on every rank, got {options} on this one"
            )
        self._agreed = True

    def _device(self) -> str:
        import torch.distributed as dist

        return "cuda" if dist.get_backend(self._group) == "nccl" else "cpu"

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        import torch
        import torch.distributed as dist

        tensor = torch.as_tensor(values, dtype=torch.float64, device=self._device())
        dist.all_reduce(tensor, group=self._group)
        return np.asarray(tensor.cpu().numpy())


class Mark:
    """What tells replicas from shards: the values of the tensors that are not DTensors, in three small numbers.

    Attributes
    ----------
    P : int
        This rank's parameters.
    numbers : list of float
        Whether there are such tensors whose entries differ, the numbers, and their squares (exact in float64 up
        to a thousand ranks): they are equal on all ranks where n·Σx² = (Σx)².
    """

    def __init__(self, P: int, plain: Mapping[str, Any] | None = None) -> None:
        self.P, total, varied, self._names = P, 0, False, list(plain or {})
        for name, array in (plain or {}).items():
            values = _sample(array)
            varied = varied or (values.size > 1 and bool(np.ptp(values) > 0))
            total = zlib.crc32(f"{name}{tuple(array.shape)}".encode() + values.tobytes(), total)
        parts = [float(total & 0xFFFF), float(total >> 16), float(P & 0xFFFF)]
        self.numbers = [float(varied), *parts, *(part**2 for part in parts)]

    def require_different(self, total: NDArray[np.float64], ranks: int) -> None:
        """Refuse tensors that are the same on every rank; `total` is the sum of `numbers` over them.

        Raises
        ------
        ValueError
            On every rank.
        """
        if ranks == 1 or total[0] != ranks:
            return
        if (total[4:7] * ranks == total[1:4] ** 2).all():
            raise ValueError(
                f"params must be shards where there is a group, got tensors that are the same on all {ranks} ranks "
                f"({shortened(self._names)}), as DDP keeps them, and would be counted {ranks} times: make the tracker "
                "on one rank, without group, or leave them out by select"
            )


def _sample(array: Any) -> NDArray[np.float64]:
    step = max(1, -(-size(array) // SAMPLE))
    flat = array.detach().reshape(-1)[::step].double().cpu().numpy() if hasattr(array, "detach") else None
    return np.asarray(np.asarray(array).reshape(-1)[::step] if flat is None else flat, dtype=np.float64)
