"""The band of K against reading the bytes, and against what else makes a Gram matrix on the same bytes.

    python benchmarks/gram_kernel.py [--P 1e7] [--T 40] [--W 10] [--rounds 5]

Each round times everything side by side in one process; medians of the rounds' ratios are printed. The peers are MKL's
ssyrk (wheel `mkl`) and PyTorch's matrix product by blocks of columns that fit the cache, added up in float64, tabmat's
sandwich product, and numpy's; each block width is tried once and the fastest is kept. A peer that is not installed is
named as missing. SVD and pairwise products repeat the same work for each of the T − W + 1 windows: a few windows are
timed and the figure is for all of them. PyTorch is used for the SVD where it is installed, numpy otherwise.
"""

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

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


def over_blocks(
    product: Callable[[int, int, np.ndarray], None], T: int, P: int, width: int, threads: int
) -> Any:
    """K (T, T) from `product(start, stop, out)` of blocks of columns, on threads, added up in float64."""

    def part(first: int, last: int) -> np.ndarray:
        total, one = np.zeros((T, T)), np.zeros((T, T), np.float32)
        for start in range(first, last, width):
            product(start, min(start + width, last), one)
            total += one
        return total

    edges = np.linspace(0, P, 8 * threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(part, edges[:-1], edges[1:]))


def mkl_syrk(updates: np.ndarray, threads: int) -> Callable[[int], Any]:
    """By MKL's symmetric product, which the wheel `mkl` puts beside Python; one thread each."""
    found = [
        *Path(sys.prefix, "lib").glob("libmkl_rt.so*"),
        *Path(sys.prefix, "Library", "bin").glob("mkl_rt*"),
    ]
    if not found:
        raise ImportError("no MKL beside Python")
    mkl = ctypes.CDLL(str(found[0]))
    mkl.MKL_Set_Threading_Layer(1)  # sequential
    (T, P), address = updates.shape, updates.ctypes.data
    row_major, lower, as_it_is, real, pointer = 101, 122, 111, ctypes.c_float, ctypes.c_void_p

    def product(start: int, stop: int, out: np.ndarray) -> None:
        mkl.cblas_ssyrk(
            row_major, lower, as_it_is, T, stop - start, real(1), pointer(address + 4 * start), P, real(0),
            pointer(out.ctypes.data), T,
        )  # fmt: skip

    return lambda width: over_blocks(product, T, P, width, threads)


def torch_product(updates: np.ndarray, threads: int) -> Callable[[int], Any]:
    """By PyTorch's matrix product."""
    import torch

    T, P = updates.shape
    whole = torch.from_numpy(updates)

    def product(start: int, stop: int, out: np.ndarray) -> None:
        block = whole[:, start:stop]
        torch.mm(block, block.T, out=torch.from_numpy(out))

    def run(width: int) -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return over_blocks(product, T, P, width, threads)
        finally:
            torch.set_num_threads(before)

    return run


def tabmat_sandwich(updates: np.ndarray, threads: int) -> Callable[[int], Any]:
    """By tabmat, which blocks on its own."""
    import tabmat

    matrix, ones = tabmat.DenseMatrix(updates.T), np.ones(updates.shape[1], np.float32)
    return lambda width: matrix.sandwich(ones)


def peers(updates: np.ndarray, threads: int) -> dict[str, Callable[[], Any]]:
    """Those that are installed, with their best block width, each checked against the product in float64."""
    found: dict[str, Callable[[], Any]] = {"X X^T by numpy": lambda: updates @ updates.T}
    for name, make, widths in (
        ("MKL ssyrk", mkl_syrk, (1024, 4096, 16384, 65536)),
        ("torch mm", torch_product, (1024, 4096, 16384, 65536)),
        ("tabmat sandwich", tabmat_sandwich, (0,)),
    ):
        try:
            run = make(updates, threads)
        except ImportError as missing:
            print(f"missing: {name} ({missing})")
            continue
        run(widths[0])  # what a first call prepares
        took = {width: min(seconds(run, width) for _ in range(2)) for width in widths}
        best = min(took, key=lambda width: took[width])
        error = abs(np.vdot(updates[1].astype(float), updates[0]) - run(best)[1, 0])
        assert error < 1e-4 * np.vdot(updates[0], updates[0]), (name, error)
        found[f"{name}, blocks of {best}" if best else name] = partial(run, best)
    return found


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
    others = peers(updates, threads)
    for round_ in range(arguments.rounds + 1):
        read = seconds(lambda: read_all(updates, threads))
        band = seconds(lambda: GramSequence.from_updates(updates, W_max=W))
        differences = seconds(lambda: GramSequence.from_parameters(thetas, W_max=W))
        double = seconds(lambda: GramSequence.from_updates(updates, W_max=W, precision="float64"))
        spectra = band + seconds(GramSequence.from_updates(updates, W_max=W).window, W)
        beside = {name: seconds(work) for name, work in others.items()}
        # numpy sees that X X^T is symmetric and does half the work; with a copy of X it is a full GEMM
        gemm = seconds(lambda: updates @ twin.T)
        if round_ == 0:
            continue  # compiles, and maps memory
        found = {
            "band / reading its bytes once (to reach <= 2)": band / read,
            "band from snapshots / reading (to reach <= 2.3)": differences / read,
            "band with float64 products / reading": double / read,
            "the best of the peers / band (to reach >= 1.3)": min(beside.values()) / band,
            **{f"{name} / band": value / band for name, value in beside.items()},
            "full GEMM X X^T / band": gemm / band,
            "reading, GB/s": updates.nbytes / read / 1e9,
            "band, seconds": band,
        }
        if round_ <= 2:
            found["SVD of every window / band and spectra"] = (
                seconds(lambda: svd_of(few)) / len(few) * windows / spectra
            )
            found["pairwise float64 dot products / band and spectra"] = (
                seconds(lambda: [pairwise(window) for window in few]) / len(few) * windows / spectra
            )
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    print(f"P = {P:.0e}, T = {T}, W = {W}, float32, {threads} threads, {arguments.rounds} rounds")
    for name, values in rows.items():
        print(f"{name:62s} {median(values):9.3g}   ({min(values):.3g} … {max(values):.3g})")


if __name__ == "__main__":
    main()
