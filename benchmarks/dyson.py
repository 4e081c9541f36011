"""Dyson paths: 1,000 paths × 1,000 steps at W = 10, against the same scheme in numpy and against brute force.

    python benchmarks/dyson.py [--paths 1000] [--steps 1000] [--rounds 5]

The numpy scheme is vectorised over paths; brute force keeps the W×P matrix at P = 1,000 and takes its singular
values at every step. Times are per path and step, in one process, in turn; ratios are medians over rounds.
"""

import argparse
import statistics
import time

import numpy as np

from spectral_edge import simulate

W, ETA, OMEGA, NU, DT = 10, 1e-3, 0.1, 1e-3, 1.0
H, SOURCE, D0 = np.linspace(2, 0.5, W), np.linspace(2, 1, W), np.linspace(12, 3, W)


def kernel(paths: int, steps: int, P: int) -> None:
    simulate.dyson(
        D0,
        h=H,
        p=SOURCE,
        eta=ETA,
        omega=OMEGA,
        W=W,
        P=P,
        nu=NU,
        t_max=steps * DT,
        dt=DT,
        n_paths=paths,
        seed=1,
    )


def half_step(u: np.ndarray) -> np.ndarray:
    kappa = ETA * (H + OMEGA)
    return u * np.exp(-kappa * DT) + ETA * W * SOURCE * -np.expm1(-kappa * DT) / kappa


def in_numpy(paths: int, steps: int, P: int) -> None:
    """The same scheme: half drift, Gaussian block beside a Bartlett factor, eigenvalues, half drift."""
    rng = np.random.default_rng(1)
    u, diagonal, size = np.tile(D0**2, (paths, 1)), np.arange(W), NU * np.sqrt(DT)
    below, rest = np.tril_indices(W, -1), np.zeros((paths, W, W))
    for _ in range(steps):
        u = half_step(u)
        block = size * rng.standard_normal((paths, W, W))
        block[:, diagonal, diagonal] += np.sqrt(u)
        rest[:, *below] = size * rng.standard_normal((paths, below[0].size))
        rest[:, diagonal, diagonal] = size * np.sqrt(rng.chisquare(P - W - diagonal, (paths, W)))
        gram = block @ block.swapaxes(1, 2) + rest @ rest.swapaxes(1, 2)
        u = half_step(np.linalg.eigvalsh(gram)[:, ::-1])


def brute_force(steps: int, P: int) -> None:
    rng = np.random.default_rng(1)
    M = np.zeros((W, P))
    M[range(W), range(W)] = D0
    for _ in range(steps):
        left, d, right = np.linalg.svd(M, full_matrices=False)
        M = (left * (-ETA * (H + OMEGA) * d + ETA * W * SOURCE / d) * DT) @ right + M
        M += NU * np.sqrt(DT) * rng.standard_normal((W, P))


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--paths", type=int, default=1000)
    options.add_argument("--steps", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    n, steps = chosen.paths, chosen.steps
    entries = {
        "dyson, P = 1e6": (lambda: kernel(n, steps, 10**6), n * steps),
        "dyson, P = 1e3": (lambda: kernel(n, steps, 10**3), n * steps),
        "dyson, P = 1e12": (lambda: kernel(n, steps, 10**12), n * steps),
        "the same scheme in numpy, P = 1e6": (
            lambda: in_numpy(n, max(1, steps // 10), 10**6),
            n * max(1, steps // 10),
        ),
        "brute force in R^{W×P}, P = 1e3": (lambda: brute_force(500, 1000), 500),
    }
    times: dict[str, list[float]] = {name: [] for name in entries}
    kernel(2, 2, 10**6)  # compiles
    for _ in range(chosen.rounds):
        for name, (work, count) in entries.items():
            start = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - start) / count)
    base = times["dyson, P = 1e6"]
    print(f"W = {W}, {n:,} paths × {steps:,} steps, median of {chosen.rounds} rounds")
    print(f"{'':36} {'µs/path/step':>13} {'/ P = 1e6':>10}")
    for name, values in times.items():
        ratio = statistics.median(value / one for value, one in zip(values, base, strict=True))
        print(f"{name:36} {statistics.median(values) * 1e6:13.3f} {ratio:10.3g}")


if __name__ == "__main__":
    main()
