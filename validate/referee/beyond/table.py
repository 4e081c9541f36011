"""What the stored results say, as the table of docs/beyond.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spectral_edge.validate.referee.beyond.finding import RESULTS, load
from spectral_edge.validate.referee.statistics import Estimate

#: Results in the order in which they are shown.
ORDER = (
    "function-space", "intervention", "collapses", "twins", "recorded", "formation", "tensor-programs",
    "lottery-ticket", "early-warning-own", "early-warning-author",
)  # fmt: skip
#: Worlds that were counted, and early warnings.
WORLDS = (
    "function-space-worlds", "twins-worlds", "early-warning-own-worlds", "early-warning-author-worlds",
)  # fmt: skip
WARNINGS = ("early-warning", "early-warning-own", "early-warning-author")
#: Between these lines the page is made by the command.
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def table(folder: Path = RESULTS) -> str:
    """Every finding, its readings, the worlds that were counted and what warns early, in Markdown.

    Returns
    -------
    str
        Results that are not stored are left out.
    """
    return "\n".join(_lines(folder))


def put(page: Path, folder: Path = RESULTS) -> None:
    """Write the table into `page`, between its two marks.

    Raises
    ------
    ValueError
        If the page has no marks.
    """
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"page must hold the lines {BEGIN} and {END}, got {page}")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{table(folder)}\n\n{END}{after}", encoding="utf-8")


def _lines(folder: Path) -> Iterator[str]:
    stored = [load(name, folder) for name in ORDER if (folder / f"{name}.json").exists()]
    yield "| statement | verdict | what is measured | against | excess, 95 % | runs |"
    yield "|---|---|---|---|---|---|"
    for result in stored:
        for one in result["findings"]:
            treated, control = (
                f"{_said(one['treated'])}: {one['statistic']}",
                f"{_said(one['control'])}: {one['against']}",
            )
            yield f"| {one['claim']} | {one['verdict']} | {treated} | {control} | {_said(one['excess'])} | {one['n']} |"
    for result in stored:
        yield f"\n`{result['command']}` (seeds {_row(result['seeds'])})\n"
        for one in result["findings"]:
            claim = one["claim"].replace("*", r"\*")  # k* is not the end of the emphasis
            yield f"- *{claim}* Rule: {one['rule']}. p = {_p(one['p_value'])}."
            if one["readings"]:
                yield (
                    "  "
                    + "; ".join(f"{name} {_said(value)}" for name, value in one["readings"].items())
                    + "."
                )
    yield from _worlds(folder)
    for name in WARNINGS:
        yield from _warning(name, folder)


def _row(seeds: list[int]) -> str:
    """The seeds; of many that follow one another the ends."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 9 and seeds == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, seeds))


def _worlds(folder: Path) -> Iterator[str]:
    for name in WORLDS:
        if not (folder / f"{name}.json").exists():
            continue
        found = load(name, folder)
        yield f"\n`{found['command']}`: supported in so many of {found['sets']} sets of {found['runs_in_a_set']} runs\n"
        yield "| statement | planted | noise |\n|---|---|---|"
        for one in found["supported"]["planted"] | found["supported"]["noise"]:
            yield (
                f"| {one} | "
                + " | ".join(str(found["supported"][k].get(one, 0)) for k in ("planted", "noise"))
                + " |"
            )
    if (folder / "intervention-worlds.json").exists():
        found = load("intervention-worlds", folder)
        said = "; ".join(
            f"{one['id']}: {one['verdict']}, excess {_said(one['excess'])}" for one in found["findings"]
        )
        yield f"\n`{found['command']}`: {said}."


def _warning(name: str, folder: Path) -> Iterator[str]:
    if not (folder / f"{name}.json").exists():
        return
    found = load(name, folder)
    leads = sorted({row["lead"] for row in found["features"]})
    transitions = max(row["transitions"] for row in found["features"])
    yield f"\n`{found['command']}`: AUC matched in time, on families nothing was learned on, {found['runs']} runs,"
    yield f"{transitions} of whose transitions have their onset (the fair label) late enough to be judged\n"
    off = found.get("off_bundled")
    if off:
        least = (
            f"by at most {max(off.values()):.2g} of its largest entry" if any(off.values()) else "in no bit"
        )
        yield f"K of {len(off)} of them, compared with that of the bundled runs of the same names, differs {least}\n"
    labels = {"auc": "onset", "late": "accuracy 0.95"}
    kept = [of for of in labels if any(row.get(of) for row in found["features"])]
    heads = [f"{labels[of]}, {lead} records" for of in kept for lead in leads]
    yield "| feature | " + " | ".join(heads) + " |"
    yield "|---" * (1 + len(heads)) + "|"
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for row in found["features"]:
        rows.setdefault(row["feature"], {})[row["lead"]] = row
    for feature, by_lead in rows.items():
        cells = [_said(by_lead[lead][of]) for of in kept for lead in leads]
        yield f"| {feature} | " + " | ".join(cells) + " |"


def _said(estimate: dict[str, float | None]) -> str:
    value, low, high = (
        float("nan") if estimate[key] is None else estimate[key] or 0.0 for key in Estimate._fields
    )
    return str(Estimate(value, low, high))


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"
