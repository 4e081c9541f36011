"""Bring finished runs into the package.

Run it as ``python -m spectral_edge.validate.runs.collect FOLDER``, and then ``make findings``.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.runs.bundle import Files, bundled_folder
from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.plan import planned

#: Of a longer run the attention weights alone are bundled, as of one made again: nothing is judged on all weights,
#: and the package is to stay small.
LONGEST = 20_000
#: What a recording says beside its configuration.
_BESIDE = ("text_length", "text_sha256", "command", "spectral_edge", "torch", "device", "group", "stop_step")


def collect(out: str | PathLike[str], into: str | PathLike[str] | None = None) -> Iterator[str]:
    """Copy the runs of every subject of the plan that are whole, decay by decay, all seeds; tell what is done.

    Parameters
    ----------
    out : path
        Where the runs were recorded.
    into : path, optional
        Where they are to be; by default, the package's own folder.

    Yields
    ------
    str
        One line per subject and side of its contrast.
    """
    source, target = Path(out), Path(into or bundled_folder())
    subjects: dict[str, dict[str, list[RunConfig]]] = {}
    for run in planned().values():
        subject = " ".join(filter(None, (run.subject, run.variant)))
        subjects.setdefault(subject, {}).setdefault(_side(run), []).append(run)
    for subject, sides in subjects.items():
        for side, runs in sides.items():
            name = f"{subject} {side}".rstrip()
            fresh = [run for run in runs if Files(source, run.name).done]
            there = [run for run in runs if run in fresh or _place(target, run).exists()]
            if len(there) < len(runs):
                yield f"{name}: {len(there)} of {len(runs)} are finished"
                continue
            for run in fresh:
                _take(run, source, target)
            yield f"{name}: {len(fresh)} taken, {len(runs) - len(fresh)} were there"


def _side(run: RunConfig) -> str:
    """What is taken together: one decay of a subject; of shifts, optimisers and twins both sides at once."""
    if run.experiment == "grokking":
        return f"wd{run.weight_decay:g}"
    return f"every{run.record_every}" if run.variant == "interval" else ""


def _take(run: RunConfig, source: Path, target: Path) -> None:
    found = {group: GramSequence.load(path) for group, path in Files(source, run.name).recordings.items()}
    card = run.card()
    for group, sequence in found.items():
        told = {name: sequence.config.get(name, value) for name, value in card.items()}
        told |= {name: card[name] for name in ("run", "task", "experiment", "family", "recipe")}
        told |= {name: sequence.config[name] for name in _BESIDE if name in sequence.config}
        found[group] = replace(sequence, config=told)
    lean = run.place or found["attention"].steps[-1] > LONGEST
    Files(target / run.place, run.name, ("attention",) if lean else ("attention", "all")).put(found)


def _place(target: Path, run: RunConfig) -> Path:
    return Files(target / run.place, run.name).recordings["attention"]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m spectral_edge.validate.runs.collect FOLDER")
    for line in collect(sys.argv[1]):
        print(line)
