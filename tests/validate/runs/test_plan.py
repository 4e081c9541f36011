"""The plan: which runs, what they are called, and what is there of them; no PyTorch."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from spectral_edge import validate
from spectral_edge.validate.gram.live.journal import journal_path
from spectral_edge.validate.runs import plan
from spectral_edge.validate.runs.bundle import Files, recorded
from spectral_edge.validate.runs.plan import planned, survey
from spectral_edge.validate.runs.tasks.modular import OPERATIONS, ShiftConfig


def test_the_runs_the_predictions_ask_for() -> None:
    runs = list(planned().values())
    experiments = Counter(run.experiment for run in runs)
    assert experiments == {"grokking": 48, "shift": 6, "optimizer": 6}
    grokking = [run for run in runs if run.experiment == "grokking"]
    assert Counter(run.weight_decay for run in grokking) == {1.0: 24, 0.0: 24}
    assert Counter(run.task for run in grokking) == {
        "modular": 30,
        "modular-addition": 6,
        "dyck-depth": 6,
        "scan": 6,
    }
    assert {getattr(run, "operation", "") for run in grokking} == {"", *OPERATIONS}
    optimizer = Counter(run.optimizer for run in runs if run.experiment == "optimizer")
    assert optimizer == {"AdamW": 3, "Muon": 3}
    shifts = [run for run in runs if isinstance(run, ShiftConfig)]
    assert Counter(bool(run.shift_step) for run in shifts) == {True: 3, False: 3}
    for key in Counter(run.experiment for run in runs):
        assert {run.seed for run in runs if run.experiment == key} == {42, 137, 2024}


def test_names_are_file_names_and_no_two_runs_are_the_same() -> None:
    assert all(not set(name) & set('*/\\:?"<>| ') for name in planned())
    cards = {str((run.task, asdict(run))) for run in planned().values()}
    assert len(cards) == len(planned())


def test_bundled_runs_are_those_of_the_plan() -> None:
    for group in ("attention", "all"):
        assert sorted(run.config["run"] for run in validate.bundled(group)) == sorted(planned())
    for run in validate.bundled():
        config = asdict(planned()[run.config["run"]])
        same = {name for name in config if name in run.config}
        assert {name: config[name] for name in same} == {name: run.config[name] for name in same}
        assert run.config["task"] == planned()[run.config["run"]].task


def test_survey_tells_recorded_from_bundled_from_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "bundled_folder", lambda: tmp_path / "with the package")
    addition = next(run for run in validate.bundled() if run.config["run"] == "modular-a+b-wd1-seed42")
    Files(tmp_path / "with the package", "modular-a+b-wd1-seed42").put(
        {"attention": addition, "all": addition}
    )
    out = tmp_path / "out"
    before = {found.config.name: found for found in survey(out)}
    assert before["scan-wd1-seed42"].status == "missing"
    assert before["scan-wd1-seed42"].sequence is None
    assert before["modular-a+b-wd1-seed42"].status == "bundled"
    files = Files(out, "scan-wd1-seed42")
    addition.save(files.unfinished)
    journal_path(files.unfinished).write_text("cut short")
    assert _status(out) == "unfinished"
    files.put({"attention": addition, "all": replace(addition, P=7)})
    assert _status(out) == "recorded"
    assert sorted(path.name for path in out.iterdir()) == ["all", "scan-wd1-seed42.npz"]
    assert [found.P for found in recorded(out, "all")] == [7]
    assert [found.P for found in recorded(out)] == [addition.P]


def _status(folder: Path) -> str:
    return next(found.status for found in survey(folder) if found.config.name == "scan-wd1-seed42")


def test_a_group_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="group must be one of attention, all, got 'head'"):
        recorded(tmp_path, "head")
    with pytest.raises(ValueError, match="runs must be a folder of recorded sequences"):
        recorded(tmp_path, "all")
