"""``python -m spectral_edge.validate.referee.beyond NAME``: make the numbers of a check and store them."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond import (
    author,
    author_warning,
    collapses,
    formation,
    function_space,
    lockstep,
    own,
    own_warning,
    planted,
    recorded,
    removal,
    table,
    ticket,
    twin_noise,
    twin_worlds,
    warning,
    watched,
    widths,
)
from spectral_edge.validate.referee.beyond.finding import RESULTS, Finding, save
from spectral_edge.validate.referee.beyond.jobs import VALUES, each, saved, tuples
from spectral_edge.validate.referee.beyond.seen import Seen
from spectral_edge.validate.referee.beyond.twins import Twins
from spectral_edge.validate.referee.early_warning.result import EarlyWarning
from spectral_edge.validate.referee.events import onset_step
from spectral_edge.validate.runs.bundle import bundled
from spectral_edge.validate.runs.dense.config import BUNDLED
from spectral_edge.validate.runs.plan import SEEDS

#: Sets of planted runs and of noise that are counted.
SETS = 20

Made = tuple[list[Finding], dict[str, Any]]
#: `jobs.each` with its processes and its folder.
Each = Callable[..., Iterator[Any]]


def _function_space(seeds: Sequence[int], each: Each) -> Made:
    """The four statements on function space, capability, opening and decay."""
    runs = []
    plans = [(plan, seed) for plan in reversed(watched.PLANS) for seed in seeds]
    for run in each(watched.watch, plans, kept=saved(Seen)):
        runs.append(run)
        _say(f"{run.name}: transition at record {run.event} of {run.T}")
    return [statement(runs) for statement in function_space.STATEMENTS], {"runs": [run.name for run in runs]}


def _function_space_worlds(seeds: Sequence[int], each: Each) -> Made:
    """How often each statement is supported in planted sets and in sets of noise."""
    counts: dict[str, Counter[str]] = {"planted": Counter(), "noise": Counter()}
    sets = [(number, kind) for number in seeds for kind in counts]
    for (number, kind), found in zip(sets, each(planted.supported, sets, kept=VALUES), strict=True):
        counts[kind].update(found)
        _say(f"set {number}, {kind}: {len(found)} of {len(function_space.STATEMENTS)}")
    return [], {
        "sets": len(seeds),
        "runs_in_a_set": planted.RUNS,
        "supported": {kind: dict(found) for kind, found in counts.items()},
    }


def _intervention(seeds: Sequence[int], each: Each) -> Made:
    """Training without the leading directions of the window."""
    found = []
    runs = [(config,) for config in reversed(removal.runs(seeds))]
    for one in each(removal.remove, runs, kept=tuples(removal.Delays)):
        found.append(one)
        _say(f"{one.run}: {one.delay}")
    return [removal.judge(found)], {"runs": [one._asdict() for one in found]}


def _intervention_worlds(seeds: Sequence[int], each: Each) -> Made:
    """The same where one direction carries all learning, and where each step has its own."""
    findings = []
    for name, signal in (("planted", True), ("noise", False)):
        worlds = each(removal.planted, [(seed, signal) for seed in seeds], kept=tuples(removal.Delays))
        findings.append(replace(removal.judge(list(worlds)), id=f"intervention, {name}"))
    return findings, {}


def _recorded(seeds: Sequence[int], each: Each) -> Made:
    """Curvature, edge of stability and power laws in the bundled dense runs."""
    runs = [run for run in bundled("dense") if run.config["seed"] in seeds]
    findings = [recorded.curvature_order(runs), recorded.edge_of_stability(runs)]
    return [*findings, *recorded.scaling(recorded.of_recordings(runs))], {
        "runs": [run.config["run"] for run in runs]
    }


def _formation(seeds: Sequence[int], each: Each) -> Made:
    """Formation and persistence of gaps in the bundled dense runs with Adam."""
    runs = [run for run in bundled("dense") if run.config["seed"] in seeds]
    seen = {run.config["run"]: formation.foreseen(run) for run in runs}
    known = {name: one for name, one in seen.items() if one is not None}
    counted = {name: [int(one.formed.sum()), int((~one.formed).sum())] for name, one in known.items()}
    return [formation.formation(list(known.values()))], {"formed_and_persisted": counted}


def _widths(seeds: Sequence[int], each: Each) -> Made:
    """Networks of many widths, in two parametrisations."""
    points = []
    arguments = [
        (w, seed, name) for w in reversed(widths.WIDTHS) for seed in seeds for name in widths.PARAMETRISATIONS
    ]
    for point in each(widths.train, arguments, kept=tuples(widths.Point)):
        points.append(point)
        _say(f"{point}")
    return [widths.judge(points)], {"points": [point._asdict() for point in points]}


def _ticket(seeds: Sequence[int], each: Each) -> Made:
    """Sparse networks."""
    found = []
    for one in each(ticket.prune, [(config,) for config in ticket.runs(seeds)], kept=tuples(ticket.Sparse)):
        found.append(one)
        _say(f"{one.run}: {one.ln_loss}")
    return [ticket.judge(found)], {"runs": [one._asdict() for one in found]}


def _early_warning(seeds: Sequence[int], each: Each) -> Made:
    """Rivals in early warning, on the bundled recordings of the author's tasks."""
    runs = [
        run for run in bundled() if run.config.get("experiment") == "grokking" and run.config["seed"] in seeds
    ]
    return [], {"runs": len(runs), "features": warning.rows(warning.judged(runs))}


def _early_warning_own(seeds: Sequence[int], each: Each) -> Made:
    """Rivals in early warning that need a training of one's own."""
    runs = _trained(each(own.record, own.plans(seeds), kept=saved(GramSequence)))
    found = warning.judged(runs, own_warning.RIVALS)
    return own_warning.judge(found[own_warning.LEAD]), _warned(runs, found)


def _early_warning_author(seeds: Sequence[int], each: Each) -> Made:
    """The same on the author's single tasks."""
    runs = _trained(each(author.record, author.plans(seeds), kept=saved(GramSequence)))
    found = warning.judged(runs, own_warning.RIVALS, author.LEADS)
    # not all of them have come to an accuracy of 0.95 where they end
    fair = {lead: replace(one, late={}) for lead, one in found.items()}
    about = _warned(runs, fair) | {"off_bundled": author_warning.off_bundled(runs)}
    return author_warning.judge(fair), about


def _trained(made: Iterator[GramSequence]) -> list[GramSequence]:
    runs = []
    for run in made:
        runs.append(run)
        _say(f"{run.config['run']}: onset at step {onset_step(run)} of {run.steps[-1]}")
    return runs


def _warned(runs: list[GramSequence], found: Mapping[int, EarlyWarning]) -> dict[str, Any]:
    return {
        "runs": len(runs),
        "onset_steps": {run.config["run"]: onset_step(run) for run in runs},
        "features": warning.rows(found),
    }


def _early_warning_worlds(module: Any, seeds: Sequence[int], each: Each) -> Made:
    """How often each of those is supported in planted worlds and in worlds of noise."""
    counts: dict[str, Counter[str]] = {"planted": Counter(), "noise": Counter()}
    sets = [(number, kind) for number in seeds for kind in counts]
    for (_, kind), found in zip(sets, each(module.supported, sets, kept=VALUES), strict=True):
        counts[kind].update(found)
    return [], {
        "sets": len(seeds),
        "runs_in_a_set": len(module.world(0)),
        "supported": {kind: dict(found) for kind, found in counts.items()},
    }


def _collapses(seeds: Sequence[int], each: Each) -> Made:
    """Prediction 16 on as many dense runs as decide it."""
    runs = []
    for run in each(collapses.record, collapses.plans(seeds), kept=saved(GramSequence)):
        runs.append(run)
        _say(f"{run.config['run']}: {run.T} records")
    return [collapses.judge(runs, bundled("dense"))], {"runs": len(runs)}


def _twins(seeds: Sequence[int], each: Each) -> Made:
    """Runs beside their twins."""
    runs, found, narrow = [], [], []
    for run in each(lockstep.record, lockstep.plans(seeds), kept=saved(Twins)):
        runs.append(run)
        found.append(twin_noise.beside(run))
        narrow.append(twin_noise.beside(run, twin_noise.NARROW))
        _say(
            f"{run.name}: log R {found[-1].run.log_R:.3f}, of the difference {found[-1].difference.log_R:.3f}"
        )
    looked = {
        run.name: {kind: getattr(one, kind)._asdict() for kind in ("run", "difference", "sum", "refereed")}
        for run, one in zip(runs, found, strict=True)
    }
    return twin_noise.judge(runs, found, narrow), {"runs": looked}


def _twins_worlds(seeds: Sequence[int], each: Each) -> Made:
    """How often each of those is supported in planted sets and in sets of noise."""
    counts: dict[str, Counter[str]] = {"planted": Counter(), "noise": Counter()}
    sets = [(number, kind) for number in seeds for kind in counts]
    for (number, kind), found in zip(sets, each(twin_worlds.supported, sets, kept=VALUES), strict=True):
        counts[kind].update(found)
        _say(f"set {number}, {kind}: {', '.join(found) or 'none'}")
    return [], {
        "sets": len(seeds),
        "runs_in_a_set": twin_worlds.RUNS,
        "supported": {kind: dict(found) for kind, found in counts.items()},
    }


#: What can be made, with the seeds it is made of.
CHECKS: dict[str, tuple[Callable[[Sequence[int], Each], Made], Sequence[int]]] = {
    "function-space": (_function_space, watched.SEEDS),
    "recorded": (_recorded, BUNDLED),
    "formation": (_formation, BUNDLED),
    "tensor-programs": (_widths, widths.SEEDS),
    "lottery-ticket": (_ticket, ticket.SEEDS),
    "early-warning": (_early_warning, SEEDS),
    "early-warning-own": (_early_warning_own, watched.SEEDS),
    "early-warning-author": (_early_warning_author, SEEDS),
    "early-warning-own-worlds": (partial(_early_warning_worlds, own_warning), range(SETS)),
    "early-warning-author-worlds": (partial(_early_warning_worlds, author_warning), range(SETS)),
    "collapses": (_collapses, collapses.SEEDS),
    "twins": (_twins, (42, 137)),
    "twins-worlds": (_twins_worlds, range(SETS)),
    "intervention": (_intervention, removal.SEEDS),
    "intervention-worlds": (_intervention_worlds, range(6)),
    "function-space-worlds": (_function_space_worlds, range(SETS)),
}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one check."""
    parser = argparse.ArgumentParser(
        prog="python -m spectral_edge.validate.referee.beyond", description=__doc__
    )
    parser.add_argument("name", choices=(*CHECKS, "table"), help="table: put what is stored into a page")
    parser.add_argument("--page", type=Path, default=Path("docs/beyond.md"), help="page of the table")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: those that the check was planned for")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument(
        "--work", type=Path, help="folder that keeps every finished run, so that the rest can be made later"
    )
    chosen = parser.parse_args(arguments)
    if chosen.name == "table":
        table.put(chosen.page, chosen.out)
        return
    make, usual = CHECKS[chosen.name]
    seeds = list(chosen.seeds or usual)
    with threadpool_limits(limits=1):
        findings, about = make(seeds, partial(each, jobs=max(1, chosen.jobs), work=chosen.work))
    command = f"python -m spectral_edge.validate.referee.beyond {chosen.name}"
    if seeds != list(usual):
        command += f" --seeds {' '.join(map(str, seeds))}"
    path = save(chosen.name, findings, {"command": command, "seeds": seeds, **about}, chosen.out)
    for one in findings:
        print(
            f"{one.id}: {one.verdict}; {one.treated} against {one.control}, excess {one.excess}, n = {one.n}"
        )
    _say(f"written to {path}")


if __name__ == "__main__":
    main()
