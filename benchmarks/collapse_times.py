"""Following the modes of a run of 4,000 records and forecasting their exchanges, processor seconds on one thread.

    python benchmarks/collapse_times.py [--run run.npz] [--rounds 3]

Without a recording a dense one is made first (torch extra, half a minute). Following and forecasting from every fifth
window, by all forms and placebos; and one forecast from the last window. To reach: 5 s for the first.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import process_time

from threadpoolctl import threadpool_limits

from spectral_edge import validate
from spectral_edge.validate.referee.collapse.accuracy import Forecasts

RECORDS = 4_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", default=None, help="a recording; by default one is made")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    run = validate.GramSequence.load(arguments.run) if arguments.run else recorded()
    validate.forecast(run)  # compiles
    for what, call in {
        "all forms and placebos, every fifth window": lambda: Forecasts.of([run]),
        "one forecast, from the last window": lambda: validate.forecast(run),
    }.items():
        with threadpool_limits(limits=1, user_api="blas"):
            taken = [seconds(call) for _ in range(arguments.rounds)]
        span = f"({min(taken):.2f} … {max(taken):.2f})"
        print(f"{run.T:,} records, {what:44s} {median(taken):6.2f} s   {span}")


def recorded() -> validate.GramSequence:
    from spectral_edge.validate.runs.dense.config import dense_run
    from spectral_edge.validate.runs.dense.recording import train

    return train(dense_run("mlp-adamw", 300, max_steps=RECORDS))["dense"]


def seconds(call: Callable[[], object]) -> float:
    start = process_time()
    call()
    return process_time() - start


if __name__ == "__main__":
    main()
