"""One file that holds a run: a list of state dicts, a mapping from step to state dict, vectors side by side."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spectral_edge.validate.gram.files.content import Content
from spectral_edge.validate.gram.files.discovery import Checkpoint, Listing
from spectral_edge.validate.gram.files.formats import content_of
from spectral_edge.validate.gram.files.steps import skeleton, steps_of
from spectral_edge.validate.gram.files.tensors import STORED, Flat, Unread

Place = tuple[str, ...]


def run_in_file(path: Path) -> Listing:
    """The checkpoints inside one file, in the order of their steps.

    Raises
    ------
    ValueError
        If it holds none, or one.
    """
    content = content_of(path)
    stack = _stack(path, content)
    if stack is not None:
        return stack
    for place in _levels(content):
        steps = _steps(content, place)
        if steps:
            checkpoints = [Checkpoint(step, path, (path,), (*place, key)) for key, step in steps.items()]
            checkpoints.sort(key=lambda checkpoint: checkpoint.step)
            inside = tuple(content.below(checkpoint.place) for checkpoint in checkpoints)
            beside = {".".join(keys) for keys in content.leaves if keys[: len(place)] != place}
            left = tuple((name, "beside the checkpoints") for name in sorted(beside))
            return Listing(tuple(checkpoints), inside, left)
    n = len(content.leaves)
    raise ValueError(
        f"path must hold at least 3 checkpoints, got one file with {n} tensor{'s' * (n != 1)} and no list or "
        f"mapping of state dicts: name the folder of checkpoints, not {path}"
    )


def _stack(path: Path, content: Content) -> Listing | None:
    """The rows of the one tensor (T+1, P) that there is, as checkpoints."""
    found = {place: leaf for place, leaf in content.leaves.items() if not isinstance(leaf, Unread)}
    place, leaf = next(iter(found.items())) if len(found) == 1 else ((), None)
    if not isinstance(leaf, Flat) or len(leaf.shape) != 2 or leaf.stored:
        return None
    n, P = leaf.shape
    if n < 3:
        return None
    row = P * STORED[leaf.dtype].size
    rows = [replace(leaf, offset=leaf.offset + t * row, shape=(P,)) for t in range(n)]
    checkpoints = tuple(Checkpoint(t, path, (path,), (*place, str(t))) for t in range(n))
    return Listing(checkpoints, tuple(Content({("params",): row}) for row in rows))


#: Keys of a list or mapping of checkpoints, as against those of the layers of one.
_RUN = re.compile(
    r"ckpt|checkpoint|snapshot|history|state|run|traject|theta|weight|param|step", re.IGNORECASE
)


def _levels(content: Content) -> list[Place]:
    """Places at which a list or a mapping of checkpoints may stand: the top, and the keys that say so."""
    tops = sorted({keys[0] for keys in content.leaves if len(keys) > 1})
    return [(), *((top,) for top in tops if _RUN.search(top))]


def _steps(content: Content, place: Place) -> dict[str, int]:
    """Step of each key at `place`, if what is under them are states of one model; {} otherwise."""
    n = len(place)
    states: dict[str, dict[Place, tuple[int, ...]]] = {}
    for keys, leaf in content.leaves.items():
        if keys[:n] == place and len(keys) > n and not isinstance(leaf, Unread):
            states.setdefault(keys[n], {})[keys[n + 1 :]] = leaf.shape
    names = list(states)
    alike = len({frozenset(state.items()) for state in states.values()}) == 1
    if len(names) < 3 or not alike:
        return {}
    vectors = all(set(state) == {()} for state in states.values())
    if vectors and any(len(state[()]) != 1 for state in states.values()):
        return {}
    if all(re.fullmatch(r"\d+", name) for name in names):
        return {name: int(name) for name in names}
    return _named_steps(names, vectors)


def _named_steps(names: Sequence[str], vectors: bool) -> dict[str, int]:
    """Steps of keys that say so: "step_100" …; for vectors side by side, any one number that varies."""
    if len({skeleton(name) for name in names}) > 1:
        return {}
    found = steps_of(names, lambda i: None)
    words = all(re.search(r"step|iter|epoch|ckpt|checkpoint", name, re.IGNORECASE) for name in names)
    if found.problem or len(found.steps) < len(names) or not (words or vectors):
        return {}
    if len(set(found.steps.values())) < len(names):
        return {}
    return {names[i]: step for i, step in found.steps.items()}
