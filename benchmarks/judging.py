"""All bundled runs judged, with the report: wall seconds of ``spectral-edge validate``.

    python benchmarks/judging.py [--rounds 3]

After one that compiles what is not yet compiled. To reach on two cores: 60 s with two processes.
"""

import argparse
import tempfile
from statistics import median

from cold_starts import run

from spectral_edge.validate.runs.bundle import judged


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:

        def judge(jobs: int) -> float:
            words = ["validate", "--out", f"{folder}/report", "--jobs", str(jobs)]
            return run(words, f"{folder}/cache", check=True)[0]

        judge(2)
        print(f"{len(judged())} runs, median of {rounds} rounds, seconds")
        for jobs in (2, 1):
            print(f"{f'--jobs {jobs}':28} {median(judge(jobs) for _ in range(rounds)):8.1f}")


if __name__ == "__main__":
    main()
