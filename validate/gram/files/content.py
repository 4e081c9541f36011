"""What a file of weights holds, whoever reads it: its tensors by their place, and the step that is written inside."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spectral_edge.validate.gram.files.tensors import Leaf

#: Under which names training scripts keep the optimiser step, best first.
STEP_KEYS = (
    "global_step",
    "global_steps",
    "step",
    "steps",
    "iteration",
    "iter",
    "iter_num",
    "num_updates",
    "train_step",
    "current_step",
)


@dataclass(frozen=True)
class Content:
    """What a file, or all files of one checkpoint, hold.

    Attributes
    ----------
    leaves : mapping of tuple of str to tensor
        Every tensor, by its place: the keys that lead to it.
    step : int or None
        The optimiser step that is written inside.
    """

    leaves: dict[tuple[str, ...], Leaf] = field(default_factory=dict)
    step: int | None = None

    def below(self, place: tuple[str, ...]) -> "Content":
        """What is under the keys `place`."""
        n = len(place)
        inside = {keys[n:] or ("params",): leaf for keys, leaf in self.leaves.items() if keys[:n] == place}
        return Content(inside)


def witness(about: Mapping[str, Any]) -> int | None:
    """The optimiser step among the entries of a mapping, a whole number or its digits."""
    for key in STEP_KEYS:
        value = about.get(key)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def start_of(raw: Any, header: int) -> int:
    """Where the bytes of a stored member of a zip archive begin."""
    raw.seek(header + 26)
    name_length, extra_length = struct.unpack("<HH", raw.read(4))
    return int(header + 30 + name_length + extra_length)
