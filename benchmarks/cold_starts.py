"""Commands for the first time, when every kernel is compiled, and again: wall and processor seconds.

    python benchmarks/cold_starts.py [--rounds 3]

Each first time has an empty cache of numba's. To reach: `ode` 3 s, `sweep` 5 s, a missing file 0.5 s, `bbp` 0.5 s.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

COMMANDS = {
    "ode": ["ode"],
    "sweep": ["sweep"],
    "sweep --method integrate": ["sweep", "--method", "integrate"],
    "bbp": ["bbp", "--P", "1e6", "--W", "10", "--eta", "1e-3", "--B", "100"],
    "analyze of nothing": ["analyze", "there-is-no-such-file.npz"],
}


def run(arguments: list[str], cache: str, check: bool = False) -> tuple[float, float]:
    """Wall and processor seconds of a command; where `check`, one that fails is an error."""
    used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "spectral_edge", *arguments], capture_output=True, check=check,
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
    )  # fmt: skip
    wall, now = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"median of {rounds} rounds, seconds")
    print(f"{'':28} {'first, wall':>12} {'processor':>10} {'again, wall':>12} {'processor':>10}")
    for name, arguments in COMMANDS.items():
        found = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as cache:
                found.append((*run(arguments, cache), *run(arguments, cache)))
        cells = [median(column) for column in zip(*found, strict=True)]
        print(f"{name:28} {cells[0]:12.2f} {cells[1]:10.2f} {cells[2]:12.2f} {cells[3]:10.2f}")


if __name__ == "__main__":
    main()
