"""Exact trajectories of section 9 at any P, against brute force: T = 10,000 and T = 1,000 at W = 10.

    python benchmarks/spiked.py [--rounds 5]

Brute force draws every noise vector whole and takes its inner products with the last W; it is timed on the steps
given by --brute and counted per step. Times in one process, in turn; ratios are medians over rounds.
"""

import argparse
import statistics
import time

import numpy as np

from spectral_edge import simulate

W = 10


def exact(T: int, P: float) -> None:
    simulate.spiked(np.ones((T, 2)), P=P, W=W, nu=P**-0.5, seed=1)


def brute_force(steps: int, P: int) -> None:
    rng = np.random.default_rng(1)
    ring = np.empty((W + 1, P))
    for t in range(steps):
        new = rng.standard_normal(P) * P**-0.5
        new[:2] += 1.0
        ring[t % (W + 1)] = new
        _ = ring[: min(t, W) + 1] @ new


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--brute", type=int, default=40)
    chosen = options.parse_args()
    exact(20, 1e4)  # compiles
    entries = {
        "exact, T = 10,000, P = 1e4": (lambda: exact(10_000, 1e4), 10_000),
        "exact, T = 10,000, P = 1e12": (lambda: exact(10_000, 1e12), 10_000),
        "exact, T = 1,000, P = 1e6": (lambda: exact(1000, 1e6), 1000),
        "brute force, P = 1e6": (lambda: brute_force(chosen.brute, 10**6), chosen.brute),
    }
    times: dict[str, list[float]] = {name: [] for name in entries}
    for _ in range(chosen.rounds):
        for name, (work, count) in entries.items():
            repeats = 1 if "brute" in name else 20  # short runs, many times
            start = time.perf_counter()
            for _ in range(repeats):
                work()
            times[name].append((time.perf_counter() - start) / count / repeats)
    print(f"W = {W}, median of {chosen.rounds} rounds")
    for name, values in times.items():
        print(f"{name:30} {statistics.median(values) * 1e6:12.3f} µs per step")

    def ratio(first: str, second: str) -> float:
        return statistics.median(a / b for a, b in zip(times[first], times[second], strict=True))

    print(f"P = 1e12 / P = 1e4: {ratio('exact, T = 10,000, P = 1e12', 'exact, T = 10,000, P = 1e4'):.3f}")
    print(f"brute force / exact: {ratio('brute force, P = 1e6', 'exact, T = 1,000, P = 1e6'):,.0f}")


if __name__ == "__main__":
    main()
