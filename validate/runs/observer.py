"""Everything that is kept of a run: K of two groups of parameters, and what was measured beside it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spectral_edge.validate.gram import GramSequence, GramTracker
from spectral_edge.validate.runs import examine
from spectral_edge.validate.runs.config import Data, RunConfig, evenly
from spectral_edge.validate.runs.models import is_attention

#: Widest window a recording serves.
W_MAX = 32
#: Window of the Hessian and of the ablation.
WINDOW = 10
#: The window Hessian is taken at every so many records: of the first hundred, and of the rest.
HESSIAN_EVERY, LATER = 5, 10
#: Examples that go through the model together where it is not on a processor: fewer would leave a GPU waiting.
ELSEWHERE = 1024
#: At how many records of a long run the directions are ablated, and the last of them.
ABLATIONS, LAST_ABLATION = 10, 500
#: The groups and the names they go by in a recording.
GROUPS = {"attention": "attention weights", "all": "all weights"}


def is_curved(record: int) -> bool:
    """Whether the window Hessian is taken at this record (the first is 1)."""
    return record >= WINDOW and record % (HESSIAN_EVERY if record <= 100 else LATER) == 0


def ablated_records(config: RunConfig) -> set[int]:
    """At which records the directions are ablated: evenly in log time, so that a run that stops early has some."""
    last = min(config.max_steps // config.record_every, LAST_ABLATION)
    return set() if last < WINDOW else set(np.geomspace(WINDOW, last, ABLATIONS).round().astype(int).tolist())


class Observer:
    """Two trackers, over the attention matrices and over the rest; both together are all weights."""

    def __init__(
        self,
        config: RunConfig,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        path: Path | None,
        card: dict[str, Any],
        resumed: bool = False,
    ) -> None:
        self.config, self.model, self.optimizers, self.card = config, model, optimizers, card
        names = [name for name, _ in model.named_parameters()]
        attention = [name for name in names if is_attention(name)]
        rest = [name for name in names if not is_attention(name)]
        self.trackers = {
            "attention": self._tracker(attention, path, resumed),
            "rest": self._tracker(rest, None, resumed),
        }
        self._names = {"attention": attention, "all": attention + rest}
        self._thetas: list[torch.Tensor] = []  # the last WINDOW + 1, attention matrices first
        self.records = 0
        #: group -> probe -> index of the record -> value
        self.extra: dict[str, dict[str, dict[int, Any]]] = {group: {} for group in GROUPS}
        self._ablated = ablated_records(config)
        on_cpu = next(model.parameters()).device.type == "cpu"
        self.chunk = config.chunk if on_cpu else max(config.chunk, ELSEWHERE)

    def _tracker(self, names: list[str], path: Path | None, resumed: bool) -> GramTracker:
        card = {**self.card, "group": GROUPS["attention"]}
        wanted = set(names)
        return GramTracker(
            W_MAX, path=path, resume=resumed, overwrite=not resumed, config=card, select=wanted.__contains__,
            probe_parameters=True, say=None,
        )  # fmt: skip

    def start(self) -> None:
        """The starting point θ_0."""
        for tracker in self.trackers.values():
            tracker.update(self.model, step=0)
        self._remember()

    def _remember(self) -> None:
        theta = examine.flat(dict(self.model.named_parameters()), self._names["all"])
        self._thetas = [*self._thetas[-WINDOW:], theta]

    def record(self, step: int, data: Data) -> dict[str, float]:
        """Measure the model as it is after `step`; returns the losses and accuracies."""
        chunk, whole, model = self.chunk, self.config.whole_sequence, self.model
        scores, probes = {}, {}
        scores["train"], probes["gradient"] = examine.measure(model, data.seen, chunk, whole)
        few = evenly(data.unseen, self.config.gradient_examples)
        scores["test"], probes["validation_gradient"] = examine.measure(model, few, chunk, whole)
        if few is not data.unseen or data.others:
            found = examine.evaluate(model, data.unseen, chunk, whole, data.others)
            scores |= {name or "test": score for name, score in found.items()}
        metrics = {key: value for name, score in scores.items() for key, value in score.said(name).items()}
        beside: dict[str, Any] = {**metrics, **examine.matrix_metrics(model)}
        self.trackers["attention"].update(model, step=step, probes=probes, **beside)
        self.trackers["rest"].update(model, step=step, probes=probes)
        self.records += 1
        self._remember()
        self._look_closer(probes, data)
        return metrics

    def _look_closer(self, probes: dict[str, Any], data: Data) -> None:
        curved, ablated = is_curved(self.records), self.records in self._ablated
        if not (curved or ablated):
            return
        thetas = torch.stack(self._thetas)
        for group, names in self._names.items():
            size = sum(self.model.get_parameter(name).numel() for name in names)
            window = examine.Window(names, thetas[:, :size])
            if curved:
                batch = evenly(data.seen, self.config.hessian_examples)
                self._keep(group, "hessian", examine.window_hessian(self.model, window, batch))
                metric = examine.optimiser_metric(self.optimizers, self.model, window)
                if metric is not None:
                    self._keep(group, "metric", metric)
            if ablated:
                count = self.config.ablation_examples
                few = evenly(data.seen, count), evenly(data.unseen, count)
                directions = {"ablation": window.directions()}
                if group == "attention":
                    directions["ablation_random"] = window.random_directions(self.records)
                for probe, rows in directions.items():
                    found = examine.ablation(self.model, window, rows, probes, few, self.chunk)
                    self._keep(group, probe, found)

    def _keep(self, group: str, probe: str, value: Any) -> None:
        self.extra[group].setdefault(probe, {})[self.records - 1] = value.tolist()

    def sequences(self, **card: Any) -> dict[str, GramSequence]:
        """The recording of each group: float32 where float64 adds nothing, float64 for K, losses and accuracies.

        `card` is added to what the recording says of itself.
        """
        attention, rest = (self.trackers[name].sequence() for name in ("attention", "rest"))
        whole = replace(
            attention + rest,
            metrics={name: values for name, values in attention.metrics.items() if "." not in name},
            config={**attention.config, "group": GROUPS["all"]},
        )
        return {
            group: replace(self._lean(group, found), config={**found.config, **card})
            for group, found in (("attention", attention), ("all", whole))
        }

    def close(self) -> None:
        """Give the files back."""
        for tracker in self.trackers.values():
            tracker.close()

    def _lean(self, group: str, sequence: GramSequence) -> GramSequence:
        probes: dict[str, Any] = dict(sequence.probes)
        for name, values in self.extra[group].items():
            probes[name] = np.full((sequence.T, *np.shape(next(iter(values.values())))), np.nan)
            for index, value in values.items():
                probes[name][index] = value
        metrics: dict[str, Any] = {
            name: values.astype(np.float32) if "." in name else values
            for name, values in sequence.metrics.items()
        }
        return replace(
            sequence,
            metrics=metrics,
            probes={name: values.astype(np.float32) for name, values in probes.items()},
        )

    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on."""
        return {
            "trackers": {name: tracker.state_dict() for name, tracker in self.trackers.items()},
            "thetas": self._thetas,
            "records": self.records,
            "extra": self.extra,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name, tracker in self.trackers.items():
            tracker.load_state_dict(state["trackers"][name])
        device = next(self.model.parameters()).device
        self._thetas = [theta.to(device) for theta in state["thetas"]]
        self.records, self.extra = state["records"], state["extra"]
