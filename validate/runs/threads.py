"""Threads of a training, and its smallest numbers."""

from collections.abc import Iterator
from contextlib import contextmanager


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
