"""Several runs at a time, and the command line."""

import dataclasses
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from spectral_edge.commands.record import record_all
from spectral_edge.validate import GramSequence
from spectral_edge.validate.runs.bundle import Files
from spectral_edge.validate.runs.dense.config import dense_runs
from spectral_edge.validate.runs.plan import planned
from spectral_edge.validate.runs.pool import Board, make
from spectral_edge.validate.runs.tasks.modular import ModularConfig
from spectral_edge.validate.runs.training import command, train
from tests.torch.runs.tiny import MODULAR, TASKS

SCRIPT = Path(sys.executable).with_name("spectral-edge")


def test_two_jobs_and_one_that_fails(tmp_path: Path) -> None:
    good = dataclasses.replace(TASKS["dyck"], max_steps=200)
    bad = dataclasses.replace(MODULAR, p=1)  # no example to train on
    there = dataclasses.replace(MODULAR, seed=7)
    train(there, tmp_path)
    seen: list[list[str]] = []
    board = make([good, bad, there], tmp_path, jobs=2, watch=lambda b: seen.append(list(b.status.values())))
    assert ["running", "running", "there"] in seen
    assert board.status[good.name] == "done"
    assert board.status[bad.name].startswith("failed: ")
    assert not Files(tmp_path, bad.name).done
    assert board.last[good.name][0] == good.max_steps
    loaded = GramSequence.load(Files(tmp_path, good.name).recordings["all"])
    assert np.array_equal(loaded.K, train(good)["all"].K, equal_nan=True)  # as in one process


def test_the_table_says_how_far_each_run_is() -> None:
    from rich.console import Console

    board = Board([MODULAR, TASKS["dyck"], TASKS["scan"]])
    metrics = dict.fromkeys(("train_loss", "test_loss", "train_accuracy", "test_accuracy"), 0.625)
    board.hear(MODULAR.name, "running", 20, metrics)
    assert board.seconds_left(MODULAR.name) is None
    time.sleep(0.01)
    board.hear(MODULAR.name, "running", 40, metrics)
    left = board.seconds_left(MODULAR.name)
    assert left is not None
    assert left >= 0.01  # twenty more steps, at the pace of the last twenty
    board.hear(TASKS["dyck"].name, "failed: no space", 0, {})
    console = Console(width=160, file=io.StringIO())
    console.print(board.table())
    text = console.file.getvalue()
    assert "3 runs: 1 running, 1 waiting, 1 failed" in text
    assert "0.625 / 0.625" in text
    assert "40 of 60" in text
    assert "failed: no space" in text
    assert TASKS["scan"].name not in text


def test_all_says_in_a_log_what_begins_ends_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = dataclasses.replace(MODULAR, p=1)  # no example to train on
    there = dataclasses.replace(MODULAR, seed=7)
    train(there, tmp_path)
    with pytest.raises(typer.Exit) as stopped:
        record_all(tmp_path, 1, (bad, there))
    assert stopped.value.exit_code == 1
    printed, told = capsys.readouterr()
    lines = [line.split(" ", 1)[1] for line in told.splitlines()]
    assert lines[0] == f"{bad.name}: running"
    assert lines[1].startswith(f"{bad.name}: failed: ")
    assert len(lines) == 2  # what was there already is no change
    assert printed == f"1 of 2 runs in {tmp_path}\n"


def test_jobs_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        make([MODULAR], tmp_path, jobs=0)


def test_command_names_what_differs() -> None:
    assert command(ModularConfig()) == "spectral-edge record modular-addition --weight-decay 1 --seed 42"
    assert command(ModularConfig(weight_decay=0.5, seed=10**6 + 1, max_steps=20_000)).endswith(
        "--weight-decay 0.5 --seed 1000001 --max-steps 20000"
    )
    assert command(ModularConfig(p=7)) == "train(ModularConfig(p=7))"
    for name in (
        "scan-simple-wd0-seed137",
        "single-ab-wd1-seed42",
        "language-muon-seed2024",
        "dyck1-wd1-seed42-twin",
    ):
        assert command(planned()[name]) == f"spectral-edge record {name}"


def hears_interrupts() -> None:
    """Where tests run in the background of a shell, interrupts are ignored, and a child inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_interrupted_recording_goes_on(tmp_path: Path) -> None:
    words = [
        SCRIPT,
        "record",
        "modular-addition",
        "--record-every",
        "1",
        "--max-steps",
        "8",
        "--out",
        tmp_path,
    ]
    name = ModularConfig().name
    with subprocess.Popen(
        [str(w) for w in words], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=hears_interrupts,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 300
        while not Files(tmp_path, name).unfinished.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted; what was recorded is in" in errors
    assert b"Traceback" not in errors
    assert GramSequence.load(Files(tmp_path, name).unfinished).T >= 2
    heard: list[int] = []
    again = train(ModularConfig(record_every=1, max_steps=8), tmp_path, lambda step, _: heard.append(step))
    assert again["attention"].T == 8
    assert heard[0] > 1


def test_list_after_a_recording(tmp_path: Path) -> None:
    train(dataclasses.replace(ModularConfig(), max_steps=30, record_every=10), tmp_path)
    done = subprocess.run(
        [str(SCRIPT), "record", "--list", "--json", "--out", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    rows = {row["run"]: row for row in json.loads(done.stdout)}
    named = [*planned(), *(run.name for run in dense_runs())]
    assert list(rows) == named
    assert {row["status"] for row in rows.values()} == {"bundled", "recorded"}
    keys = {"run", "family", "recipe", "task", "optimizer", "weight_decay", "seed", "status", "grok_step"}
    assert all(keys <= set(row) for row in rows.values())
    first = rows["single-a+b-wd1-seed42"]
    assert (first["status"], first["steps"], first["grok_step"]) == ("recorded", 30, None)
    assert (first["family"], first["recipe"]) == ("single", "author")
    other = rows["language-muon-seed42"]
    assert (other["family"], other["recipe"], other["status"]) == ("language", "own", "bundled")
    assert rows["shift-a+b-stays-seed1"]["family"] == "shift"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sorting"], "task must be all, dense, modular-addition or a planned run"),
        ([], "task must be"),
        (["all", "--seed", "3"], "--seed goes with modular-addition, got all"),
        (["all", "--jobs", "0"], "jobs"),
        (["all", "--json"], "--json goes with --list"),
        (["modular-addition", "--weight-decay", "-1"], "weight_decay must not be negative"),
    ],
)
def test_bad_words(words: list[str], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(SCRIPT), "record", *words, "--out", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "device", "wanted"),
    [
        (MODULAR, "abacus", "device must be one that this machine has, like 'cpu', got 'abacus'"),
        (MODULAR, "cuda:77", "device must be one that this machine has, like 'cpu', got 'cuda:77'"),
        (MODULAR, "meta", "device must be one that this machine has, like 'cpu', got 'meta'"),
        (dense_runs()[0], "cuda", "device must be 'cpu' for a dense run, got 'cuda'"),
    ],
    ids=["no-name", "not-here", "no-numbers", "dense"],
)
def test_a_device_that_cannot_be_had(config: Any, device: str, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=wanted):
        train(config, tmp_path, device=device)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["modular", "tri", "shift", "dyck", "language", "scan"])
def test_on_a_gpu_a_run_is_the_same_each_time_and_nearly_that_of_the_processor(name: str) -> None:
    one, two, here = train(TASKS[name], device="cuda"), train(TASKS[name], device="cuda"), train(TASKS[name])
    for group, sequence in one.items():
        assert np.array_equal(sequence.K, two[group].K, equal_nan=True)
        assert np.array_equal(sequence.metrics["test_loss"], two[group].metrics["test_loss"])
        first = [run[group].metrics["train_loss"][0] for run in (one, here)]
        assert first[0] == pytest.approx(first[1], rel=1e-4)
        assert sequence.probes.keys() == here[group].probes.keys()
        assert sequence.config["device"] == torch.cuda.get_device_name()
