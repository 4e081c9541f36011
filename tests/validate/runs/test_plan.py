"""The plan: which runs, what they are called, and what is there of them; no PyTorch."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from spectral_edge import validate
from spectral_edge.validate.gram.live.journal import journal_path
from spectral_edge.validate.runs import plan
from spectral_edge.validate.runs.bundle import Files, recorded
from spectral_edge.validate.runs.collect import LONGEST, collect
from spectral_edge.validate.runs.plan import planned, survey
from spectral_edge.validate.runs.tasks.modular import OPERATIONS, ShiftConfig

SCAN = "scan-simple-wd1-seed42"


def test_the_runs_the_predictions_ask_for() -> None:
    runs = list(planned().values())
    assert Counter(run.experiment for run in runs) == {
        "grokking": 60, "shift": 24, "optimizer": 12, "twin": 6, "interval": 1
    }  # fmt: skip
    grokking = [run for run in runs if run.experiment == "grokking"]
    assert all(run.recipe == "author" and run.record_every == 100 for run in grokking)
    for decay in (1.0, 0.0):
        half = [run for run in grokking if run.weight_decay == decay]
        assert Counter(run.family for run in half) == {
            "single": 18,
            "dual": 3,
            "tri": 3,
            "dyck1": 3,
            "scan": 3,
        }
        assert Counter(
            getattr(run, "operation", "") for run in half if run.family == "single"
        ) == dict.fromkeys(OPERATIONS, 3)
        assert {run.seed for run in half} == {42, 137, 2024}
    optimizer = Counter(run.optimizer for run in runs if run.experiment == "optimizer")
    assert optimizer == {"AdamW": 6, "Muon": 6}
    shifts = [run for run in runs if isinstance(run, ShiftConfig)]
    assert Counter(bool(run.shift_step) for run in shifts) == {True: 12, False: 12}


def test_partners_differ_in_weight_decay_and_length_alone() -> None:
    runs = planned()
    for name, run in runs.items():
        if run.weight_decay != 1 or run.experiment not in ("grokking", "twin"):
            continue
        partner = runs[name.replace("-wd1-", "-wd0-")]
        lengths = {"max_steps": partner.max_steps, "steps_after_target": partner.steps_after_target}
        assert replace(run, weight_decay=0.0, **lengths) == partner
        # where both learn the test set before long, both stop there, as the author's do; elsewhere the partner goes on
        assert (partner.steps_after_target is None) == (run.family != "scan")
        if run.family in ("single", "dual", "tri"):
            assert partner.max_steps == 50_000


def test_a_variant_is_a_run_of_the_plan_but_for_that() -> None:
    runs = planned()
    for run in runs.values():
        if run.variant:
            first = replace(run, variant="", record_every=type(run).record_every)
            assert runs[first.name] == first


def test_names_are_file_names_and_no_two_runs_are_the_same() -> None:
    assert all(not set(name) & set('*/\\:?"<>| ') for name in planned())
    cards = {str((run.task, asdict(run))) for run in planned().values()}
    assert len(cards) == len(planned())


def test_bundled_runs_are_those_of_the_plan() -> None:
    runs = {run.config["run"]: run for run in validate.bundled()}
    assert runs.keys() == {name for name, run in planned().items() if not run.variant}
    for name, run in runs.items():
        config = asdict(planned()[name])
        same = {field for field in config if field in run.config and "target" not in field}
        assert {field: config[field] for field in same} == {field: run.config[field] for field in same}
        assert run.config["task"] == planned()[name].task
    short = [name for name, run in runs.items() if run.steps[-1] <= LONGEST]
    assert short == [run.config["run"] for run in validate.bundled("all")]
    again = {run.config["run"] for run in validate.bundled("again")}
    assert again == {name for name, run in planned().items() if run.variant}


@pytest.fixture
def addition() -> validate.GramSequence:
    return next(run for run in validate.bundled() if run.config["run"] == "single-a+b-wd1-seed42")


def test_survey_tells_recorded_from_bundled_from_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addition: validate.GramSequence
) -> None:
    monkeypatch.setattr(plan, "bundled_folder", lambda: tmp_path / "with the package")
    Files(tmp_path / "with the package", "single-a+b-wd1-seed42").put(
        {"attention": addition, "all": addition}
    )
    out = tmp_path / "out"
    before = {found.config.name: found for found in survey(out)}
    assert before[SCAN].status == "missing"
    assert before[SCAN].sequence is None
    assert before["single-a+b-wd1-seed42"].status == "bundled"
    files = Files(out, SCAN)
    addition.save(files.unfinished)
    journal_path(files.unfinished).write_text("cut short")
    assert _status(out) == "unfinished"
    files.put({"attention": addition, "all": replace(addition, P=7)})
    assert _status(out) == "recorded"
    assert sorted(path.name for path in out.iterdir()) == ["all", f"{SCAN}.npz"]
    assert [found.P for found in recorded(out, "all")] == [7]
    assert [found.P for found in recorded(out)] == [addition.P]


def test_a_subject_is_collected_when_it_is_whole(tmp_path: Path, addition: validate.GramSequence) -> None:
    out, into = tmp_path / "out", tmp_path / "into"
    subject = [run for run in planned().values() if run.subject == "single-a+b" and not run.variant]
    *most, last = sorted(subject, key=lambda run: -run.weight_decay)

    def put(folder: Path, name: str, **card: object) -> None:
        sequence = replace(addition, config={"operation": "a+b", "task": "modular-addition", **card})
        Files(folder, name).put({"attention": sequence, "all": sequence})

    for run in most:
        put(out, run.name, stop_step=900, forgotten=True, torch="2.13", device="a GPU", recipe="of old")
    said = list(collect(out, into))
    assert "single-a+b wd1: 3 taken, 0 were there" in said
    assert "single-a+b wd0: 2 of 3 are finished" in said
    treated = [run.name for run in most if run.weight_decay]
    assert sorted(path.stem for path in into.glob("*.npz")) == sorted(treated)
    put(out, last.name)
    said = list(collect(out, into))
    assert "single-a+b wd0: 3 taken, 0 were there" in said
    there = {run.name for run in (*most, last)}
    for group in ("attention", "all"):
        assert {path.stem for path in (into if group == "attention" else into / "all").glob("*.npz")} == there
    card = validate.GramSequence.load(into / f"{most[0].name}.npz").config
    assert card == {**most[0].card(), "stop_step": 900, "torch": "2.13", "device": "a GPU"}
    assert "single-a+b wd1: 0 taken, 3 were there" in list(collect(tmp_path / "nothing", into))


def test_what_is_made_again_is_collected_apart(tmp_path: Path, addition: validate.GramSequence) -> None:
    twins = [run for run in planned().values() if run.variant == "twin" and run.family == "dyck1"]
    for run in twins:
        Files(tmp_path / "out", run.name).put({"attention": addition, "all": addition})
    assert "dyck1 twin: 2 taken, 0 were there" in list(collect(tmp_path / "out", tmp_path / "into"))
    assert not list((tmp_path / "into").glob("*.npz"))
    found = recorded(tmp_path / "into", "again")
    assert sorted(run.config["run"] for run in found) == sorted(run.name for run in twins)
    assert not (tmp_path / "into" / "again" / "all").exists()


def _status(folder: Path) -> str:
    return next(found.status for found in survey(folder) if found.config.name == SCAN)


def test_a_group_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="group must be one of attention, all, dense, intervals, again, got 'head'"
    ):
        recorded(tmp_path, "head")
    with pytest.raises(ValueError, match="runs must be a folder of recorded sequences"):
        recorded(tmp_path, "all")
