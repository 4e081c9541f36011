"""SCAN: commands of a small grammar, to be translated into actions (Lake & Baroni 2018)."""

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, ClassVar

from spectral_edge.theory.checks import whole
from spectral_edge.validate.runs.config import IGNORED, Data, Examples, RunConfig

if TYPE_CHECKING:
    import torch

WORDS = ("walk", "look", "run", "jump", "turn", "left", "right", "opposite", "around", "twice", "thrice", "and",
         "after")  # fmt: skip
ACTIONS = ("WALK", "LOOK", "RUN", "JUMP", "LTURN", "RTURN")
PADDING, BEGIN, END = 0, 1, 2
#: Longest command and longest actions, each with its begin and its end.
SOURCE, TARGET = 11, 50


@dataclass(frozen=True, kw_only=True)
class ScanConfig(RunConfig):
    """Everything that decides a SCAN run; the defaults are those of the thesis's experiment.

    The simple split of SCAN is one of its 20,910 commands at random, so that a random part of them is a random
    part of either side.

    Attributes
    ----------
    train_commands, test_commands : int
        Drawn from all commands, without overlap.
    data_seed : int
        Decides the commands: they are the same for all seeds.
    examined_commands : int
        How many of the training commands the training loss and its gradient are measured on.
    layers : int
        Of the encoder, and of the decoder.
    """

    train_commands: int = 2_048
    test_commands: int = 500
    data_seed: int = 0
    examined_commands: int = 256
    d_model: int = 256
    d_feedforward: int = 512
    layers: int = 3
    learning_rate: float = 1e-4
    batch_size: int = 256
    max_steps: int = 30_000
    target_records: int = 5
    hessian_examples: int = 32
    ablation_examples: int = 64

    whole_sequence: ClassVar[bool] = True
    chunk: ClassVar[int] = 64
    together: ClassVar[int] = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("train_commands", self.train_commands, 1, len(commands()) - self.test_commands)
        whole("examined_commands", self.examined_commands, 1, self.train_commands)

    def _may_be_zero(self) -> tuple[str, ...]:
        return (*super()._may_be_zero(), "data_seed")

    @property
    def family(self) -> str:
        """The language."""
        return "scan"

    @property
    def subject(self) -> str:
        """The family and its split."""
        return "scan-simple"

    @property
    def task(self) -> str:
        """Commands into actions, a random split."""
        return "scan"

    def phases(self) -> list[tuple[int, Data]]:
        """Commands drawn once; those a run is measured on stand in order of length, which saves time."""
        import torch

        pairs = list(commands().items())
        order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(self.data_seed)).tolist()
        cut = self.train_commands
        train = [pairs[row] for row in order[:cut]]
        test = [pairs[row] for row in order[cut : cut + self.test_commands]]
        seen, unseen = (
            sorted(rows, key=lambda pair: len(pair[1])) for rows in (train[: self.examined_commands], test)
        )
        return [(1, Data(encoded(train), encoded(seen), encoded(unseen)))]

    def model(self) -> "torch.nn.Module":
        """An encoder of commands and a decoder of actions."""
        from spectral_edge.validate.runs.models import Translator, seeded

        sizes = (len(WORDS) + 3, SOURCE, len(ACTIONS) + 3, TARGET)
        return seeded(self.seed, lambda: Translator(self, *sizes))


@cache
def commands() -> dict[str, tuple[str, ...]]:
    """Every command of the grammar with its actions.

    Examples
    --------
    >>> len(commands())
    20910
    >>> " ".join(commands()["jump twice after turn opposite left"])
    'LTURN LTURN JUMP JUMP'
    """
    verbs: dict[str, tuple[str, ...]] = {word: (word.upper(),) for word in ("walk", "look", "run", "jump")}
    phrases = dict(verbs)
    for side, (verb, action) in product(("left", "right"), {**verbs, "turn": ()}.items()):
        turn = (f"{side[0].upper()}TURN",)
        phrases[f"{verb} {side}"] = turn + action
        phrases[f"{verb} opposite {side}"] = turn + turn + action
        phrases[f"{verb} around {side}"] = 4 * (turn + action)
    sentences = dict(phrases)
    for often, word in ((2, "twice"), (3, "thrice")):
        sentences |= {f"{phrase} {word}": often * actions for phrase, actions in phrases.items()}
    found = dict(sentences)
    for (one, first), (two, second) in product(sentences.items(), repeat=2):
        found[f"{one} and {two}"] = first + second
        found[f"{one} after {two}"] = second + first
    return found


def encoded(pairs: list[tuple[str, tuple[str, ...]]]) -> Examples:
    """Commands and actions as tokens: the decoder reads what was written so far and answers what is next."""
    import torch

    n = len(pairs)
    source = torch.full((n, SOURCE), PADDING)
    written = torch.full((n, TARGET - 1), PADDING)
    labels = torch.full((n, TARGET - 1), IGNORED)
    for row, (command, actions) in enumerate(pairs):
        words = [BEGIN, *(WORDS.index(word) + 3 for word in command.split()), END]
        answer = [BEGIN, *(ACTIONS.index(action) + 3 for action in actions), END]
        source[row, : len(words)] = torch.tensor(words)
        written[row, : len(answer) - 1] = torch.tensor(answer[:-1])
        labels[row, : len(answer) - 1] = torch.tensor(answer[1:])
    return Examples((source, written), labels, padded=True)
