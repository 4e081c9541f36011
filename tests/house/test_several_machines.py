"""The page on several machines: its script runs as it stands there, on two processes of a dask cluster."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
