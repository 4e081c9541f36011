"""At which step a checkpoint was written, from its name: words that mean time decide, other numbers do not."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

#: Words before (or after) a number that make it a step, the surest first.
STEPS = (
    ("global_step", "globalstep", "step", "steps"),
    ("iter", "iters", "iteration", "iterations", "it", "itr", "ba", "batch", "batches", "update", "updates"),
    ("checkpoint", "ckpt", "chkpt"),
)
#: Words of coarser or other time: numbers after them never fall.
TIMES = (
    ("epoch", "epochs", "ep"),
    ("sample", "samples", "seq", "image", "images", "kimg", "token", "tokens", "tok", "phase", "stage"),
)
#: Words that do not mean time.
OTHER = re.compile(
    "loss|acc|accuracy|err|error|lr|wd|seed|rank|shard|fold|split|rep|replica|trial|score|ppl|perplexity|bpb|bleu|rouge|"
    "f|auc|map|mse|mae|rmse|reward|return|v|ver|version|exp|experiment|run|job|gpu|worker|part|mp|pp|tp|dp|top|"
    "width|depth|dim|size|layers?|heads?|bs|fp|bf"
)
#: Words of numbers that tell runs apart, or the parts of one checkpoint.
RUNS = re.compile(
    "run|exp|experiment|trial|seed|fold|split|rep|replica|job|version|rank|shard|worker|gpu|mp|pp|tp|dp"
)
#: Words of files that are another name for one of the checkpoints.
ALIASES = re.compile("last|latest|best|final|current|newest|end|ema|swa|avg|average|tmp|temp|partial")
UNITS = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}

_DATE = re.compile(
    r"(19|20)\d\d([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])([-_T. ]?\d\d[-_.:h]?\d\d([-_.:m]?\d\d)?)?"
)
_TOKEN = re.compile(
    r"(?P<number>\d+(\.\d+)?([eE][+-]?\d+)?)(?P<unit>[kKMBGT](?![A-Za-z]))?|(?P<word>[A-Za-z]+)"
)


class Number(NamedTuple):
    """A number in a name, with the word that says what it is."""

    word: str
    value: float
    decimal: bool


@dataclass(frozen=True)
class Steps:
    """What names say of steps.

    Attributes
    ----------
    steps : mapping of int to int
        Step of each name by its place in the list; names that are not there are left out.
    left_out : mapping of int to str
        Reasons.
    problem : str
        Why the names do not decide; "" if they do.
    unit : str
        What the steps are: "step", or "epoch" or another word where the names hold no optimiser step; "order" for
        numbers 0, 1, 2 …
    """

    steps: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[int, str] = field(default_factory=dict)
    problem: str = ""
    unit: str = "step"


def numbers(name: str) -> list[Number]:
    """The numbers of a name without its ending, each with its word; dates do not count.

    Examples
    --------
    >>> [(n.word, n.value) for n in numbers("stage1-step600-tokens3B")]
    [('stage', 1.0), ('step', 600.0), ('tokens', 3000000000.0)]
    """
    found: list[Number] = []
    for part in name.split("/"):
        part = _DATE.sub("#", part)
        tokens, word = list(_TOKEN.finditer(part)), ""
        for i, token in enumerate(tokens):
            if token["word"]:  # one that touches the number before it belongs to that
                word = "" if _after(tokens, i - 1, word) else token["word"].lower()
                continue
            word = _after(tokens, i, word) or word
            text = token["number"]
            value = float(text) * UNITS.get(token["unit"] or "", 1.0)
            found.append(Number(word, value, value != int(value) or ("." in text and not token["unit"])))
            word = ""
    return found


def _after(tokens: Sequence[re.Match[str]], i: int, word: str) -> str:
    """The word for time that follows number `i` and belongs to it, as in ``100steps``; "" if there is none."""
    if i < 0 or i + 1 >= len(tokens) or not tokens[i]["number"] or not tokens[i + 1]["word"]:
        return ""
    after = tokens[i + 1]["word"].lower()
    touches = tokens[i + 1].start() == tokens[i].end()
    last = i + 2 >= len(tokens) or not tokens[i + 2]["number"]
    return after if _rank(after) is not None and (touches or (not word and last)) else ""


def skeleton(name: str) -> str:
    """`name` with ``#`` for every number: the same for checkpoints of one pattern."""
    return re.sub(r"\d+(\.\d+)?", "#", _DATE.sub("#", name))


def _rank(word: str) -> int | None:
    """How surely a number after `word` is a step: 0 the surest; None if the word means no time."""
    for rank, words in enumerate((*STEPS, *TIMES)):
        if word in words or (
            rank < len(STEPS) and len(word) > 4 and word.endswith(tuple(w for w in words if len(w) > 3))
        ):
            return rank
    return None


def _of(found: Sequence[Number], rank: int) -> float | None:
    """The number of that rank in a name, the last if there are several."""
    values = [n.value for n in found if _rank(n.word) == rank and not n.decimal]
    return values[-1] if values else None


def steps_of(names: Sequence[str], witnesses: Callable[[int], int | None]) -> Steps:
    """The step of each of `names` (paths below the folder, without endings).

    Parameters
    ----------
    names : sequence of str
    witnesses : callable
        The step that is written inside a checkpoint, by its place in the list; asked only where names hold no
        optimiser step.
    """
    found = [numbers(name) for name in names]
    left = _aliases(names, found)
    there = [i for i in range(len(names)) if i not in left]
    if not there:  # only what is written inside can tell
        there, left = list(range(len(names))), {}
    for rank in range(len(STEPS)):
        chosen = _chosen(found, there, rank, left)
        if chosen is not None:
            return _ordered(names, found, chosen)
    inside = {i: step for i in there if (step := witnesses(i)) is not None}
    if len(inside) == len(there) and len(set(inside.values())) == len(inside) > 1:
        return _ordered(names, found, Steps(inside, left))
    for rank in range(len(STEPS), len(STEPS) + len(TIMES)):
        chosen = _chosen(found, there, rank, left)
        if chosen is not None:
            unit = next(n.word for n in found[min(chosen.steps)] if _rank(n.word) == rank)
            unit = "epoch" if unit in TIMES[0] else unit
            return _ordered(names, found, replace(chosen, unit=unit))
    return _unnamed(names, found, there, left)


def _aliases(names: Sequence[str], found: Sequence[Sequence[Number]]) -> dict[int, str]:
    """Names without any number, and other names of a checkpoint, where there are others."""
    left = {i: "no number in its name" for i, numbers_ in enumerate(found) if not numbers_}
    other: dict[int, str] = {}
    for i, name in enumerate(names):
        words = [token["word"].lower() for token in _TOKEN.finditer(name) if token["word"]]
        alias = next((word for word in words if ALIASES.fullmatch(word)), None)
        if i not in left and alias:
            other[i] = f"{alias!r} is another name"
    return left | other if len(left) + len(other) <= len(names) - 3 else left


def _chosen(
    found: Sequence[Sequence[Number]], there: Sequence[int], rank: int, left: Mapping[int, str]
) -> Steps | None:
    """Steps from the words of `rank`, if at least three names have one and they differ."""
    steps = {i: int(value) for i in there if (value := _of(found[i], rank)) is not None}
    if len(steps) < min(3, len(there)) or len(set(steps.values())) == 1 < len(steps):
        return None
    others = {i: "no step in its name" for i in there if i not in steps}
    return Steps(steps, {**left, **others})


def _ordered(names: Sequence[str], found: Sequence[Sequence[Number]], chosen: Steps) -> Steps:
    """`chosen`, if it is one run, and every other number that is known to be time rises along with it."""
    order = sorted(chosen.steps, key=lambda i: chosen.steps[i])
    last: dict[str, tuple[float, int]] = {}
    for i in order:
        for word, value, decimal in found[i]:
            before, other = last.get(word, (value, i))
            last[word] = value, i
            if RUNS.fullmatch(word) and value != before:
                problem = f"several runs or ranks, {names[other]} and {names[i]},"
            elif not decimal and _rank(word) is not None and value < before:
                problem = f"an order that {names[other]} and {names[i]} contradict"
            else:
                continue
            return Steps(problem=problem, left_out=chosen.left_out)
    return chosen


def _unnamed(
    names: Sequence[str], found: Sequence[Sequence[Number]], there: Sequence[int], left: Mapping[int, str]
) -> Steps:
    """Steps where no word says so: the one whole number that varies, in names of one pattern."""
    if not any(found[i] for i in there):
        return Steps(problem="no number that is a step")
    patterns = Counter(skeleton(names[i]) for i in there)
    large = [pattern for pattern, count in patterns.items() if count >= 3] or list(patterns)
    if len(large) > 1:
        listed = ", ".join(f"{patterns[pattern]} × {pattern}" for pattern in large[:4])
        return Steps(problem=f"several patterns ({listed})", left_out=left)
    members = [i for i in there if not large or skeleton(names[i]) == large[0]]
    others = {i: "another pattern of name" for i in there if i not in members}
    columns = list(zip(*(found[i] for i in members), strict=False))
    varying = [column for column in columns if len({n.value for n in column}) > 1]
    plain = [column for column in varying if not OTHER.fullmatch(column[0].word)]
    if len(varying) == len(plain) == 1 and not any(n.decimal for n in plain[0]):
        steps = {i: int(n.value) for i, n in zip(members, plain[0], strict=True)}
        return Steps(steps, {**left, **others})
    if len(members) == 1 and found[members[0]]:
        return Steps({members[0]: int(found[members[0]][-1].value)}, {**left, **others})
    what = "several numbers that vary" if len(varying) > 1 else "no number that is a step"
    return Steps(problem=what, left_out=left)


def by_pattern(names: Sequence[str], pattern: str) -> Steps:
    """Steps by a regular expression of the user: its group is the step, several groups are an order.

    Raises
    ------
    ValueError
        If it is not a regular expression, or a group is not a number.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"steps must be a regular expression, got {pattern!r}: {error}") from None
    keys: dict[int, tuple[float, ...]] = {}
    for i, name in enumerate(names):
        match = compiled.search(name)
        if match is not None:
            texts = match.groups() or (match.group(),)
            try:
                keys[i] = tuple(float(text) for text in texts if text is not None)
            except ValueError:
                found = ", ".join(str(text) for text in texts)
                raise ValueError(
                    f"steps must find numbers alone, got {found} in {name}: put them into groups, as in 'step(\\d+)'"
                ) from None
    left = {i: "steps does not match its name" for i in range(len(names)) if i not in keys}
    if all(len(key) == 1 and key[0] == int(key[0]) for key in keys.values()):
        return Steps({i: int(key[0]) for i, key in keys.items()}, left)
    if len(set(keys.values())) < len(keys):
        raise ValueError(f"steps must tell checkpoints apart, got the same numbers twice with {pattern!r}")
    order = sorted(keys, key=lambda i: keys[i])
    return Steps({i: n for n, i in enumerate(order)}, left, unit="order")
