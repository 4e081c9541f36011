"""A dense run in one's own hands: step by step, with whatever is to be done to its gradient (torch extra)."""

from collections.abc import Callable
from typing import Any

from spectral_edge.validate.runs.dense.config import DenseConfig

#: What is done to the gradient of a step before the optimiser sees it.
Change = Callable[[Any], Any]


class Trainer:
    """One run of `runs.dense`, its parameters a single vector.

    Attributes
    ----------
    config : DenseConfig
    problem : Problem
    theta : Tensor, (P,)
    """

    def __init__(self, config: DenseConfig, problem: Any = None) -> None:
        import torch

        from spectral_edge.validate.runs.dense import networks

        self.config = config
        self.problem = networks.problem(config) if problem is None else problem
        self.theta = torch.cat([tensor.flatten() for tensor in self.problem.start.values()]).requires_grad_()
        shared: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
        if config.optimizer == "SGD":
            self.optimizer: Any = torch.optim.SGD([self.theta], momentum=config.momentum, **shared)
        else:  # without weight decay AdamW is Adam
            decay = config.weight_decay if config.optimizer == "AdamW" else 0.0
            betas = (config.beta1, config.beta2)
            self.optimizer = torch.optim.AdamW(
                [self.theta], betas=betas, lr=config.learning_rate, weight_decay=decay
            )
        self.batches = torch.Generator().manual_seed(config.seed + 2_000_000)

    def now(self) -> Any:
        """A copy of the parameters."""
        return self.theta.detach().clone()

    def parts(self, theta: Any) -> dict[str, Any]:
        """The tensors of the network in `theta`."""
        start = self.problem.start
        parts = theta.split([tensor.numel() for tensor in start.values()])
        return {name: part.view_as(start[name]) for name, part in zip(start, parts, strict=True)}

    def output(self, theta: Any, examples: Any) -> Any:
        """The network's outputs at `theta`."""
        return self.problem.output(self.parts(theta), examples.inputs)

    def loss(self, theta: Any, examples: Any) -> Any:
        """The mean loss at `theta`."""
        return self.problem.loss(self.output(theta, examples), examples.labels)

    def accuracy(self, theta: Any) -> float:
        """Of the test set."""
        import torch

        with torch.no_grad():
            found = self.output(theta, self.problem.test).argmax(-1) == self.problem.test.labels
        return float(found.double().mean())

    def test_loss(self) -> float:
        """Where the run is."""
        import torch

        with torch.no_grad():
            return float(self.loss(self.theta.detach(), self.problem.test))

    def preconditioner(self) -> Any:
        """Diagonal of D, (P,), √v̂ + ε as it stood in the last update; ones where D = I."""
        import torch

        if self.config.optimizer == "SGD":
            return torch.ones_like(self.theta.detach())
        (state,) = self.optimizer.state.values()
        (group,) = self.optimizer.param_groups
        corrected = state["exp_avg_sq"] / (1 - self.config.beta2 ** float(state["step"]))
        return corrected.sqrt() + group["eps"]

    def step(self, change: Change | None = None) -> float:
        """One step of the optimiser; the loss that it started from."""
        import torch

        examples = self.problem.train
        if self.config.batch_size is not None:
            rows = torch.randint(len(examples.labels), (self.config.batch_size,), generator=self.batches)
            examples = examples.take(rows)
        loss = self.loss(self.theta, examples)
        (gradient,) = torch.autograd.grad(loss, self.theta)
        self.theta.grad = gradient if change is None else change(gradient)
        self.optimizer.step()
        return float(loss.detach())
