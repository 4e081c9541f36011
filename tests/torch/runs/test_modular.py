"""Modular arithmetic: its data, its model, and the run whose operation changes."""

import dataclasses

import pytest
import torch

from spectral_edge.validate.runs.models import attention_weights
from spectral_edge.validate.runs.tasks.modular import OPERATIONS, ModularConfig, ShiftConfig, pairs, split
from tests.torch.runs.tiny import MODULAR, SIZES

# written out again, so that a slip in one of them shows
POWERS = {
    "a+b": {(1, 0): 1, (0, 1): 1},
    "a-b": {(1, 0): 1, (0, 1): -1},
    "a*b": {(1, 1): 1},
    "a2+b2": {(2, 0): 1, (0, 2): 1},
    "a2+ab+b2": {(2, 0): 1, (1, 1): 1, (0, 2): 1},
    "a3+ab": {(3, 0): 1, (1, 1): 1},
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_labels_are_the_operation_modulo_p(operation: str) -> None:
    config = dataclasses.replace(MODULAR, operation=operation, p=11)
    inputs, labels = pairs(config)
    n = 100 if operation == "a*b" else 121
    assert inputs.shape == (n, 2)
    assert len({tuple(row) for row in inputs.tolist()}) == n
    for (a, b), label in zip(inputs.tolist(), labels.tolist(), strict=True):
        value = sum(factor * a**i * b**j for (i, j), factor in POWERS[operation].items())
        assert label == value % 11


def test_split_is_a_partition_decided_by_the_seed() -> None:
    data = split(MODULAR)
    assert data.seen is data.train
    assert (data.train.size, data.unseen.size) == (24, 25)  # half of 49, rounded
    rows = {tuple(row) for row in torch.cat([data.train.inputs[0], data.unseen.inputs[0]]).tolist()}
    assert len(rows) == 49
    again, other = split(MODULAR), split(dataclasses.replace(MODULAR, seed=1))
    assert torch.equal(again.train.inputs[0], data.train.inputs[0])
    assert not torch.equal(other.train.inputs[0], data.train.inputs[0])


def test_the_published_sizes() -> None:
    model = ModularConfig().model()
    assert sum(w.numel() for w in attention_weights(model).values()) == 131_072
    assert len(attention_weights(model)) == 4
    assert pairs(ModularConfig())[0].shape == (9_409, 2)


@pytest.mark.parametrize("operation", ["a*b", "a+b,a*b", "a+b,a*b,a2+b2"])
def test_zero_is_left_out_where_there_is_a_product(operation: str) -> None:
    config = ModularConfig(operation=operation)
    inputs, labels = pairs(config)
    assert inputs.shape == (96**2, 2)
    assert (int(inputs.min()), int(inputs.max())) == (1, 96)
    alone = [dataclasses.replace(config, operation=name) for name in operation.split(",")]
    for config, column in zip(alone, labels.reshape(96**2, -1).T, strict=True):
        found = {tuple(row): int(label) for row, label in zip(inputs.tolist(), column, strict=True)}
        every = dict(zip(map(tuple, pairs(config)[0].tolist()), pairs(config)[1].tolist(), strict=True))
        assert found.items() <= every.items()


def test_the_shift_changes_the_labels_and_nothing_else() -> None:
    config = ShiftConfig(p=11, **SIZES)
    (one, before), (two, after) = config.phases()
    assert (one, two) == (1, config.shift_step + 1)
    assert torch.equal(before.train.inputs[0], after.train.inputs[0])
    a, b = after.train.inputs[0].T
    assert torch.equal(before.train.labels, (a + b) % 11)
    assert torch.equal(after.train.labels, (a - b) % 11)
    assert len(dataclasses.replace(config, shift_step=0).phases()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "a/b"}, "operation"),
        ({"operation": "a+b,a/b"}, "operation must be one of"),
        ({"operation": "a+b,a-b,a*b,a2+b2"}, "operation must name at most 3"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"train_share": 1.5}, "train_share"),
        ({"p": 0}, "p must"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_bad_configurations(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(MODULAR, **change)  # type: ignore[arg-type]
