"""One tracker update against reading W + 1 vectors once, on numpy and PyTorch CPU tensors.

    python benchmarks/tracker.py [--P 1e8] [--W 10] [--rounds 7]

To reach: 1.6.
"""

import argparse
import os
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from gram_kernel import read_all, seconds

from spectral_edge.validate import GramTracker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("P", 1e8), ("W", 10), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=lambda text: int(float(text)), default=int(default))
    arguments = parser.parse_args()
    P, W, threads = arguments.P, arguments.W, os.cpu_count() or 1
    theta = np.random.default_rng(0).standard_normal(P, dtype=np.float32)
    kinds: dict[str, Callable[[Any], Any]] = {"numpy": lambda array: array}
    try:
        import torch

        kinds["torch CPU"] = torch.from_numpy
    except ImportError:
        pass
    print(f"P = {P:.0e}, W = {W}, float32, {threads} threads, {arguments.rounds} rounds")
    for name, make in kinds.items():
        for store in (None, "bfloat16"):
            ratios = ratios_of(make(theta), W, store, arguments.rounds, threads)
            kept = f"{name}, ring in {store or 'float32'}"
            span = f"({min(ratios):.2f} … {max(ratios):.2f})"
            print(f"update / reading W + 1 vectors, {kept:32s} {median(ratios):6.2f}   {span}")


def ratios_of(params, W: int, store: str | None, rounds: int, threads: int) -> list[float]:
    tracker = GramTracker(W, store=store)
    # memory that was never written is one page, and faster than memory
    vectors = np.ones((W + 1, len(params)), np.float32)
    for _ in range(W + 3):  # fills the ring
        params += 1e-3
        tracker.update(params)
    ratios = []
    for _ in range(rounds):
        params += 1e-3
        read = seconds(read_all, vectors, threads)
        ratios.append(seconds(tracker.update, params) / read)
    return ratios


if __name__ == "__main__":
    main()
