"""What every run has: its configuration, and its examples."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from spectral_edge.theory.checks import choice, nonnegative, positive, whole
from spectral_edge.validate.runs.bundle import AGAIN

if TYPE_CHECKING:
    import torch

#: Label of a position that does not count (PyTorch's own); inputs are padded with 0.
IGNORED = -100

OPTIMIZERS = ("AdamW", "Muon")
VARIANTS = ("", "twin", "interval")


class Examples(NamedTuple):
    """Inputs of a model and the labels of its answers.

    Attributes
    ----------
    inputs : tuple of tensors
        First axis: the n examples.
    labels : (n,) or (n, length) int64
        `IGNORED` where nothing is asked.
    padded : bool
        Whether columns after the last answer of a batch are to be cut off, of the labels and of the inputs that
        are as long.
    tasks : int
        Answers of each example whose losses are added up; the loss is their mean times this.
    """

    inputs: tuple["torch.Tensor", ...]
    labels: "torch.Tensor"
    padded: bool = False
    tasks: int = 1

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)

    @property
    def answers(self) -> "torch.Tensor":
        """How many answers count in each example, (n,)."""
        return (self.labels != IGNORED).flatten(1).sum(1) if self.labels.ndim > 1 else self.labels != IGNORED

    def take(self, rows: Any) -> "Examples":
        """The examples in `rows` (an index tensor or a slice)."""
        inputs, labels = tuple(tensor[rows] for tensor in self.inputs), self.labels[rows]
        if self.padded:
            asked = (labels != IGNORED).any(0).nonzero()
            length, whole = int(asked.max()) + 1, labels.shape[1]
            inputs = tuple(x[:, :length] if x.shape[1] == whole else x for x in inputs)
            labels = labels[:, :length]
        return Examples(inputs, labels, self.padded, self.tasks)

    def to(self, device: "torch.device") -> "Examples":
        """The same on another device; a GPU takes the padding too, which costs less than to ask where it begins."""
        inputs = tuple(tensor.to(device) for tensor in self.inputs)
        padded = self.padded and device.type != "cuda"
        return Examples(inputs, self.labels.to(device), padded, self.tasks)


class Data(NamedTuple):
    """What a run trains on, and the fixed examples on which it is measured."""

    train: Examples
    seen: Examples  #: of the training set: training loss and accuracy, gradient
    unseen: Examples  #: of the test set: test loss and accuracy, validation gradient
    #: Other labels of the test set, by name, in which what does not count is left out.
    others: Mapping[str, "torch.Tensor"] = MappingProxyType({})

    def to(self, device: "torch.device") -> "Data":
        """The same on another device."""
        others = {name: labels.to(device) for name, labels in self.others.items()}
        return Data(self.train.to(device), self.seen.to(device), self.unseen.to(device), others)


def evenly(examples: Examples, count: int) -> Examples:
    """`count` of the examples, evenly spaced; all where there are not more."""
    import torch

    if examples.size <= count:
        return examples
    return examples.take(torch.linspace(0, examples.size - 1, count).long())


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What decides a run of any task; each task adds its own.

    Attributes
    ----------
    weight_decay : float
        Decoupled weight decay ω (per unit of learning rate), on all parameters.
    seed : int
        Decides the initial weights and the batches; the data, where a task does not say otherwise.
    variant : str
        "", or what makes it a second recording of a run: "twin", other batches, so that what differs between the
        two is noise; "interval", the very same run with another `record_every`.
    optimizer : str
        "AdamW", or "Muon" for the matrices of the layers with AdamW for the rest, at the same learning rate
        and decay (its updates scaled to the root mean square of AdamW's).
    learning_rate, beta1, beta2, batch_size, gradient_clip
        The optimiser; batches are drawn with replacement.
    d_model, heads, d_feedforward, layers
        The transformer.
    record_every : int
        Optimiser steps between two records.
    max_steps, target_accuracy, target_records, steps_after_target
        The published run stops at `max_steps`, or when the test accuracy is at least `target_accuracy` (None:
        never) at `target_records` evaluations in a row: the recording calls this its `stop_step`. It goes on
        for `steps_after_target` steps (None: to `max_steps`), so that what follows can be seen.
    evaluate_every : int
        Evaluations, which are records, are this many steps apart.
    hessian_examples : int
        How many of the training examples the window Hessian is taken on.
    gradient_examples : int
        How many of the test examples the gradient of the test loss is taken over.
    ablation_examples : int
        How many of the examined training and test examples the losses are taken on when a direction is ablated.
    """

    weight_decay: float = 1.0
    seed: int = 42
    variant: str = ""
    optimizer: str = "AdamW"
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.98
    batch_size: int = 512
    gradient_clip: float = 1.0
    d_model: int = 128
    heads: int = 4
    d_feedforward: int = 256
    layers: int = 2
    record_every: int = 100
    max_steps: int = 200_000
    target_accuracy: float | None = 0.98
    target_records: int = 3
    evaluate_every: int = 100
    steps_after_target: int | None = 1_000
    hessian_examples: int = 512
    gradient_examples: int = 1_000_000
    ablation_examples: int = 2048

    #: Which question it is about: "grokking" (with and without weight decay), "optimizer" or "shift".
    question: ClassVar[str] = "grokking"
    #: Whose recipe it is: "author", that of the thesis's public code, or "own".
    recipe: ClassVar[str] = "author"
    #: Groups of recordings a run has.
    groups: ClassVar[tuple[str, ...]] = ("attention", "all")
    #: Whether an answer counts only where every position of it is right.
    whole_sequence: ClassVar[bool] = False
    #: Examples a model is evaluated on at a time.
    chunk: ClassVar[int] = 8192
    #: Examples of a batch that go through the model together, shortest first: less padding, the same gradient.
    #: On a processor; elsewhere the whole batch does, since there a launch takes longer than padding.
    together: ClassVar[int] = 8192

    def __post_init__(self) -> None:
        """Check every value.

        Raises
        ------
        ValueError
            That names the first that is out of range.
        """
        choice("optimizer", self.optimizer, OPTIMIZERS)
        choice("variant", self.variant, VARIANTS)
        for name, value in asdict(self).items():
            if name != "seed" and value is not None and type(getattr(type(self), name)) is int:
                whole(name, value, 0 if name in self._may_be_zero() else 1)
        if self.d_model % self.heads:
            raise ValueError(f"d_model must be a multiple of heads = {self.heads}, got {self.d_model}")
        whole("seed", self.seed, 0)
        nonnegative("weight_decay", self.weight_decay)
        positive("learning_rate", self.learning_rate)
        positive("gradient_clip", self.gradient_clip)

    def _may_be_zero(self) -> tuple[str, ...]:
        return ("steps_after_target",)

    @property
    def name(self) -> str:
        """The run's name: also that of its file."""
        suffix = {"": "", "twin": "-twin", "interval": f"-every{self.record_every}"}[self.variant]
        return f"{self.subject}-{self._treatment}-seed{self.seed}{suffix}"

    @property
    def subject(self) -> str:
        """What the run is about, as its name begins."""
        raise NotImplementedError

    @property
    def family(self) -> str:
        """The runs it is one of."""
        raise NotImplementedError

    @property
    def place(self) -> str:
        """Where it lies in the package's folder of runs."""
        return AGAIN if self.variant else ""

    @property
    def _treatment(self) -> str:
        return f"wd{self.weight_decay:g}"

    @property
    def experiment(self) -> str:
        """The question it helps to answer; a variant is not counted beside the run it is one of."""
        return self.variant or self.question

    @property
    def task(self) -> str:
        """The task's name."""
        raise NotImplementedError

    def phases(self) -> list[tuple[int, Data]]:
        """The data, each with the first step it is used at."""
        raise NotImplementedError

    def model(self) -> "torch.nn.Module":
        """The model with its initial weights, which the seed decides."""
        raise NotImplementedError

    def card(self) -> dict[str, Any]:
        """What the recording says of the run: every field, and what the class says."""
        said = {name: getattr(self, name) for name in ("task", "experiment", "family", "recipe")}
        return {"run": self.name, **said, **asdict(self)}
