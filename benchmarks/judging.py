"""All bundled runs judged, with the report: wall and processor seconds of ``spectral-edge validate``.

    python benchmarks/judging.py [--rounds 3]

After one that compiles what is not yet compiled. To reach on two cores: 60 s with two processes.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

from spectral_edge.validate.runs.bundle import judged


def run(jobs: int) -> tuple[float, float]:
    """Wall and processor seconds with so many processes."""
    used, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "spectral_edge", "validate", "--out", folder, "--jobs", str(jobs)],
            capture_output=True, check=True,
        )  # fmt: skip
    wall, now = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    run(2)
    print(f"{len(judged())} runs, median of {rounds} rounds, seconds")
    print(f"{'':28} {'wall':>8} {'processor':>10}")
    for jobs in (2, 1):
        wall, processor = (median(column) for column in zip(*(run(jobs) for _ in range(rounds)), strict=True))
        print(f"{f'--jobs {jobs}':28} {wall:8.1f} {processor:10.1f}")


if __name__ == "__main__":
    main()
