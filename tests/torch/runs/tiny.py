"""Runs small enough for a test, one of each task."""

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
