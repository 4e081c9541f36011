"""Dyck-1: read balanced brackets, tell the depth after each of them."""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, ClassVar

from spectral_edge.validate.runs.config import IGNORED, Data, Examples, RunConfig

if TYPE_CHECKING:
    import torch

OPEN, CLOSE = 1, 2  # 0 is padding


@dataclass(frozen=True, kw_only=True)
class DyckConfig(RunConfig):
    """Everything that decides a Dyck-1 run.

    Attributes
    ----------
    train_sequences, test_sequences : int
        Different words, all drawn by the seed.
    max_pairs : int
        Longest word, in pairs of brackets. Lengths are uniform over 1 … `max_pairs`, words uniform within a
        length (short words run out: no word is drawn twice).
    causal : bool
        Whether the model looks back only. By default it sees the whole word, as the encoder of the modular runs
        does.
    """

    train_sequences: int = 50
    test_sequences: int = 200
    max_pairs: int = 12
    causal: bool = False
    batch_size: int = 50
    record_every: int = 25
    hessian_examples: int = 50

    together: ClassVar[int] = 17

    @property
    def name(self) -> str:
        """Weight decay and seed."""
        return f"dyck{'-causal' * self.causal}-wd{self.weight_decay:g}-seed{self.seed}"

    @property
    def task(self) -> str:
        """The depth after each bracket."""
        return "dyck-depth"

    def phases(self) -> list[tuple[int, Data]]:
        """Words drawn once, from the first step on."""
        drawn = words(self.train_sequences + self.test_sequences, self.max_pairs, self.seed)
        examples = _examples(drawn, 2 * self.max_pairs)
        cut = self.train_sequences
        train, test = (
            Examples((examples.inputs[0][rows],), examples.labels[rows], padded=True)
            for rows in (slice(cut), slice(cut, None))
        )
        return [(1, Data(train, train, test))]

    def model(self) -> "torch.nn.Module":
        """The encoder of the modular runs, with an answer at every position."""
        from spectral_edge.validate.runs.models import Transformer, seeded

        sizes = (3, 2 * self.max_pairs, self.max_pairs + 1)
        return seeded(
            self.seed, lambda: Transformer(self, *sizes, causal=self.causal, padded=True, plain=True)
        )


def word(pairs: int, random: Random) -> str:
    """One of the balanced words of `pairs` pairs, each equally likely.

    By the cycle lemma: of the rotations of a shuffle of n opening and n + 1 closing brackets exactly one is a
    balanced word followed by the closing bracket left over; it begins after the lowest point.

    Examples
    --------
    >>> word(1, Random(0))
    '()'
    """
    letters = ["("] * pairs + [")"] * (pairs + 1)
    random.shuffle(letters)
    height, lowest, start = 0, 1, 0
    for index, letter in enumerate(letters):
        height += 1 if letter == "(" else -1
        if height < lowest:
            lowest, start = height, index + 1
    return "".join((letters[start:] + letters[:start])[:-1])


def words(count: int, max_pairs: int, seed: int) -> list[str]:
    """`count` different balanced words of up to `max_pairs` pairs, in random order.

    Raises
    ------
    ValueError
        If there are not that many (a thousand draws in a row brought none that is new).
    """
    random, found, idle = Random(seed), dict[str, None](), 0
    while len(found) < count:
        before = len(found)
        found.setdefault(word(random.randint(1, max_pairs), random))
        idle = 0 if len(found) > before else idle + 1
        if idle == 1000:
            raise ValueError(f"max_pairs must allow {count} different words, got {max_pairs}")
    drawn = list(found)
    random.shuffle(drawn)
    return drawn


def depths(word: str) -> list[int]:
    """Depth after each bracket.

    Examples
    --------
    >>> depths("(())()")
    [1, 2, 1, 0, 1, 0]
    """
    height, found = 0, []
    for letter in word:
        height += 1 if letter == "(" else -1
        found.append(height)
    return found


def _examples(drawn: list[str], length: int) -> Examples:
    import torch

    inputs = torch.zeros(len(drawn), length, dtype=torch.int64)
    labels = torch.full((len(drawn), length), IGNORED)
    for row, letters in enumerate(drawn):
        inputs[row, : len(letters)] = torch.tensor([OPEN if letter == "(" else CLOSE for letter in letters])
        labels[row, : len(letters)] = torch.tensor(depths(letters))
    return Examples((inputs,), labels, padded=True)
