"""Single tasks by the author's recipe, trained again with what K does not hold and what may warn (torch extra).

They are the planned runs: the same start, split and batches. What is measured beside draws from random numbers of its
own, so that a run on a processor is the bundled one, bit for bit on one machine.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spectral_edge.validate.gram import GramSequence
from spectral_edge.validate.referee.beyond.measured import (
    commutator_defect,
    learning_coefficient,
    response,
)
from spectral_edge.validate.referee.early_warning.features import WARM_UP, W
from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.plan import DECAYS, planned
from spectral_edge.validate.runs.threads import on_device, one_thread

#: Of the four operations that the author reports, those on which a warning can be judged: of a² + b² learning sets in
#: after 300 to 500 steps, before there is a window of ten records.
OPERATIONS = ("a+b", "a-b", "ab")
#: Steps of every run: in the bundled ones learning sets in after 2,200 to 3,000. Records at the start that are not
#: looked at closer, because nothing is judged on them.
STEPS, BEFORE = 3_000, WARM_UP
#: Training examples of the Langevin steps and of the response, evenly spaced; strength that holds the steps, and their
#: size. Chosen on seed 0, which is not judged: there a tenth of this strength, as on the small networks of `own`, lets
#: them go as far as the loss of chance.
EXAMPLES, HOLD, PACE = 256, 1e4, 1e-5
#: Leads that can be judged, in records. With 30 every record of a run that learns lies within the lead, and all that
#: can be told is whether it has decay, not when it learns; with 10 nearly every one does.
LEADS = (3, 10)


def plans(seeds: Sequence[int]) -> list[tuple[str]]:
    """The names of the planned runs, with decay and without, seed by seed."""
    return [
        (f"single-{operation}-wd{decay:g}-seed{seed}",)
        for seed in seeds
        for operation in OPERATIONS
        for decay in DECAYS
    ]


def record(name: str) -> GramSequence:
    """Train the planned run of this name to step 3,000, with what may warn; two to four minutes.

    Parameters
    ----------
    name : str
        As `spectral-edge record --list` has it.

    Returns
    -------
    GramSequence
        That of the attention weights, as it is bundled, and after the first 14 records: metrics "commutator" (of
        batches of the training) and "llc", both of all weights, and probe "response", (T, W, W), of the attention
        weights.
    """
    # nothing here reads what ablation and the plain window Hessian find
    return watch(replace(planned()[name], max_steps=STEPS, hessian_examples=1, ablation_examples=1))


def watch(config: RunConfig, before: int = BEFORE) -> GramSequence:
    """Train a run and look at it at every record but the first `before`."""
    from spectral_edge.validate.runs.training import Training

    with one_thread(), on_device("cpu") as place:
        training = Training(config, None, place)
        look = _Look(training, before)
        sequence = training.finish(look)["attention"]
    commutator, llc, responses = (np.array(column) for column in zip(*look.found, strict=True))
    return replace(
        sequence,
        metrics={**sequence.metrics, "commutator": commutator, "llc": llc},
        probes={**sequence.probes, "response": responses},
    )


class _Look:
    """Measures a training after every record, and leaves it as it is."""

    def __init__(self, training: Any, before: int) -> None:
        import torch

        from spectral_edge.validate.runs.config import evenly
        from spectral_edge.validate.runs.models import is_attention

        config = training.config
        self.training, self.before = training, before
        self.examples = training.phases[0][1].train
        self.few = evenly(self.examples, EXAMPLES)
        self.chosen = torch.Generator().manual_seed(config.seed + 7_000_000)
        self.named = dict(training.model.named_parameters())
        self.attention = [name for name in self.named if is_attention(name)]
        self.exact = copy.deepcopy(training.model).double()  # the two orders of a commutator differ by little
        self.thetas = [self._flat(self.attention)]
        self.found: list[tuple[float, float, np.ndarray]] = []

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """After the record of `step`."""
        self.thetas = [*self.thetas[-W:], self._flat(self.attention)]
        if len(self.found) < max(self.before, W - 1):
            self.found.append((np.nan, np.nan, np.full((W, W), np.nan)))
            return
        self.exact.load_state_dict(self.training.model.state_dict())
        self.found.append((self._commutator(), self._coefficient(), self._response()))

    def _flat(self, names: Sequence[str]) -> Any:
        from spectral_edge.validate.runs.examine import flat

        return flat(self.named, list(names))

    def _loss(self, model: Any, names: Sequence[str]) -> Callable[[Any, Any], Any]:
        """The mean loss of `model` with other parameters of these names, over some examples."""
        from torch.func import functional_call

        from spectral_edge.validate.runs.examine import loss_of, unflat

        def loss(theta: Any, examples: Any) -> Any:
            changed = unflat(theta, self.named, list(names))
            return loss_of(lambda *inputs: functional_call(model, changed, inputs), examples)

        return loss

    def _commutator(self) -> float:
        import torch

        loss, examples = self._loss(self.exact, list(self.named)), self.examples

        def gradient(theta: Any, rows: Any) -> Any:
            at = theta.detach().clone().requires_grad_()
            return torch.autograd.grad(loss(at, examples.take(rows)), at)[0]

        def draw() -> Any:
            size = (self.training.config.batch_size,)
            return torch.randint(examples.size, size, generator=self.chosen)

        return commutator_defect(gradient, self._flat(list(self.named)).double(), draw)

    def _coefficient(self) -> float:
        names = list(self.named)
        loss = self._loss(self.training.model, names)
        theta, n = self._flat(names), self.examples.size
        return learning_coefficient(
            lambda at: loss(at, self.few), theta, n, self.chosen, hold=HOLD, pace=PACE
        )

    def _response(self) -> np.ndarray:
        import torch

        from spectral_edge.validate.gram.live.metric import Metric
        from spectral_edge.validate.runs.examine import flat

        names = self.attention
        loss = self._loss(self.exact, names)
        named = {name: self.named[name] for name in names}
        ones = {name: torch.ones_like(tensor) for name, tensor in named.items()}
        D = flat(Metric(self.training.optimizers, named).times(ones), names).double()
        X = torch.stack(self.thetas).double().diff(dim=0).flip(0)
        found = response(lambda at: loss(at, self.few), self.thetas[-1].double(), X, D)
        return np.asarray(found.numpy())
