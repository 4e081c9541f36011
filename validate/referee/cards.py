"""What a run says of itself: its card and its metrics, read in this one place under the names that trainers use.

What is not said, said twice and differently, or said in a way that cannot be understood, is unknown: None here, and
unknown to everyone who asks. `remarks` names it, run and key.
"""

import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spectral_edge.theory.checks import FloatArray
from spectral_edge.theory.files import utf8
from spectral_edge.validate.gram import GramSequence

#: The experiment of runs that belong to no other: with and without weight decay, waiting for one transition.
PLAIN = "grokking"
#: Small runs recorded at every step, which the predictions judge that need those.
DENSE = "dense"
#: The recipe of the author's public code.
AUTHOR = "author"
#: Keys of a card by what they say, the usual one first; capitals, hyphens and spaces make no difference.
KEYS: dict[str, tuple[str, ...]] = {
    "run": ("run", "run_name", "name", "run_id", "exp_name", "experiment_name"),
    "task": ("task", "task_name", "dataset", "dataset_name"),
    "operation": ("operation",),
    "experiment": ("experiment",),
    "recipe": ("recipe",),
    "optimizer": ("optimizer", "optimiser", "optimizer_name", "optim", "opt"),
    "weight_decay": ("weight_decay", "wd", "optimizer_weight_decay"),
    "learning_rate": ("learning_rate", "lr", "base_lr", "max_lr", "peak_lr", "initial_lr"),
    "batch_size": ("batch_size", "bs", "train_batch_size", "global_batch_size", "total_batch_size"),
    "seed": ("seed", "random_seed", "manual_seed", "rng_seed", "seed_everything"),
    "betas": ("betas", "adam_betas", "opt_betas"),
    "beta1": ("beta1", "beta_1", "adam_beta1"),
    "beta2": ("beta2", "beta_2", "adam_beta2"),
    "momentum": ("momentum", "sgd_momentum"),
    "record_every": ("record_every",),
    "shift_step": ("shift_step",),
    "event": ("event",),
    "event_step": ("event_step",),
}
_TEST = ("test", "validation", "val", "valid", "eval", "dev")
#: Names of metrics by what they measure, the usual one first; slashes, dots and capitals make no difference.
METRICS: dict[str, tuple[str, ...]] = {
    "train_loss": ("train_loss", "training_loss", "loss"),
    "test_loss": tuple(f"{half}_loss" for half in _TEST),
    "train_accuracy": ("train_accuracy", "training_accuracy", "train_acc", "training_acc", "accuracy", "acc"),
    "test_accuracy": tuple(
        f"{half}_{word}" for word in ("accuracy", "acc", "top1", "acc1") for half in _TEST
    ),
    "learning_rate": ("learning_rate", "lr", "train_learning_rate", "train_lr"),
}
_FIELD = {name: field for field, names in KEYS.items() for name in names}
#: Hyperparameters that are also looked for in nested mappings and dotted keys (``optimizer.lr``).
_NESTED = ("weight_decay", "learning_rate", "batch_size", "betas", "beta1", "beta2", "momentum")


@dataclass(frozen=True)
class Card:
    """The card of a run, None where it is unknown.

    Attributes
    ----------
    run, task, operation : str or None
        Its name, and what it learns.
    experiment : str
        The question it belongs to: "grokking" where the card names none, "optimizer", "shift", "dense".
    recipe : str or None
        Whose settings it follows, where there are several: runs of different recipes are not compared.
    optimizer : str or None
    weight_decay, momentum : float or None
    learning_rate : float or None
        The largest, where a schedule changes it: `learning_rate` has that of every record.
    batch_size : float or None
        Examples of an optimiser step.
    seed : int or None
    betas : (float, float) or None
        Of Adam and its kin.
    record_every : float or None
        Optimiser steps between two records.
    shift_step : int or None
        Last step before the data change; 0 where they never do.
    event : str or None
        What counts as its transition, where that is not a test accuracy.
    event_step : int or None
        Step at which it came, if the card says so; −1 where it never did.
    odd : tuple of str
        What could not be understood, each with its key and value.
    """

    run: str | None = None
    task: str | None = None
    operation: str | None = None
    experiment: str = PLAIN
    recipe: str | None = None
    optimizer: str | None = None
    weight_decay: float | None = None
    learning_rate: float | None = None
    batch_size: float | None = None
    seed: int | None = None
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    record_every: float | None = None
    shift_step: int | None = None
    event: str | None = None
    event_step: int | None = None
    odd: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Task, operation and recipe: what runs share that may be compared."""
        learns = " ".join(part for part in (self.task, self.operation) if part is not None) or "unnamed"
        return f"{learns} ({self.recipe})" if self.recipe else learns

    @property
    def heading(self) -> str:
        """The family as a heading."""
        task = (self.task or "").replace("-", " ") or "unnamed task"
        named = task.endswith("addition") or task == "planted"  # the heading says it already
        heading = task if named or not self.operation else f"{task}, {self.operation}"
        return f"{heading}, {self.recipe} recipe" if self.recipe == AUTHOR else heading

    @property
    def contrast(self) -> tuple[str, bool | None]:
        """What sets the run apart from its control, and whether it is the treated one (None: unknown)."""
        if self.experiment == "shift":
            changes = None if self.shift_step is None else self.shift_step > 0
            return {True: "data change", False: "data stay", None: "data unknown"}[changes], changes
        if self.experiment == "optimizer":
            name = self.optimizer
            return name or "optimizer unknown", None if name is None else name.lower() == "muon"
        decays = None if self.weight_decay is None else self.weight_decay > 0
        named = {True: "with weight decay", False: "without weight decay", None: "weight decay unknown"}
        return named[decays], decays


# -- reading ---------------------------------------------------------------------------------------------------


class _Odd(ValueError):
    """A value that cannot be understood; the message says what is wanted."""


def _number(value: Any, wanted: str, allowed: Callable[[float], bool]) -> float:
    """A finite number, also one that is written out."""
    try:
        found = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not (np.isfinite(found) and allowed(found)):
        raise _Odd(wanted)
    return found


def _positive(value: Any) -> float:
    return _number(value, "a positive number", lambda x: x > 0)


def _not_negative(value: Any) -> float:
    return _number(value, "a number of at least 0", lambda x: x >= 0)


def _below_one(value: Any) -> float:
    return _number(value, "a number from 0 to below 1", lambda x: 0 <= x < 1)


def _whole(value: Any) -> int:
    return int(_number(value, "a whole number", float.is_integer))


def _count(value: Any) -> int:
    return int(_number(value, "a whole number of at least 0", lambda x: x >= 0 and x.is_integer()))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):  # an optimiser with its options
        value = next((value[key] for key in ("name", "type", "class") if key in value), None)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise _Odd("a name")
    return utf8(str(value)).decode()  # a file's name may come with what no page and no picture can hold


def _two(value: Any) -> tuple[float, float]:
    try:
        one, other = value
    except (TypeError, ValueError):
        raise _Odd("two numbers") from None
    try:
        return _below_one(one), _below_one(other)
    except _Odd:
        raise _Odd("two numbers from 0 to below 1") from None


_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("run", "task", "operation", "experiment", "recipe", "optimizer", "event"), _text),
    "weight_decay": _not_negative,
    **dict.fromkeys(("momentum", "beta1", "beta2"), _below_one),
    **dict.fromkeys(("learning_rate", "batch_size", "record_every"), _positive),
    "seed": _whole,
    "betas": _two,
    "shift_step": _count,
    "event_step": _whole,
}


def _plain(name: str) -> str:
    return re.sub(r"[\s/.-]+", "_", name.strip().lower())


def _last(key: str) -> str:
    """The last part of a dotted key."""
    return _plain(key.rpartition(".")[2])


def _said(config: Mapping[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """By field, the keys that name it with their values: those of the card itself before those of its parts."""
    found: dict[str, list[tuple[str, Any]]] = {}
    deeper: dict[str, list[tuple[str, Any]]] = {}
    for key, value, nested in _entries(config):
        field = _FIELD.get(_last(key))
        if field is not None and (not nested or field in _NESTED):
            (deeper if nested else found).setdefault(field, []).append((key, value))
    return {**deeper, **found}


def _entries(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any, bool]]:
    for name, value in config.items():
        key = f"{above}{name}"
        yield key, value, "." in key
        if isinstance(value, Mapping):
            yield from _entries(value, f"{key}.")


def read(config: Mapping[str, Any]) -> Card:
    """The card in a mapping of JSON values.

    Examples
    --------
    >>> found = read({"lr": 1e-3, "wd": "0.1", "optimizer": {"name": "AdamW"}, "seed": "run-a"})
    >>> found.learning_rate, found.weight_decay, found.optimizer, found.seed
    (0.001, 0.1, 'AdamW', None)
    >>> found.odd
    ("seed must be a whole number, got 'run-a'",)
    """
    known: dict[str, Any] = {}
    odd: list[str] = []
    for field, said in _said(config).items():
        values: dict[Any, str] = {}
        refused = []
        for key, value in sorted(said, key=lambda item: KEYS[field].index(_last(item[0]))):
            try:
                values.setdefault(_READ[field](value), key)
            except _Odd as wanted:
                if value is None and (_READ[field] is _text or field == "batch_size"):
                    continue  # an option that was not set; all examples at a time
                refused.append(f"{key} must be {wanted}, got {reprlib.repr(value)}")
        if len(values) > 1 and _READ[field] is not _text:  # of several names the usual one counts
            odd.append(" but ".join(f"{key} is {value!r}" for value, key in values.items()))
        elif values:
            known[field] = next(iter(values))
        else:
            odd += refused
    one, other = known.pop("beta1", None), known.pop("beta2", None)
    if one is not None and other is not None:
        known.setdefault("betas", (one, other))
    return Card(**known, odd=tuple(odd))


def card(run: GramSequence) -> Card:
    """The card of a run.

    Parameters
    ----------
    run : GramSequence

    Returns
    -------
    Card

    Examples
    --------
    >>> from spectral_edge import validate
    >>> run = next(run for run in validate.bundled() if run.config["run"] == "single-a+b-wd1-seed42")
    >>> card(run).optimizer, card(run).weight_decay, card(run).shift_step
    ('AdamW', 1.0, None)
    """

    def make() -> Card:
        own, recorded = read(run.config), _recorded_rate(run)
        if own.learning_rate is None and recorded is not None:
            return replace(own, learning_rate=float(np.nanmax(recorded)))
        return own

    return run.once("card", make)


def learning_rate(run: GramSequence) -> FloatArray:
    """The learning rate at every record, (T,): as it was recorded, else that of the card; NaN where neither says.

    A schedule changes it, and what is judged by it is judged by that of its own time. Between records that know it, it
    follows the line; where it is not positive nothing can be said with it, and it is NaN.

    Parameters
    ----------
    run : GramSequence

    Returns
    -------
    (T,) float64, per step

    Examples
    --------
    >>> import numpy as np
    >>> metrics = {"lr": np.array([0.1, np.nan, 0.2, 0.0])}
    >>> learning_rate(GramSequence.from_inner_products(np.eye(4), metrics=metrics, config={"learning_rate": 0.3}))
    array([0.1 , 0.15, 0.2 ,  nan])
    """

    def make() -> FloatArray:
        found = _recorded_rate(run)
        if found is None:
            said = card(run).learning_rate
            return np.full(run.T, np.nan if said is None else said)
        return found

    return run.once("learning_rate", make)


def _recorded_rate(run: GramSequence) -> FloatArray | None:
    """The learning rate as it was recorded, if it ever was positive."""
    values = recorded(run, "learning_rate")
    if values is None or not np.any(values > 0):  # NaN compares false
        return None
    known = np.flatnonzero(np.isfinite(values))
    found = np.interp(run.steps, run.steps[known], values[known])
    return np.where(found > 0, found, np.nan)


def knows(run: GramSequence, *fields: str) -> bool:
    """Whether the card of a run says all of `fields`."""
    own = card(run)
    return all(getattr(own, field) is not None for field in fields)


def number(run: GramSequence, field: str) -> float:
    """A number that the card of a run must say.

    Raises
    ------
    ValueError
        If it does not.
    """
    found = getattr(card(run), field)
    if found is None:
        raise ValueError(f"config of {card(run).run or 'the run'} must say its {field}")
    return float(found)


def is_plain(run: GramSequence) -> bool:
    """Whether the run belongs to no other experiment."""
    return card(run).experiment == PLAIN


def comparable(runs: Sequence[GramSequence]) -> list[bool]:
    """Which runs may be compared as treated or control: not those of a recipe that has no other side in their family.

    Runs of no stated recipe may always be.

    Parameters
    ----------
    runs : sequence of GramSequence

    Returns
    -------
    list of bool
        One for each run.

    Examples
    --------
    >>> from spectral_edge import validate
    >>> runs = validate.bundled()
    >>> len(comparable(runs)) == len(runs)
    True
    """
    own = [card(run) for run in runs]
    sides = {(one.experiment, one.family, one.contrast[1]) for one in own}
    return [
        one.recipe is None or all((one.experiment, one.family, side) in sides for side in (True, False))
        for one in own
    ]


def metric(run: GramSequence, name: str) -> FloatArray | None:
    """What was recorded at every record, (T,), by `name` or another name of the same; None where it was not.

    Accuracies that go beyond 1 are per cent, and are divided by a hundred.

    Parameters
    ----------
    run : GramSequence
    name : str
        Such as "test_accuracy": any of the names in `METRICS`.

    Returns
    -------
    (T,) float64 or None

    Examples
    --------
    >>> from spectral_edge import validate
    >>> run = next(run for run in validate.bundled() if run.config["run"] == "single-a+b-wd1-seed42")
    >>> metric(run, "val_acc").shape == (run.T,)
    True
    """
    values = recorded(run, name)
    return values if values is None or not _per_cent(name, values) else values / 100


def recorded(run: GramSequence, name: str) -> FloatArray | None:
    """The same as it stands there."""
    if name in run.metrics:
        return run.metrics[name]
    plain = _plain(name)
    there = {_plain(key): values for key, values in run.metrics.items()}
    others = next((names for names in METRICS.values() if plain in names), ())
    return next((there[one] for one in (plain, *others) if one in there), None)


def _is_accuracy(name: str) -> bool:
    return any(_plain(name) in names for field, names in METRICS.items() if field.endswith("accuracy"))


def _per_cent(name: str, values: FloatArray) -> bool:
    return _is_accuracy(name) and bool(np.any(values > 1 + 1e-6))  # NaN compares false


def remarks(runs: Sequence[GramSequence]) -> list[str]:
    """Say what the cards of `runs` hold that was not understood or not taken as it stands there, a line each."""
    found = []
    for i, run in enumerate(runs, start=1):
        own = card(run)
        name = own.run or f"run {i}"
        found += [f"{name}: {odd}; taken as unknown" for odd in own.odd]
        for what in METRICS:
            values = recorded(run, what)
            if values is not None and _per_cent(what, values):
                found.append(f"{name}: the {what.replace('_', ' ')} goes beyond 1; taken as per cent")
    return found


def with_field(run: GramSequence, field: str, value: Any) -> GramSequence:
    """The run with another value on its card, under the usual key alone; None takes it off."""
    said = {key for key, _ in _said(run.config).get(field, [])}
    config = {key: old for key, old in run.config.items() if key not in said}
    if value is not None or field in _said(config):  # what the card itself says goes before its parts
        config[field] = value
    return replace(run, config=config)
