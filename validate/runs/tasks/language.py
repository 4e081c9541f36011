"""Character language model on the English text that comes with every Python: the help topics."""

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from spectral_edge.validate.runs.config import Data, Examples, RunConfig, evenly

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class LanguageConfig(RunConfig):
    """Everything that decides a language-model run, but for the text, which comes with Python.

    Attributes
    ----------
    context : int
        Characters the model sees.
    test_share : float
        The last part of the text, kept for testing.
    examined_windows : int
        How many stretches of `context` characters, evenly spaced, the losses and gradients are measured on.
    """

    context: int = 64
    test_share: float = 0.1
    examined_windows: int = 64
    weight_decay: float = 0.1
    d_feedforward: int = 512
    batch_size: int = 32
    record_every: int = 50
    max_steps: int = 4_000
    target_accuracy: float | None = None
    hessian_examples: int = 32
    ablation_examples: int = 32

    question: ClassVar[str] = "optimizer"
    recipe: ClassVar[str] = "own"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.test_share < 1:
            raise ValueError(f"test_share must lie between 0 and 1, got {self.test_share}")

    @property
    def family(self) -> str:
        """The optimisers compared."""
        return "language"

    @property
    def subject(self) -> str:
        """The family."""
        return "language"

    @property
    def _treatment(self) -> str:
        return self.optimizer.lower()

    @property
    def task(self) -> str:
        """The next character."""
        return "character-language"

    def phases(self) -> list[tuple[int, Data]]:
        """Every stretch of the first part of the text is an example."""
        import torch

        letters = text()
        alphabet = {letter: index for index, letter in enumerate(sorted(set(letters)))}
        tokens = torch.tensor([alphabet[letter] for letter in letters])
        cut = round(len(tokens) * (1 - self.test_share))
        train, test = (self._stretches(part) for part in (tokens[:cut], tokens[cut:]))
        seen, unseen = (evenly(part, self.examined_windows) for part in (train, test))
        return [(1, Data(train, seen, unseen))]

    def _stretches(self, tokens: "torch.Tensor") -> Examples:
        stretches = tokens.unfold(0, self.context + 1, 1)  # a view: the text is kept once
        return Examples((stretches[:, :-1],), stretches[:, 1:])

    def model(self) -> "torch.nn.Module":
        """Characters in, the next one out at each; positions look back only."""
        from spectral_edge.validate.runs.models import Transformer, seeded

        letters = len(set(text()))
        return seeded(self.seed, lambda: Transformer(self, letters, self.context, letters, causal=True))

    def card(self) -> dict[str, Any]:
        """With the fingerprint of the text: it differs from one Python to the next."""
        letters = text()
        fingerprint = sha256(letters.encode()).hexdigest()
        return {**super().card(), "text_length": len(letters), "text_sha256": fingerprint}


def text() -> str:
    """The help topics of this Python, in the order of their names.

    Examples
    --------
    >>> len(text()) > 100_000
    True
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))
