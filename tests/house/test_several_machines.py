"""Several machines, as two processes of a dask cluster: the page's script as it stands, and who did the work."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectral_edge import simulate, validate
from spectral_edge.validate.referee.predictions import PREDICTIONS
from spectral_edge.validate.referee.size_and_power import calibrate
from tests.house.source import ROOT


@pytest.mark.slow
def test_the_script_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    page = (ROOT / "docs" / "how-to" / "several-machines.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(# file: cluster\.py\n.*?)^```", page, re.M | re.S)
    (tmp_path / "cluster.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "cluster.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    regimes, read, counts = done.stdout.splitlines()
    assert regimes == "(100, 100)"
    assert read == "12 1050"
    assert "n=2" in counts
    assert (tmp_path / "sweep.npz").exists()
    assert not (tmp_path / "unfinished.npz").exists()  # finished: nothing is kept
    assert json.loads((tmp_path / "counts.json").read_text())["bbp-vacuous"]["counts"]["n"] == 2


def done_by(dask_worker: Any) -> tuple[int, int]:
    """A worker's process and how many tasks it has done; dask fills in the argument by its name."""
    return os.getpid(), dask_worker.state.executed_count


# dask's own threads and sockets are not ours to warn about
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.slow
def test_both_processes_do_the_work_and_the_numbers_are_those_of_one(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    for step in range(12):
        parts = {f"w{i}": np.sin(np.arange(300.0) * (step + i + 1)) for i in range(6)}
        np.savez(tmp_path / f"step_{step}.npz", **parts)
    predictions = [prediction for prediction in PREDICTIONS if prediction.id == "bbp-vacuous"]

    def sweep(**more: Any) -> Any:
        omega = np.linspace(0.05, 0.5, 40)
        return simulate.gap_sweep(
            3, 6, h=(0.9, 0.4), p=(2, 2), eta=1e-3, omega=omega, W=10, t_max=3e3, **more
        )

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor() as executor,
    ):
        kinds = {
            "sweep": lambda: sweep(executor=executor, chunk=2),
            "checkpoints": lambda: validate.GramSequence.from_checkpoints(tmp_path, client=client),
            "calibrate": lambda: calibrate(predictions, replicates=4, executor=executor),
        }
        found, before = {}, dict(client.run(done_by).values())
        assert len(before) == 2
        assert os.getpid() not in before
        for name, work in kinds.items():
            found[name] = work()
            after = dict(client.run(done_by).values())
            assert all(after[worker] > before[worker] for worker in before), (name, before, after)
            before = after
    alone = sweep()
    np.testing.assert_array_equal(found["sweep"].collapse_time, alone.collapse_time)
    np.testing.assert_array_equal(found["sweep"].gap, alone.gap)
    np.testing.assert_array_equal(found["checkpoints"].K, validate.GramSequence.from_checkpoints(tmp_path).K)
    assert found["calibrate"] == calibrate(predictions, replicates=4)
