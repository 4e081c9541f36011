"""``watch`` in a terminal of its own: it follows a training in another process, and Ctrl-C leaves nothing behind."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import SCRIPT, run

TRAINING = """
import sys, time
import numpy as np
from spectral_edge import validate
rng = np.random.default_rng(0)
theta, tracker = np.zeros(200), validate.GramTracker(8, path=sys.argv[1], config={"max_steps": 4000})
for step in range(0, 4001, 10):
    theta = theta + rng.normal(size=200)
    tracker.update(theta, step=step, test_loss=1 / (1 + step))
    time.sleep(0.1)
"""


def read_until(terminal: int, wanted: str, seconds: float) -> str:
    """What a terminal shows until `wanted` (a regular expression) is among it."""
    shown, end = "", time.monotonic() + seconds
    while not re.search(wanted, shown):
        if time.monotonic() > end:
            raise AssertionError(f"{wanted} was not shown: {shown[-2000:]}")
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


@pytest.mark.slow
def test_a_training_in_another_process_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    trainer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(TRAINING), str(path)])
    terminal, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    watcher = subprocess.Popen(
        [SCRIPT, "watch", path, "--W", "6", "--every", "0.3"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    try:
        shown = read_until(terminal, r"k\* = \d", 90)
        first = int(re.findall(r"step ([\d,]+)", shown)[-1].replace(",", ""))
        assert "being recorded" in shown
        assert "test loss" in shown
        later = shown
        while int(re.findall(r"step ([\d,]+)", later)[-1].replace(",", "")) <= first:
            later += read_until(terminal, r"step [\d,]+", 60)
        read_until(terminal, r"expected end in (\d+ min )?\d+ s", 60)
        watcher.send_signal(signal.SIGINT)
        rest, end = "", time.monotonic() + 60
        while time.monotonic() < end:  # a terminal goes on reading: what is written to none would block
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    rest += os.read(terminal, 65536).decode(errors="replace")
                except OSError:  # closed at the other end
                    break
            elif watcher.poll() is not None:
                break
        assert watcher.wait(1) == 0
        assert "Traceback" not in rest
        assert "\x1b[?1049l" in rest  # the screen as it was
        assert "\x1b[?25h" in rest  # and the cursor
        assert trainer.poll() is None  # the training goes on
    finally:
        for process in (watcher, trainer):
            process.kill()
            process.wait()
        os.close(terminal)


def test_an_interrupt_is_noted_where_a_callback_swallows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from spectral_edge.commands.watch import _interrupts

    class Swallows:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before = signal.getsignal(signal.SIGINT)
    with _interrupts() as interrupted:
        assert not interrupted.is_set()
        thing = Swallows()
        del thing
        assert interrupted.is_set()
    assert signal.getsignal(signal.SIGINT) is before


def test_once_prints_the_window_that_ends_now(tmp_path: Path) -> None:
    from spectral_edge import validate

    path = tmp_path / "run.npz"
    thetas = np.cumsum(np.random.default_rng(0).normal(size=(40, 300)), axis=0)
    sequence = validate.GramSequence.from_parameters(thetas, W_max=8)
    sequence.save(path)
    done = run("watch", path, "--W", "6", "--once")
    assert done.returncode == 0, done.stderr
    windows = sequence.window(6)
    assert f"k* = {windows.k_star[-1]:.0f}" in done.stdout
    for value in windows.sigma[-1]:
        assert f"{value:.4g}" in done.stdout
    assert done.stdout.count("← gap") == 1


def test_young_damaged_and_missing_files(tmp_path: Path) -> None:
    missing = run("watch", tmp_path / "run.npz", "--once")
    assert missing.returncode == 2
    assert "nothing at" in missing.stderr
    assert missing.stderr.count("\n") == 1
    (tmp_path / "bad.npz").write_bytes(b"not a zip")
    damaged = run("watch", tmp_path / "bad.npz", "--once")
    assert damaged.returncode == 2
    assert damaged.stderr.count("\n") == 1
    assert "bad.npz" in damaged.stderr


def test_a_training_that_was_killed_is_told_by_its_silence(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    code = TRAINING.replace("4001", "201").replace("time.sleep(0.1)", "") + "import os; os._exit(9)\n"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=120)
    assert "no record for" not in run("watch", path, "--once", "--W", "6").stdout
    before = time.time() - 130
    for left in tmp_path.iterdir():
        os.utime(left, (before, before))
    assert "being recorded, but no record for 2 min 1" in run("watch", path, "--once", "--W", "6").stdout
