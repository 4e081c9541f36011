"""What is said while a kernel is compiled, and that nothing is said where it is not."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, time
from spectral_edge.simulate import _compiling
if sys.argv[1] == "elsewhere":
    _compiling._place = "a place that goes with the process"
with _compiling.compiling("the kernel", patience=0.2):
    time.sleep(0.5)  # a slow machine
    import kernel
    time.sleep(0.5)
print(kernel.twice(2))
"""
KERNEL = """
import numba

@numba.njit("int64(int64)", cache=True)
def twice(x):
    return 2 * x
"""


def said(folder: Path, word: str = "", **environment: str) -> str:
    """What a process says that imports the kernel, slowly."""
    if not (folder / "kernel.py").exists():  # written anew, it would be compiled anew
        (folder / "kernel.py").write_text(KERNEL)
        (folder / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(folder / "program.py"), word],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "4\n"
    return done.stderr


def test_only_what_is_compiled_is_said_to_be(tmp_path: Path) -> None:
    assert said(tmp_path) == "spectral-edge: compiling the kernel (the first time only)\n"
    assert list((tmp_path / "cache").rglob("*.nbi"))
    assert said(tmp_path) == ""  # loaded from the cache in more than its patience
    assert said(tmp_path, NUMBA_DISABLE_JIT="1") == ""


def test_where_nothing_can_be_kept_it_is_not_the_first_time_only(tmp_path: Path) -> None:
    assert said(tmp_path, "elsewhere") == "spectral-edge: compiling the kernel (nothing can be kept here)\n"
