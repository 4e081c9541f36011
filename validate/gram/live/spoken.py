"""What a tracker says of itself: what is recorded, what is not, and how much memory it takes."""

from collections.abc import Mapping
from typing import Any

from spectral_edge.validate.gram.parameters import Chosen, device_name, dtype_name, shortened, size

SIZES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def recorded(
    chosen: Chosen,
    own: Mapping[str, Any],
    W_max: int,
    store: str | None,
    sketch: int | None,
    sharded: bool = False,
) -> str:
    """How many parameters are recorded, the memory that takes, and what is left out and why.

    Where each process has its own shards, this is of this process alone.
    """
    P = sum(map(size, own.values()))
    needed = memory(own, W_max, store, sketch)
    where = ", ".join(f"{in_words(count)} on {device}" for device, count in needed.items())
    what = f"{W_max + 2} sketches of {sketch:,} numbers" if sketch else f"{W_max + 2} vectors"
    tensors = "1 tensor" if len(own) == 1 else f"{len(own):,} tensors"
    share = " (the shards of this process)" if sharded else ""
    line = f"recording {P:,} parameters{share} in {tensors} ({shortened(list(own))}); {what}, {where}"
    left_out = chosen.left_out()
    return f"{line}; left out: {'; '.join(left_out)}" if left_out else line


def too_large(own: Mapping[str, Any], W_max: int, store: str | None, sketch: int | None) -> str:
    """What to say where there is not enough memory, else nothing."""
    for device, count in memory(own, W_max, store, sketch).items():
        free = free_memory(device)
        if free is not None and count > free:
            return (
                f"recording needs {in_words(count)} on {device}, where {in_words(free)} are free: a smaller W_max, "
                "store='bfloat16', select= or sketch= need less"
            )
    return ""


def memory(own: Mapping[str, Any], W_max: int, store: str | None, sketch: int | None) -> dict[str, int]:
    """Bytes that a tracker keeps, by device."""
    if sketch:
        return {"cpu": 8 * sketch * (W_max + 2)}
    found: dict[str, int] = {}
    for array in own.values():
        width, device = SIZES[dtype_name(array)], device_name(array)
        kept = SIZES[store] if store is not None else max(width, 4)
        previous = max(width, 4) if device == "cpu" else width
        found[device] = found.get(device, 0) + size(array) * (kept * (W_max + 1) + previous)
    return found


def in_words(count: float) -> str:
    """Bytes with a unit.

    Examples
    --------
    >>> in_words(49_152)
    '49.2 kB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def free_memory(device: str) -> int | None:
    """Bytes that are free on `device`, None where it is not known."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024 if device == "cpu" else None
    except (OSError, KeyError, ValueError):
        return None
