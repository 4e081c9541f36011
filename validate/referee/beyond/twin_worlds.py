"""Runs beside twins without a network: with signal that the two share, with signal that each has alone, with none."""

import numpy as np

from spectral_edge.theory.checks import choice, whole
from spectral_edge.validate.referee.beyond import twin_noise
from spectral_edge.validate.referee.beyond.twins import STRETCH, Twins
from spectral_edge.validate.referee.verdict import SUPPORTED

#: Records, parameters, runs in a set: as the runs have them that are judged.
T, P, RUNS = 30, 2_000, 9
#: Length of the signals, in units of the noise of a whole update; how many directions of it are fixed.
STRENGTH, DIRECTIONS = 3.0, 2
KINDS = ("shared", "parted", "noise")
#: Correlation of noise with the update before, at most. Noise of a strong one has k* = 1 by itself, where no signal can
#: make it smaller.
COLOUR = {"shared": 0.4, "parted": 0.9, "noise": 0.9}


def world(seed: int, kind: str = "shared") -> Twins:
    """A run of 30 records and its twin, which begins anew every ten.

    Parameters
    ----------
    seed : int
        Decides everything.
    kind : {"shared", "parted", "noise"}
        Both have the same signal along two fixed directions; or each has one of its own along a direction that is
        another after every new start; or there is noise alone. Noise remembers the update before (correlation up to
        `COLOUR`, the same within a run), that of the twin at a new start the run's; its size falls and wanders.

    Returns
    -------
    Twins

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> run = world(0)
    >>> run.T, run.sequence("difference").P
    (30, 2000)
    """
    rng = np.random.default_rng([whole("seed", seed, 0), KINDS.index(choice("kind", kind, KINDS))])
    colour = rng.uniform(0, COLOUR[kind])
    size = np.exp(-np.arange(T) / T + 0.1 * rng.normal(size=T).cumsum())
    noise = _noise(rng, colour) * size[:, None]
    length = STRENGTH * np.sqrt(P) * size[:, None]
    if kind == "shared":
        noise += length * (_signs(rng, DIRECTIONS) @ _directions(rng, DIRECTIONS))
    if kind == "parted":
        own = np.repeat([_directions(rng, T // STRETCH) for _ in range(2)], STRETCH, axis=1)
        noise += length * np.array([_signs(rng, 1) for _ in range(2)]) * own
    X = noise.reshape(2 * T, P)
    return Twins(f"{kind}-{seed}", "world", P, np.arange(1, T + 1), X @ X.T)


def supported(number: int, kind: str) -> list[str]:
    """Statements that are supported in a set of planted runs (`kind` "planted"), or of noise.

    Planted is signal that is shared for all but the last, on the referee's noise, and for that one signal that is not.
    """
    kinds = ("noise",) if kind == "noise" else ("shared", "parted")
    return [one for of in kinds for one in _supported(number, of)]


def _supported(number: int, kind: str) -> list[str]:
    runs = [world(RUNS * number + i, kind) for i in range(RUNS)]
    found = twin_noise.judge(runs, [twin_noise.beside(run, copies=1) for run in runs])
    wanted = {"shared": twin_noise.SHARED, "parted": (twin_noise.NOISE,)}.get(kind, [one.id for one in found])
    return [one.id for one in found if one.verdict == SUPPORTED and one.id in wanted]


def _noise(rng: np.random.Generator, colour: float) -> np.ndarray:
    """Of the run and of its twin, (2, T, P); an update has length √P on average."""
    made = np.empty((2, T, P))
    before = np.repeat(rng.normal(size=(1, P)), 2, axis=0)
    for t in range(T):
        if t % STRETCH == 0:
            before[1] = before[0]
        before = colour * before + np.sqrt(1 - colour**2) * rng.normal(size=(2, P))
        made[:, t] = before
    return made


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    v = rng.normal(size=(count, P))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def _signs(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], size=(T, count))
