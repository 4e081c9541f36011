"""The command line, called within the process of the tests: what it prints and its exit status."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(sys.executable).with_name("spectral-edge")


class Done(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: object, cwd: Path | None = None) -> Done:
    """Call ``spectral-edge`` with `words`, in the folder `cwd`."""
    from spectral_edge.cli import main

    out, err = io.StringIO(), io.StringIO()
    folder = contextlib.chdir(cwd) if cwd else contextlib.nullcontext()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), folder:
        try:
            main([str(word) for word in words])
        except SystemExit as stopped:
            code = stopped.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def run_apart(*words: object, cwd: Path | None = None) -> Done:
    """Call the installed script in a process of its own."""
    command = [str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=240, check=False)
    return Done(done.returncode, done.stdout, done.stderr)
