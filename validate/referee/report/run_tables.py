"""Tables of the recorded runs as Markdown: grok steps by task, weight decay and seed, and how every run ended."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import fill
from typing import Any

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.cards import card, is_plain, knows, metric, number
from spectral_edge.validate.referee.events import GROKKED, grok_step
from spectral_edge.validate.referee.partners import decay_groups
from spectral_edge.validate.referee.published.grokking import recorded_as_controls
from spectral_edge.validate.referee.published.record import stop_step

#: Headings of the families, in the order of the cards; the task on their cards.
FAMILIES = {
    "modular-addition": "Modular addition",
    "modular": "Modular arithmetic, five more operations",
    "modular-dual": "Two operations at once",
    "modular-tri": "Three operations at once",
    "dyck-depth": "Dyck-1",
    "scan": "SCAN",
    "modular-shift": "Shift",
    "character-language": "Language",
}

_HEAD = """# How the recorded runs ended

Written by `make findings`; do not edit. What the runs are is in [README.md](README.md). A run has grokked when its test
accuracy first reaches {threshold:g}; accuracies and losses are those of the last record. Where a run went on after its
recipe would have stopped it, "stop" is that step. Recipes: "author", that of the author's public code; "own", settings
of ours.
"""

_INTERVALS = """## What the interval between records does

The same training, recorded at several intervals: windows of W updates each. The author records runs without weight
decay every 500 steps and the others every 100 or 200; every fifth record of a run without decay shows what that alone
does (the updates between are added: the same as if they had not been recorded).
"""

#: Records of a run without weight decay that the author's interval makes one.
MERGED = 5


def document(runs: Sequence[GramSequence], again: Sequence[GramSequence] = ()) -> str:
    """One table a family: grok step, last step, final accuracies and losses of every run.

    Parameters
    ----------
    runs : sequence of GramSequence
        As `validate.bundled` gives them.
    again : sequence of GramSequence
        Second recordings of some of them.

    Returns
    -------
    str
    """
    parts = [_HEAD.format(threshold=GROKKED)]
    for task, heading in FAMILIES.items():
        chosen = [run for run in runs if card(run).task == task]
        if chosen:
            parts += [f"## {heading}\n", *_family(chosen), ""]
    if table := list(intervals(runs, [*again, *_as_the_author_records(runs)])):
        parts += [_INTERVALS, *table, ""]
        if told := recorded_as_controls([run for run in decay_groups(runs)[1] if is_plain(run)]):
            parts += [fill(told, 120), ""]
    return "\n".join(parts)


def _family(runs: Sequence[GramSequence]) -> Iterator[str]:
    heads = ("run", "recipe", "grokked", "grok step", "stop", "last step")
    yield _row(*heads, "training accuracy", "test accuracy", "training loss", "test loss")
    yield f"|{'---|' * 10}"
    for run in runs:
        step = grok_step(run)
        last = (f"{_last(run, f'{half}_accuracy'):.3f}" for half in ("train", "test"))
        losses = (f"{_last(run, f'{half}_loss'):.2g}" for half in ("train", "test"))
        grokked = "no" if step is None else "yes"
        yield _row(
            card(run).run or "unnamed",
            card(run).recipe or "–",
            grokked,
            _steps(step),
            _steps(stop_step(run)),
            _steps(int(run.steps[-1])),
            *last,
            *losses,
        )


def _last(run: GramSequence, name: str) -> float:
    values = metric(run, name)
    return float("nan") if values is None else float(values[-1])


def grok_steps(runs: Sequence[GramSequence]) -> Iterator[str]:
    """Rows of a table: the grok step of every grokking run by what it learns, its weight decay and its seed."""
    chosen = [run for group in decay_groups(runs) for run in group]
    chosen = [run for run in chosen if knows(run, "seed")]
    seeds = sorted({int(number(run, "seed")) for run in chosen})
    found: dict[tuple[str, str, float], dict[int, GramSequence]] = {}
    for run in chosen:
        own = card(run)
        where = own.operation or own.task or own.family, own.recipe or "–", number(run, "weight_decay")
        found.setdefault(where, {})[int(number(run, "seed"))] = run
    yield _row("learns", "recipe", "weight decay", *(f"seed {seed}" for seed in seeds))
    yield _row(*["---"] * (3 + len(seeds)))
    order = list(dict.fromkeys(what for what, _, _ in found))
    rows = sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1], -item[0][2]))
    for (what, recipe, decay), row in rows:
        cells = (_steps(grok_step(row[seed])) if seed in row else "not recorded" for seed in seeds)
        yield _row(what, recipe, f"{decay:g}", *cells)


def intervals(runs: Sequence[GramSequence], again: Sequence[GramSequence], W: int = 10) -> Iterator[str]:
    """Rows of a table: what the interval between records makes of R and g_23, the training being the same.

    Parameters
    ----------
    runs : sequence of GramSequence
    again : sequence of GramSequence
        Recordings of some of `runs` at other intervals ("interval" as their experiment); others are left out.
    W : int
        Updates in a window, fewer where a recording holds only narrower ones; one without a window has no figures.

    Yields
    ------
    str
        Nothing where there is no run beside its other recording.
    """
    found: dict[str, list[GramSequence]] = {}
    for other in (run for run in again if card(run).experiment == "interval"):
        first = next((run for run in runs if is_plain(run) and _same_training(run, other)), None)
        if first is not None:
            found.setdefault(card(first).run or "unnamed", [first]).append(other)
    if not found:
        return
    yield _row(
        "run",
        "steps per record",
        "W",
        "windows",
        "median R",
        "median R weighted k*",
        "usual k*",
        "peak of g_23 / last",
    )
    yield _row(*["---"] * 8)
    for name, recordings in found.items():
        width = min([W, *(run.W_max for run in recordings if run.banded)])  # as wide as all of them hold
        for run in sorted(recordings, key=lambda run: number(run, "record_every")):
            yield _row(name, f"{number(run, 'record_every'):g}", width, *_of_windows(run, width))


def _as_the_author_records(runs: Sequence[GramSequence]) -> Iterator[GramSequence]:
    """Every `MERGED`-th record of the first run without weight decay of each task."""
    seen = set()
    for run in runs:
        own = card(run)
        known = is_plain(run) and knows(run, "weight_decay") and knows(run, "record_every")
        if not known or number(run, "weight_decay") != 0 or own.family in seen or run.T < 2 * MERGED:
            continue
        seen.add(own.family)
        merged = run.every(MERGED)
        yield replace(merged, config={**merged.config, "experiment": "interval"})


def _same_training(run: GramSequence, other: GramSequence) -> bool:
    fields = ("family", "seed", "weight_decay", "optimizer")
    return all(getattr(card(run), field) == getattr(card(other), field) for field in fields)


def _of_windows(run: GramSequence, W: int) -> list[str]:
    if min(run.T, run.W_max) < W:
        return ["0", *"––––"]
    windows = run.window(W)
    k_star, weighted = windows.k_star, windows.k_star_weighted
    known = np.flatnonzero(np.isfinite(k_star) & np.isfinite(weighted))
    by_weight = windows.ratios[known, weighted[known].astype(int) - 1]
    usual = int(np.bincount(k_star[known].astype(int)).argmax()) if len(known) else "–"
    medians = (f"{np.median(x):.2f}" if len(x) else "–" for x in (windows.ratio[known], by_weight))
    return [str(len(windows.steps)), *medians, str(usual), f"{windows.g_23.max() / windows.g_23[-1]:.3g}"]


def _steps(step: int | None) -> str:
    return "–" if step is None else f"{step:,}"


def _row(*cells: Any) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    from spectral_edge.validate.runs.bundle import bundled, made_again

    sys.stdout.write(document(bundled(), made_again()))
