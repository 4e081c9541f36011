"""A plan of runs for your own task: what is trained, on what, how long, and what is recorded of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spectral_edge.theory.checks import nonnegative, positive, whole
from spectral_edge.validate.runs.plan import SEEDS

if TYPE_CHECKING:
    import torch

#: Tensors whose first axis is the examples; the last of them is what a model should say.
Examples = Sequence["torch.Tensor"]
#: Settings of a plan that its cards name, though not from the beginning.
SETTINGS = ("steps_after_target", "examined", "W_max", "window", "hessian_every", "ablations")


def cross_entropy(model: Any, examples: Examples) -> "torch.Tensor":
    """Mean cross-entropy of ``model(*inputs)``, classes last, against the labels.

    Parameters
    ----------
    model : torch.nn.Module
    examples : sequence of tensor
        Inputs, and last the labels; labels of −100 do not count.

    Returns
    -------
    torch.Tensor
        A scalar, in nats.

    Examples
    --------
    >>> import torch
    >>> round(float(cross_entropy(lambda x: x, (torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)))), 3)  # ln 2
    0.693
    """
    from torch.nn.functional import cross_entropy

    *inputs, labels = examples
    return cross_entropy(model(*inputs).flatten(0, -2), labels.flatten(), ignore_index=-100)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs that the predictions ask for, on a task of your own: with and without weight decay, seed by seed.

    Attributes
    ----------
    task : str
        The task's name; the runs' names begin with it.
    make_model : callable
        Takes a seed, returns the model with its initial weights. PyTorch's random numbers are seeded before.
    make_data : callable
        Takes a seed, returns what is trained on and what is tested on: each a sequence of tensors or arrays whose first
        axis is the examples, inputs first and labels last.
    evaluate : callable
        Takes a model and examples, returns what is measured, ``{"accuracy": …}`` with plain numbers: recorded as
        "train_accuracy" and "test_accuracy". The loss is recorded anyhow.
    loss : callable
        Takes a model and examples, returns the mean loss that is trained; by default `cross_entropy`.
    make_optimizer : callable, optional
        Takes a model and a weight decay, returns the optimiser, or several; and after them the schedulers of their
        learning rates, if there are any, which step once a step. By default AdamW.
    weight_decays, seeds : sequences
        A run for each pair. The predictions compare runs with and without decay: at least three seeds of each.
    learning_rate, betas : float, pair of float
        Of the default optimiser; the rate is per step.
    batch_size : int
        Examples of a step, drawn with replacement; 0 for all of them.
    gradient_clip : float, optional
        Largest norm of the gradient.
    max_steps, record_every : int
        Steps of a run, and between two records.
    target : callable, optional
        Takes the metrics of a record; the run stops `steps_after_target` steps after it was first true.
    steps_after_target : int
        How many steps a run goes on then.
    examined : int
        How many examples of each half the metrics, gradients and curvature are taken on, evenly spaced.
    W_max, window : int
        The band that is kept; how many updates curvature and ablations reach back.
    hessian_every, ablations : int
        Curvature is taken at every so many records; at how many records directions are ablated, evenly in log time.
    select : str, list of str, or callable, optional
        Which parameters are recorded: see `GramTracker`.
    device : str
        Of PyTorch: "cpu", "cuda".

    Raises
    ------
    ValueError
        If a value is out of its range.

    Notes
    -----
    How the predictions are judged is in docs/referee.md. The same plan gives the same runs on one machine with the same
    number of threads, however often interrupted.

    Examples
    --------
    >>> import torch
    >>> from spectral_edge.validate.runs import record
    >>> def data(seed):
    ...     x = torch.randn(96, 6, generator=torch.Generator().manual_seed(seed))
    ...     y = (x[:, 0] > 0).long()
    ...     return (x[:64], y[:64]), (x[64:], y[64:])
    >>> plan = Plan(
    ...     task="sign",
    ...     make_model=lambda seed: torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)),
    ...     make_data=data,
    ...     evaluate=lambda model, half: {"accuracy": float((model(half[0]).argmax(1) == half[1]).float().mean())},
    ...     seeds=(0,), max_steps=60, record_every=5, W_max=10, window=4, ablations=1,
    ... )
    >>> runs = record(plan)
    >>> sorted(runs), sorted(runs["sign-wd1-seed0"].metrics)[-2:]
    (['sign-wd0-seed0', 'sign-wd1-seed0'], ['train_accuracy', 'train_loss'])
    """

    task: str
    make_model: Callable[[int], "torch.nn.Module"]
    make_data: Callable[[int], tuple[Examples, Examples]]
    evaluate: Callable[[Any, Examples], Mapping[str, float]]
    loss: Callable[[Any, Examples], "torch.Tensor"] = cross_entropy
    make_optimizer: Callable[[Any, float], Any] | None = None
    weight_decays: Sequence[float] = (1.0, 0.0)
    seeds: Sequence[int] = SEEDS
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    batch_size: int = 512
    gradient_clip: float | None = 1.0
    max_steps: int = 10_000
    record_every: int = 100
    target: Callable[[Mapping[str, float]], bool] | None = None
    steps_after_target: int = 300
    examined: int = 2048
    W_max: int = 32
    window: int = 10
    hessian_every: int = 5
    ablations: int = 10
    select: Any = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check every value.

        Raises
        ------
        ValueError
            That names the first that is out of range.
        """
        if not self.task or set(self.task) & set("/\\"):
            raise ValueError(f"task must be a name that a file can have, got {self.task!r}")
        for name in ("make_model", "make_data", "evaluate", "loss"):
            if not callable(getattr(self, name)):
                raise ValueError(f"{name} must be callable, got {getattr(self, name)!r}")
        for name in ("max_steps", "record_every", "examined", "hessian_every"):
            whole(name, getattr(self, name), 1)
        for name in ("batch_size", "ablations", "steps_after_target"):
            whole(name, getattr(self, name), 0)
        if self.max_steps < 2 * self.record_every:
            raise ValueError(
                f"max_steps must be at least 2·record_every = {2 * self.record_every}, got {self.max_steps}"
            )
        whole("window", self.window, 2, whole("W_max", self.W_max, 2) + 1)
        positive("learning_rate", self.learning_rate)
        for decay in self.weight_decays:
            nonnegative("weight_decays", decay)
        for seed in self.seeds:
            whole("seeds", seed, 0)
        names = [name for name, _, _ in self.runs()]
        if not names:
            raise ValueError("weight_decays and seeds must hold at least one each, got an empty one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"weight_decays and seeds must name every run once, got {twice[0]} again")

    def runs(self) -> Iterator[tuple[str, float, int]]:
        """Name, weight decay and seed of every run: seed by seed, so that whoever stops early has pairs.

        Yields
        ------
        tuple of str, float, int

        Examples
        --------
        >>> import torch
        >>> from spectral_edge import validate
        >>> half = torch.zeros(4, 6), torch.zeros(4, dtype=torch.long)
        >>> plan = validate.runs.Plan(
        ...     task="sign", make_model=lambda seed: torch.nn.Linear(6, 2), make_data=lambda seed: (half, half),
        ...     evaluate=lambda model, half: {}, seeds=(0,),
        ... )
        >>> list(plan.runs())
        [('sign-wd1-seed0', 1.0, 0), ('sign-wd0-seed0', 0.0, 0)]
        """
        for seed in self.seeds:
            for decay in self.weight_decays:
                yield f"{self.task}-wd{decay:g}-seed{seed}", float(decay), int(seed)

    def card(self, name: str, decay: float, seed: int) -> dict[str, Any]:
        """What a recording says of how it was made.

        Parameters
        ----------
        name, decay, seed : str, float, int
            A run, as `runs` gives it.

        Returns
        -------
        dict
            JSON values.

        Examples
        --------
        >>> import torch
        >>> from spectral_edge import validate
        >>> half = torch.zeros(4, 6), torch.zeros(4, dtype=torch.long)
        >>> plan = validate.runs.Plan(
        ...     task="sign", make_model=lambda seed: torch.nn.Linear(6, 2), make_data=lambda seed: (half, half),
        ...     evaluate=lambda model, half: {}, seeds=(0,),
        ... )
        >>> plan.card("sign-wd1-seed0", 1.0, 0)["max_steps"]
        10000
        """
        batch = {"batch_size": self.batch_size} if self.batch_size else {}  # else all examples, however many
        own = {} if self.make_optimizer else {"learning_rate": self.learning_rate, "betas": list(self.betas)}
        return {
            **own,
            **{name: getattr(self, name) for name in SETTINGS},
            "run": name,
            "task": self.task,
            "experiment": "grokking",
            "weight_decay": decay,
            "seed": seed,
            "gradient_clip": self.gradient_clip,
            "max_steps": self.max_steps,
            "record_every": self.record_every,
            **batch,
        }
