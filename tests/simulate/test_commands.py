"""`spectral-edge ode` and `spectral-edge sweep`."""

import json
import os
import subprocess

import numpy as np
import pytest

from spectral_edge import simulate, theory
from spectral_edge.simulate._compiling import once
from tests.command_line import SCRIPT, run


class TestOde:
    def test_table_and_json_say_the_same(self):
        table, data = run("ode"), json.loads(run("ode", "--json").stdout)
        assert table.returncode == 0, table.stderr
        assert "collapsing" in table.stdout
        assert f"{data['collapse_time']:.8g}" in table.stdout
        assert data["collapse_time"] == pytest.approx(simulate.gap_ode().collapse_time)
        assert data["collapse_time_exact"] == pytest.approx(data["collapse_time"], rel=1e-6)
        own = {"h": (0.9, 0.4), "p": (2, 2.2), "eta": 1e-3, "omega": 0.1, "W": 10}
        assert data["collapse_time_frozen"] == pytest.approx(
            float(theory.collapse_time((10, 4), **own, form="frozen"))
        )
        assert data["reopen_time"] is None

    def test_options_are_passed_on(self):
        words = (
            "--g0",
            1,
            "--d0",
            5,
            "--h",
            "0.5,1",
            "--p",
            "3,2",
            "--eta",
            2e-3,
            "--omega",
            0.3,
            "--W",
            7,
            "--t-max",
            900,
        )
        data = json.loads(run("ode", *words, "--json").stdout)
        own = {"h": (0.5, 1), "p": (3, 2), "eta": 2e-3, "omega": 0.3, "W": 7, "t_max": 900}
        with once():
            assert data["final_gap"] == simulate.gap_ode(1, 5, **own).gap[-1]
        assert data["regime"] == "viable"

    def test_writes_figures_and_data(self, tmp_path):
        for name in ("run.png", "run.csv", "run.json"):
            done = run("ode", "--out", tmp_path / name)
            assert done.returncode == 0, done.stderr
            assert name in done.stdout
        assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
        table = np.genfromtxt(tmp_path / "run.csv", delimiter=",", names=True)
        with once():
            np.testing.assert_array_equal(table["gap"], simulate.gap_ode().gap)
        assert json.loads((tmp_path / "run.json").read_text())["gap"] == table["gap"].tolist()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run.csv", "run.json", "run.png"]

    def test_the_first_time_nothing_is_compiled(self, tmp_path):
        done = subprocess.run(
            [str(SCRIPT), "ode", "--json"], env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        assert not list(tmp_path.rglob("*.nb?"))
        assert json.loads(done.stdout)["collapse_time"] == pytest.approx(
            simulate.gap_ode().collapse_time, rel=1e-9
        )

    def test_a_long_run_is_that_of_the_compiled_kernel(self):
        data = json.loads(run("ode", "--t-max", 1e7, "--json").stdout)
        compiled = simulate.gap_ode(t_max=1e7)
        assert data["steps"] == compiled.n_steps > 1000
        assert data["collapse_time"] == compiled.collapse_time


class TestSweep:
    WORDS = ("--x", "p_next:0.5:6:30", "--y", "omega:0.02:0.6:20")

    def test_table_json_and_files(self, tmp_path):
        table = run("sweep", *self.WORDS, "--out", tmp_path / "map.png")
        assert table.returncode == 0, table.stderr
        assert "collapsing" in table.stdout
        data = json.loads(run("sweep", *self.WORDS, "--json", "--out", tmp_path / "map.npz").stdout)
        assert data["trajectories"] == 600 == sum(data["regimes"].values())
        assert set(data["regimes"]) == {"viable", "collapsing", "transient"}
        direct = simulate.gap_sweep(
            1, 5, h=(0.1, 0.9), p=(0.7, np.linspace(0.5, 6, 30)), eta=1e-3, omega=np.linspace(0.02, 0.6, 20)[:, None],
            W=10, t_max=8000,
        )  # fmt: skip
        with np.load(tmp_path / "map.npz") as file:
            np.testing.assert_array_equal(file["regime"], direct.regime)
            np.testing.assert_array_equal(file["minimal_gap"], direct.minimal_gap)
            np.testing.assert_array_equal(file["parameter_p_next"], np.linspace(0.5, 6, 30))
        assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")

    def test_the_smallest_gaps_are_looked_for_only_where_they_are_kept(self, tmp_path, monkeypatch):
        asked, sweep = [], simulate.gap_sweep

        def recorded(*given, minimal_gap=True, **named):
            asked.append(minimal_gap)
            return sweep(*given, minimal_gap=minimal_gap, **named)

        monkeypatch.setattr(simulate, "gap_sweep", recorded)
        without, kept = (
            run("sweep", *self.WORDS, "--json", *out) for out in ((), ("--out", tmp_path / "a.npz"))
        )
        assert asked == [False, True]
        assert json.loads(without.stdout) == json.loads(kept.stdout)

    def test_integrated_gives_the_same_map(self):
        words = ("--x", "p_next:0.5:6:9", "--y", "omega:0.02:0.6:8", "--json")
        exact, integrated = (
            json.loads(run("sweep", *words, "--method", m).stdout) for m in ("exact", "integrate")
        )
        assert exact["regimes"] == integrated["regimes"]
        assert exact["collapse_time_median"] == pytest.approx(integrated["collapse_time_median"], rel=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ode", "--d0", 2), "d0 must exceed g0/2"),
        (("ode", "--h", "1,2,3"), "h must be a pair"),
        (("ode", "--h", "steep"), "h must be numbers separated by commas"),
        (("ode", "--t-max", -1), "t_max must be positive"),
        (("ode", "--rtol", 1e-20), "rtol must lie between"),
        (("ode", "--out", "run.doc"), "out must end in one of"),
        (("ode", "--out", "nowhere/run.png"), "out must lie in a folder that exists"),
        (("sweep", "--x", "p_next:1:2"), "an axis must be NAME:START:STOP:COUNT"),
        (("sweep", "--x", "speed:1:2:3"), "an axis must be one of g0, d0"),
        (("sweep", "--x", "omega:0:1:3"), "x and y must be two parameters"),
        (("sweep", "--p", "1"), "p must be two numbers"),
        (("sweep", "--method", "euler"), "method must be one of auto"),
        (("sweep", "--d0", 0.2), "d0 must exceed g0/2"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, message, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
