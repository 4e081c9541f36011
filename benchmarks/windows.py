"""Spectra of all windows of a band of K, beside LAPACK by numpy, scipy and PyTorch: T = 10,000 at W = 10 and 20.

    python benchmarks/windows.py [--rounds 7]

One thread, one process, in turn; ratios are medians over rounds, with the least and the largest. The peers get the
windows cut out already, which is not timed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from spectral_edge import simulate, theory, validate

T = 10_000


def contestants(run: validate.GramSequence, W: int) -> dict[str, Callable[[], object]]:
    """What makes eigenvalues and eigenvectors of every window, and what makes eigenvalues alone."""
    blocks = theory.window_blocks(run.K, W)

    def one_by_one() -> None:
        for block in blocks:
            lapack.dsyevr(block)

    entries: dict[str, Callable[[], object]] = {
        "windows": lambda: validate.WindowSpectra.from_sequence(run, W),
        "values alone": lambda: simulate.window_sigma(run.K, W),
        "numpy eigh": lambda: np.linalg.eigh(blocks),
        "numpy eigvalsh": lambda: np.linalg.eigvalsh(blocks),
        "scipy dsyevr, one by one": one_by_one,
    }
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        tensor = torch.from_numpy(blocks)
        entries["torch eigh"] = lambda: torch.linalg.eigh(tensor)
    return entries


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=7)
    rounds = options.parse_args().rounds
    for W in (10, 20):
        made = simulate.noise(T, P=1e6, autocorrelation=0.5, W_max=W, seed=1)
        run = validate.GramSequence(made.K, made.steps, int(made.P))
        entries = contestants(run, W)
        entries["windows"]()  # compiles
        times: dict[str, list[float]] = {name: [] for name in entries}
        with threadpool_limits(1):
            for _ in range(rounds):
                for name, work in entries.items():
                    start = time.perf_counter()
                    work()
                    times[name].append(time.perf_counter() - start)
        print(f"T = {T:,}, W = {W}, one thread, median of {rounds} rounds")
        print(f"{'windows, µs each':42s} {statistics.median(times['windows']) / (T - W + 1) * 1e6:8.2f}")
        for name in list(entries)[1:]:
            mine = "values alone" if name == "numpy eigvalsh" else "windows"
            if name == mine:
                continue
            ratios = [peer / own for peer, own in zip(times[name], times[mine], strict=True)]
            low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
            label = f"{name} / {mine}"
            print(f"{label:42s} {middle:8.2f}   ({low:.2f} … {high:.2f})")


if __name__ == "__main__":
    main()
