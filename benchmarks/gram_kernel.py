"""The band of K against reading the bytes, SVD of every window, pairwise dot products and a full GEMM.

    python benchmarks/gram_kernel.py [--P 1e7] [--T 40] [--W 10] [--rounds 5]

Each round times everything side by side in one process; medians of the rounds' ratios are printed. SVD and
pairwise products repeat the same work for each of the T − W + 1 windows: a few windows are timed and the
figure is for all of them. PyTorch is used for the SVD where it is installed, numpy otherwise.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numba
import numpy as np

from spectral_edge.validate import GramSequence


@numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _sum(values):
    total = values.dtype.type(0)
    for i in range(values.size):
        total += values[i]
    return total


def read_all(array: np.ndarray, threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        return float(sum(pool.map(_sum, np.array_split(array.reshape(-1), 32 * threads))))


def seconds(work: Callable[..., object], *arguments: object) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begun


def svd_of(windows: list[np.ndarray]) -> None:
    try:
        import torch
    except ImportError:
        for window in windows:
            np.linalg.svd(window, compute_uv=False)
        return
    for window in windows:
        torch.linalg.svdvals(torch.from_numpy(window))


def pairwise(window: np.ndarray) -> None:
    rows = [row.astype(np.float64) for row in window]
    for i, one in enumerate(rows):
        for other in rows[: i + 1]:
            np.dot(one, other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("P", 1e7), ("T", 40), ("W", 10), ("rounds", 5), ("windows", 2)):
        parser.add_argument(f"--{name}", type=lambda text: int(float(text)), default=int(default))
    arguments = parser.parse_args()
    P, T, W = arguments.P, arguments.T, arguments.W
    threads = os.cpu_count() or 1
    rng = np.random.default_rng(0)
    updates = np.empty((T, P), np.float32)
    for row in updates:
        rng.standard_normal(out=row, dtype=np.float32)
    thetas = np.cumsum(updates, axis=0, dtype=np.float32)
    twin = updates.copy()
    windows = T - W + 1
    few = [updates[i : i + W] for i in range(arguments.windows)]

    rows: dict[str, list[float]] = {}
    for round_ in range(arguments.rounds + 1):
        read = seconds(lambda: read_all(updates, threads))
        band = seconds(lambda: GramSequence.from_updates(updates, W_max=W))
        differences = seconds(lambda: GramSequence.from_parameters(thetas, W_max=W))
        double = seconds(lambda: GramSequence.from_updates(updates, W_max=W, precision="float64"))
        spectra = band + seconds(GramSequence.from_updates(updates, W_max=W).window, W)
        # numpy sees that X X^T is symmetric and does half the work; with a copy of X it is a full GEMM
        half = seconds(lambda: updates @ updates.T)
        gemm = seconds(lambda: updates @ twin.T)
        if round_ == 0:
            continue  # compiles, and maps memory
        found = {
            "band / reading its bytes once (to reach <= 3)": band / read,
            "band from snapshots / reading": differences / read,
            "band with float64 products / reading": double / read,
            "full GEMM X X^T / band (>= 2.5)": gemm / band,
            "X X^T by numpy, half a GEMM / band": half / band,
            "reading, GB/s": updates.nbytes / read / 1e9,
            "band, seconds": band,
        }
        if round_ <= 2:
            found["SVD of every window / band and spectra (>= 300)"] = (
                seconds(lambda: svd_of(few)) / len(few) * windows / spectra
            )
            found["pairwise float64 dot products / band and spectra (>= 150)"] = (
                seconds(lambda: [pairwise(window) for window in few]) / len(few) * windows / spectra
            )
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    print(f"P = {P:.0e}, T = {T}, W = {W}, float32, {threads} threads, {arguments.rounds} rounds")
    for name, values in rows.items():
        print(f"{name:62s} {median(values):9.3g}   ({min(values):.3g} … {max(values):.3g})")


if __name__ == "__main__":
    main()
