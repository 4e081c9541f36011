"""Whether the verdicts on the bundled runs are the ones of another state of the code, to the last digit.

Before a change that is to change no verdict: ``spectral-edge validate --json > before.json``; after it:
``python benchmarks/same_verdicts.py before.json [ID…]``. Exit status 1 where a value differs. Size and power are not
compared, and neither is Holm's correction, which follows from the p-values.
"""

import json
import sys
from pathlib import Path

from spectral_edge import validate
from spectral_edge.validate.referee.predictions import PREDICTIONS

COMPARED = (
    "verdict", "statistic", "control", "effect", "interval", "p_uncorrected", "n", "meaning", "readings", "worlds"
)  # fmt: skip


def main(before: Path, wanted: list[str]) -> int:
    """Judge, compare, print a line per prediction; the number of those that differ."""
    old = {verdict["id"]: verdict for verdict in json.loads(before.read_text(encoding="utf-8"))["verdicts"]}
    chosen = [prediction for prediction in PREDICTIONS if not wanted or prediction.id in wanted]
    board = validate.check(validate.bundled(), predictions=chosen)
    differing = 0
    for new in json.loads(json.dumps(board.to_dict()))["verdicts"]:
        other = [name for name in COMPARED if new[name] != old[new["id"]][name]]
        differing += bool(other)
        print(f"{new['number']:2d}  {new['id']:26s}", ", ".join(other) or "same")
    return differing


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]) > 0)
