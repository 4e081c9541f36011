"""The modular-arithmetic run: its data, its model, its recording, and that a seed repeats it."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from spectral_edge.validate import GramSequence
from spectral_edge.validate.runs.modular import (
    OPERATIONS,
    ModularConfig,
    attention_weights,
    build_model,
    pairs,
    split,
)
from spectral_edge.validate.runs.training import command, train_modular

SMALL = ModularConfig(p=7, d_model=16, heads=2, d_feedforward=32, batch_size=16, record_every=5, max_steps=60)

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
    config = dataclasses.replace(SMALL, operation=operation, p=11)
    inputs, labels = pairs(config)
    assert inputs.shape == (121, 2)
    assert len({tuple(row) for row in inputs.tolist()}) == 121
    for (a, b), label in zip(inputs.tolist(), labels.tolist(), strict=True):
        value = sum(factor * a**i * b**j for (i, j), factor in POWERS[operation].items())
        assert label == value % 11


def test_split_is_a_partition_decided_by_the_seed() -> None:
    train_x, train_y, test_x, test_y = split(SMALL)
    assert len(train_y) == 24  # half of 49, rounded
    rows = {tuple(row) for row in torch.cat([train_x, test_x]).tolist()}
    assert len(rows) == 49
    assert len(test_y) == 25
    again, other = split(SMALL), split(dataclasses.replace(SMALL, seed=1))
    assert torch.equal(again[0], train_x)
    assert not torch.equal(other[0], train_x)


def test_the_published_sizes() -> None:
    model = build_model(ModularConfig())
    assert sum(w.numel() for w in attention_weights(model)) == 131_072
    assert len(attention_weights(model)) == 4
    state = torch.get_rng_state()
    build_model(ModularConfig())
    assert torch.equal(state, torch.get_rng_state())  # the user's generator is left alone


def test_recording_is_the_gram_matrix_of_the_updates() -> None:
    """Train again by hand, keep every snapshot, and compare with brute force."""
    sequence = train_modular(SMALL)
    torch.set_num_threads(1)
    train_x, train_y, _, _ = split(SMALL)
    model = build_model(SMALL)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    generator = torch.Generator().manual_seed(SMALL.seed + 1)
    snapshots = []
    for step in range(SMALL.max_steps + 1):
        if step % SMALL.record_every == 0:
            snapshots.append(torch.cat([w.flatten() for w in attention_weights(model)]).double().numpy())
        chosen = torch.randint(len(train_y), (SMALL.batch_size,), generator=generator)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(train_x[chosen]), train_y[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    updates = np.diff(np.array(snapshots), axis=0)
    assert sequence.T == 12
    assert pytest.approx(updates @ updates.T, rel=1e-6, abs=1e-12) == sequence.K
    assert updates.shape[1] == sequence.P
    assert sequence.steps.tolist() == list(range(5, 61, 5))


def test_same_seed_same_run_and_it_learns() -> None:
    one, two, other = (train_modular(dataclasses.replace(SMALL, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.K, two.K)
    assert all(np.array_equal(one.metrics[name], two.metrics[name]) for name in one.metrics)
    assert not np.array_equal(one.K, other.K)
    assert one.metrics["train_loss"][-1] < 0.8 * one.metrics["train_loss"][0]
    assert set(one.metrics) == {"train_loss", "test_loss", "train_accuracy", "test_accuracy"}


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    train_modular(dataclasses.replace(SMALL, max_steps=20))
    assert torch.get_num_threads() == before


def test_it_stops_after_the_target() -> None:
    config = dataclasses.replace(SMALL, target_accuracy=0.0, steps_after_target=20, max_steps=1000)
    assert train_modular(config).steps[-1] == 25


def test_the_file_is_whole_after_every_record(tmp_path: Path) -> None:
    path, lengths = tmp_path / "run.npz", []

    def look(step: int, metrics: dict[str, float]) -> None:
        if step >= 10:
            lengths.append(GramSequence.load(path).T)

    sequence = train_modular(SMALL, path, look)
    assert lengths == list(range(2, 13))
    loaded = GramSequence.load(path)
    assert np.array_equal(loaded.K, sequence.K)
    assert loaded.config["command"] == command(SMALL)
    assert loaded.config["weight_decay"] == 1.0


def test_command_names_what_differs() -> None:
    assert command(ModularConfig()) == "spectral-edge record modular-addition --weight-decay 1 --seed 42"
    assert command(ModularConfig(weight_decay=0.5, seed=10**6 + 1, max_steps=20_000)).endswith(
        "--weight-decay 0.5 --seed 1000001 --max-steps 20000"
    )
    assert command(ModularConfig(p=7)) == "train_modular(ModularConfig(p=7))"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "a/b"}, "operation"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"train_share": 1.5}, "train_share"),
        ({"p": 0}, "p must"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_bad_configurations(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_interrupted_recording_leaves_a_valid_file(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("spectral-edge")
    words = [script, "record", "modular-addition", "--record-every", "2", "--out", tmp_path]
    with subprocess.Popen([str(w) for w in words], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 90
        while not list(tmp_path.glob("*.npz")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in errors
    assert b"Traceback" not in errors
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    assert GramSequence.load(files[0]).T >= 2


def test_record_through_the_command_line(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("spectral-edge")
    words = [
        "record",
        "modular-addition",
        "--weight-decay",
        "0",
        "--seed",
        "7",
        "--max-steps",
        "30",
        "--record-every",
        "10",
        "--out",
    ]
    done = subprocess.run(
        [str(script), *words, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    sequence = GramSequence.load(next(tmp_path.glob("*.npz")))
    assert sequence.steps.tolist() == [10, 20, 30]
    assert json.loads(json.dumps(dict(sequence.config)))["seed"] == 7
