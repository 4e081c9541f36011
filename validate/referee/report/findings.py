"""``docs/findings.md``: what the referee found, prediction by prediction, written from a scoreboard."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from math import isfinite

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.bench import without_dense
from spectral_edge.validate.referee.events import GROKKED
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.published.record import NO_TEST, OUTCOMES
from spectral_edge.validate.referee.report.collapse_tables import collapse_tables
from spectral_edge.validate.referee.report.run_tables import grok_steps
from spectral_edge.validate.referee.scoreboard import FAMILY, Scoreboard
from spectral_edge.validate.referee.statistics import Estimate, short
from spectral_edge.validate.referee.verdict import NOT_RUN, SUPPORTED, VERDICTS, Prediction, Verdict

_NO_NUMBER = "no number known to us"

_HEAD = """# What the referee found

Written by `make findings` from the runs that come with the package; do not edit. How a verdict comes about is in
[referee.md](referee.md), the runs are described in [validate/runs/data](../validate/runs/data/README.md), the same with
pictures is the report (`make report`). Whoever doubts a verdict begins at the end:
[what speaks against them](#what-speaks-against-the-verdicts).
"""

_CAVEATS = """## What to keep in mind

- The runs are ours: small models, trained by the recipe of the author's code where it has one, otherwise by our own. A
  verdict is about them.
- The thesis reports 19 of its 20 predictions confirmed. The twenty here are claims taken from it and made testable by
  us; they are not its list.
- Curvatures h_j in 4, 7, 8 and 20 are those that the optimiser sees, v_jᵀD⁻¹Hv_j, in runs that hold them; those of the
  plain loss are readings. 4, 7, 8, 14 and 16 are decided by runs recorded at every step, the others are readings.
- The scale of the source p_j is not derived in the thesis. Where it matters it is fitted on the run's own past.
- *Size* is how often a test comes out supported in noise, *power* how often the planted world gets the verdict that is
  expected there, each over the sets of runs that `spectral-edge validate --calibrate` judged; the *worst size* is that
  in the worst of the worlds of `spectral-edge validate --calibrate --stress`, noise by other generators. A verdict that
  such a world gets in more than 7 % of its sets is not given.
- p-values are Holm-corrected over all twenty; a verdict rests on its rule, not on the corrected p-value.
"""


_DOUBTS = """## What speaks against the verdicts

Each column with the command that makes it:

- *size*: how often a test says *supported* in noise like the planted runs. `spectral-edge validate --calibrate` counts
  it, `… --calibrate --quick` counts a part again and says whether it agrees.
- *supported at most*: the same in the worst of the worlds of other noise, with that world and the sets that were
  judged in it. `spectral-edge validate --calibrate --stress`, and with `--quick` a part. A share of a few sets has
  a wide interval, and says little.
- *refuted at most*: how often a test says *refuted* in the worst of either. The same two commands.
- *placebos*: as what statistics that measure nothing of the claim came out by the rule of a *supported*.
  `spectral-edge validate --json`, `placebos`.
- *runs that would decide*: of how many runs an *undecided* would be decided four times in five, if the effect and its
  spread are what was seen (–: not a matter of their number). `spectral-edge validate --json`, `runs_to_decide`.

All other numbers of this page are made by `make findings`. What rules were changed after numbers had been seen is in
[referee.md](referee.md#verdicts), what statements beyond the twenty came out as, with their own
noise and planted worlds, in [beyond.md](beyond.md).
"""


def document(board: Scoreboard, intervals: Sequence[GramSequence] = ()) -> str:
    """The findings as Markdown.

    Parameters
    ----------
    board : Scoreboard
        Of all predictions.
    intervals : sequence of GramSequence
        Dense runs recorded at other intervals than every step.

    Returns
    -------
    str
    """
    tables = collapse_tables(board.runs, intervals)
    return "\n".join([
        _HEAD, *_summary(board), _CAVEATS, *_runs(board), *_sections(board), *tables, *_doubts(board)
    ])  # fmt: skip


def _summary(board: Scoreboard) -> Iterator[str]:
    count = Counter(verdict.verdict for verdict in board)
    told = ", ".join(f"{count[name]} {name}" for name in VERDICTS if count[name])
    yield f"Of {FAMILY} predictions, judged on {len(board.runs)} runs: {told}.\n"
    count = Counter(verdict.published.verdict for verdict in board)
    told = ", ".join(f"{count[name]} {name}" for name in OUTCOMES if count[name])
    yield f"As published, by the author's own statistics and criteria: {told}."
    yield "[referee.md](referee.md) says how each column comes about.\n"
    head = (
        "# | prediction | as published | refereed | found | control | effect, 95 % | size | worst size | power | "
        "the thesis reports"
    )
    yield f"| {head} |"
    yield f"|{'---|' * (head.count(' | ') + 1)}"
    by_id = {prediction.id: prediction for prediction in PREDICTIONS}
    for v in board:
        reported = by_id[v.id].reported or _NO_NUMBER
        cells = (
            str(v.number), f"[{v.id}](#{v.number}-{v.id})", v.published.verdict, f"**{v.verdict}**", short(v.statistic),
            short(v.control),
            _estimate(v.effect), _estimate(v.size), _estimate(v.stress_size), _estimate(v.power), reported,
        )  # fmt: skip
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield ""
    yield "Where the two columns differ:\n"
    for v in board:
        if v.published.difference:
            told = f"{v.published.verdict} as published ({v.published.found}), {v.verdict} by the referee"
            yield f"- {v.number}, {v.id}: {told}. {v.published.difference}"
    yield ""


def _runs(board: Scoreboard) -> Iterator[str]:
    yield "## The runs\n"
    yield f"Step at which the test accuracy first reaches {GROKKED:g} (–: never), by task, weight decay and seed."
    yield "`spectral-edge record --list` prints it too; how every run ended is in"
    yield "[results.md](../validate/runs/data/results.md).\n"
    yield from grok_steps(without_dense(board.runs))
    yield ""


def _sections(board: Scoreboard) -> Iterator[str]:
    by_id = {prediction.id: prediction for prediction in PREDICTIONS}
    for verdict in board:
        yield from _section(by_id[verdict.id], verdict)


def _section(prediction: Prediction, v: Verdict) -> Iterator[str]:
    yield f"## {v.number}. {v.id}\n"
    yield f"> {prediction.claim} ({prediction.reference})\n"
    yield f"**{v.verdict.capitalize()}.** {v.meaning}\n"
    yield f"- rule: {prediction.rule}"
    yield f"- treated: {prediction.treatment}; control: {prediction.control}"
    yield f"- the thesis reports: {prediction.reported or _NO_NUMBER}"
    yield f"- as published: {v.published.rule}"
    if v.published.verdict != NO_TEST:
        yield f"- so judged: {v.published.verdict}: {v.published.found}"
    if v.published.difference:
        yield f"- what makes the difference: {v.published.difference}"
    if v.n:
        yield f"- found: {v.statistic_name}: {short(v.statistic)}, control {short(v.control)}"
        yield f"- effect: {v.effect_name}: {_estimate(v.effect)}"
        yield f"- p = {short(v.p_value, 2)} ({short(v.p_holm, 2)} by Holm); n = {v.n}"
        planted, noise = v.worlds["planted"], v.worlds["noise"]
        yield f"- in the planted world {planted} (expected: {prediction.expected_when_planted}), in noise {noise}"
    yield f"- size {_estimate(v.size)}, power {_estimate(v.power)}"
    if v.stress_world:
        yield f"- supported most often where nothing is to be found: {_estimate(v.stress_size)}, “{v.stress_world}”"
    if v.refuted_world:
        right = f"; rightly: {prediction.noise_refutes}" if prediction.noise_refutes else ""
        yield f"- refuted most often there: {_estimate(v.refuted_size)}, “{v.refuted_world}”{right}"
    for name, verdict in v.placebos.items():
        yield f"- placebo, {name}: {verdict}"
    yield ""
    if v.readings:
        yield "| reading | treated | control |"
        yield "|---|---|---|"
        for reading in v.readings:
            cells = reading.name, _estimate(reading.treated), _estimate(reading.control)
            yield f"| {' | '.join(map(_cell, cells))} |"
        yield ""


def _doubts(board: Scoreboard) -> Iterator[str]:
    """What speaks against each verdict, and what would change it."""
    yield _DOUBTS
    by_id = {prediction.id: prediction for prediction in PREDICTIONS}
    yield "| # | verdict | size | supported at most | refuted at most | placebos | runs that would decide |"
    yield "|---|---|---|---|---|---|---|"
    for v in board:
        cells = (
            f"[{v.number}](#{v.number}-{v.id})", v.verdict, _estimate(v.size),
            _worst(v.stress_size, v.stress_world, v.stress_sets),
            _worst(v.refuted_size, v.refuted_world, v.refuted_sets),
            ", ".join(sorted(set(v.placebos.values()))) or "–", f"{v.runs_to_decide or '–'}",
        )  # fmt: skip
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield "\nWhat would change a verdict that is not *supported*:\n"
    for v in board:
        if v.verdict not in (SUPPORTED, NOT_RUN) and by_id[v.id].changed_by:
            yield f"- [{v.number}](#{v.number}-{v.id}), {v.verdict}: {by_id[v.id].changed_by}"


def _worst(size: Estimate, world: str, sets: int) -> str:
    return f"{_estimate(size)}, “{world}”, {sets} set{'' if sets == 1 else 's'}" if world else "–"


def _estimate(one: Estimate) -> str:
    return str(one) if isfinite(one.value) else "–"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    from spectral_edge.validate.referee.scoreboard import check
    from spectral_edge.validate.runs.bundle import bundled, judged

    scoreboard = check(judged(), progress=lambda part: print(part, file=sys.stderr))
    sys.stdout.write(document(scoreboard, bundled("intervals")))
