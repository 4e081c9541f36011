"""Make the planned runs, several at a time, and say how far each is."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING, Any

from spectral_edge.theory.checks import whole
from spectral_edge.validate.runs.bundle import Files
from spectral_edge.validate.runs.config import RunConfig
from spectral_edge.validate.runs.dense.config import DenseConfig

if TYPE_CHECKING:
    from rich.table import Table

Run = RunConfig | DenseConfig
#: Called with what is known of every run, about once a second.
Watch = Callable[["Board"], None]


class Board:
    """How far each run is.

    Attributes
    ----------
    runs : dict of str to RunConfig or DenseConfig
        All that are to be made.
    status : dict of str to str
        "waiting", "running", "done", "there" (from before) or "failed: …".
    last : dict of str to (step, metrics)
        The last record of each run that has begun.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = {run.name: run for run in runs}
        self.status = dict.fromkeys(self.runs, "waiting")
        self.last: dict[str, tuple[int, dict[str, float]]] = {}
        self._first: dict[str, tuple[int, float]] = {}

    def hear(self, name: str, status: str, step: int, metrics: dict[str, float]) -> None:
        """Take note of a message from a run."""
        self.status[name] = status
        if metrics:
            self.last[name] = step, metrics
            self._first.setdefault(name, (step, monotonic()))

    def seconds_left(self, name: str) -> float | None:
        """At the pace since the run's first record here, to its last step at the latest; None where unknown."""
        if name not in self._first or self.status[name] != "running":
            return None
        (first, since), (step, _) = self._first[name], self.last[name]
        if step == first:
            return None
        return (self.runs[name].max_steps - step) * (monotonic() - since) / (step - first)

    def table(self) -> "Table":
        """What runs and what has failed, line by line (training / test), and how many wait or are done."""
        from rich import box
        from rich.table import Table

        count = {word: sum(s.startswith(word) for s in self.status.values()) for word in
                 ("done", "there", "running", "waiting", "failed")}  # fmt: skip
        told = ", ".join(f"{number} {word}" for word, number in count.items() if number)
        table = Table(
            title=f"{len(self.runs)} runs: {told}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
        )
        for name in ("run", "step", "loss", "accuracy", "left"):
            table.add_column(name, justify="left" if name == "run" else "right", no_wrap=name != "left")
        for name, status in self.status.items():
            if status != "running" and not status.startswith("failed"):
                continue
            step, metrics = self.last.get(name, (0, {}))
            left = self.seconds_left(name)
            note = status if status != "running" else "–" if left is None else f"≤ {left / 60:.0f} min"
            train_test = [
                " / ".join(f"{metrics[f'{part}_{kind}']:.3g}" for part in ("train", "test"))
                if f"train_{kind}" in metrics
                else "–"
                for kind in ("loss", "accuracy")
            ]
            table.add_row(name, f"{step:,} of {self.runs[name].max_steps:,}", *train_test, note)
        return table


def make(
    runs: Iterable[Run],
    out: str | PathLike[str],
    jobs: int = 1,
    watch: Watch | None = None,
    device: str = "cpu",
) -> Board:
    """Make `runs` in the folder `out`, `jobs` at a time, each in a process of its own.

    Parameters
    ----------
    runs : iterable of RunConfig or DenseConfig
        Those that are there already are left as they are; those begun are taken up where they stopped.
    out : path
        Folder for the recordings.
    jobs : int
        Processes at a time; each uses one thread.
    watch : callable, optional
        Called with the `Board` after every message and at least once a second.
    device : str
        Where to train, as in `train`.

    Returns
    -------
    Board
        With the status of every run; a run that failed does not stop the others.
    """
    board, tell = Board(runs), watch or (lambda board: None)
    whole("jobs", jobs, 1)
    waiting = []
    for name, run in board.runs.items():
        if Files(Path(out), name, run.groups).done:
            board.status[name] = "there"
        else:
            waiting.append(run)
    # A process for each run and no pool of concurrent.futures: there, one that is killed takes all others with it.
    context = multiprocessing.get_context("spawn")
    messages: Any = context.Queue()
    working: dict[str, Any] = {}
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                run = waiting.pop(0)
                board.hear(run.name, "running", 0, {})
                working[run.name] = context.Process(
                    target=_work, args=(run, Path(out), messages, device), daemon=True
                )
                working[run.name].start()
            _listen(board, messages)
            tell(board)
            for name, process in list(working.items()):
                if not process.is_alive():
                    _listen(board, messages, wait=0.1)
                    if board.status[name] == "running":
                        board.hear(name, f"failed: its process ended with status {process.exitcode}", 0, {})
                    del working[name]
    finally:
        for process in working.values():
            process.terminate()
        for process in working.values():
            process.join()
    tell(board)
    return board


def _listen(board: Board, messages: Any, wait: float = 1.0) -> None:
    try:
        while True:
            board.hear(*messages.get(timeout=wait))
            wait = 0.01
    except Empty:
        return


def _work(run: Run, out: Path, messages: Any, device: str) -> None:
    from spectral_edge.validate.runs.training import train

    parent = multiprocessing.parent_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no half-written file is left

    def tell(step: int, metrics: dict[str, float]) -> None:
        messages.put((run.name, "running", step, metrics))
        if parent is not None and not parent.is_alive():
            sys.exit(1)  # nobody listens, and another process may take the run up

    try:
        train(run, out, tell, device)
        messages.put((run.name, "done", run.max_steps, {}))
    except Exception as error:  # said in the table; the other runs go on
        line = " ".join(str(error).split())
        messages.put((run.name, f"failed: {line}", 0, {}))
