"""Runs small enough for a test, one of each task."""

import torch
from torch import nn

from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.tasks.dyck import DyckConfig
from spectral_edge.validate.runs.tasks.language import LanguageConfig
from spectral_edge.validate.runs.tasks.modular import ModularConfig, ShiftConfig
from spectral_edge.validate.runs.tasks.scan import ScanConfig

SIZES: dict[str, int] = {
    "d_model": 16, "heads": 2, "d_feedforward": 32, "layers": 2, "batch_size": 16, "record_every": 5,
    "evaluate_every": 5, "max_steps": 60,
}  # fmt: skip
MODULAR = ModularConfig(p=7, **SIZES)
TASKS: dict[str, RunConfig] = {
    "modular": MODULAR,
    "tri": ModularConfig(p=7, operation="a+b,a*b,a2+b2", **SIZES),
    "shift": ShiftConfig(p=7, shift_step=30, **SIZES),
    "dyck": DyckConfig(train_words=20, test_words=40, gradient_examples=10, **SIZES),
    "scan": ScanConfig(train_commands=64, test_commands=16, examined_commands=16, **SIZES),
    "language": LanguageConfig(context=16, examined_windows=8, optimizer="Muon", **SIZES),
}


def product_model(seed):
    return nn.Sequential(nn.Linear(6, 12), nn.Dropout(0.1), nn.Tanh(), nn.Linear(12, 2))


def product_data(seed):
    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(seed))
    y = (x[:, 0] * x[:, 1] > 0).long()
    return (x[:80], y[:80]), (x[80:], y[80:])


def product_accuracy(model, examples):
    assert not model.training
    x, y = examples
    return {"accuracy": (model(x).argmax(1) == y).float().mean()}


#: Of a plan of one's own.
OPTIONS = {
    "task": "product-sign", "make_model": product_model, "make_data": product_data, "evaluate": product_accuracy,
    "weight_decays": (0.5, 0.0), "seeds": (0, 1), "batch_size": 16, "learning_rate": 1e-2,
    "max_steps": 120, "record_every": 4, "W_max": 12, "window": 5, "hessian_every": 2, "ablations": 3,
}  # fmt: skip
