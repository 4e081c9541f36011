"""Threads of a training, its smallest numbers, and where it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums come in one order, so a run does not depend on how many cores there are; and no number is subnormal.

    A network that is sure of its examples leaves probabilities and moments below 1e-38, over which processors take
    many times as long: runs without weight decay spent most of their time on them. Here they count as zero.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threads, flushed = torch.get_num_threads(), not torch.tensor(1e-39).mul(1.0).item()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


@contextmanager
def on_device(name: str) -> Iterator["torch.device"]:
    """The device called `name`; on a GPU all work goes to one stream, and sums come in one order.

    Raises
    ------
    ValueError
        If PyTorch knows no such device, or this machine has none.
    """
    import os

    import torch

    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(
            f"device must be one that this machine has, like 'cpu', got {name!r}: {line}"
        ) from None
    if device.type != "cuda":
        yield device
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may sum in another order
    exact = torch.are_deterministic_algorithms_enabled()
    settings: Any = torch.utils.deterministic  # a module whose attributes are not declared
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # nothing here reads what was not written
    try:
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.Stream()):
            yield device
    finally:
        torch.use_deterministic_algorithms(exact)
        settings.fill_uninitialized_memory = filled
