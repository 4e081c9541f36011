"""The command line: what it prints, and one line with status 2 on bad input."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spectral_edge.validate.referee.predictions import PREDICTIONS
from tests.command_line import SCRIPT, run, run_apart


def walk(T: int = 30, P: int = 500, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(T + 1, P)), axis=0)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "snapshots.npy"
    np.save(path, walk())
    return path


def commands() -> list[str]:
    from spectral_edge.cli import app

    return [command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("command", commands())
def test_help_shows_an_example_in_a_paragraph_of_its_own(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", done.stdout)]
    assert any(part.startswith(f"Example: spectral-edge {command}") for part in paragraphs)
    assert f"spectral-edge {command}" in run("--help").stdout or command in run("--help").stdout


def test_help_keeps_asterisks() -> None:
    text = run("analyze", "--help").stdout
    assert text.count("'*attn*'") == 2


@pytest.mark.parametrize("start", [[str(SCRIPT)], [sys.executable, "-m", "spectral_edge"]])
def test_the_script_and_the_module_are_the_command(start: list[str]) -> None:
    import spectral_edge

    done = subprocess.run([*start, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"spectral-edge {spectral_edge.__version__}"
    done = subprocess.run([*start, "bbp", "--what"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("spectral-edge: No such option: --what")
    assert done.stderr.count("\n") == 1


def test_the_shell_completes_commands_and_options() -> None:
    for typed, offered in (("spectral-edge an", "analyze"), ("spectral-edge bbp --s", "--sigma")):
        environment = {**os.environ, "_SPECTRAL_EDGE_COMPLETE": "complete_bash", "COMP_WORDS": typed}
        environment["COMP_CWORD"] = str(len(typed.split()) - 1)
        done = subprocess.run([SCRIPT], capture_output=True, text=True, env=environment, check=False)
        assert offered in done.stdout


@pytest.mark.slow
def test_analyze_a_stack(stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # a console that has no σ
    done = run_apart("analyze", stack, "--W", 5, "--eta", 1e-3, "--B", 32, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "30 updates of 500 parameters, 26 windows of 5" in done.stdout
    assert "noise" in done.stdout
    figures = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert figures == ["snapshots-evolution.svg", "snapshots-window.svg"]


def test_analyze_as_json_agrees_with_the_library(stack: Path, tmp_path: Path) -> None:
    from spectral_edge import validate

    done = run("analyze", stack, "--W", 5, "--json", "--out", tmp_path)
    data = json.loads(done.stdout)
    windows = validate.GramSequence.from_parameters(np.load(stack)).window(5)
    assert data["per_window"]["ratio"] == pytest.approx(windows.ratio.tolist())
    assert data["per_window"]["k_star"] == windows.k_star.tolist()
    assert sum(data["k_star_share"].values()) == pytest.approx(1)


def test_analyze_a_saved_sequence_and_a_zipped_stack(tmp_path: Path) -> None:
    from spectral_edge import validate

    thetas, steps = walk(), 100 * np.arange(31)
    validate.GramSequence.from_parameters(thetas, steps, W_max=12).save(tmp_path / "saved.npz")
    np.savez(tmp_path / "stack.npz", thetas=thetas, steps=steps)
    ratios = []
    for name in ("saved", "stack"):
        done = run("analyze", tmp_path / f"{name}.npz", "--json", "--out", tmp_path)
        assert done.returncode == 0, done.stderr
        table = json.loads(done.stdout)["per_window"]
        assert table["step"][0] == 1000
        ratios.append(table["ratio"])
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-9)


def test_forecast_reads_a_run_and_says_when_modes_exchange(tmp_path: Path) -> None:
    from spectral_edge import validate
    from spectral_edge.validate.referee import worlds

    planted = worlds.planted("collapse-time", 1)(0)[0]
    planted.save(tmp_path / "run.npz")
    done = run("forecast", tmp_path / "run.npz", "--step", int(planted.steps[99]), "--json")
    assert done.returncode == 0, done.stderr
    data, found = json.loads(done.stdout), validate.forecast(planted, step=int(planted.steps[99]))
    assert data["sentence"] == str(found)
    assert data["pairs"] == found.pairs.tolist()
    assert data["collapse_time"].keys() == found.collapse_time.keys()


@pytest.mark.slow
def test_validate_writes_a_table_and_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spectral_edge import validate
    from spectral_edge.validate.referee import scoreboard

    check = scoreboard.check_beside
    quick = [p for p in PREDICTIONS if p.id in ("bbp-vacuous", "weight-decay-needed")]
    monkeypatch.setattr(
        scoreboard, "check_beside", lambda *given, **options: check(*given, **options, predictions=quick)
    )
    additions = [run for run in validate.bundled() if run.config["task"] == "modular-addition"]
    for sequence in additions[1::3]:
        sequence.save(tmp_path / "runs" / f"{sequence.config['run']}.npz")
    done = run("validate", tmp_path / "runs", "--out", tmp_path / "report", "--jobs", 1, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert {row["seed"] for row in data["runs"]} == {2024}
    assert {v["id"] for v in data["verdicts"]} == {"bbp-vacuous", "weight-decay-needed"}
    assert (tmp_path / "report/index.html").stat().st_size > 50_000


def bad_inputs(tmp_path: Path) -> dict[str, tuple[list[object], str]]:
    np.save(tmp_path / "nan.npy", np.where(np.arange(31)[:, None] == 4, np.nan, walk()))
    np.save(tmp_path / "two.npy", walk(1))
    np.save(tmp_path / "good.npy", walk())
    np.save(tmp_path / "flat.npy", np.arange(10.0))
    np.savez(tmp_path / "many.npz", a=walk(), b=walk())
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:5000])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "many.npz").read_bytes()[:5000])
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "afile").write_text("")
    good = tmp_path / "good.npy"
    return {
        "NaN": (
            ["analyze", tmp_path / "nan.npy"],
            "nan.npy: it must be finite, got NaN or infinity in row 4",
        ),
        "too few": (["analyze", tmp_path / "two.npy"], "two.npy: it must hold at least 3 vectors, got 2"),
        "one vector": (
            ["analyze", tmp_path / "flat.npy"],
            "flat.npy: it must be a stack of vectors (n, P), got shape (10,)",
        ),
        "two stacks": (["analyze", tmp_path / "many.npz"], "path"),
        "cut short": (["analyze", tmp_path / "cut.npy"], "path"),
        "cut archive": (["analyze", tmp_path / "cut.npz"], "path"),
        "foreign": (["analyze", tmp_path / "text.npz"], "path"),
        "pickled": (["analyze", tmp_path / "objects.npy"], "path"),
        "missing": (["analyze", tmp_path / "none.npy"], "none.npy"),
        "W too small": (["analyze", good, "--W", 1], "W"),
        "W too large": (["analyze", good, "--W", 31], "W"),
        "eta alone": (["analyze", good, "--eta", 0.1], "eta"),
        "eta negative": (["analyze", good, "--eta", -0.1, "--B", 8], "eta"),
        "target is a file": (["analyze", good, "--out", tmp_path / "afile"], "afile"),
        "no runs": (["validate", tmp_path / "empty"], "path"),
        "unwritable report": (
            ["validate", tmp_path / "runs", "--out", tmp_path / "afile"],
            "afile",
        ),
        "P zero": (["bbp", "--P", 0, "--W", 10, "--eta", 1e-3, "--B", 20], "P"),
        "B negative": (["bbp", "--P", 1e8, "--W", 10, "--eta", 1e-3, "--B", -20], "B"),
        "W negative": (["bbp", "--P", 1e8, "--W", -10, "--eta", 1e-3, "--B", 20], "W"),
        "unknown task": (["record", "sorting"], "task"),
        "unknown option": (["bbp", "--what"], "--what"),
    }


@pytest.mark.parametrize("case", [
    "NaN", "too few", "one vector", "two stacks", "cut short", "cut archive", "foreign", "pickled", "missing",
    "W too small", "W too large", "eta alone", "eta negative", "target is a file", "no runs", "unwritable report",
    "P zero", "B negative", "W negative", "unknown task", "unknown option",
])  # fmt: skip
def test_bad_input_is_one_line_and_status_2(case: str, tmp_path: Path) -> None:
    from spectral_edge import validate

    words, named = bad_inputs(tmp_path)[case]
    if case == "unwritable report":
        validate.bundled()[0].save(tmp_path / "runs" / "a.npz")
    before = sorted(tmp_path.rglob("*"))
    folder = tmp_path / "cwd"
    folder.mkdir()
    done = run(*words, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []  # nothing half-written
    assert sorted(path for path in tmp_path.rglob("*") if path != folder) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("analyze stack.npy --out stack.npy", "out must be a folder, got the file "),
        ("analyze stack.npy --out stack.npy/figures", "out must be a folder, got the file "),
        ("analyze stack.npy --metrics nowhere.csv", "metrics must be a file, a folder or a pattern"),
        ("validate run.npz --out stack.npy", "out must be a folder, got the file "),
        ("validate run.npz --seed -1", "--seed"),
        ("validate run.npz --event val_loss=<1", "event must be a step or a condition such as 'val_loss<1.2'"),
        ("validate run.npz --event loss<1", "event must be about what was recorded of a run (val_loss), got 'loss<1'"),
        ("record dense --out stack.npy", "out must be a folder, got the file "),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_the_work(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from spectral_edge import cli, validate
    from spectral_edge.validate.referee import scoreboard

    monkeypatch.chdir(tmp_path)
    thetas = np.cumsum(np.random.default_rng(0).normal(size=(15, 40)), axis=0)
    np.save("stack.npy", thetas)
    validate.GramSequence.from_parameters(thetas, metrics={"val_loss": np.ones(14)}).save("run.npz")
    monkeypatch.setattr(scoreboard, "check_beside", lambda *given, **options: pytest.fail("worked"))
    with pytest.raises(SystemExit) as stopped:
        cli.main(words.split())
    told = capsys.readouterr()
    assert (stopped.value.code, told.out) == (2, "")
    assert len(told.err.strip().splitlines()) == 1
    assert message in told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.npz", "stack.npy"]


@pytest.mark.slow
def test_a_killed_process_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from spectral_edge import cli
    from spectral_edge.validate.referee import scoreboard

    def killing(beside, runs, *, progress, **options):
        def tell(part: str) -> None:
            if part != "noise world":  # after the first verdict of many
                for child in multiprocessing.active_children():
                    child.kill()
            progress(part)

        return check(beside, runs[:1], progress=tell, **options)

    check = scoreboard.check_beside
    monkeypatch.setattr(scoreboard, "check_beside", killing)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["validate", "--jobs", "2", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith("spectral-edge: a process was killed from outside")
    assert not list(tmp_path.iterdir())
