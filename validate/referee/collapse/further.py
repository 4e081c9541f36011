"""How good every form is on runs that nothing was chosen on, with windows of several widths (torch extra).

``python -m spectral_edge.validate.referee.collapse.further DIR [--jobs 2]`` trains them into DIR, where what is there
is not made again, and writes what came out to further.json, which is installed with the package. Their bands and
responses reach over windows twice as wide as those of the runs that come with the package, and are not bundled.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from spectral_edge.theory.files import jsonable, replace_atomically
from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.collapse.accuracy import Forecasts
from spectral_edge.validate.referee.collapse.table import accuracy
from spectral_edge.validate.referee.collapse.tracks import MEMORY
from spectral_edge.validate.runs.dense.config import FURTHER, DenseConfig, dense_run

#: The regimes of full batches in which exchanges are seen by the dozen.
REGIMES = ("mlp-gd-edge", "quadratic-gd-edge", "mlp-momentum", "mlp-adamw", "quadratic-adamw")
#: Windows that are asked of the same runs.
WINDOWS = (5, 10, 20)
STORED = "further.json"


def runs(seeds: Iterable[int] = FURTHER, regimes: Sequence[str] = REGIMES) -> list[DenseConfig]:
    """The runs, each recorded so widely that the widest of `WINDOWS` can be followed."""
    widest = max(WINDOWS)
    return [
        dense_run(regime, seed, W_max=widest + MEMORY, span=widest) for regime in regimes for seed in seeds
    ]


def by_window(
    configs: Iterable[DenseConfig], folder: Path, windows: Sequence[int] = WINDOWS
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Regime, window, and how good every form was there (`table.accuracy`), regime after regime.

    Parameters
    ----------
    configs : iterable of DenseConfig
    folder : Path
        Where their recordings are.
    windows : sequence of int
    """
    chosen = list(configs)
    for regime in dict.fromkeys(config.regime for config in chosen):
        own = [
            GramSequence.load(folder / config.groups[0] / f"{config.name}.npz")
            for config in chosen
            if config.regime == regime
        ]
        for W in windows:
            yield regime, W, accuracy(Forecasts.of(own, W=W))


@cache
def stored() -> dict[str, Any]:
    """What was counted: `seeds`, and by regime and window what `by_window` says; empty where it never was."""
    path = files(__name__.rpartition(".")[0]) / STORED
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and count."""
    from spectral_edge.validate.runs.pool import make

    parser = argparse.ArgumentParser(
        prog="python -m spectral_edge.validate.referee.collapse.further", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="where the recordings are, or are to be")
    parser.add_argument("--jobs", type=int, default=1, help="runs that are trained at a time")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(FURTHER))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the result")
    chosen = parser.parse_args(arguments)
    plan = runs(chosen.seeds)
    make(plan, chosen.folder, chosen.jobs)
    found: dict[str, dict[str, Any]] = {}
    with threadpool_limits(limits=1, user_api="blas"):
        for regime, W, one in by_window(plan, chosen.folder):
            found.setdefault(regime, {})[str(W)] = one
            print(f"{regime}, W = {W}: {one['exchanges']} exchanges", flush=True)
    text = json.dumps(jsonable({"seeds": chosen.seeds, "regimes": found}), indent=1) + "\n"
    replace_atomically(chosen.out / STORED, lambda file: file.write(text.encode()))


if __name__ == "__main__":
    main()
