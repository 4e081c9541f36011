"""A run that was cut short, however, ends as if it had not been."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from spectral_edge.validate import GramSequence
from spectral_edge.validate.runs import training
from spectral_edge.validate.runs.bundle import Files
from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.threads import one_thread
from spectral_edge.validate.runs.training import train
from tests.torch.runs.tiny import MODULAR, TASKS

ROOT = Path(__file__).parents[3]


class Cut(Exception):
    pass


def cut_at(step: int) -> training.Progress:
    def progress(now: int, metrics: dict[str, float]) -> None:
        if now == step:
            raise Cut

    return progress


def first_heard(config: RunConfig, out: Path) -> int:
    """The step of the first record that a resumed run makes; it is cut short there."""
    heard: list[int] = []

    def progress(now: int, metrics: dict[str, float]) -> None:
        heard.append(now)
        raise Cut

    with pytest.raises(Cut):
        train(config, out, progress)
    return heard[0]


def assert_same(one: GramSequence, two: GramSequence) -> None:
    assert np.array_equal(one.K, two.K, equal_nan=True)
    assert np.array_equal(one.steps, two.steps)
    assert one.metrics.keys() == two.metrics.keys()
    assert one.probes.keys() == two.probes.keys()
    for group in ("metrics", "probes"):
        for name, values in getattr(one, group).items():
            assert np.array_equal(values, getattr(two, group)[name], equal_nan=True), name
    assert one.config == two.config


def saved(config: RunConfig, out: Path) -> dict[str, GramSequence]:
    return {group: GramSequence.load(path) for group, path in Files(out, config.name).recordings.items()}


@pytest.mark.parametrize("name", TASKS)
def test_resumed_is_uninterrupted_bit_for_bit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TASKS[name]
    monkeypatch.setattr(training, "PATIENCE", 0.0)  # a checkpoint after every record
    whole = train(config, tmp_path / "whole")
    for step in (25, 50):  # before and after the first Hessian and ablation
        with pytest.raises(Cut):
            train(config, tmp_path / "cut", cut_at(step))
        assert not Files(tmp_path / "cut", config.name).done
        assert first_heard(config, tmp_path / "cut") == step + 5  # from its last record, not from the start
    resumed = train(config, tmp_path / "cut")
    for group in ("attention", "all"):
        assert_same(whole[group], resumed[group])
        assert_same(whole[group], saved(config, tmp_path / "cut")[group])
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["all", f"{config.name}.npz"]


def test_an_old_checkpoint_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records made after the last checkpoint are made again."""
    monkeypatch.setattr(training, "PATIENCE", 1e9)  # one checkpoint, after the first record
    with pytest.raises(Cut):
        train(MODULAR, tmp_path, cut_at(40))
    heard: list[int] = []
    resumed = train(MODULAR, tmp_path, lambda now, _: heard.append(now))
    assert heard[0] == 10
    assert_same(train(MODULAR)["all"], resumed["all"])


def test_killed_in_the_middle_of_anything(tmp_path: Path) -> None:
    config = dataclasses.replace(MODULAR, max_steps=300, target_accuracy=None)
    code = (
        "import dataclasses; from pathlib import Path; from tests.torch.runs.tiny import MODULAR;"
        "from spectral_edge.validate.runs import training; training.PATIENCE = 0.0;"
        "config = dataclasses.replace(MODULAR, max_steps=300, target_accuracy=None);"
        f"training.train(config, Path({str(tmp_path)!r}))"
    )
    files = Files(tmp_path, config.name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for longer in (0.0, 0.137):
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment) as process:
            deadline, before = time.monotonic() + 90, _written(files)
            while _written(files) == before:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(longer)
            process.send_signal(signal.SIGKILL)
        assert GramSequence.load(files.unfinished).T >= 2
    begun = GramSequence.load(files.unfinished).T
    resumed = train(config, tmp_path)
    assert 2 <= begun < resumed["all"].T == 60
    assert_same(train(config)["all"], resumed["all"])
    assert not (tmp_path / "unfinished").exists()


def _written(files: Files) -> int:
    """How many records the file and its journal hold."""
    try:
        return GramSequence.load(files.unfinished).T
    except FileNotFoundError:
        return 0


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    first = train(MODULAR, tmp_path)
    before = [path.stat().st_mtime_ns for path in Files(tmp_path, MODULAR.name).recordings.values()]
    heard: list[int] = []
    again = train(MODULAR, tmp_path, lambda now, _: heard.append(now))
    assert heard == []
    assert_same(first["attention"], again["attention"])
    assert before == [path.stat().st_mtime_ns for path in Files(tmp_path, MODULAR.name).recordings.values()]


@pytest.mark.parametrize("finished", [True, False])
def test_another_run_of_the_same_name_is_refused(tmp_path: Path, finished: bool) -> None:
    if finished:
        train(MODULAR, tmp_path)
    else:
        with pytest.raises(Cut):
            train(MODULAR, tmp_path, cut_at(20))
    word = "finished one" if finished else "half-finished one"
    with pytest.raises(ValueError, match=rf"a {word} with max_steps = 60, not 65: choose another folder"):
        train(dataclasses.replace(MODULAR, max_steps=65), tmp_path)


def test_the_unfinished_file_is_whole_after_every_record(tmp_path: Path) -> None:
    files, lengths = Files(tmp_path, MODULAR.name), []

    def look(step: int, metrics: dict[str, float]) -> None:
        if step >= 10:
            lengths.append(GramSequence.load(files.unfinished).T)

    train(MODULAR, tmp_path, look)
    assert lengths == list(range(2, 13))


def test_a_saved_recording_is_small_and_says_how_it_was_made(tmp_path: Path) -> None:
    sequence = train(MODULAR, tmp_path)["attention"]
    path = Files(tmp_path, MODULAR.name).recordings["attention"]
    assert path.stat().st_size < 40_000
    with np.load(path) as file:
        kinds = {name: file[name].dtype for name in file.files}
    assert kinds["K"] == kinds["metrics/test_accuracy"] == np.float64
    assert (
        kinds["probes/metric"] == kinds["probes/gradient"] == kinds["metrics/encoder.0.Q.norm"] == np.float32
    )
    loaded = GramSequence.load(path)
    assert np.array_equal(loaded.K, sequence.K)
    wanted = {**dataclasses.asdict(MODULAR), "experiment": "grokking", "task": "modular-addition"}
    assert {name: loaded.config[name] for name in wanted} == wanted
    assert {"command", "spectral_edge", "torch", "group"} < set(loaded.config)


def test_numbers_below_the_normal_ones_count_as_zero_while_a_run_trains() -> None:
    tiny = torch.tensor(1e-39)
    assert tiny.mul(1.0).item() > 0
    with one_thread():
        assert tiny.mul(1.0).item() == 0
        with one_thread():
            pass
        assert tiny.mul(1.0).item() == 0
    assert tiny.mul(1.0).item() > 0
