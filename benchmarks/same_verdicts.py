"""Whether the verdicts on the bundled runs are the ones of another state of the code, to the last digit.

Before a change that must change no verdict: ``spectral-edge validate --json > before.json``; after it:
``python benchmarks/same_verdicts.py before.json [ID…]``. Exit status 1 where a value differs. Planted and noise worlds,
size and power are not compared, and neither is Holm's correction, which follows from the p-values.
"""

import json
import sys
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from spectral_edge import validate
from spectral_edge.validate.referee import worlds
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.verdict import Verdict

COMPARED = ("verdict", "statistic", "control", "effect", "p_uncorrected", "n", "meaning", "readings")


def values(verdict: Verdict) -> dict[str, Any]:
    """What a verdict says, in the form of the JSON."""
    board = validate.Scoreboard((verdict,), (), 0).to_dict()["verdicts"][0]
    return dict(json.loads(json.dumps(board)))


def main(before: Path, wanted: list[str]) -> int:
    """Judge, compare, print a line per prediction; the number of those that differ."""
    old = {verdict["id"]: verdict for verdict in json.loads(before.read_text(encoding="utf-8"))["verdicts"]}
    runs = validate.bundled()
    noise = [worlds.matched_noise(run, 0) for run in runs]
    differing = 0
    for prediction in PREDICTIONS:
        if wanted and prediction.id not in wanted:
            continue
        with threadpool_limits(limits=1, user_api="blas"):
            new, was = values(prediction.judge(runs, noise)), old[prediction.id]
        other = [name for name in COMPARED if new[name] != was[name]]
        differing += bool(other)
        print(f"{prediction.number:2d}  {prediction.id:26s}", ", ".join(other) or "same", flush=True)
    return differing


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]) > 0)
