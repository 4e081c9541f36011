"""Dyck-1: read balanced brackets, say the depth after each of them."""

from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, ClassVar

from spectral_edge.validate.runs.config import IGNORED, Data, Examples, RunConfig

if TYPE_CHECKING:
    import torch

#: Tokens; 0 is padding, which comes last and so is never seen by a model that looks back.
OPEN, CLOSE = 1, 2


@dataclass(frozen=True, kw_only=True)
class DyckConfig(RunConfig):
    """Everything that decides a Dyck-1 run; the defaults are those of the thesis's experiment.

    Attributes
    ----------
    train_words, test_words : int
        How many are drawn, the training words first; a word may come more than once.
    max_pairs : int
        Longest word, in pairs of brackets: lengths are uniform over 1 … `max_pairs`.
    open_probability : float
        Of an opening bracket, where a closing one would be allowed too.
    data_seed : int
        Decides the words: they are the same for all seeds.
    positions : int
        Rows of the table of positions, of which 2 `max_pairs` are used.
    gradient_examples : int
        Words the gradient of the test loss is taken over, evenly spaced in order of length.
    """

    train_words: int = 50
    test_words: int = 5_000
    max_pairs: int = 12
    open_probability: float = 0.55
    data_seed: int = 0
    positions: int = 48
    batch_size: int = 50
    max_steps: int = 20_000
    target_accuracy: float | None = 0.99
    target_records: int = 10
    hessian_examples: int = 50
    gradient_examples: int = 500

    together: ClassVar[int] = 25
    chunk: ClassVar[int] = 250

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.open_probability < 1:
            raise ValueError(f"open_probability must lie between 0 and 1, got {self.open_probability}")
        if self.positions < 2 * self.max_pairs:
            raise ValueError(f"positions must be at least {2 * self.max_pairs}, got {self.positions}")

    def _may_be_zero(self) -> tuple[str, ...]:
        return (*super()._may_be_zero(), "data_seed")

    @property
    def family(self) -> str:
        """The language."""
        return "dyck1"

    @property
    def subject(self) -> str:
        """The family."""
        return "dyck1"

    @property
    def task(self) -> str:
        """The depth after each bracket."""
        return "dyck-depth"

    def phases(self) -> list[tuple[int, Data]]:
        """Words drawn once, from the first step on."""
        train, test = words(self)
        length = 2 * self.max_pairs
        seen, unseen = encoded(train, length), encoded(test := sorted(test, key=len), length)
        return [(1, Data(seen, seen, unseen, unfamiliar(train, test, unseen.labels)))]

    def model(self) -> "torch.nn.Module":
        """The encoder of the modular runs, looking back only, with an answer at every position."""
        from spectral_edge.validate.runs.models import Transformer, seeded

        sizes = (3, self.positions, self.max_pairs + 1)
        return seeded(self.seed, lambda: Transformer(self, *sizes, causal=True, copies=True))


def words(config: DyckConfig) -> tuple[list[str], list[str]]:
    """The words for training and for testing, with repetitions."""
    random = Random(config.data_seed)
    drawn = [
        word(random.randint(1, config.max_pairs), config.open_probability, random)
        for _ in range(config.train_words + config.test_words)
    ]
    return drawn[: config.train_words], drawn[config.train_words :]


def word(pairs: int, open_probability: float, random: Random) -> str:
    """A balanced word, bracket by bracket.

    Examples
    --------
    >>> word(1, 0.55, Random(0))
    '()'
    """
    letters, left, depth = "", pairs, 0
    while left or depth:
        both = left and depth
        opens = random.random() < open_probability if both else bool(left)
        letters += "(" if opens else ")"
        left, depth = (left - 1, depth + 1) if opens else (left, depth - 1)
    return letters


def depths(word: str) -> list[int]:
    """Depth after each bracket.

    Examples
    --------
    >>> depths("(())()")
    [1, 2, 1, 0, 1, 0]
    """
    return list(accumulate(1 if letter == "(" else -1 for letter in word))


def unfamiliar(train: list[str], test: list[str], labels: "torch.Tensor") -> dict[str, "torch.Tensor"]:
    """The labels of `test` without words of `train`; and without brackets up to which a word of it reads the same.

    A model that looks back answers the second kind of bracket from memory.
    """
    import torch

    starts = {word[: end + 1] for word in train for end in range(len(word))}
    known = torch.tensor([word in set(train) for word in test])
    begun = torch.zeros(labels.shape, dtype=torch.bool)
    for row, letters in enumerate(test):
        begun[row, : len(letters)] = torch.tensor(
            [letters[: end + 1] in starts for end in range(len(letters))]
        )
    return {
        "test_new_words": labels.masked_fill(known[:, None], IGNORED),
        "test_new_starts": labels.masked_fill(begun, IGNORED),
    }


def encoded(drawn: list[str], length: int) -> Examples:
    """Words as tokens, with the depths as labels."""
    import torch

    inputs = torch.zeros(len(drawn), length, dtype=torch.int64)
    labels = torch.full((len(drawn), length), IGNORED)
    for row, letters in enumerate(drawn):
        inputs[row, : len(letters)] = torch.tensor([OPEN if letter == "(" else CLOSE for letter in letters])
        labels[row, : len(letters)] = torch.tensor(depths(letters))
    return Examples((inputs,), labels, padded=True)
