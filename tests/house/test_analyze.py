"""``spectral-edge analyze`` as it is typed: what it says, what it writes, and where it cannot write."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

T = 15


def walk(n: int = T, P: int = 400, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, P)), axis=0).astype(np.float32)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    folder = tmp_path / "exp7" / "checkpoints"
    folder.mkdir(parents=True)
    for t, theta in enumerate(walk()):
        state = {"layers.0.attn.w": theta[:200], "layers.1.mlp.w": theta[200:], "bn.running_mean": theta[:7]}
        save_file(state, folder / f"step={100 * t}-loss={2.5 - t / 10:.2f}.safetensors")
    save_file({"layers.0.attn.w": walk()[0, :200]}, folder / "last.safetensors")
    return folder


class Ran:
    """What a command printed and where it stopped."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def data(self):
        return json.loads(self.out)


@pytest.fixture
def analyze(tmp_path: Path, capsys):
    from spectral_edge import cli

    def run(path, *options, W=4) -> Ran:
        capsys.readouterr()
        words = ["analyze", path, "--W", W, "--out", tmp_path / "out", *options]
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ran(stopped.value.code, out, err)

    return run


def figures(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "out").iterdir()}


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and written, with nothing drawn into them: drawing takes three quarters of the time."""
    monkeypatch.setattr("matplotlib.figure.Figure.draw", lambda figure, renderer: None)


# -- what it says -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blank")
def test_it_says_what_it_read_and_whether_that_means_anything(checkpoints: Path, analyze) -> None:
    said = analyze(checkpoints).out.splitlines()
    assert said[0] == f"15 checkpoints of {checkpoints}"
    assert said[1].split() == ["0", "step=0-loss=2.50.safetensors"]
    assert said[4].strip() == "…"  # elided in the middle
    assert said[7].split() == ["1,400", "step=1400-loss=1.10.safetensors"]
    assert said[8] == "read: 400 float32"
    assert "left out: last.safetensors (no number in its name)" in said
    assert "left out: bn.running_mean (a buffer, not a parameter; 7 entries)" in said
    assert "14 updates of 400 parameters, 11 windows of 4; gap and σ in parameter units" in said
    assert any("99 % of noise" in line for line in said)
    (sentence,) = [line for line in said if line.endswith("a random walk gives this too")]
    assert "as large and as correlated in time as these updates" in sentence


@pytest.mark.usefixtures("blank")
def test_as_json_it_is_all_there(checkpoints: Path, analyze) -> None:
    data = analyze(checkpoints, "--json", "--by", "kind").data
    assert [each["step"] for each in data["files"]] == [100 * t for t in range(T)]
    assert data["dtypes"] == {"float32": 400}
    assert {each["name"] for each in data["left_out"]} == {"last.safetensors", "bn.running_mean"}
    assert (data["notes"], data["copies"]) == ([], [])
    assert data["above_noise"]["share"] < 0.2
    assert 1.03 < data["ratio_median"] < 1.11
    assert len(data["per_window"]["noise_level"]) == 11
    assert set(data["groups"]) == {"layers.*.attn.w", "layers.*.mlp.w"}
    assert data["groups"]["layers.*.mlp.w"]["P"] == 200


@pytest.mark.usefixtures("blank")
def test_notes_are_said_once_on_standard_error_and_are_in_the_json(checkpoints: Path, analyze) -> None:
    shutil.copy(
        checkpoints / "step=300-loss=2.20.safetensors", checkpoints / "step=350-loss=2.20.safetensors"
    )
    ran = analyze(checkpoints, "--json")
    assert [line for line in ran.err.splitlines() if line.startswith("note: ")] == [
        f"note: {note}" for note in ran.data["notes"]
    ]
    assert ran.data["copies"] == [{"step": 350, "of": 300}]
    assert analyze(checkpoints, "--json", "--drop-copies").data["copies"] == []


@pytest.mark.usefixtures("blank")
def test_selecting_excluding_and_steps(checkpoints: Path, analyze) -> None:
    def P(*options) -> int:
        return analyze(checkpoints, "--json", *options).data["P"]

    assert P("--select", "*attn*") == 200
    assert P("--select", "*attn*", "--select", "*mlp*") == 400
    assert P("--exclude", "*attn*", "--exclude", "bn*") == 200
    ran = analyze(checkpoints, "--json", "--steps", r"step=(\d+)00-")
    assert ran.data["per_window"]["step"][:2] == [5, 6]  # step=0 does not match
    ran = analyze(checkpoints, "--steps", "(")
    assert ran.status == 2
    assert "steps must be a regular expression" in ran.err


def test_the_list(checkpoints: Path, analyze, tmp_path: Path) -> None:
    ran = analyze(checkpoints, "--list", "--exclude", "*mlp*")
    assert ran.status == 0
    assert f"200  float32    {'layers.0.attn.w'}" in ran.out
    assert "left out: layers.1.mlp.w (not selected)" in ran.out
    assert not (tmp_path / "out").exists()
    assert [each["name"] for each in analyze(checkpoints, "--list", "--json").data["tensors"]] == [
        "layers.0.attn.w",
        "layers.1.mlp.w",
    ]


@pytest.mark.usefixtures("blank")
def test_damaged_files(checkpoints: Path, analyze) -> None:
    (checkpoints / "step=1400-loss=1.10.safetensors").write_bytes(b"half")
    ran = analyze(checkpoints)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.strip().splitlines()) == 1
    assert "step=1400-loss=1.10.safetensors" in ran.err
    assert "--skip-damaged" in ran.err
    ran = analyze(checkpoints, "--skip-damaged")
    assert "left out: step=1400-loss=1.10.safetensors (damaged)" in ran.out


# -- what it writes ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("blank")
def test_figures_carry_what_was_selected(checkpoints: Path, analyze, tmp_path: Path) -> None:
    for options in (
        [],
        ["--select", "*attn*"],
        ["--select", "*mlp*"],
        ["--select", "layers.[01].*"],
        ["--exclude", "*mlp*"],
    ):
        analyze(checkpoints, *options)
    assert len(figures(tmp_path)) == 10
    assert {
        "checkpoints-window.svg",
        "checkpoints-attn-window.svg",
        "checkpoints-not-mlp-evolution.svg",
    } <= figures(tmp_path)


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_formats_of_figures(checkpoints: Path, analyze, tmp_path: Path, kind: str, request) -> None:
    if kind != "svg":  # what is drawn is the same
        request.getfixturevalue("blank")
    analyze(checkpoints, "--format", kind, "--by", "layer")
    first = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[kind]
    for what in ("window", "evolution", "by-layer"):
        assert (tmp_path / "out" / f"checkpoints-{what}.{kind}").read_bytes().startswith(first)


@pytest.mark.usefixtures("blank")
def test_saved_runs_are_read_again_and_tables_hold_every_window(
    checkpoints: Path, analyze, tmp_path: Path
) -> None:
    (checkpoints.parent / "metrics.csv").write_text(
        "step,val_loss\n" + "\n".join(f"{100 * t},{9 - t}" for t in range(T))
    )
    first = analyze(
        checkpoints, "--json", "--save", tmp_path / "run.npz", "--csv", tmp_path / "t.csv", "--by", "layer"
    ).data
    assert first["metrics"] == ["val_loss"]
    again = analyze(tmp_path / "run.npz", "--json").data
    assert again["per_window"]["ratio"] == first["per_window"]["ratio"]
    assert again["per_window"]["stored_floor"] == first["per_window"]["stored_floor"]
    assert again["metrics"] == ["val_loss"]
    assert (
        "path must be checkpoints to be listed, got a recording"
        in analyze(tmp_path / "run.npz", "--list").err
    )
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} == {"", "layers.0", "layers.1"}
    assert [float(row["ratio"]) for row in rows[:11]] == pytest.approx(first["per_window"]["ratio"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--save", "run.txt"], "save must end in .npz"),
        (["--csv", "t.xlsx"], "csv must end in .csv"),
        (["--metrics", "nothing.csv"], "nothing.csv"),
        (["--by", "colour"], "colour"),
        (["--select", "*conv*"], "select must match a floating tensor"),
    ],
)
def test_bad_options_are_one_line_and_nothing_is_written(
    checkpoints: Path, analyze, tmp_path: Path, options, message
) -> None:
    ran = analyze(checkpoints, *options)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.strip().splitlines()) == 1
    assert message in ran.err
    assert not (tmp_path / "out").exists()


def test_too_wide_a_window_is_said_before_the_reading(checkpoints: Path, analyze, monkeypatch) -> None:
    from spectral_edge.validate.gram.files import bands

    monkeypatch.setattr(bands, "tensor_band", lambda *rest: pytest.fail("read"))
    assert "W must be at most the number of updates T = 14, got 15" in analyze(checkpoints, W=15).err


# -- figures of long and of empty runs --------------------------------------------------------------------


def drawn(run, W: int):
    from spectral_edge.validate.referee.figures.run import evolution_figure, window_figure

    level = np.full(run.T - W + 1, 1.1)
    for figure in (window_figure(run, W, level=level), evolution_figure(run, W, level=level)):
        figure.draw_without_rendering()
        yield figure


def test_long_runs_are_lines_and_legends_stand_beside_the_data() -> None:
    from spectral_edge.validate import GramSequence

    steps = np.arange(1401)
    run = GramSequence.from_parameters(
        walk(1401, 30), steps, W_max=6, metrics={"test_loss": np.exp(-steps[1:] / 500.0)}
    )
    for figure in drawn(run, 5):
        for ax in figure.axes:
            if (
                len(ax.lines) and len(ax.lines[0].get_xdata()) > 1000
            ):  # curves, without markers that run together
                assert not ax.collections
                assert all(line.get_markersize() < 3 for line in ax.lines if line.get_marker() != "None")
            legend = ax.get_legend()
            if legend is not None:
                assert not legend.get_window_extent().overlaps(ax.get_window_extent().padded(-2))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_runs_without_gaps_are_drawn_without_warnings(rank: int) -> None:
    from spectral_edge.validate import GramSequence

    rng = np.random.default_rng(0)
    thetas = np.cumsum(rng.normal(size=(30, rank)) @ rng.normal(size=(rank, 50)), axis=0)
    assert len(list(drawn(GramSequence.from_parameters(thetas), 5))) == 2


# -- where it runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.usefixtures("blank")
def test_any_console_will_do(checkpoints: Path, tmp_path: Path, encoding: str, monkeypatch) -> None:
    from spectral_edge import cli

    printed = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in printed.items():
        monkeypatch.setattr(sys, name, stream)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["analyze", str(checkpoints), "--W", "4", "--out", str(tmp_path / "out"), "--by", "layer"])
    said, complained = (stream.buffer.getvalue().decode(encoding) for stream in printed.values())
    assert stopped.value.code == 0, complained
    assert "windows of 4" in said
    if encoding == "utf-8":
        assert "…" in said  # elided in the middle: neither ASCII nor a question mark


RECORDED = """
import sys
import numpy as np
from spectral_edge import cli, validate
tracker = validate.GramTracker(4, path=sys.argv[1], config={"task": "Maß σ"})
for step, theta in enumerate(np.cumsum(np.random.default_rng(0).normal(size=(15, 40)), axis=0)):
    tracker.update({"größe.w": theta}, step=step, loss=1.0)
print(tracker.describe({"größe.w": theta}).encode("ascii", "replace"))
tracker.close()
cli.main(["analyze", sys.argv[1], "--W", "4", "--out", sys.argv[2], "--csv", sys.argv[2] + "/t.csv"])
"""


@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_from_recording_to_a_table_where_a_locale_knows_little(tmp_path: Path, settings) -> None:
    """File names then come with stand-ins for what the locale has not, which no page can hold as they are."""
    (tmp_path / "train.py").write_text(RECORDED, "utf-8")
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "train.py"), str(tmp_path / "laufσ.npz"), str(tmp_path / "out")],
        capture_output=True, env={**os.environ, **settings}, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode(errors="replace")
    assert b"windows of 4" in ran.stdout
    assert (tmp_path / "out" / "t.csv").read_text("utf-8").startswith("group,step")


def test_names_with_stand_ins_are_written_as_what_they_stand_for(tmp_path: Path, monkeypatch) -> None:
    from spectral_edge.commands import console
    from spectral_edge.validate.referee import cards
    from spectral_edge.validate.referee.report import page

    name = "laufσ".encode().decode("ascii", "surrogateescape")
    assert cards.read({"run": name}).run == "laufσ"
    console.write_text(name, tmp_path / "t.csv")
    monkeypatch.setattr(page, "render", lambda *board, **rest: name)
    written = page.write_report(None, tmp_path)
    assert [path.read_text("utf-8") for path in (tmp_path / "t.csv", written)] == ["laufσ"] * 2


READ_ONLY = """
import os, sys
sys.path.insert(0, {site!r})
if os.getuid() == 0:  # nothing is read-only to root: numba is told what others would be told
    from numba.core import caching

    def refuse(self, ensure=caching._CacheLocator.ensure_cache_path):
        if not self.get_cache_path().startswith(os.environ["TMPDIR"]):
            raise PermissionError(self.get_cache_path())
        ensure(self)

    caching._CacheLocator.ensure_cache_path = refuse
from spectral_edge import cli
assert cli.__file__.startswith({site!r})
cli.main()
"""


@pytest.mark.slow
def test_a_read_only_installation_without_a_home(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    site, work, temporary = tmp_path / "site", tmp_path / "work", tmp_path / "temporary"
    unwanted = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(root / "spectral_edge", site / "spectral_edge", ignore=unwanted)  # its links are followed
    for folder in (work, temporary):
        folder.mkdir()
    np.save(work / "stack.npy", walk(12, 50))
    paths = [site, *site.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": str(temporary),
        "TMPDIR": str(temporary),
    }
    words = [
        sys.executable,
        "-c",
        READ_ONLY.format(site=str(site)),
        "analyze",
        "stack.npy",
        "--W",
        "4",
        "--json",
    ]
    try:
        done = subprocess.run(
            words, cwd=work, env=environment, capture_output=True, text=True, timeout=500, check=False
        )
    finally:
        for path in paths:
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["P"] == 50
    assert {path.name for path in work.iterdir()} == {"stack-evolution.svg", "stack-window.svg", "stack.npy"}
    assert not list(temporary.glob("spectral-edge-cache-*"))  # gone with the process
