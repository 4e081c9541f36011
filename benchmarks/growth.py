"""How cost grows: in parameters, checkpoints, window, trajectories and runs; and what a run of 1e9 parameters costs.

    python benchmarks/growth.py [--rounds 3] [--P 1e8] [--out docs/images]

Each quantity is raised while the others stay; the table gives the median time of every size and the exponent b of
time = a·n^b, fitted over all sizes and over the upper half alone, where what is paid once no longer counts. With --out
every quantity has a figure, growth-NAME.svg. The last lines are one record of a `GramTracker` of W = 32, of all numbers
and of a sketch: seconds measured at P parameters and multiplied for 1e9, memory counted by tracemalloc. Where float32
would not fit the memory, the ring is bfloat16, and the line says so.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

from spectral_edge import simulate, validate

Work = Callable[[], object]
LARGE, EVERY = 1e9, 100
LABELS = {
    "P": "parameters P", "T": "checkpoints T", "W": "window W", "trajectories": "gap equations",
    "runs": "runs judged", "analyze": "records analyzed",
}  # fmt: skip


def band_of(P: int, T: int, W: int) -> Work:
    """The band of K, and the spectra of all windows."""
    updates = np.random.default_rng(0).standard_normal((T, P), dtype=np.float32)
    return lambda: validate.GramSequence.from_updates(updates, W_max=W).window(W)


def sweep_of(n: int) -> Work:
    """Gap equations by the closed form."""
    p_next = np.linspace(0.5, 6, n)
    more = {"h": (0.1, 0.9), "eta": 1e-3, "omega": 0.1, "W": 10, "t_max": 8000.0}
    return lambda: simulate.gap_sweep(1.0, 5.0, p=(0.7, p_next), **more)


def judged(n: int) -> Work:
    """All predictions on the first n bundled runs."""
    runs = validate.bundled()[:n]
    return lambda: validate.check(runs)


def analyzed(T: int) -> Work:
    """The command `analyze` on a recording of T updates, as a process of its own."""
    updates = np.random.default_rng(0).standard_normal((T, 400)) * (1 + np.arange(400) % 7)
    folder = tempfile.TemporaryDirectory()
    recording = validate.GramSequence.from_updates(updates, W_max=10).save(Path(folder.name) / "run.npz")
    command = [sys.executable, "-m", "spectral_edge", "analyze", str(recording)]

    def work() -> object:
        return subprocess.run(command, cwd=folder.name, capture_output=True, check=True)

    return work


SIZES: dict[str, tuple[tuple[int, ...], Callable[[int], Work]]] = {
    "P": ((10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7), lambda n: band_of(n, 40, 10)),
    "T": ((100, 300, 1000, 3000), lambda n: band_of(10**5, n, 10)),
    "W": ((5, 10, 20, 40, 80), lambda n: band_of(10**6, 160, n)),
    "trajectories": ((10**4, 10**5, 10**6, 10**7), sweep_of),
    "runs": ((9, 18, 36, 72), judged),
    "analyze": ((375, 750, 1500, 3000), analyzed),
}


def seconds(work: Work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def measure(name: str, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and median seconds; the first round, which compiles and maps memory, does not count."""
    sizes, make = SIZES[name]
    times = []
    for size in sizes:
        work = make(size)
        times.append(median([seconds(work) for _ in range(rounds + 1)][1:]))
    return np.array(sizes), np.array(times)


def exponent(sizes: np.ndarray, times: np.ndarray) -> float:
    """Slope on logarithmic axes."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def draw(name: str, sizes: np.ndarray, times: np.ndarray, folder: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "spectral-edge", "font.size": 10}):
        figure = Figure(figsize=(4.2, 3), layout="constrained")
        ax = figure.subplots()
        ax.loglog(sizes, times, "o-")
        ax.loglog(sizes, times[-1] * sizes / sizes[-1], ":", color="0.5", label="linear")
        ax.set(xlabel=LABELS[name], ylabel="seconds", title=f"exponent {exponent(sizes, times):.2f}")
        ax.legend(frameon=False)
        figure.savefig(folder / f"growth-{name}.svg", metadata={"Date": None})


def held(P: int, make: Callable[[], validate.GramTracker]) -> int:
    """Bytes that a tracker keeps between records."""
    theta = np.random.default_rng(0).standard_normal(P, dtype=np.float32)
    tracemalloc.start()
    tracker = make()
    for _ in range(2):
        theta += np.float32(1e-3)
        tracker.update(theta)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size


def records(P: int, W: int, rounds: int) -> Iterator[str]:
    """One record of all numbers, and of a sketch, measured at P and multiplied for LARGE."""
    memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    store, d, step = None if memory > (W + 4) * 4 * P else "bfloat16", 1 << 16, np.float32(1e-3)
    kinds: dict[str, Callable[[], validate.GramTracker]] = {
        f"all numbers in {store or 'float32'}": lambda: validate.GramTracker(W, say=None, store=store),
        f"sketch of {d:,} numbers": lambda: validate.GramTracker(W, say=None, sketch=d),
    }
    for kind, make in kinds.items():
        held(10**5, make)  # what is imported and compiled does not count
        few, many = held(10**6, make), held(2 * 10**6, make)  # bytes are a + b P
        size = {n: few + (many - few) * (n - 1e6) / 1e6 for n in (P, LARGE)}
        tracker = make()
        theta = np.random.default_rng(0).standard_normal(P, dtype=np.float32)
        times = []
        for record in range(W + 2 + rounds):
            theta += step
            took = seconds(lambda tracker=tracker, theta=theta: tracker.update(theta))
            if record >= W + 2:  # the ring is full
                times.append(took)
        one = median(times)
        yield f"{kind}: at P = {P:.0e} {one:.3g} s a record, {size[P] / 1e9:.3g} GB kept;"
        one *= LARGE / P
        yield f"    at P = {LARGE:.0e} {one:.3g} s and {size[LARGE] / 1e9:.3g} GB (extrapolated),"
        yield f"    that is {one / EVERY * 1e3:.3g} ms a step with a record every {EVERY}"
        del tracker, theta


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--P", type=lambda text: int(float(text)), default=10**8)
    parser.add_argument("--W", type=int, default=32)
    parser.add_argument("--only", nargs="*", default=[*SIZES], choices=[*SIZES, "records"])
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # what is measured here is no training
    print(f"median of {chosen.rounds} rounds; seconds at each size")
    for name in chosen.only:
        if name == "records":
            continue
        sizes, times = measure(name, chosen.rounds)
        cells = "  ".join(f"{n:.0e}: {t:.3g}" for n, t in zip(sizes, times, strict=True))
        half = len(sizes) // 2
        print(
            f"{LABELS[name]:14s} exponent {exponent(sizes, times):5.2f}, upper half "
            f"{exponent(sizes[half - 1 :], times[half - 1 :]):5.2f}   {cells}"
        )
        if chosen.out:
            draw(name, sizes, times, chosen.out)
    if chosen.only == [*SIZES] or "records" in chosen.only:
        print(f"one record of a tracker, W = {chosen.W}")
        for line in records(chosen.P, chosen.W, chosen.rounds):
            print(line)


if __name__ == "__main__":
    main()
